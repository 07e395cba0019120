"""What a benchmark ran on: absolute figures mean nothing without it."""

import datetime
import os
import platform
from importlib.metadata import version
from pathlib import Path


def machine() -> dict[str, str | int]:
    """Date, processor, cores, and the versions that decide the speed."""
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return {
        "date": datetime.date.today().isoformat(),
        "processor": names[0] if names else platform.processor(),
        "cores": os.cpu_count() or 1,
        "python": platform.python_version(),
        "torch": version("torch"),
        "dvc": version("dvc"),
    }

"""Byte-stable, atomic readers and writers: the same content gives the same bytes, and a file is whole or absent."""

import io
import json
import math
import os
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from derm.errors import UserError

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from PIL import Image

DECIMALS = 6


def write_bytes(path: Path, content: bytes) -> None:
    """Write all of ``content`` or nothing: a temporary file beside it, flushed to disk, then renamed over it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with temporary.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(path)


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes, as 64 hex digits."""
    digest = sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def canonical_json(content: Any) -> str:
    """JSON on one line with sorted keys and no spaces: equal content, equal text."""
    return json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Sorted keys, 6 decimals, LF, trailing newline. Raises ValueError on NaN or infinity, naming the key."""
    text = json.dumps(_rounded(content, path.name), sort_keys=True, indent=2, allow_nan=False, ensure_ascii=False)
    write_bytes(path, (text + "\n").encode())


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file. UserError if it is missing or damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path} is missing: run `dvc repro`, which makes it") from None
    except ValueError as error:
        raise UserError(f"{path} is not valid JSON ({error}): delete it and run `dvc repro`") from None


def write_csv(path: Path, table: pd.DataFrame) -> None:
    """Comma-separated, LF, floats with 6 decimals, missing values empty."""
    floats = table.select_dtypes("float").round(DECIMALS) + 0.0  # no -0.000000
    rounded = table.assign(**{str(name): floats[name] for name in floats})
    text = rounded.to_csv(index=False, lineterminator="\n", float_format=f"%.{DECIMALS}f")
    write_bytes(path, text.encode())


def read_csv(path: Path, **types: type) -> pd.DataFrame:
    """A table that a stage wrote. Columns are text (empty where missing) unless ``types`` names another type.

    UserError if the file is missing or damaged.
    """
    try:
        return pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8").astype(types)
    except FileNotFoundError:
        raise UserError(f"{path} is missing: run `dvc repro`, which makes it") from None
    except (ValueError, KeyError) as error:
        raise UserError(f"{path} is damaged ({_first_line(error)}): delete it and run `dvc repro`") from None


def write_tensors(path: Path, tensors: Mapping[str, np.ndarray], manifest: Mapping[str, Any]) -> None:
    """Arrays as safetensors with one metadata key, ``manifest`` (canonical JSON).

    One key only: with several, safetensors writes them in another order each time (safetensors issue 584).
    """
    from safetensors.numpy import save

    # safetensors writes an array's memory as it lies, whatever its shape says.
    rows = {name: np.ascontiguousarray(array) for name, array in tensors.items()}
    write_bytes(path, save(rows, metadata={"manifest": canonical_json(manifest)}))


def read_tensors(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Arrays and manifest of a file made by `write_tensors`. UserError if it is missing or damaged."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as archive:
            manifest = json.loads((archive.metadata() or {}).get("manifest", "{}"))
            return {name: archive.get_tensor(name) for name in archive.keys()}, manifest  # noqa: SIM118
    except FileNotFoundError:
        raise UserError(f"{path} is missing: run `dvc repro`, which makes it") from None
    except (SafetensorError, ValueError) as error:
        raise UserError(f"{path} is damaged ({error}): delete it and run `dvc repro`") from None


def write_figure(path: Path, figure: "Figure") -> None:
    """A matplotlib figure as PNG, without the version and date that would change its bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    write_bytes(path, buffer.getvalue())


def write_png(path: Path, image: "Image.Image") -> None:
    """A picture as PNG."""
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", compress_level=4)  # half the time of 6, and 2 % larger
    write_bytes(path, buffer.getvalue())


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _rounded(value: Any, where: str) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, Mapping):
        return {str(key): _rounded(item, f"{where}: {key}") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(item, where) for item in value]
    if isinstance(value, bool) or value is None or isinstance(value, str | int):
        return value
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"{where} is {number}: leave a number out that cannot be computed")
    return round(number, DECIMALS) + 0.0

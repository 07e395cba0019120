"""Another processor's wider instructions would change the last bits (derm/__init__.py)."""

import json
import os
import platform
import subprocess
import sys

import pytest

from derm import SAME_INSTRUCTIONS
from tests.closure import ROOT

ASK = """
import json, os, sys
import {package}
early = "numpy" not in sys.modules and "torch" not in sys.modules
import numpy, torch, threadpoolctl
blas = [one.get("architecture") for one in threadpoolctl.threadpool_info() if one["internal_api"] == "openblas"]
print(json.dumps([early, blas, torch.backends.cpu.get_cpu_capability(), os.environ["OMP_WAIT_POLICY"]]))
"""


def asked(package: str, **environment: str) -> list:
    kept = {name: value for name, value in os.environ.items() if name not in {*SAME_INSTRUCTIONS, "OMP_WAIT_POLICY"}}
    command = [sys.executable, "-c", ASK.format(package=package)]
    done = subprocess.run(command, cwd=ROOT, env=kept | environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


@pytest.mark.skipif(platform.machine() != "x86_64", reason="these are names of x86-64's instructions")
@pytest.mark.parametrize("package", ["derm", "stages.runner", "experiments", "benchmarks"])
def test_whatever_is_started_first_asks_for_avx2_before_numpy_is_loaded(package: str) -> None:
    assert asked(package) == [True, ["Haswell"], "AVX2", "PASSIVE"]


@pytest.mark.skipif(platform.machine() != "x86_64", reason="these are names of x86-64's instructions")
def test_what_the_environment_says_is_left_alone() -> None:
    said = asked("derm", OPENBLAS_CORETYPE="Nehalem", ATEN_CPU_CAPABILITY="default", OMP_WAIT_POLICY="ACTIVE")
    assert said == [True, ["Nehalem"], "DEFAULT", "ACTIVE"]

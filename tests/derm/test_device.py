"""What makes a forward pass on a CPU fast, counted and not timed."""

import platform
import subprocess
import sys

import pytest
import torch

from derm.device import choose_device
from derm.embedding.forward import make_ready
from derm.encoders.registry import build_encoder
from derm.errors import UserError
from tests.closure import ROOT
from tests.derm.encoders.params import params

COUNT = """
import resource, sys
import torch
from derm.device import keep_freed_memory
if sys.argv[1] == "keep":
    keep_freed_memory()
for _ in range(40):  # glibc finds a place that fits after a handful
    torch.ones(16_000_000)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    torch.ones(16_000_000)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries have no mallopt")
def test_memory_that_was_freed_is_not_fetched_from_the_system_again() -> None:
    """Ten arrays of 64 MB are 156,250 pages of 4 kB. (Up to 32 MB glibc learns to keep what comes again and again.)"""
    faults = {}
    for how in ("give back", "keep"):
        command = [sys.executable, "-c", COUNT, how]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        faults[how] = int(done.stdout)
    assert faults["keep"] < faults["give back"] / 10


def test_convolutions_keep_channels_side_by_side_and_give_what_timm_gives() -> None:
    images = torch.rand(2, 3, 96, 96, generator=torch.Generator().manual_seed(1))
    encoder = build_encoder(params(name="timm/mobilenetv2_050", image_size=96, seed=3))
    with torch.inference_mode():
        before = encoder.embed(images)
        after = make_ready(encoder, torch.device("cpu")).embed(images)
    convolutions = [module for module in encoder.maps.modules() if isinstance(module, torch.nn.Conv2d)]
    assert all(one.weight.is_contiguous(memory_format=torch.channels_last) for one in convolutions)
    torch.testing.assert_close(after, before, rtol=1e-4, atol=1e-5)


def test_a_device_that_is_not_there_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DERM_DEVICE", "tpu")
    with pytest.raises(UserError, match="'tpu', expected auto, cpu, cuda or mps"):
        choose_device()

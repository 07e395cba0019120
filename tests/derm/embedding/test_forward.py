"""Batches of one size, less memory than hoped for, and a compiled encoder."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from derm.embedding.extract import embed_share, extract_job
from derm.embedding.forward import embed_batch, forward_batch_size, is_out_of_memory
from derm.embedding.job import Job
from derm.embedding.views import IDENTITY
from derm.errors import UserError
from tests.derm.embedding.fake import CPU, SIDE, Fake, as_items, embed, extract, write_images


def test_a_cpu_always_takes_eight() -> None:
    assert [forward_batch_size(CPU, asked) for asked in (2, 16, 300)] == [8, 8, 8]
    assert [forward_batch_size(torch.device(kind), 300) for kind in ("cuda", "mps")] == [300, 300]


def test_embed_batch_gives_as_many_rows_as_images() -> None:
    fake = Fake()
    images = torch.rand(3, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    alone = embed_batch(fake.encoder, images, 8, CPU)
    assert (alone.shape, alone.dtype) == ((3, 5), np.float16)
    assert fake.maps.batches == [8]
    np.testing.assert_array_equal(alone, fake.encoder.embed(images).half().numpy())


def gpu_job(fake: Fake, batch_size: int) -> Job:
    """As on a GPU, where the batch size is the user's: here the CPU computes it."""
    return fake.job().with_batch_size(batch_size)


def test_out_of_memory_begins_again_at_half_the_batch(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images = write_images(workspace / "images", 50)
    small = Fake(memory=10)
    done = extract_job(gpu_job(small, 32), as_items(images))
    assert (done.batch_size, done.computed) == (8, 50)
    warnings = [line for line in capsys.readouterr().err.splitlines() if "WARNING" in line]
    assert [line.split()[-1] for line in warnings] == ["16", "8"]
    expected = embed(Fake(name="other"), images)
    assert done.features.tobytes() == expected.features.tobytes()
    # it stands under the size that it was computed with
    assert len(gpu_job(small, 8).cache(IDENTITY).held()) == 50
    assert gpu_job(small, 32).cache(IDENTITY).held() == set()
    assert embed_share(gpu_job(Fake(memory=10), 32), as_items(images), 0, 2).computed == 0


def test_no_memory_for_two_images_is_one_line(workspace: Path) -> None:
    items = as_items(write_images(workspace / "images", 5))
    fake = Fake(memory=1, transform={"size": [448, 448]})
    with pytest.raises(UserError, match=r"^fake: no memory on cpu for 2 images of 448x448 at once: .*image_size"):
        extract_job(gpu_job(fake, 8), items)


def test_what_running_out_of_memory_looks_like() -> None:
    with pytest.raises(RuntimeError) as failed:
        torch.empty(1 << 60)
    assert is_out_of_memory(failed.value)
    assert is_out_of_memory(RuntimeError("MPS backend out of memory (MPS allocated: 8 GB)"))
    assert not is_out_of_memory(RuntimeError("shapes cannot be multiplied"))


@pytest.mark.skipif(shutil.which("g++") is None, reason="NOT RUN: torch.compile needs a C++ compiler, and none is here")
def test_a_compiled_encoder_gives_the_same_numbers(workspace: Path) -> None:
    images = write_images(workspace / "images", 11)
    encoder = replace(Fake().encoder, maps=torch.nn.Conv2d(3, 5, 3).requires_grad_(False))
    plain, compiled = (extract(encoder, *images, 16, CPU, compiled=switch) for switch in (False, True))
    assert (plain.computed, compiled.computed) == (11, 11)  # the one does not take what the other gave
    np.testing.assert_allclose(compiled.features, plain.features, rtol=2e-3, atol=1e-4)
    assert extract(encoder, *images, 16, CPU, compiled=True).computed == 0


def test_an_encoder_that_cannot_be_compiled_is_one_line(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torch._inductor.exc import InvalidCxxCompiler

    def fail(images: torch.Tensor) -> torch.Tensor:
        raise InvalidCxxCompiler

    monkeypatch.setattr(torch, "compile", lambda maps: fail)
    with pytest.raises(UserError, match=r"cannot be compiled here .*features\.compile=false"):
        embed(Fake(), write_images(workspace / "images", 2), compiled=True)

"""How much of what the machine can do is left once images are read, checked, decoded, cached and written.

    python -m benchmarks.featurize --root data/raw/ham10000 --encoder timm/mobilenetv2_100 --weights random

The bare forward pass, decoding alone, and both together are timed in one run on the same images in turns, because
absolute times wander with the machine's load; each share is the median over the turns. On a CPU the same cores decode
and compute, so 1 / (1 / forward + 1 / decode) is all there can be; on a GPU it is the slower of both. Where the
hardware's matrix rate is the limit, the forward pass is also told as a share of it. Prints one JSON object.
"""

import contextlib
import json
import os
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from tqdm import tqdm

from benchmarks.machine import machine
from derm.device import choose_device
from derm.embedding.extract import extract_job
from derm.embedding.job import Item, Job, make_job
from derm.encoders.encoder import Encoder
from derm.encoders.params import EncoderParams
from derm.encoders.registry import build_encoders
from derm.images import digest, read_image
from derm.sources.listing import check_rows
from derm.sources.reader import DatasetParams, read_source
from derm.workers import worker_count

if TYPE_CHECKING:
    import torch

# Batches that a GPU is given in one go when the bare forward pass is timed.
TOGETHER = 4


def main(
    root: Annotated[str, typer.Option(help="A dataset folder in HAM10000's layout.")],
    encoder: Annotated[str, typer.Option(help="As encoder.name in params.yaml, one alone.")] = "colour-texture",
    weights: Annotated[str, typer.Option(help="As encoder.weights.")] = "none",
    weights_sha256: Annotated[str, typer.Option(help="As encoder.weights_sha256.")] = "",
    model_args: Annotated[str, typer.Option(help="As encoder.model_args, in JSON.")] = "{}",
    image_size: Annotated[int | None, typer.Option(help="As encoder.image_size; else the model's own.")] = None,
    precision: Annotated[str, typer.Option(help="As encoder.precision: float32 or bfloat16.")] = "float32",
    batch_size: Annotated[int, typer.Option(help="As features.batch_size: counts on a GPU.")] = 16,
    compiled: Annotated[bool, typer.Option("--compile", help="As features.compile.")] = False,
    images: Annotated[int, typer.Option(help="How many images in each turn.")] = 128,
    turns: Annotated[int, typer.Option(help="How many turns.")] = 9,
    repeat: Annotated[bool, typer.Option("--repeat", help="Take the images again if there are too few.")] = False,
) -> None:
    """Measure end-to-end featurize against its own parts."""
    import torch  # after derm.device, as in the stage

    params = EncoderParams.model_validate(
        {
            "name": encoder,
            "weights": weights,
            "weights_sha256": weights_sha256,
            "revision": "",
            "model_args": json.loads(model_args),
            "seed": 0,
            "image_size": image_size or "auto",
            "resize": "auto",
            "interpolation": "auto",
            "pooling": "auto",
            "precision": precision,
        }
    )
    (built,) = build_encoders(params)
    job = make_job(built, batch_size, choose_device(), compiled=compiled)
    with tempfile.TemporaryDirectory() as folder:
        items = take_images(root, images * turns, Path(folder) if repeat else None)
        if len(items) < images * turns or images < job.batch_size:
            sys.exit(f"{len(items)} images are there; needed are --images times --turns, at least a batch a turn")
        forward_rate(job, items[: job.batch_size])  # warms up
        forward, decode, whole, memory = [], [], [], []
        for turn in tqdm(range(turns), desc="turns"):
            here = items[turn * images : (turn + 1) * images]
            forward.append(forward_rate(job, here))
            decode.append(decode_rate(built, here))
            whole.append(end_to_end_rate(job, here, Path(folder) / f"cache{turn}"))
            memory.append(round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))
    on_gpu = job.device.type != "cpu"
    possible = [min(f, d) if on_gpu else 1 / (1 / f + 1 / d) for f, d in zip(forward, decode, strict=True)]
    of_possible = [have / could for have, could in zip(whole, possible, strict=True)]
    flops, matrix = flops_per_image(job, items[: job.batch_size]), matrix_rate(job.device, built.dtype)
    result: dict[str, Any] = {
        "machine": machine(),
        "encoder": encoder,
        "image_size": list(built.transform(read_image(*items[0])).shape[1:]),
        "precision": precision,
        "compile": compiled,
        "device": torch.cuda.get_device_name() if job.device.type == "cuda" else str(job.device),
        "threads": torch.get_num_threads(),
        "workers": worker_count(),
        "images": len(items),
        "batch_size": job.batch_size,
        "bare_images_per_second": round(statistics.median(forward), 1),
        "decode_images_per_second": round(statistics.median(decode), 1),
        "end_to_end_images_per_second": round(statistics.median(whole), 1),
        "share_of_bare": round(statistics.median(w / f for w, f in zip(whole, forward, strict=True)), 3),
        "share_of_possible": round(statistics.median(of_possible), 3),
        "share_of_possible_by_turn": [round(share, 3) for share in of_possible],
        "gigaflops_per_image": round(flops / 1e9, 3),
        "matrix_teraflops_per_second": round(matrix / 1e12, 3),
        "bare_share_of_matrix_rate": round(statistics.median(forward) * flops / matrix, 3),
        "peak_memory_mb": memory[-1],
        "peak_memory_mb_by_turn": memory,
    }
    if job.device.type == "cuda":
        result["peak_gpu_memory_mb"] = round(torch.cuda.max_memory_allocated() / 2**20)
    print(json.dumps(result, indent=2))


def take_images(root: str, count: int, copies: Path | None) -> list[Item]:
    """The first `count` images of a dataset; with a folder for them, copies where there are fewer: other bytes (a
    decoder stops before the end), so that the cache does not take them for the same."""
    paths = [
        Path(path) for path in check_rows(read_source(DatasetParams(source="ham10000", root=root)).images)[0]["path"]
    ]
    items = [Item(str(path), digest(path.read_bytes())) for path in paths[:count]]
    for number in range(len(items), count if copies else 0):
        source, round_ = paths[number % len(paths)], number // len(paths)
        content = source.read_bytes() + b" " * round_
        copy = (copies or Path()) / f"{round_}-{source.name}"
        copy.write_bytes(content)
        items.append(Item(str(copy), digest(content)))
    return items


def forward_rate(job: Job, items: Sequence[Item]) -> float:
    """Images a second of the forward pass alone: full batches, decoded and on the device beforehand."""
    import torch

    seconds, count = 0.0, 0
    full = [items[start : start + job.batch_size] for start in range(0, len(items), job.batch_size)]
    full = [batch for batch in full if len(batch) == job.batch_size]
    for start in range(0, len(full), TOGETHER):
        with ThreadPoolExecutor(worker_count()) as pool:
            batches = [
                torch.stack(list(pool.map(lambda item: job.encoder.transform(read_image(*item)), batch))).to(job.device)
                for batch in full[start : start + TOGETHER]
            ]
        synchronize(job.device)
        with torch.inference_mode():
            began = time.perf_counter()
            for batch in batches:
                job.encoder.embed(batch)
            synchronize(job.device)
            seconds += time.perf_counter() - began
        count += sum(map(len, batches))
    return count / seconds


def decode_rate(encoder: Encoder, items: Sequence[Item]) -> float:
    """Images a second that the threads read, check, decode and bring to size."""
    began = time.perf_counter()
    with ThreadPoolExecutor(worker_count()) as pool:
        for future in [pool.submit(lambda item=item: encoder.transform(read_image(*item)).shape) for item in items]:
            future.result()
    return len(items) / (time.perf_counter() - began)


def end_to_end_rate(job: Job, items: Sequence[Item], empty: Path) -> float:
    """Images a second of the stage's own loop, with nothing cached."""
    empty.mkdir()
    os.environ["DVC_ROOT"] = str(empty)
    began = time.perf_counter()
    with contextlib.redirect_stdout(sys.stderr):
        extract_job(job, items)
    return len(items) / (time.perf_counter() - began)


def flops_per_image(job: Job, items: Sequence[Item]) -> float:
    """Floating-point operations (a multiplication and an addition are two) that torch counts in one forward pass."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    batch = torch.stack([job.encoder.transform(read_image(*item)) for item in items]).to(job.device)
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        job.encoder.embed(batch)
    return counter.get_total_flops() / len(batch)


def matrix_rate(device: "torch.device", dtype: "torch.dtype") -> float:
    """Floating-point operations a second in the product of two large square matrices, the best of some goes."""
    import torch

    side = 8192 if device.type != "cpu" else 2048
    left = torch.randn(side, side, device=device).to(dtype)
    rates = []
    for _ in range(8):
        synchronize(device)
        began = time.perf_counter()
        torch.mm(left, left)
        synchronize(device)
        rates.append(2 * side**3 / (time.perf_counter() - began))
    return max(rates)


def synchronize(device: "torch.device") -> None:
    """Wait for all that the device was given."""
    import torch

    if device.type == "cuda":
        torch.cuda.synchronize()
    elif device.type == "mps":
        torch.mps.synchronize()


if __name__ == "__main__":
    typer.run(main)

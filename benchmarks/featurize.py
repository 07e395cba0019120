"""How much of the bare forward rate is left once images are read, checked, decoded, cached and written.

    python -m benchmarks.featurize --root data/raw/ham10000 --encoder timm/mobilenetv2_100 --weights random

Both rates are taken in one run on the same images in turns, because absolute times wander with the machine's load;
the share is the median over the turns. Prints one JSON object.
"""

import json
import os
import resource
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from tqdm import tqdm

from benchmarks.machine import machine
from derm.device import choose_device
from derm.embedding.extract import extract
from derm.encoders.encoder import Encoder
from derm.encoders.registry import EncoderParams, build_encoder
from derm.images import digest, read_image
from derm.sources.listing import check_rows
from derm.sources.reader import DatasetParams, read_source

if TYPE_CHECKING:
    import torch


def main(
    root: Annotated[str, typer.Option(help="A dataset folder in HAM10000's layout.")],
    encoder: Annotated[str, typer.Option(help="As encoder.name in params.yaml.")] = "colour-texture",
    weights: Annotated[str, typer.Option(help="As encoder.weights.")] = "none",
    weights_sha256: Annotated[str, typer.Option(help="As encoder.weights_sha256.")] = "",
    model_args: Annotated[str, typer.Option(help="As encoder.model_args, in JSON.")] = "{}",
    batch_size: Annotated[int, typer.Option(help="As features.batch_size.")] = 16,
    images: Annotated[int, typer.Option(help="How many images in each turn.")] = 128,
    turns: Annotated[int, typer.Option(help="How many turns of bare and end-to-end.")] = 9,
) -> None:
    """Measure end-to-end featurize against the bare forward pass."""
    import torch  # after derm.device, as in the stage

    params = EncoderParams(
        name=encoder, weights=weights, weights_sha256=weights_sha256, model_args=json.loads(model_args), seed=0
    )
    listing = read_source(DatasetParams(source="ham10000", root=root))
    paths = list(check_rows(listing.images)[0]["path"])[: images * turns]
    if len(paths) < images * turns or images < batch_size:
        sys.exit(f"{len(paths)} images are there; needed are --images times --turns, and at least a batch a turn")
    digests = [digest(Path(path).read_bytes()) for path in paths]
    built, device = build_encoder(params), choose_device()
    built.to(device)
    bare, whole = [], []
    bare_rate(built, paths[:batch_size], digests, batch_size, device)
    for turn in tqdm(range(turns), desc="turns"):
        here = slice(turn * images, (turn + 1) * images)
        bare.append(bare_rate(built, paths[here], digests[here], batch_size, device))
        with tempfile.TemporaryDirectory() as empty:
            os.environ["DVC_ROOT"] = empty  # nothing is cached yet
            started = time.perf_counter()
            extract(built, paths[here], digests[here], batch_size, device)
            whole.append(len(paths[here]) / (time.perf_counter() - started))
    shares = [end_to_end / forward for end_to_end, forward in zip(whole, bare, strict=True)]
    result = {
        "machine": machine(),
        "encoder": encoder,
        "device": str(device),
        "threads": torch.get_num_threads(),
        "images": len(paths),
        "batch_size": batch_size,
        "bare_images_per_second": round(statistics.median(bare), 1),
        "end_to_end_images_per_second": round(statistics.median(whole), 1),
        "share_of_bare": round(statistics.median(shares), 3),
        "share_of_bare_by_turn": [round(share, 3) for share in shares],
        "peak_memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }
    print(json.dumps(result, indent=2))


def bare_rate(encoder: Encoder, paths: list[str], digests: list[str], batch_size: int, device: "torch.device") -> float:
    """Images a second of the forward pass alone, on the same full batches, decoded beforehand."""
    import torch

    seconds, count = 0.0, 0
    for start in range(0, len(paths) - batch_size + 1, batch_size):
        rows = range(start, start + batch_size)
        batch = torch.stack([encoder.transform(read_image(paths[row], digests[row])) for row in rows]).to(device)
        with torch.inference_mode():
            began = time.perf_counter()
            encoder.embed(batch).cpu()
            seconds += time.perf_counter() - began
        count += batch_size
    return count / seconds


if __name__ == "__main__":
    typer.run(main)

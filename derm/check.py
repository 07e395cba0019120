"""A look before a long run: data, split, device, disk, licences and time, without writing a thing."""

import shutil
import sys
import time
from pathlib import Path

import pandas as pd
import torch

from derm.device import choose_device
from derm.embedding.cache import EmbeddingCache
from derm.embedding.extract import embed_batch
from derm.embedding.features import FeaturesParams
from derm.encoders.encoder import Encoder
from derm.encoders.registry import EncoderParams, build_encoder
from derm.errors import UserError
from derm.groups import group_images
from derm.images import UnreadableImageError, decode, digest, read_bytes
from derm.params import load
from derm.sources.listing import check_rows
from derm.sources.reader import DataParams, read_source
from derm.splits.params import LEFT_OUT, PARTS, SplitParams
from derm.splits.split import split_images
from derm.task import TaskParams, make_task
from derm.workspace import repository_root

ROWS = 20
BATCHES = 3


def check_setup() -> None:
    """Print what a run would find, need and take. UserError for what would stop it."""
    data, task_params = load("data", DataParams), load("task", TaskParams)
    listing = read_source(data)
    images, refused = check_rows(listing.images)
    _heading(f"Data: {data.root}")
    for warning in listing.warnings:
        print(warning, file=sys.stderr)
    columns = ["image_id", "diagnosis", "lesion_id", "age", "sex", "body_site", "path"]
    print(images[columns].head(ROWS).to_string(index=False))
    print(f"{len(images)} images listed, {len(refused)} rows refused before any image is opened")
    for _, row in refused.head(5).iterrows():
        print(f"  {row['where']}: {row['image_id']}: {row['reason']}")
    images["group"] = group_images(images, listing.duplicates)
    images = images[~images["leaves"]]
    if images.empty:
        raise UserError(f"{data.root}: no row of the metadata can be used")
    task = make_task(images, task_params)
    split = split_images(images, task, load("split", SplitParams)).table
    _heading("Lesions by class and part")
    lesions = split.drop_duplicates("group").assign(
        diagnosis=lambda rows: rows["target"].map(dict(enumerate(task.classes)))
    )
    table = pd.crosstab(lesions["diagnosis"], lesions["part"], margins=True, margins_name="all")
    print(
        table[[name for name in (*PARTS, LEFT_OUT, "all") if name in table]]
        .rename_axis(index=None, columns=None)
        .to_string()
    )
    encoder_params, features = load("encoder", EncoderParams), load("features", FeaturesParams)
    device = choose_device()
    encoder = build_encoder(encoder_params).to(device)
    _heading("Encoder, disk and time")
    print(f"encoder {encoder_params.name} on {device}; {_terms(encoder_params)}")
    _disk_and_time(encoder, list(images["path"]), features.batch_size, device)


def _disk_and_time(encoder: Encoder, paths: list[str], batch_size: int, device: torch.device) -> None:
    """Embed a few real batches and scale up; an image already in the cache takes no time."""
    known = EmbeddingCache(encoder.fingerprint, batch_size, device.type).read()
    timed, rate, dim = 0, 0.0, 0
    # The first batch warms up; what it takes is not counted.
    for number, start in enumerate(range(0, min(len(paths), (BATCHES + 1) * batch_size), batch_size)):
        began = time.monotonic()
        batch = []
        for path in paths[start : start + batch_size]:
            try:
                batch.append(encoder.transform(decode(read_bytes(Path(path)))))
            except UnreadableImageError as error:
                print(f"  {path}: {error}")
        if batch:
            dim = embed_batch(encoder, torch.stack(batch), batch_size, device).shape[1]
        if number or len(paths) <= batch_size:
            timed += len(batch)
            rate += time.monotonic() - began
    missing = len(paths)
    if known:
        digests = (digest(Path(path).read_bytes()) for path in paths)
        missing = sum(key not in known for key in digests)
    seconds = missing * rate / timed if timed else 0.0
    need = len(paths) * dim * 2 * 3  # cache, features, and DVC's copy of them, two bytes a number
    free = shutil.disk_usage(repository_root()).free
    print(f"{len(paths)} images, {dim} numbers each: {need / 1e6:.0f} MB to write, {free / 1e9:.1f} GB free")
    print(f"{len(paths) - missing} images are already embedded; the other {missing} take about {_told(seconds)}")
    if need > free:
        print("WARNING: the disk is too small", file=sys.stderr)


def _terms(params: EncoderParams) -> str:
    if params.weights == "pretrained":
        return "weights from the model's hub, under the terms its page states; a gated model also needs `hf auth login`"
    return "no licence to accept, no token needed" if params.weights in ("none", "random") else "weights from a file"


def _told(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def _heading(text: str) -> None:
    print(f"\n== {text}")

"""A look before a long run: data, split, device, disk, licences and time, without writing a thing."""

import shutil
import sys
import time
from pathlib import Path

import pandas as pd

from derm.device import choose_device
from derm.embedding.changes import describe, told_duration
from derm.embedding.disk import refuse_full_disk, token_needs, token_shape
from derm.embedding.features import FEATURES, FeaturesParams, refuse_tokens_of_several
from derm.embedding.forward import Forward
from derm.embedding.job import Item, Job, lacking, make_job
from derm.embedding.views import view_names
from derm.encoders.catalogue import known
from derm.encoders.params import EncoderParams, PartParams, parts_of
from derm.encoders.registry import build_encoders
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
    device, views = choose_device(), view_names(features.views)
    refuse_tokens_of_several(features, encoder_params.name)
    token_pooling = features.token_pooling if features.tokens else None
    jobs = [
        make_job(encoder, features.batch_size, device, views, features.compile, token_pooling)
        for encoder in build_encoders(encoder_params)
    ]
    _heading("Encoder, disk and time")
    for part in parts_of(encoder_params):
        print(f"encoder {part.name} on {device}; {_terms(part)}")
    _disk_and_time(jobs, list(images["path"]))


def _disk_and_time(jobs: list[Job], paths: list[str]) -> None:
    """Embed a few real batches and scale up; what is already in the cache takes no time."""
    items = _items(paths) if any(job.cache(view).held() for job in jobs for view in job.views) else None
    need, seconds = 0, 0.0
    for job in jobs:
        # Nothing cached: the digests of the files, which take a while to compute, say nothing.
        digests = paths if items is None else [item.digest for item in items]
        absent = {view: set(digests) for view in job.views} if items is None else lacking(job, digests)
        rate, dim = _measure(job, paths)
        print(describe(job, digests, absent, rate))
        todo = sum(map(len, absent.values()))
        need += (2 * len(paths) * len(job.views) + todo) * dim * 2  # features, DVC's copy, cache; two bytes a number
        seconds += todo / rate if rate else 0.0
        if job.token_pooling is not None and dim:
            those = [Item(path, digest) for path, digest in zip(paths, digests, strict=True)]
            tokens = token_needs(job, {FEATURES: those}, token_shape(job))
            refuse_full_disk(tokens)
            need += sum(tokens.values())
    free = shutil.disk_usage(repository_root()).free
    print(
        f"{need / 1e6:,.0f} MB to write, {free / 1e9:,.1f} GB free; to embed all takes about {told_duration(seconds)}"
    )
    if need > free:
        print("WARNING: the disk is too small", file=sys.stderr)


def _measure(job: Job, paths: list[str]) -> tuple[float, int]:
    """Embeddings a second (0 if no image can be read) and numbers in each, on a few batches of real images."""
    timed, seconds, dim = 0, 0.0, 0
    forward = Forward(job.encoder, job.batch_size, job.device, job.token_pooling)
    # The first batch warms up; what it takes is not counted.
    for number, start in enumerate(range(0, min(len(paths), (BATCHES + 1) * job.batch_size), job.batch_size)):
        began = time.monotonic()
        batch = []
        for path in paths[start : start + job.batch_size]:
            try:
                batch.append(job.encoder.transform(decode(read_bytes(Path(path)))))
            except UnreadableImageError as error:
                print(f"  {path}: {error}")
        if batch:
            dim = forward.launch(batch)().pooled.shape[1]
        if number or len(paths) <= job.batch_size:
            timed += len(batch)
            seconds += time.monotonic() - began
    return (timed / seconds if timed else 0.0), dim


def _items(paths: list[str]) -> list[Item]:
    """Files that cannot be read have an empty digest, as nothing in the cache has."""
    items = []
    for path in paths:
        try:
            items.append(Item(path, digest(read_bytes(Path(path)))))
        except UnreadableImageError:
            items.append(Item(path, ""))
    return items


def _terms(part: PartParams) -> str:
    """What its user must accept or know, in a line."""
    entry = known(part.name)
    if part.weights in ("none", "random"):
        return "no licence to accept, no token needed"
    if entry is None:
        return "known terms: none; read the page of its weights"
    gate = "; accept them on its page, then `hf auth login`" if entry.gated and part.weights == "pretrained" else ""
    overlap = f"; {entry.overlap}" if entry.overlap else ""
    return f"terms: {entry.terms}{gate}{overlap}"


def _heading(text: str) -> None:
    print(f"\n== {text}")

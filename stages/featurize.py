"""Run the frozen encoders once over every image, of the home set and of the external ones.

``DERM_PARTITION=2/16`` does the second of sixteen shares of the work and writes to the cache only; any launcher may
start the sixteen, on any machines that share this folder.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from derm import journal
from derm.device import choose_device
from derm.embedding.changes import speed_facts
from derm.embedding.disk import refuse_full_disk, token_needs, token_shape
from derm.embedding.engines import asked_partition
from derm.embedding.extract import embed_share, extract_job
from derm.embedding.features import (
    EXTERNAL_FEATURES,
    FEATURES,
    Features,
    FeaturesParams,
    features_manifest,
    refuse_tokens_of_several,
    write_features,
)
from derm.embedding.job import Item, Job, make_job
from derm.embedding.loop import Phases
from derm.embedding.tokens import TokenFile
from derm.embedding.views import view_names
from derm.encoders.params import EncoderParams
from derm.encoders.registry import build_current
from derm.external import EXTERNAL, read_sets
from derm.files import write_csv
from derm.image_table import IMAGES_FILE, read_images
from derm.params import load
from stages.runner import run


def main() -> None:
    encoder_params, params = load("encoder", EncoderParams), load("features", FeaturesParams)
    partition, device = asked_partition(), choose_device()
    refuse_tokens_of_several(params, encoder_params.name)
    token_pooling = params.token_pooling if params.tokens else None
    jobs = [
        make_job(encoder, params.batch_size, device, view_names(params.views), params.compile, token_pooling)
        for encoder in build_current(encoder_params)
    ]
    names = read_sets()
    tables = {FEATURES: read_images(IMAGES_FILE)}
    tables |= {EXTERNAL_FEATURES / name: read_images(EXTERNAL / name / "images.csv") for name in names}
    items = {folder: _items(table) for folder, table in tables.items() if not table.empty}
    tokens = token_shape(jobs[0]) if params.tokens else None
    if tokens is not None:
        refuse_full_disk(token_needs(jobs[0], items, tokens))
    if partition is not None:
        for job in jobs:
            everything = [item for those in items.values() for item in those]
            _note(job, embed_share(job, everything, *partition), len(everything[partition[0] :: partition[1]]))
        print("this share is in the cache and nothing else is written: when all are, run it without DERM_PARTITION")
        return
    for folder, table in tables.items():
        if table.empty:
            print(f"{folder}: no image to embed")
        else:
            jobs = embed(jobs, list(table["image_id"]), items[folder], folder, tokens)
    write_csv(EXTERNAL_FEATURES / "sets.csv", pd.DataFrame({"name": names}, dtype=str))


def embed(
    jobs: list[Job], image_ids: list[str], items: list[Item], folder: Path, tokens: tuple[int, int] | None
) -> list[Job]:
    """Embed images into one folder, the encoders' features side by side; tokens: (patches, channels) of each.

    Returns the jobs with the batch sizes that there was memory for: the next table is embedded alike.
    """

    def open_tokens(job: Job) -> TokenFile:
        patches, channels = tokens or (0, 0)
        return TokenFile(folder, (len(items), len(job.views), patches, channels), _token_manifest(job))

    extractions = [extract_job(job, items, None if tokens is None else open_tokens) for job in jobs]
    jobs = [job.with_batch_size(done.batch_size) for job, done in zip(jobs, extractions, strict=True)]
    blocks = [extraction.features for extraction in extractions]
    manifest = features_manifest(
        [job.encoder.manifest for job in jobs],
        [block.shape[2] for block in blocks],
        [job.batch_size for job in jobs],
        jobs[0].device.type,
        jobs[0].views,
        jobs[0].compiled,
        jobs[0].token_pooling,
    )
    pooled = blocks[0] if len(blocks) == 1 else np.concatenate(blocks, axis=2)
    write_features(Features(pooled, image_ids, manifest), folder)
    for job, done in zip(jobs, extractions, strict=True):
        _note(job, done.phases, len(items))
        repeated = f", {done.repeated:,} equal to one of these" if done.repeated else ""
        print(f"{folder}: {job.name}: {done.cached:,} from the cache, {done.computed:,} computed{repeated}")
    return jobs


def _items(images: pd.DataFrame) -> list[Item]:
    return [Item(path, digest) for path, digest in zip(images["path"], images["sha256"], strict=True)]


def _token_manifest(job: Job) -> dict[str, Any]:
    return {
        "encoder": job.encoder.manifest,
        "batch_size": job.batch_size,
        "device": job.device.type,
        "views": list(job.views),
        "token_pooling": job.token_pooling,
    }


def _note(job: Job, phases: Phases, images: int) -> None:
    """How fast it was and where the time went, into the journal; the next run's estimate comes from it."""
    rate = phases.computed / phases.seconds if phases.computed else 0.0
    spent = {f"{phase}_seconds": getattr(phases, phase) for phase in ("read", "decode", "forward", "write")}
    journal.note(
        "embedded",
        stage="featurize",
        **speed_facts(job),
        **spent,
        images=images,
        views=len(job.views),
        batch_size=job.batch_size,
        computed=phases.computed,
        seconds=phases.seconds,
        images_per_second=rate,
    )


if __name__ == "__main__":
    run("featurize", main)

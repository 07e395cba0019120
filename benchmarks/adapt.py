"""What training the encoder is worth: two DVC experiments, alike but for `adapt`, on the same test part, by lesion.

    python -m benchmarks.adapt FROZEN TRAINED > benchmarks/results/adapt-<what>.json

Paired intervals by lesion, one fit a side: they are about these two fitted models. Run in the repository that trained
them, whose journal says how fast that was.
"""

import json
from typing import Annotated, Any

import typer
import yaml

from benchmarks.machine import machine
from derm import journal
from derm.measures.paired import Side, compare
from experiments.retrain import Experiment, opened

METRICS = ("decision.balanced_accuracy", "balanced_accuracy", "macro_auc", "melanoma.auc", "nll")


def main(
    frozen: Annotated[str, typer.Argument(help="Experiment with adapt.method=none.")],
    trained: Annotated[str, typer.Argument(help="The same with its encoder trained.")],
    resamples: Annotated[int, typer.Option(help="Of lesions.")] = 2000,
) -> None:
    """Compare them on the test part."""
    with opened(frozen, "test") as one, opened(trained, "test") as other:
        a, b = _side(frozen, one), _side(trained, other)
        compared = compare(a, b, one.task.classes, one.task.positive, METRICS[0], resamples, 1)
        images, lesions = len(one.predictions), int(one.predictions["group"].nunique())
    table = compared.table.set_index("metric")
    keys = ["a", "b", "difference", "low", "high"]
    print(
        json.dumps(
            {
                "machine": machine(),
                "synthetic": _read(trained, "metrics/prepare.json")["synthetic"],
                "images": images,
                "lesions": lesions,
                "adapt": _adapt_params(trained),
                "training": _read(trained, "metrics/adapt.json"),
                "speed": _speed(trained),
                "test": {name: {key: round(float(table.loc[name, key]), 6) for key in keys} for name in METRICS},  # type: ignore[arg-type]
            },
            indent=2,
        )
    )


def _side(name: str, experiment: Experiment) -> Side:
    return Side(name, [experiment.predictions], experiment.seeded)


def _read(revision: str, path: str) -> Any:
    from dvc.api import DVCFileSystem

    return yaml.safe_load(DVCFileSystem(".", rev=revision).read_text(path))


def _adapt_params(revision: str) -> dict[str, Any]:
    """What was asked of the training, and of the encoder."""
    params = _read(revision, "params.yaml")
    told = {key: params["encoder"][key] for key in ("name", "image_size")}
    return {"encoder": told, **params["adapt"]}


def _speed(experiment: str) -> dict[str, float | str]:
    """Of the last training of that name: images a second, and the share of the time that was spent waiting for them."""
    found = [one for one in journal.read() if one["event"] == "adapted" and one["experiment"] == experiment]
    last = found[-1]
    return {
        "device": last["device"],
        "images_per_second": round(last["images"] / last["seconds"], 1),
        "waiting_share": round(last["waiting_seconds"] / last["seconds"], 4),
    }


if __name__ == "__main__":
    typer.run(main)

"""What the maps of a model are worth: the tables of `explain` as one JSON object, with how they were made.

    dvc exp run -S explain.localisation=1000 -S explain.sanity=true -S explain.faithfulness=200 -S explain.shortcuts=200
    python -m benchmarks.explanations > benchmarks/results/explanations-<encoder>.json

Reads what the last run wrote under metrics/ and plots/explain/ of the repository it is started in; computes nothing.
"""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import typer
import yaml

from benchmarks.machine import machine
from derm.embedding.features import read_manifest
from derm.files import read_csv, read_json

PLOTS = Path("plots/explain")
# Of each table, what is not a number.
WORDS = {
    "localisation": ["by", "name", "method", "metric"],
    "verdicts": ["method", "test", "verdict"],
    "sanity": ["method", "shuffled"],
    "faithfulness": ["score", "method"],
    "shortcuts": ["artefact"],
}


def main() -> None:
    """Print the tables of the last run."""
    params = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))
    result: dict[str, Any] = {
        "machine": machine(),
        "encoders": [encoder["encoder"] for encoder in read_manifest()["encoders"]],
        "head": params["head"]["type"],
        "explain": params["explain"],
        "metrics": read_json(Path("metrics/explain.json")),
    }
    print(json.dumps(result | {name: rows(name) for name in WORDS}, indent=1))


def rows(name: str) -> list[dict[str, Any]]:
    """The rows of `plots/explain/<name>.csv`, numbers with four digits; what is not known is left out."""
    table = read_csv(PLOTS / f"{name}.csv")
    for column in table.columns.difference(WORDS[name]):
        table[column] = pd.to_numeric(table[column])
    return [
        {
            str(key): round(value, 4) if isinstance(value, float) else value
            for key, value in row.items()
            if not pd.isna(value)
        }
        for row in table.to_dict("records")
    ]


if __name__ == "__main__":
    typer.run(main)

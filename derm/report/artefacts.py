"""What the chain left behind, as the model card and the checklist ask for it; what is not there is not made up."""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import ConfigDict

from derm.decisions.outcome import Calibration, read_calibration
from derm.files import file_digest, read_csv, read_json, read_tensors
from derm.image_table import IMAGES_FILE, read_images
from derm.params import Section
from derm.splits.params import LEFT_OUT, PARTS

CLASSIFIER = Path("models/classifier")
SPLIT = Path("data/split/split.csv")
FEATURES = Path("data/features/features.safetensors")
FIELDS = ("age", "sex", "body_site")
QUARTILES = [0.25, 0.5, 0.75]


class AbsentError(LookupError):
    """The artefacts do not say."""


class Shown(Section):
    """A section of the params as it stands there, to be shown; the stage that works by it has checked it."""

    model_config = ConfigDict(extra="allow", frozen=True)


class Artefacts:
    """Files below metrics/, plots/, data/ and models/ of the current folder, each read when it is first asked for.

    sections: name -> section of the params. A file or key that is not there raises `AbsentError`, one that is damaged
    UserError.
    """

    def __init__(self, sections: Mapping[str, Shown]) -> None:
        self._sections = sections
        self._read: dict[str, dict[str, Any]] = {}

    def setting(self, section: str, key: str) -> Any:
        """One knob."""
        return self.settings(section)[key]

    def settings(self, section: str) -> dict[str, Any]:
        """All knobs of a section."""
        if section not in self._sections:
            raise AbsentError(section)
        return dict(self._sections[section].model_extra or {})

    def metric(self, stage: str, *keys: str) -> Any:
        """What stands below these keys in metrics/<stage>.json."""
        return self._below(f"metrics/{stage}.json", keys)

    def described(self, *keys: str) -> Any:
        """The same of the packaged classifier's description."""
        return self._below(str(CLASSIFIER / "classifier.json"), keys)

    def _below(self, name: str, keys: tuple[str, ...]) -> Any:
        if name not in self._read:
            self._read[name] = read_json(_there(Path(name)))
        found: Any = self._read[name]
        for key in keys:
            if not isinstance(found, dict) or key not in found:
                raise AbsentError(f"{name}: {'.'.join(keys)}")
            found = found[key]
        return found

    def table(self, name: str, **types: type) -> pd.DataFrame:
        """A CSV below plots/."""
        return read_csv(_there(Path("plots") / name), **types)

    @cached_property
    def calibration(self) -> Calibration:
        """What stands between logits and an outcome."""
        return read_calibration(_there(CLASSIFIER / "calibration.json"))

    @cached_property
    def head(self) -> dict[str, Any]:
        """The head's shape and params, as its own file has them."""
        return read_tensors(_there(CLASSIFIER / "head.safetensors"))[1]

    @cached_property
    def sources(self) -> list[str]:
        """What the images came from, by its reader's name; empty where the dataset does not say."""
        try:
            return list(self.values("source"))
        except AbsentError:
            return []

    def values(self, field: str) -> dict[str, int]:
        """Value -> images, of a field of the image table that has a value somewhere; the commonest first."""
        table = self.table("prepare/distributions.csv", images=int)
        table = table[(table["field"] == field) & (table["value"] != "missing")]
        if table.empty:
            raise AbsentError(field)
        counts = table.groupby("value", sort=True)["images"].sum().sort_values(ascending=False, kind="stable")
        return {str(value): int(images) for value, images in counts.items()}

    @property
    def synthetic(self) -> bool:
        """Whether this repository drew the images itself."""
        return bool(self.metric("prepare", "synthetic"))

    @property
    def parts(self) -> dict[str, dict[str, Any]]:
        """Part of the split -> `images, groups, images_by_class, groups_by_class`."""
        split = self.metric("split")
        return {name: split[name] for name in (*PARTS, LEFT_OUT) if name in split}

    @cached_property
    def numbers(self) -> dict[str, tuple[float, float, float]]:
        """Headline number -> its value on the test part and the ends of its 95 % interval."""
        table = self.table("evaluate/intervals.csv", value=float, low=float, high=float).set_index("part")
        try:
            rows = table.loc[["test"]]
        except KeyError:
            raise AbsentError("intervals of the test part") from None
        numbers = zip(rows["metric"], rows["value"], rows["low"], rows["high"], strict=True)
        return {metric: (value, low, high) for metric, value, low, high in numbers}

    def number(self, metric: str) -> str:
        """Such a number in words: 0.912 [0.844, 0.964]."""
        if metric not in self.numbers:
            raise AbsentError(metric)
        value, low, high = self.numbers[metric]
        return f"{value:.3f} [{low:.3f}, {high:.3f}]"

    def digests(self) -> pd.DataFrame:
        """`file, SHA-256` of the data and of the packaged classifier."""
        files = [IMAGES_FILE, SPLIT, FEATURES, *sorted(path for path in CLASSIFIER.glob("*") if path.is_file())]
        there = [path for path in files if path.is_file()]
        return pd.DataFrame({"file": [path.as_posix() for path in there], "SHA-256": [file_digest(p) for p in there]})

    def people(self) -> pd.DataFrame:
        """Who is in each part of the split: `part, images, groups`, age as median [quartiles], sex and confirmation
        as shares of the images that have them, and how many have none."""
        split = read_csv(_there(SPLIT)).set_index("image_id")
        images = read_images(_there(IMAGES_FILE)).set_index("image_id").join(split["part"], how="inner")
        rows = []
        for part in self.parts:
            of = images[images["part"] == part]
            age = pd.to_numeric(of["age"]).dropna()
            rows.append(
                {
                    "part": part.replace("_", " "),
                    "images": len(of),
                    "groups": of["group"].nunique(),
                    "age in years": "{1:.0f} [{0:.0f}, {2:.0f}]".format(*age.quantile(QUARTILES)) if len(age) else "-",
                    "sex": _shares(of["sex"]),
                    "confirmed by": _shares(of["confirmation"]),
                    **{f"no {field.replace('_', ' ')}": int((of[field] == "").sum()) for field in FIELDS},
                }
            )
        return pd.DataFrame(rows)


def _shares(values: pd.Series) -> str:
    known = values[values != ""].value_counts(normalize=True).sort_index()
    return ", ".join(f"{str(name).replace('_', ' ')} {share:.0%}" for name, share in known.items()) or "-"


def _there(path: Path) -> Path:
    if not path.is_file():
        raise AbsentError(str(path))
    return path

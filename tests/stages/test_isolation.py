"""Each stage in a folder that holds what dvc.yaml declares for it and nothing else: it must manage with that, and
write nothing that is not declared (promise 1, for data; tests/test_structure.py does the same for code)."""

import shutil
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pandas as pd
import pytest
import yaml

from derm.files import read_json
from derm.folder_digest import folder_digest
from tests.closure import PACKAGES, ROOT
from tests.dataset import Folder, make_folder

STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
CHAIN = [name for name in STAGES if name not in ("sample", "track")]
SETTINGS: dict[str, dict[str, dict]] = {
    "holdout, melanoma flagged": {},
    "kfold, no positive class": {"split": {"scheme": "kfold", "folds": 4, "fold": 3}, "task": {"positive": None}},
    "two classes, the official test set, an external set": {
        "split": {"scheme": "official"},
        "task": {"target": "malignant"},
        "data": {"source": "table", "table": "table.csv"}
        | {"columns": {"path": "image_id", "diagnosis": "dx", "lesion_id": "lesion_id", "source_part": "part"}},
    },
}


def copy(source: Path, target: Path) -> None:
    """A file or folder, with the folders above it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, dirs_exist_ok=True)
    else:
        shutil.copyfile(source, target)


def with_official_parts(folder: Folder) -> None:
    """The same images as a table of its own, that names every fifth lesion for testing."""
    rows = [
        f"{image_id},{lesion},{dx},{'test' if int(lesion[-1]) % 5 == 0 else 'train'}"
        for lesion, image_id, dx, *_ in folder.rows
    ]
    (folder.root / "HAM10000_metadata.csv").unlink()
    (folder.root / "table.csv").write_text("\n".join(["image_id,lesion_id,dx,part", *rows]) + "\n")


def files_in(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("changes", SETTINGS.values(), ids=SETTINGS)
def test_every_stage_manages_with_what_it_declares(
    changes: dict[str, dict], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = tmp_path / "results"
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["data"]["root"] = "data/own"
    params["train"]["l2"] = [0.3]
    params["evaluate"]["resamples"] = 100
    params["explain"] |= {"per_sheet": 2, "gallery": 4, "localisation": 4}
    params["explain"] |= {"sanity": True, "faithfulness": 3, "shortcuts": 3}
    for section, values in changes.items():
        params[section] |= values
    folder = make_folder(results / "data/own", lesions_per_class=14)
    if params["data"]["source"] == "table":
        with_official_parts(folder)
        away = make_folder(tmp_path / "away", lesions_per_class=3, classes=("mel", "nv"), number=9)
        external = {"name": "away", "source": "ham10000", "root": str(away.root), "digest": folder_digest(away.root)}
        params["data"]["external"] = [external]
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    for name in CHAIN:
        stage = STAGES[name]
        alone = tmp_path / name
        alone.mkdir()
        for dep in (named.replace("${data.root}", params["data"]["root"]) for named in stage["deps"]):
            if Path(dep).parts[0] not in PACKAGES:
                copy(results / dep, alone / dep)
        (alone / "params.yaml").write_text(yaml.safe_dump({key: params[key] for key in stage.get("params", [])}))
        # Images are read where `prepare` found them, by their digest: no other stage depends on the folder.
        copy(results / "data/own", alone / "data/own")
        monkeypatch.chdir(alone)
        before = files_in(alone)
        main: Callable[[], None] = import_module(f"stages.{name}").main
        main()
        declared = [*stage.get("outs", []), *(path for metric in stage.get("metrics", []) for path in metric)]
        written = files_in(alone) - before
        assert all(any(Path(path).is_relative_to(out) for out in declared) for path in written), name
        for out in declared:
            copy(alone / out, results / out)
    check_results(results, params["task"]["positive"], params["task"]["target"])
    check_external(results, [external["name"] for external in params["data"]["external"]])


def check_results(results: Path, positive: str | None, target: str) -> None:
    """Headline keys and plot files as DESIGN.md section 4 has them, with and without a positive class."""
    metrics = read_json(results / "metrics/evaluate.json")
    for part in ("val", "test"):
        name = "malignant" if target == "malignant" else "melanoma"
        assert (name in metrics[part]) == ("flag" in metrics[part]) == (positive is not None)
        assert pd.read_csv(results / f"data/predictions/{part}.csv")["flag"].isna().all() == (positive is None)
    for plot in yaml.safe_load((ROOT / "dvc.yaml").read_text())["plots"]:
        named = [plot] if isinstance(plot, str) else next(iter(plot.values()))["y"]
        assert all((results / path).exists() for path in named)
    page = (results / "plots/report/index.html").read_text()
    assert page.count("data:image/png") == (21 if positive is None else 23) and "SYNTHETIC" not in page


def check_external(results: Path, names: list[str]) -> None:
    """Every external set has its own numbers, its drop from home and its predictions."""
    table = pd.read_csv(results / "plots/evaluate/external.csv")
    assert sorted(set(table["set"])) == names
    metrics = read_json(results / "metrics/evaluate.json")
    assert sorted(metrics.get("external", {})) == names
    for name in names:
        told = pd.read_csv(results / f"data/predictions/external_{name}.csv")
        row = table[(table["set"] == name) & (table["metric"] == "decision.accuracy")].iloc[0]
        assert row["value"] == pytest.approx((told["decision"] == told["target"]).mean(), abs=1e-6)
        assert row["home"] == pytest.approx(metrics["test"]["decision"]["accuracy"], abs=1e-6)
        assert row["drop"] == pytest.approx(row["home"] - row["value"], abs=2e-6)
        assert row["drop_low"] <= row["drop"] <= row["drop_high"]

"""Who becomes champion, who does not and why; on runs that were tracked as the stage does it."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INTERNAL_ERROR

from derm.errors import UserError
from derm.measures.paired import Comparison
from experiments.compare import CompareParams
from experiments.delivery import deliver_pending
from experiments.promote import find_run, promote, refuse_other_settings, refuse_worse
from experiments.record import collect
from experiments.store import Store, open_store
from tests.experiments.conftest import Workspace

PARAMS = CompareParams(metric="decision.balanced_accuracy", part="val", seeds=1, resamples=200, seed=1)
LESIONS = 120
NAME = "skin-lesions"


def predictions(right: float, seed: int = 0, images: int = LESIONS) -> pd.DataFrame:
    """Melanoma or nevus, of each lesion one image, told rightly with this probability."""
    generator = np.random.default_rng(seed)
    target = np.arange(images) % 2
    told = np.where(generator.random(images) < right, target, 1 - target)
    p_nv = np.where(told == 1, 0.8, 0.2)
    ids = [f"i{number:03d}" for number in range(images)]
    table = pd.DataFrame({"image_id": ids, "lesion_id": ids, "group": ids, "target": target})
    sets = np.array(["mel", "nv"])[told]
    return table.assign(p_mel=1 - p_nv, p_nv=p_nv, predicted=told, decision=told, flag=1 - told, set=sets, ood=0)


@pytest.fixture
def here(stored: Workspace, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A folder with a store, which this process works in."""
    monkeypatch.chdir(stored.folder)
    for name in ("DVC_EXP_NAME", "DVC_EXP_BASELINE_REV", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DVC_ROOT", str(stored.folder))
    stored.write("models/classifier/calibration.json", '{"classes": ["mel", "nv"], "positive": "mel"}')
    return stored


def track(here: Workspace, monkeypatch: pytest.MonkeyPatch, name: str, table: pd.DataFrame) -> Store:
    """Another state of this name, with these predictions of val."""
    (here.folder / "data/predictions").mkdir(exist_ok=True)
    table.to_csv(here.folder / "data/predictions/val.csv", index=False)
    digest = "".join(f"{ord(letter):02x}" for letter in name)[-10:].rjust(10, "0")
    old = next(line for line in (here.folder / "dvc.lock").read_text().splitlines() if "md5: 2222222222" in line)
    here.replace("dvc.lock", old, old[:-10] + digest)
    monkeypatch.setenv("DVC_EXP_NAME", name)
    collect()
    assert deliver_pending().kept == 0
    return open_store([NAME])


def champion(store: Store) -> tuple[str, str]:
    version = store.client.get_model_version_by_alias(NAME, "champion")
    run = store.client.get_run(str(version.run_id))
    return str(version.version), run.data.tags["dvc.experiments"]


def silent(_: str) -> None:
    """Nobody listens."""


def test_a_champion_stays_until_another_is_not_worse(here: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    store = track(here, monkeypatch, "good", predictions(0.9))
    assert "version 1 of skin-lesions and its champion: the first champion" in promote(
        store, NAME, "good", None, PARAMS, silent
    )
    assert "the champion already" in promote(store, NAME, "good", None, PARAMS, silent)
    store = track(here, monkeypatch, "bad", predictions(0.55, seed=1))
    with pytest.raises(UserError, match=r"bad is worse: decision\.balanced_accuracy .*the champion stays"):
        promote(store, NAME, "bad", None, PARAMS, silent)
    assert champion(store) == ("1", "good")
    store = track(here, monkeypatch, "alike", predictions(0.9, seed=2))
    assert "not worse" in promote(store, NAME, "alike", None, PARAMS, silent)
    assert champion(store) == ("2", "alike")
    versions = store.client.search_model_versions(f"name = '{NAME}'")
    assert {str(version.version) for version in versions if version.tags["derm.key"]} == {"1", "2"}
    assert all(str(version.source).startswith("models:/m-") for version in versions)


def test_what_cannot_be_compared_does_not_replace_a_champion(here: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    store = track(here, monkeypatch, "first", predictions(0.9))
    promote(store, NAME, "first", None, PARAMS, silent)
    store = track(here, monkeypatch, "second", predictions(0.95))
    monkeypatch.setattr("experiments.promote.refuse_other_settings", lambda *_: None)
    with pytest.raises(UserError, match="was promoted without a cross-validation: promote it anew"):
        promote(store, NAME, "second", "label", PARAMS, silent)
    assert "the champion as before" in promote(store, NAME, "first", "label", PARAMS, silent)  # as it was told to
    assert champion(store) == ("2", "first")

    def in_trouble(*_: str) -> None:
        raise MlflowException("the server is in trouble", error_code=INTERNAL_ERROR)

    with monkeypatch.context() as patch:
        patch.setattr(type(store.client), "get_model_version_by_alias", in_trouble)
        with pytest.raises(UserError, match=r"cannot tell who is the champion \(the server is in trouble\)"):
            promote(store, NAME, "second", None, PARAMS, silent)
    here.replace("data/split/split.csv", "b,b,val,,1", "b,b,val,,0")
    store = track(here, monkeypatch, "other", predictions(0.99))
    with pytest.raises(UserError, match="other and the champion were measured on other val images"):
        promote(store, NAME, "other", None, PARAMS, silent)
    assert champion(store) == ("2", "first")


def test_a_name_is_of_one_run(here: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    store = track(here, monkeypatch, "owl", predictions(0.9))
    with pytest.raises(UserError, match="nobody: no run of it in MLflow"):
        find_run(store, "nobody")
    with pytest.raises(UserError, match="ow: no run of it"):
        find_run(store, "ow")
    here.replace("params.yaml", "gamma: 0.0", "gamma: 2.0")
    collect()
    deliver_pending()
    with pytest.raises(UserError, match="owl: 2 states in MLflow have that name"):
        find_run(store, "owl")


def test_without_a_model_in_the_store_it_must_be_in_the_cache(here: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    here.replace("params.yaml", "log_model: small", "log_model: promoted")
    store = track(here, monkeypatch, "late", predictions(0.9))
    with pytest.raises(UserError, match="late: its models/classifier is not in DVC's cache"):
        promote(store, NAME, "late", None, PARAMS, silent)

    def fetch(name: str, target: Path) -> None:
        target.mkdir()
        (target / "calibration.json").write_text('{"classes": ["mel", "nv"], "positive": "mel"}')

    monkeypatch.setattr("experiments.promote._fetch", fetch)
    assert "the first champion" in promote(store, NAME, "late", None, PARAMS, silent)
    [version] = store.client.search_model_versions(f"name = '{NAME}'")
    assert store.client.get_logged_model(str(version.source).removeprefix("models:/")).status == "READY"


@pytest.mark.parametrize(
    ("better", "low", "high", "worse"),
    [
        ("higher", -0.2, -0.01, True),
        ("higher", -0.2, 0.01, False),
        ("higher", 0.01, 0.2, False),
        ("lower", 0.01, 0.2, True),
        ("lower", -0.2, -0.01, False),
    ],
)
def test_worse_is_an_interval_wholly_on_the_wrong_side(better: str, low: float, high: float, worse: bool) -> None:
    row = {"metric": "m", "better": better, "a": 0.5, "b": 0.4, "difference": -0.1, "low": low, "high": high}
    found = Comparison(("a", "b"), (1, 1), 9, 9, "fitted models", "differ", 0.1, pd.DataFrame([row]))
    if worse:
        with pytest.raises(UserError, match=r"b is worse: m 0\.4000 against 0\.5000 of the champion"):
            refuse_worse(found, "the champion")
    else:
        assert refuse_worse(found, "the champion").startswith("not worse, m 0.4000")


def test_folds_are_of_the_same_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    files = {
        "one": ("{loss: {gamma: 2.0}, split: {scheme: holdout}}", ""),
        "cv-fold0": ("{loss: {gamma: 2.0}, split: {scheme: kfold}}", ""),
        "other-fold0": ("{loss: {gamma: 0.0}, split: {scheme: kfold}}", ""),
    }
    monkeypatch.setattr("experiments.promote._files_of", files.get)
    refuse_other_settings("one", "cv")
    with pytest.raises(UserError, match=r"other is no cross-validation of one: loss.gamma is 0\.0 there, 2\.0 here"):
        refuse_other_settings("one", "other")
    with pytest.raises(UserError, match="gone-fold0: no such experiment here"):
        refuse_other_settings("one", "gone")

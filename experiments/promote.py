"""The champion: the one model of the registry that is served, and the rule by which another takes its place."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import yaml
from filelock import FileLock

from derm.errors import UserError
from derm.measures.paired import Comparison, Side, compare
from derm.workspace import private_folder
from experiments.compare import CompareParams, compare_experiments
from experiments.delivery import COMPLETE, NAMES
from experiments.logged_model import CLASSIFIER, copy_model, log_model
from experiments.record import PART_TAGS, POSITIVE, PREDICTED
from experiments.retrain import read_predictions
from experiments.revision import git
from experiments.state import LOCK_FILE, TRACKING_STAGE, flatten, lock_outs, state_key
from experiments.store import Store, quieten, reason

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.entities.model_registry import ModelVersion

CHAMPION = "champion"
FOLDS = "derm.folds"
"""Of a version: the cross-validation by which it was promoted."""


def promote(
    store: Store, registered: str, name: str, folds: str | None, params: CompareParams, say: Callable[[str], None]
) -> str:
    """Register the experiment's model under the name `registered` and make it the champion; returns what was done.

    Only if it is not worse than the present champion: the 95 % interval of the paired difference on the primary metric
    (candidate - champion), by lesion, does not lie wholly on the worse side of zero. Compared are the stored
    predictions of val or, with the name of a cross-validation of the same settings, those out of fold. UserError if it
    is worse, cannot be compared, or is not in the store.
    """
    with FileLock(private_folder("mlflow") / "promote.lock"):
        run = find_run(store, name)
        if folds is not None:
            refuse_other_settings(name, folds)
        champion, told = _champion(store, registered), "the first champion"
        if champion is not None:
            if champion.run_id == run.info.run_id:
                if folds in (None, champion.tags.get(FOLDS)):
                    return f"{name} is the champion already: version {champion.version} of {registered}"
                told = f"the champion as before, now with the cross-validation {folds}"
            else:
                found = _compared(store, champion, run, name, folds, params, say)
                told = refuse_worse(found, f"the champion (version {champion.version})")
        model = _model_of(store, run, name, say)
        version = _register(store, registered, run, model, told, folds)
        return f"{name} is version {version} of {registered} and its champion: {told}"


def find_run(store: Store, name: str) -> "Run":
    """The run of a DVC experiment or git revision. UserError if there is none, or several of that name."""
    key, experiments = key_of(name), list(store.experiments.values())
    if key is not None:
        found = list(store.client.search_runs(experiments, f"tags.`derm.key` = '{key}'"))
    else:
        runs = store.client.search_runs(experiments, f"tags.`{NAMES}` LIKE '%{name.replace(chr(39), '')}%'")
        found = [run for run in runs if name in run.data.tags[NAMES].split(",")]
    found = [run for run in found if run.data.tags.get(COMPLETE) == "true"]
    if not found:
        raise UserError(f"{name}: no run of it in MLflow; see `dvc exp list` and the names in `make leaderboard`")
    if len(found) > 1:
        raise UserError(f"{name}: {len(found)} states in MLflow have that name: give the experiment's commit instead")
    return found[0]


def key_of(name: str) -> str | None:
    """The key of the state that a DVC experiment or git revision left; None if git here knows no such thing."""
    files = _files_of(name)
    if files is None:
        return None
    params, lock = files
    outs = lock_outs(lock)
    outs.pop(TRACKING_STAGE, None)
    return state_key(yaml.safe_load(params), outs)


def _files_of(name: str) -> tuple[str, str] | None:
    """params.yaml and dvc.lock of an experiment or revision."""
    from dvc.api import DVCFileSystem
    from dvc.exceptions import DvcException

    try:
        files = DVCFileSystem(str(Path.cwd()), rev=name)
        return str(files.read_text("params.yaml")), str(files.read_text(str(LOCK_FILE)))
    except (DvcException, OSError):
        return None


def refuse_other_settings(name: str, folds: str) -> None:
    """UserError if the folds are not of the experiment's settings: only how it was split may differ."""
    one, other = (_files_of(revision) for revision in (name, f"{folds}-fold0"))
    if one is None or other is None:
        missing = name if one is None else f"{folds}-fold0"
        raise UserError(f"{missing}: no such experiment here (see `dvc exp list`), so its params cannot be looked up")
    mine, theirs = (flatten(yaml.safe_load(params)) for params, _ in (one, other))
    ignored = ("split.", "tracking.", "compare.", "explain.")
    for key in sorted({*mine, *theirs}):
        if mine.get(key) != theirs.get(key) and not key.startswith(ignored):
            raise UserError(
                f"{folds} is no cross-validation of {name}: {key} is {theirs.get(key)} there, {mine.get(key)} here"
            )


def refuse_worse(found: Comparison, champion: str) -> str:
    """The difference in words. UserError if the candidate is shown to be worse."""
    row = found.primary
    told = f"{row['metric']} {row['b']:.4f} against {row['a']:.4f} of {champion}, difference {row['difference']:+.4f} "
    told += f"[{row['low']:+.4f}, {row['high']:+.4f}]"
    if (row["low"] > 0) if row["better"] == "lower" else (row["high"] < 0):
        raise UserError(f"{found.names[1]} is worse: {told}; the champion stays")
    return f"not worse, {told}"


def _champion(store: Store, registered: str) -> "ModelVersion | None":
    from mlflow.exceptions import MlflowException

    try:
        return store.client.get_model_version_by_alias(registered, CHAMPION)
    except MlflowException as error:
        # No such model, no such alias. A store in trouble is no reason to take another champion.
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise UserError(f"MLflow cannot tell who is the champion ({reason(error)}): try again") from None


def _compared(
    store: Store,
    champion: "ModelVersion",
    run: "Run",
    name: str,
    folds: str | None,
    params: CompareParams,
    say: Callable[[str], None],
) -> Comparison:
    present = store.client.get_run(str(champion.run_id))
    if folds is not None:
        of_champion = champion.tags.get(FOLDS)
        if of_champion is None:
            raise UserError(
                f"version {champion.version}, the champion, was promoted without a cross-validation: promote it anew "
                "with --folds, or compare on val"
            )
        given = params.model_copy(update={"part": "folds", "seeds": 1})
        return compare_experiments(of_champion, folds, given, say).comparison
    tag = PART_TAGS["val"]
    if present.data.tags.get(tag) != run.data.tags.get(tag):
        raise UserError(
            f"{name} and the champion were measured on other val images: they cannot be compared on val. Promote with "
            f"--folds, or take the alias {CHAMPION} away in MLflow to begin anew"
        )
    sides = [_side(store, one, told) for one, told in ((present, f"version {champion.version}"), (run, name))]
    classes = [column.removeprefix("p_") for column in sides[0].tables[0].columns if column.startswith("p_")]
    positive = run.data.tags.get(POSITIVE) or None
    return compare(sides[0], sides[1], classes, positive, params.metric, params.resamples, params.seed)


def _side(store: Store, run: "Run", name: str) -> Side:
    """What a run predicted of val. UserError if it does not have it."""
    from mlflow.exceptions import MlflowException

    with tempfile.TemporaryDirectory() as scratch:
        try:
            path = store.client.download_artifacts(run.info.run_id, PREDICTED, scratch)
        except (MlflowException, OSError):
            raise UserError(f"{name}: its run has no {PREDICTED} (an older version logged it): run it again") from None
        return Side(name, [read_predictions(Path(path))], True)


def _model_of(store: Store, run: "Run", name: str, say: Callable[[str], None]) -> str:
    """The id of the run's model, which is logged now if it was not."""
    outputs = run.outputs.model_outputs if run.outputs else []
    if outputs:
        return outputs[0].model_id
    commit = run.data.tags.get("git.commit", "")
    if not commit or git("diff", "--name-only", commit, "--", "derm", "requirements.txt"):
        raise UserError(f"{name}: its model is not in MLflow, and the code has changed since: check out {commit[:10]}")
    say(f"{name}: its model is not in MLflow yet, logging it")
    with tempfile.TemporaryDirectory() as scratch:
        classifier = Path(scratch) / "classifier"
        _fetch(name, classifier)
        copy_model(Path(scratch) / "model", classifier)
        return log_model(store.client, run.info.experiment_id, run.info.run_id, Path(scratch) / "model")


def _fetch(name: str, classifier: Path) -> None:
    from dvc.api import DVCFileSystem
    from dvc.exceptions import DvcException

    try:
        DVCFileSystem(str(Path.cwd()), rev=name).get(str(CLASSIFIER), str(classifier), recursive=True)
    except (DvcException, OSError):
        raise UserError(f"{name}: its {CLASSIFIER} is not in DVC's cache here: run `dvc pull`, or it again") from None


def _register(store: Store, registered: str, run: "Run", model: str, told: str, folds: str | None) -> str:
    from mlflow.exceptions import MlflowException

    quieten()
    client = store.client
    try:
        client.get_registered_model(registered)
    except MlflowException:
        client.create_registered_model(registered, description="Skin-lesion classifiers; `champion` is the one to use.")
    tags = {"derm.key": run.data.tags["derm.key"]} | ({} if folds is None else {FOLDS: folds})
    version = client.create_model_version(
        registered, f"models:/{model}", run.info.run_id, tags=tags, description=told, model_id=model
    ).version
    client.set_registered_model_alias(registered, CHAMPION, version)
    return version

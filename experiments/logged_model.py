"""The packaged classifier as a model in MLflow, with signature, example and the code that loads it."""

import base64
import io
import json
import re
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd
from PIL import Image, ImageDraw, ImageFilter

from derm.answer_columns import TEXT, WHOLE, answer_columns
from derm.diagnosis_names import full_name
from derm.files import write_bytes
from experiments.closure import ROOT, reached_files

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.models import ModelSignature

Rule = Literal["small", "always", "promoted"]

CLASSIFIER = Path("models/classifier")
MODEL = "classifier"
CODE = Path("derm/prediction.py")
"""What `mlflow_model.py` calls."""
SMALL_MODEL_BYTES = 50_000_000
# What the classifier's code imports (timm and transformers also torchvision), so that a server installs no more; a test
# compares them with the code.
REQUIREMENTS = (
    "huggingface-hub",
    "matplotlib",
    "mlflow",
    "numpy",
    "pandas",
    "pillow",
    "pydantic",
    "pyyaml",
    "safetensors",
    "scikit-learn",
    "scipy",
    "timm",
    "torch",
    "torchvision",
    "tqdm",
    "transformers",
)


def is_wanted(rule: Rule, classifier: Path = CLASSIFIER) -> bool:
    """Whether `track` logs it: below SMALL_MODEL_BYTES, always, or not before it is promoted."""
    if rule == "promoted" or not classifier.is_dir():
        return False
    size = sum(path.stat().st_size for path in classifier.rglob("*") if path.is_file())
    return rule == "always" or size < SMALL_MODEL_BYTES


def copy_model(target: Path, classifier: Path = CLASSIFIER) -> None:
    """The classifier with the code of this very run, which a later delivery would no longer find."""
    shutil.copytree(classifier, target / "classifier")
    reached = reached_files(CODE)
    # Also those `__init__.py` that say nothing: without them MLflow would not find the packages.
    for path in reached | {folder / "__init__.py" for file in reached for folder in file.parents[:-1]}:
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / path, target / path)
    pinned = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    kept = [line for line in pinned if re.split("[=<>! ]", line, maxsplit=1)[0] in REQUIREMENTS]
    write_bytes(target / "requirements.txt", ("\n".join(kept) + "\n").encode())
    shutil.copyfile(Path(__file__).with_name("mlflow_model.py"), target / "mlflow_model.py")


def log_model(client: "MlflowClient", experiment: str, run_id: str, folder: Path) -> str:
    """Log what `copy_model` left in `folder` as an output of the run, which has ended; returns the model's id.

    By the client, not by `mlflow.pyfunc.log_model`: that one works on a process-wide current run and store.
    """
    from mlflow.entities import LoggedModelOutput
    from mlflow.pyfunc import save_model

    classes = json.loads((folder / "classifier/calibration.json").read_text(encoding="utf-8"))["classes"]
    with tempfile.TemporaryDirectory() as scratch:
        saved = Path(scratch) / MODEL
        save_model(
            saved,
            python_model=str(folder / "mlflow_model.py"),
            artifacts={MODEL: str(folder / "classifier")},
            code_paths=[str(folder / "derm")],
            pip_requirements=str(folder / "requirements.txt"),
            signature=signature(classes),
            input_example=example(),
            metadata={"classes": {name: full_name(name) for name in classes}},
        )
        model = client.create_logged_model(experiment, MODEL, source_run_id=run_id, model_type="classifier")
        client.log_model_artifacts(model.model_id, str(saved))
    client.finalize_logged_model(model.model_id, "READY")
    client.log_outputs(run_id, [LoggedModelOutput(model.model_id, step=0)])
    _tell_numbers(client, run_id, model.model_id)
    return model.model_id


def _tell_numbers(client: "MlflowClient", run_id: str, model_id: str) -> None:
    """Show on the model's own page what it was made with, and what was measured of it on which part of the split."""
    from mlflow.entities import Metric

    run = client.get_run(run_id)
    client.log_model_params(model_id, run.data.params)
    # The run has these already; the same time, step and value make them no second measurement of it.
    inputs = run.inputs.dataset_inputs if run.inputs else []
    metrics = [
        Metric(name, value, run.info.end_time or 0, 0, model_id, part.dataset.name, part.dataset.digest, run_id)
        for part in inputs
        for name, value in run.data.metrics.items()
        if name.split(".", 1)[0] == part.dataset.name.rsplit(" ", 1)[-1]
    ]
    if metrics:
        client.log_batch(run_id, metrics=metrics)


def signature(classes: list[str]) -> "ModelSignature":
    """What the model takes and tells, for MLflow to show and to check requests by."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema

    given: list[Any] = [
        ColSpec("string", "image"),
        ColSpec("double", "age", required=False),
        ColSpec("string", "sex", required=False),
        ColSpec("string", "body_site", required=False),
    ]
    told: list[Any] = [ColSpec(_kind(name), name, required=False) for name in answer_columns(classes)]
    return ModelSignature(Schema(given), Schema(told))


def _kind(column: str) -> Any:
    return "long" if column in WHOLE else "string" if column in TEXT else "double"


def example() -> pd.DataFrame:
    """One row, with a drawn picture: no patient's."""
    picture = Image.new("RGB", (96, 72), (222, 184, 162))
    ImageDraw.Draw(picture).ellipse((32, 20, 66, 50), fill=(110, 66, 48))
    packed = io.BytesIO()
    picture.filter(ImageFilter.GaussianBlur(2)).save(packed, "PNG")
    return pd.DataFrame({"image": [base64.b64encode(packed.getvalue()).decode()]})

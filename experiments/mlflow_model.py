"""The packaged classifier as an MLflow model: pictures in as base64 text, calibrated decisions out.

MLflow keeps this file with the model and runs it when the model is loaded ("models from code"), so nothing is
pickled. The heavy imports wait until then: logging a model must not cost the import of torch.

    model = mlflow.pyfunc.load_model("models:/m-...")
    model.predict(pandas.DataFrame({"image": [base64.b64encode(file.read_bytes()).decode()]}))
"""

import base64
import binascii
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel, PythonModelContext

if TYPE_CHECKING:
    from PIL.Image import Image


class LesionClassifier(PythonModel):
    """Serves a folder made by the stage `package`."""

    def load_context(self, context: PythonModelContext) -> None:
        """Load the classifier once, when the model is loaded."""
        from derm.classifier import Classifier

        self.classifier = Classifier.load(Path(context.artifacts["classifier"]))

    def predict(self, context: PythonModelContext, model_input: list[str]) -> pd.DataFrame:  # type: ignore[override]
        """Pictures as base64 text of an image file each (MLflow also takes a table with the one column `image`
        and hands it over as such a list) -> one row each, as `Classifier.predict` gives them.

        ValueError names the first one that is not a picture.
        """
        return self.classifier.predict([_decoded(text, number) for number, text in enumerate(model_input)])


def _decoded(text: str, number: int) -> "Image":
    from derm.images import UnreadableImageError, decode

    try:
        return decode(base64.b64decode(text, validate=True))
    except (binascii.Error, UnreadableImageError) as error:
        raise ValueError(f"image {number}: expected the base64 text of an image file, but {error}") from None


set_model(LesionClassifier())

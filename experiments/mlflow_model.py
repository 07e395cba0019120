"""The packaged classifier as an MLflow model: pictures in as base64 text, what `python -m derm predict` tells out.

MLflow keeps this file with the model and runs it when the model is loaded ("models from code"), so nothing is
pickled. The heavy imports wait until then: logging a model must not cost the import of torch.

    model = mlflow.pyfunc.load_model("models:/skin-lesions@champion")
    model.predict(pandas.DataFrame({"image": [base64.b64encode(file.read_bytes()).decode()]}))
"""

import base64
import binascii
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from mlflow.exceptions import MlflowException
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

    def predict(  # type: ignore[override]
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """A row for each picture -> a row each, as `derm.prediction.answers` gives them.

        model_input: `image`, base64 text of an image file, and where the classifier knows them `age` (years), `sex`
        and `body_site`. What is not known is None, for JSON has no NaN. MlflowException, which a server answers in one
        line, names the first row that is no picture, or tells what cannot be known.
        """
        from derm.prediction import answers

        images = [_decoded(text, number) for number, text in enumerate(model_input["image"])]
        told = answers(self.classifier, images, self._known(model_input)).astype(object)
        return told.where(told.notna(), None)

    def _known(self, rows: pd.DataFrame) -> pd.DataFrame:
        from derm.errors import UserError
        from derm.heads.metadata import COLUMNS
        from derm.known import refuse_unknowable

        known = rows.reset_index(drop=True).reindex(columns=list(COLUMNS)).astype(object)
        known = known.where(known.notna(), "").map(lambda value: f"{value:g}" if isinstance(value, float) else value)
        encoding = self.classifier.head.shape.encoding
        if encoding is not None:
            where = pd.Series([f"image {number}" for number in range(len(known))])
            try:
                refuse_unknowable(known, where, encoding)
            except UserError as error:
                raise MlflowException.invalid_parameter_value(str(error)) from None
        return known


def _decoded(text: str, number: int) -> "Image":
    from derm.images import UnreadableImageError, decode

    try:
        return decode(base64.b64decode(text, validate=True))
    except (binascii.Error, UnreadableImageError) as error:
        message = f"image {number}: expected the base64 text of an image file, but {error}"
        raise MlflowException.invalid_parameter_value(message) from None


set_model(LesionClassifier())

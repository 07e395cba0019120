"""Show where the classifier looked: contact sheets of test images that a person should see."""

from pathlib import Path

import pandas as pd
from pydantic import Field

from derm.decisions.outcome import calibration_file, read_calibration
from derm.device import choose_device
from derm.embedding.features import read_manifest
from derm.embedding.forward import make_ready
from derm.encoders.params import EncoderParams
from derm.encoders.registry import build_for_features
from derm.explanation.gradcam import Explained, grad_cam, seen_box
from derm.explanation.selection import missed, sure_and_right, sure_and_wrong
from derm.explanation.sheets import Tile, contact_sheet
from derm.files import read_csv, write_csv, write_json, write_png
from derm.heads.head import HEAD, head_file, read_head
from derm.image_table import read_images
from derm.images import read_image
from derm.measures.headline import POSITIVE_NAMES
from derm.params import Section, load
from stages.runner import run

PLOTS = Path("plots/explain")


class ExplainParams(Section):
    """Section `explain`: how much is shown."""

    per_sheet: int = Field(ge=1, le=60)


def main() -> None:
    params, encoder_params = load("explain", ExplainParams), load("encoder", EncoderParams)
    images = read_images().set_index("image_id")
    calibration, head = read_calibration(calibration_file(HEAD)), read_head(head_file(HEAD))
    classes = calibration.classes
    manifest = read_manifest()
    explained = Explained(build_for_features(encoder_params, manifest["encoders"]), head, manifest.get("token_pooling"))
    numbers = dict.fromkeys((f"p_{name}" for name in classes), float)
    predictions = read_csv(Path("data/predictions/test.csv"), target=int, predicted=int, decision=int, **numbers)
    positive = calibration.positive
    name = POSITIVE_NAMES.get(positive, positive) if positive else "positives: the task has none"
    sheets = {
        "sure_and_right": (
            "Sure and right",
            "the most confident right answers, classes in turn",
            sure_and_right(predictions, classes, params.per_sheet),
        ),
        "sure_and_wrong": (
            "Sure and wrong",
            "the most confident wrong answers",
            sure_and_wrong(predictions, classes, params.per_sheet),
        ),
        "missed": (
            f"Missed {name}",
            "decided to be something else, the least probable first",
            missed(predictions, classes, positive, params.per_sheet) if positive else predictions.head(0),
        ),
    }
    shown = []
    for sheet, (title, explanation, rows) in sheets.items():
        judged = "decision" if sheet == "missed" else "predicted"
        told = f"test part; {explanation}; right of each photograph: Grad-CAM of the most probable class"
        write_png(PLOTS / f"{sheet}.png", contact_sheet(title, told, tiles(rows, judged, images, explained, classes)))
        shown.append(rows[["image_id", "target", "predicted", "decision", "flag"]].assign(sheet=sheet))
    write_csv(PLOTS / "shown.csv", pd.concat(shown))
    write_json(Path("metrics/explain.json"), {"shown": {sheet: len(rows) for sheet, (_, _, rows) in sheets.items()}})


def tiles(
    rows: pd.DataFrame, judged: str, images: pd.DataFrame, explained: Explained, classes: list[str]
) -> list[Tile]:
    """A tile for each row: photograph, map of the predicted class, what was true and told; `judged` is the column
    that makes it right or wrong."""
    if rows.empty:
        return []
    device = choose_device()
    for encoder in explained.encoders:
        make_ready(encoder, device)
    made = []
    for _, row in rows.iterrows():
        image = images.loc[row["image_id"]]
        photograph = read_image(image["path"], image["sha256"])
        (heat,) = grad_cam(explained, [photograph], [row["predicted"]], device, images.loc[[row["image_id"]]])
        told = classes[row["predicted"]]
        caption = f"true {classes[row['target']]}   told {told} {row[f'p_{told}']:.2f}"
        caption += f"   decided {classes[row['decision']]}" + ("   flagged" if row["flag"] == "1" else "")
        right = row[judged] == row["target"]
        box = seen_box(explained.encoders, photograph.width, photograph.height)
        made.append(Tile(photograph, heat, box, row["image_id"], caption, right))
    return made


if __name__ == "__main__":
    run("explain", main)

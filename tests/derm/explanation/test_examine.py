"""All tests of one model together, on photographs with masks for some, for none, and with masks that are of no use."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image
from pydantic import ValidationError

from derm.decisions.outcome import Calibration
from derm.explanation import examine as examine_module
from derm.explanation import measure
from derm.explanation.examine import Masks, Photographs, Subject, examine
from derm.explanation.faithfulness import road
from derm.explanation.localisation import within
from derm.explanation.model import Explained
from derm.explanation.params import ExplainParams
from derm.explanation.sanity import alike, coarse
from derm.explanation.study import draw_with_masks
from derm.images import digest
from tests.closure import ROOT
from tests.derm.decisions.calibrations import calibration
from tests.derm.explanation.readable import head_with, readable
from tests.derm.explanation.test_maps import CPU

IMAGES = 12


def params(**changes: Any) -> ExplainParams:
    section = yaml.safe_load((ROOT / "params.yaml").read_text())["explain"]
    small = {"methods": ["gradcam", "eigencam"], "localisation": 6, "resamples": 100}
    return ExplainParams.model_validate(section | small | changes)


@pytest.fixture
def rows(tmp_path: Path) -> pd.DataFrame:
    """A red square on skin, its mask, and who was told what; image 3 has no mask, 4 one of the whole frame."""
    generator = np.random.default_rng(0)
    table = []
    for number in range(IMAGES):
        pixels = generator.integers(100, 140, (64, 96, 3)).astype(np.uint8)
        left, top = generator.integers(4, 40, 2)
        pixels[top : top + 20, left : left + 20] = (250, 20, 20)
        mask = np.zeros((64, 96), dtype=np.uint8)
        mask[top : top + 20, left : left + 20] = 255
        if number == 4:
            mask[:] = 255
        row = {"image_id": f"i{number:02d}", "lesion_id": f"l{number}", "group": f"l{number}", "target": number % 2}
        row |= {"predicted": 0, "age": "50", "sex": "", "body_site": "back", "mask": "", "mask_sha256": ""}
        for name, picture in (("", Image.fromarray(pixels)), ("mask", Image.fromarray(mask))):
            if name and number == 3:
                continue
            path = tmp_path / f"{name}{number}.png"
            picture.save(path)
            row |= {name or "path": str(path), f"{name}_sha256" if name else "sha256": digest(path.read_bytes())}
        table.append(row)
    return pd.DataFrame(table)


def calibrated(positive: str | None) -> Calibration:
    three = calibration()
    sets = three.conformal.model_copy(update={"thresholds": [1.0, 1.0], "lesions": [9, 9], "missing": [0, 0]})
    costs = [[0.0, 1.0], [1.0, 0.0]]
    shares = {"priors": [0.5, 0.5], "prevalence": [0.5, 0.5], "costs": costs, "conformal": sets.model_dump()}
    threshold = None if positive is None else 0.5
    return calibration(classes=["mel", "nv"], positive=positive, threshold=threshold, **shares)


def subject(rows: pd.DataFrame, trained: bool = True) -> Subject:
    """Red speaks for melanoma, blue for a nevus."""
    explained = Explained([readable()], head_with([[2.0, -2.0], [-2.0, 2.0]]))
    generator = np.random.default_rng(1)
    training = generator.normal(size=(40, 2)), np.arange(40) % 2
    return Subject(explained, calibrated("mel"), rows, training if trained else None, CPU)


def test_only_masks_that_tell_something_are_drawn(rows: pd.DataFrame) -> None:
    drawn = draw_with_masks(rows, 100, seed=1)
    assert (len(drawn.rows), drawn.without_mask, drawn.useless_mask) == (10, 1, 1)
    assert drawn.rows["image_id"].is_monotonic_increasing and not {"i03", "i04"} & set(drawn.rows["image_id"])
    few = draw_with_masks(rows, 4, seed=1)
    assert len(few.rows) == 4 and set(few.rows["image_id"]) <= set(drawn.rows["image_id"])
    assert set(few.rows["image_id"]) != set(draw_with_masks(rows, 4, seed=2).rows["image_id"])
    assert draw_with_masks(rows, 0, seed=1).rows.empty


def test_everything_is_measured_on_a_model_that_is_known(rows: pd.DataFrame) -> None:
    found = examine(subject(rows), params(sanity=True, faithfulness=5, shortcuts=4))
    values = found.measured.values
    references = {"randomcam", "centred blob", "edges"} | {f"{m}, shuffled labels" for m in ("gradcam", "eigencam")}
    # nothing is learned in this encoder: the head alone is shuffled, and that stands in the sanity checks
    assert set(values) == {"gradcam", "eigencam"} | references
    assert all(len(table) == 6 for table in values.values())
    assert values["gradcam"]["enrichment"].mean() > 5 > values["centred blob"]["enrichment"].mean()
    assert set(found.measured.sanity["shuffled"]) == {"weights", "labels"}
    assert set(found.scores) == {"road", "insertion", "deletion", "blanked"} and len(found.scored) == 5
    assert set(found.scored["image_id"]) <= set(found.drawn.rows["image_id"])
    assert found.scores["road"]["gradcam"].mean() > found.scores["road"]["randomcam"].mean()
    assert found.scores["blanked"]["lesion"].mean() < found.scores["blanked"]["background"].mean() - 0.05
    assert found.changed is not None and len(found.changed) == 4 * 4


def test_without_any_mask_what_needs_none_is_still_measured(rows: pd.DataFrame) -> None:
    found = examine(subject(rows.assign(mask="", mask_sha256="")), params(faithfulness=3, shortcuts=2))
    assert found.drawn.rows.empty and found.drawn.without_mask == IMAGES and found.measured.values == {}
    assert set(found.scores) == {"road", "insertion", "deletion"} and len(found.scored) == 3
    assert found.changed is not None


def test_by_default_nothing_costly_is_measured_and_no_image_is_a_whole_class(rows: pd.DataFrame) -> None:
    found = examine(subject(rows, trained=False), params())
    assert found.scores == {} and found.changed is None and found.measured.sanity.empty
    assert set(found.measured.values) == {"gradcam", "eigencam", "randomcam", "centred blob", "edges"}


def test_without_a_positive_class_no_shortcut_is_told(rows: pd.DataFrame) -> None:
    given = subject(rows)
    without = Subject(given.explained, calibrated(None), rows, given.training, CPU)
    assert examine(without, params(shortcuts=3, localisation=0)).changed is None


def test_equal_maps_are_scored_once(rows: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    """HiResCAM of a linear head on mean pooling is Grad-CAM; EigenCAM is another map."""
    asked = []

    def watched(*given: Any) -> np.ndarray:
        asked.append(given[2])
        return road(*given)

    monkeypatch.setattr(examine_module, "road", watched)
    found = examine(subject(rows), params(methods=["gradcam", "hirescam", "eigencam"], faithfulness=4))
    assert len(asked) == 3  # with RandomCAM
    np.testing.assert_array_equal(found.scores["road"]["hirescam"], found.scores["road"]["gradcam"])
    assert (found.scores["road"]["eigencam"] != found.scores["road"]["gradcam"]).any()


def test_photographs_are_read_when_they_are_asked_for(rows: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory stays flat in their number: at no time are more than a batch of them held."""
    read = []
    monkeypatch.setattr("derm.explanation.examine.read_image", lambda path, sha: read.append(path) or path)
    photographs = Photographs(rows)
    assert len(photographs) == IMAGES and read == []
    assert photographs[2] == rows.iloc[2]["path"] and len(read) == 1
    assert photographs[4:7] == rows.iloc[4:7]["path"].tolist() and len(read) == 4


def test_masks_are_black_and_white(rows: pd.DataFrame) -> None:
    masks = Masks(rows)
    assert set(np.unique(np.asarray(masks[0]))) == {0, 255} and len(masks) == IMAGES


def test_no_more_than_a_batch_is_explained_at_once(rows: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    explain = measure.explain

    def counted(explained: Explained, photographs: list[Image.Image], *rest: Any) -> Any:
        sizes.append(len(photographs))
        return explain(explained, photographs, *rest)

    monkeypatch.setattr(measure, "explain", counted)
    examine(subject(rows, trained=False), params(localisation=10))
    assert sizes == [8, 2]


def test_two_maps_that_have_nothing_in_common_are_not_alike_where_half_was_not_seen() -> None:
    """What lies beside the box is 0 in both: it must not count as agreement."""
    generator = np.random.default_rng(0)
    found = []
    for _ in range(40):
        maps = []
        for _ in range(2):
            heat = np.zeros((60, 80), dtype=np.float32)
            heat[10:50, 20:60] = generator.random((40, 40))
            maps.append(coarse(within(heat, (20, 10, 60, 50), (80, 60))))
        found.append(alike(*maps))
    assert abs(np.mean(found)) < 0.1


def test_random_cam_alone_needs_no_sanity_check(rows: pd.DataFrame) -> None:
    found = examine(subject(rows), params(methods=["randomcam"], sanity=True))
    assert found.measured.sanity.empty and "randomcam" in found.measured.values


def test_a_method_is_named_once() -> None:
    with pytest.raises(ValidationError, match="each method once"):
        params(methods=["gradcam", "gradcam"])


def test_the_lesion_is_blanked_where_there_is_a_mask(rows: pd.DataFrame) -> None:
    """Of all twelve images two have no mask that tells anything."""
    found = examine(subject(rows, trained=False), params(localisation=2, faithfulness=IMAGES))
    known = ~np.isnan(found.scores["blanked"]["lesion"])
    assert found.scored.loc[~known, "image_id"].tolist() == ["i03", "i04"]

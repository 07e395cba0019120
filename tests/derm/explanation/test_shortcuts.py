"""An artefact changes what it should and nothing else, is an image's own, and what comes of it is added up rightly."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from scipy.special import softmax

from derm.calibration.scaling import VectorCalibrator
from derm.contact_sheet import HEIGHT, WIDTH
from derm.decisions.conformal import Conformal
from derm.decisions.outcome import Calibration
from derm.errors import UserError
from derm.explanation.model import Explained
from derm.explanation.shortcuts import NAMES, Artefact, by_artefact, changes, shortcut_sheet, with_artefact, worst
from tests.derm.explanation.readable import head_with, readable

CPU = torch.device("cpu")
ALL: list[Artefact] = list(NAMES)
SKIN = (220, 170, 160)
BRIGHT = Explained([readable()], head_with([[4.0, 0.0], [-4.0, 0.0]]))  # class 0 if there is much red


def skin(width: int = 300, height: int = 225) -> Image.Image:
    return Image.new("RGB", (width, height), SKIN)


def photographs(count: int) -> list[Image.Image]:
    """96 by 64, each evenly of another brightness."""
    return [Image.new("RGB", (96, 64), (60 + 30 * number, 100, 100)) for number in range(count)]


def calibration(threshold: float = 0.5, positive: str | None = "a") -> Calibration:
    sets = Conformal(alpha=0.1, thresholds=[1.0, 1.0], marginal=1.0, lesions=[9, 9], missing=[0, 0])
    given: dict[str, Any] = {
        "calibrator": VectorCalibrator(scale=[0.5, 1.0], shift=[0.2, -0.2]),
        "costs": [[0.0, 1.0], [1.0, 0.0]],
        "conformal": sets,
    }
    return Calibration(
        classes=["a", "b"], positive=positive, rule="argmax", tau=0.0, priors=[0.5, 0.5], prevalence=[0.5, 0.5],
        threshold=threshold, target_sensitivity=0.9, **given,
    )  # fmt: skip


def by_hand(image: Image.Image) -> float:
    """The calibrated probability of class a."""
    red = 4 * np.asarray(image.resize((96, 64), Image.Resampling.NEAREST))[..., 0].mean() / 255
    return float(softmax([0.5 * red + 0.2, -red - 0.2])[0])


def drawn_on(image: Image.Image, artefact: Artefact, image_id: str = "x", seed: int = 0) -> np.ndarray:
    """What an artefact changes, float [rows, columns, 3]."""
    after = with_artefact(image, artefact, image_id, seed)
    assert after.size == image.size and after.mode == "RGB"
    return np.asarray(after, dtype=float) - np.asarray(image, dtype=float)


@pytest.mark.parametrize("artefact", ["hair", "ruler", "ink"])
def test_lines_and_marks_leave_most_of_the_photograph_as_it_is(artefact: Artefact) -> None:
    for number in range(10):
        change = drawn_on(skin(), artefact, str(number))
        touched = (change != 0).any(axis=2)
        assert 0.0005 < touched.mean() < 0.35
        assert (change <= 0).all() and change.min() < -60


def test_ink_is_violet_blue_and_lies_beside_the_middle() -> None:
    for number in range(10):
        change = drawn_on(skin(), "ink", str(number))
        red, green, blue = 1 + change[change[..., 0] < -60].mean(axis=0) / SKIN  # what of each goes through the ink
        assert blue > 1.2 * red and red > green
        assert (change[100:125, 137:162] == 0).all()


@pytest.mark.parametrize("size", [(300, 225), (600, 450), (225, 300), (256, 256), (640, 360)])
def test_corners_are_dark_and_the_middle_is_not(size: tuple[int, int]) -> None:
    for number in range(10):
        after = np.asarray(with_artefact(skin(*size), "dark_corners", str(number), 0), dtype=float)
        for row, column in ((0, 0), (0, -1), (-1, 0), (-1, -1)):
            assert after[row, column].max() < 50
        middle = after[size[1] * 2 // 5 : size[1] * 3 // 5, size[0] * 2 // 5 : size[0] * 3 // 5]
        assert np.abs(middle - SKIN).max() <= 2


@pytest.mark.parametrize("artefact", ALL)
def test_a_larger_copy_gets_the_same_drawing_larger(artefact: Artefact) -> None:
    small = drawn_on(skin(600, 450), artefact)
    large = with_artefact(skin(1200, 900), artefact, "x", 0)
    reduced = np.asarray(large.reduce(2), dtype=float) - SKIN
    assert np.abs(reduced - small).mean() < 0.2 * np.abs(small).mean()


@pytest.mark.parametrize("artefact", ALL)
def test_a_drawing_is_that_of_seed_and_image(artefact: Artefact) -> None:
    first = drawn_on(skin(), artefact)
    np.testing.assert_array_equal(drawn_on(skin(), artefact), first)
    assert (drawn_on(skin(), artefact, "y") != first).any()
    assert (drawn_on(skin(), artefact, seed=1) != first).any()


def test_a_head_that_looks_at_brightness_is_changed_as_worked_out_by_hand() -> None:
    """By a calibrator that needs the logits themselves: their softmax would not do."""
    images, ids = photographs(5), list("abcde")
    changed = changes(BRIGHT, images, ids, ALL, calibration(), CPU)
    assert changed["artefact"].tolist() == [name for name in ALL for _ in ids]
    assert changed["image_id"].tolist() == ids * 4
    for artefact in ALL:
        found = changed[changed["artefact"] == artefact]
        before = [by_hand(image) for image in images]
        after = [by_hand(with_artefact(image, artefact, name, 0)) for image, name in zip(images, ids, strict=True)]
        np.testing.assert_allclose(found["before"], before, atol=1e-5)
        np.testing.assert_allclose(found["after"], after, atol=1e-5)
        np.testing.assert_allclose(found["change"], np.subtract(after, before), atol=1e-5)
    corners = changed[changed["artefact"] == "dark_corners"]
    assert (corners["change"] < -0.005).all()
    alone = changes(BRIGHT, images[3:], ids[3:], ["ink"], calibration(), CPU)
    expected = changed[(changed["artefact"] == "ink") & changed["image_id"].isin(["d", "e"])]
    np.testing.assert_allclose(alone["after"], expected["after"], atol=1e-6)


def test_flags_and_classes_are_those_of_the_threshold_and_the_most_probable_class() -> None:
    images, ids = photographs(5), list("abcde")
    p = changes(BRIGHT, images, ids, ["dark_corners"], calibration(), CPU)
    between = float((p["before"][2] + p["after"][2]) / 2)
    changed = changes(BRIGHT, images, ids, ["dark_corners"], calibration(between), CPU)
    assert (changed["flag_before"] == (p["before"] >= between)).all() and changed["flag_before"][2] == 1
    assert (changed["flag_after"] == (p["after"] >= between)).all() and changed["flag_after"][2] == 0
    assert (changed["predicted_before"] == (p["before"] < 0.5)).all()


def test_more_images_than_a_batch_stay_in_their_places() -> None:
    """And none has another's metadata or drawing."""
    images, ids = photographs(6) * 6, [f"{number}" for number in range(36)]
    changed = changes(BRIGHT, images, ids, ["hair"], calibration(), CPU, seed=4)
    after = [by_hand(with_artefact(image, "hair", name, 4)) for image, name in zip(images, ids, strict=True)]
    np.testing.assert_allclose(changed["after"], after, atol=1e-5)


def test_without_a_positive_class_there_is_nothing_to_tell() -> None:
    with pytest.raises(UserError, match=r"task\.positive"):
        changes(BRIGHT, photographs(1), ["a"], ["ink"], calibration(positive=None), CPU)


CHANGED = pd.DataFrame(
    {
        "artefact": ["hair"] * 4 + ["ink"] * 4,
        "image_id": list("abcd") * 2,
        "before": 0.5,
        "after": [0.6, 0.7, 0.4, 0.4, 0.5, 0.5, 0.5, 0.1],
        "change": [0.1, 0.2, -0.1, -0.1, 0.0, 0.0, 0.0, -0.4],
        "predicted_before": 0,
        "predicted_after": [0, 0, 1, 1, 0, 0, 0, 1],
        "flag_before": 1,
        "flag_after": [1, 1, 1, 1, 1, 1, 1, 0],
    }
)
ROWS = pd.DataFrame(
    {"image_id": list("dcba"), "lesion_id": ["l3", "l2", "l1", "l1"], "group": ["h", "h", "g", "g"], "target": 0}
)


def test_changes_are_summed_up_by_artefact_with_intervals_over_groups() -> None:
    """Two groups of two images each: a resample has one, the other or both."""
    table = by_artefact(CHANGED, ROWS, 500, 0).set_index("artefact")
    assert list(table.index) == ["hair", "ink"]
    assert table["images"].tolist() == [4, 4] and table["lesions"].tolist() == [3, 3]
    hair, ink = (table.loc[name].to_dict() for name in ("hair", "ink"))
    assert [hair[name] for name in ("change", "change_low", "change_high")] == pytest.approx([0.025, -0.1, 0.15])
    assert [hair[name] for name in ("predicted", "predicted_low", "predicted_high")] == pytest.approx([0.5, 0, 1])
    assert [hair[name] for name in ("flag", "flag_low", "flag_high")] == [0, 0, 0]
    assert [ink[name] for name in ("flag", "flag_low", "flag_high")] == pytest.approx([0.25, 0, 0.5])
    # Groups that are the only ones of their class are in every resample.
    apart = by_artefact(CHANGED, ROWS.assign(target=[1, 1, 0, 0]), 50, 0).set_index("artefact")
    told = apart.loc["hair"].to_dict()
    assert [told["change_low"], told["change_high"]] == pytest.approx([0.025, 0.025])


def test_the_worst_are_the_largest_changes_up_or_down_one_a_group() -> None:
    found = worst(CHANGED, ROWS, 5)
    assert found[["image_id", "artefact"]].to_numpy().tolist() == [["d", "ink"], ["b", "hair"]]
    assert len(worst(CHANGED, ROWS, 1)) == 1


def test_the_sheet_shows_each_photograph_beside_itself_with_the_artefact() -> None:
    cases = worst(CHANGED, ROWS, 2)
    images = [Image.new("RGB", (WIDTH, HEIGHT), colour) for colour in (SKIN, (190, 150, 150))]
    sheet = shortcut_sheet(cases, images, "mel", 3)
    pixels = np.asarray(sheet)
    pairs = zip(images, ("ink", "hair"), "db", strict=True)
    for image, artefact, image_id in pairs:
        for shown in (image, with_artefact(image, artefact, image_id, 3)):  # pyright: ignore[reportArgumentType]
            wanted = np.asarray(shown)
            places = np.argwhere((pixels[: -HEIGHT + 1, : -WIDTH + 1] == wanted[0, 0]).all(axis=2))
            assert any((pixels[y : y + HEIGHT, x : x + WIDTH] == wanted).all() for y, x in places[:500].tolist())
    assert shortcut_sheet(cases.head(0), [], "mel", 3).height < sheet.height

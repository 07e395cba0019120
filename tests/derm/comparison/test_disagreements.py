"""Disagreements by hand, and the sheet that shows them."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageDraw

from derm.comparison.disagreements import disagreements
from derm.comparison.sheet import disagreement_sheet
from derm.errors import UserError
from derm.files import read_csv, write_csv
from derm.measures.paired import Side
from tests.derm.description.tables import image_table

CLASSES = ["bcc", "mel", "nv"]
# By image: target, decisions of A's seeds, of B's seeds, and the probability that either gives to its last decision.
IMAGES = [
    ("nv", "nv nv nv nv nv", "mel mel mel mel mel", 0.9),  # all differ; A right
    ("mel", "nv nv nv nv nv", "mel mel mel mel nv", 0.9),  # 4 of 5 differ, whichever is paired with which; B right
    ("bcc", "nv nv nv nv nv", "mel mel mel mel mel", 0.5),  # all differ, less surely; neither right
    ("nv", "nv nv nv mel mel", "mel mel nv nv nv", 0.9),  # the same seeds in another order: none differ
    ("nv", "nv nv nv mel mel", "mel mel mel nv bcc", 0.9),  # nv in 3 and 1, mel in 2 and 3: 2 of 5 differ
    ("nv", "nv nv nv bcc bcc", "mel mel mel bcc bcc", 0.9),  # 3 of 5 differ
    ("nv", "nv nv nv nv nv", "nv nv nv nv nv", 0.9),
]


def sides(images: list[tuple[str, str, str, float]], groups: list[str] | None = None) -> tuple[Side, Side]:
    made = []
    for name, decisions in (("A", [image[1] for image in images]), ("B", [image[2] for image in images])):
        decided = np.array([[CLASSES.index(told) for told in of_image.split()] for of_image in decisions]).T
        tables = []
        for decision in decided:
            sure = np.array([image[3] for image in images])[:, None]
            probabilities = np.where(np.eye(3)[decision] > 0, sure, (1 - sure) / 2)
            tables.append(
                pd.DataFrame(
                    {
                        "image_id": [f"i{number:04d}" for number in range(len(images))],
                        "group": groups or [f"g{number}" for number in range(len(images))],
                        "target": [CLASSES.index(image[0]) for image in images],
                        **{f"p_{told}": probabilities[:, k] for k, told in enumerate(CLASSES)},
                        "decision": decision,
                    }
                )
            )
        made.append(Side(name, tables, seeded=True))
    return made[0], made[1]


def test_who_disagrees_how_strongly_and_who_is_right() -> None:
    found = disagreements(*sides(IMAGES), CLASSES)
    assert found["image_id"].tolist() == ["i0000", "i0002", "i0001", "i0005"]
    assert found["apart"].tolist() == pytest.approx([1, 1, 0.8, 0.6])
    assert found["p_apart"].tolist() == pytest.approx([0.85, 0.25, 0.68, 0.51])
    assert found["right"].tolist() == ["A", "neither", "B", "A"]
    assert found["true"].tolist() == ["nv", "bcc", "mel", "nv"]
    assert found["a_decision"].tolist() == ["nv"] * 4 and found["b_decision"].tolist() == ["mel"] * 4
    assert found["b_share"].tolist() == pytest.approx([1, 1, 0.8, 0.6])
    assert found["b_p"].tolist() == pytest.approx([0.9, 0.5, 0.8 * 0.9 + 0.2 * 0.05, 0.6 * 0.9 + 0.4 * 0.05])
    assert found["a_p_true"].tolist() == pytest.approx([0.9, 0.25, 0.05, 0.6 * 0.9 + 0.4 * 0.05])


def test_swapping_the_sides_swaps_the_columns() -> None:
    a, b = sides(IMAGES)
    there, back = disagreements(a, b, CLASSES), disagreements(b, a, CLASSES)
    pd.testing.assert_series_equal(there["a_p"], back["b_p"], check_names=False)
    assert back["right"].replace({"A": "B", "B": "A"}).tolist() == there["right"].tolist()


def test_half_of_the_seeds_is_no_majority() -> None:
    half = [("nv", "nv nv nv nv", "nv nv mel mel", 0.9), ("nv", "nv nv nv nv", "nv mel mel mel", 0.9)]
    assert disagreements(*sides(half), CLASSES)["image_id"].tolist() == ["i0001"]


def test_one_fit_a_side_and_different_numbers_of_seeds() -> None:
    assert len(disagreements(*sides([("nv", "nv", "mel", 0.9), ("nv", "nv", "nv", 0.9)]), CLASSES)) == 1
    (a, _), (_, b) = sides(IMAGES), sides([(true, a, b.split()[0], p) for true, a, b, p in IMAGES])
    assert disagreements(a, b, CLASSES)["a_share"].between(0.5, 1).all()


def test_of_equally_frequent_decisions_the_more_probable_counts() -> None:
    a, b = sides([("nv", "nv mel", "bcc bcc", 0.6)])
    for more in ("mel", "nv"):
        a.tables[0][f"p_{more}"] += 0.3 if more == "mel" else 0.6
        assert disagreements(a, b, CLASSES)["a_decision"].tolist() == [more]


def test_the_table_can_be_written_and_is_empty_where_all_agree(tmp_path: Path) -> None:
    a, _ = sides(IMAGES)
    write_csv(tmp_path / "none.csv", disagreements(a, a, CLASSES))
    assert len(read_csv(tmp_path / "none.csv")) == 0
    write_csv(tmp_path / "some.csv", disagreements(*sides(IMAGES), CLASSES))
    assert read_csv(tmp_path / "some.csv")["right"].tolist() == ["A", "neither", "B", "A"]


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every text that is drawn, in order."""
    told: list[str] = []
    draw = ImageDraw.ImageDraw.text

    def note(self: ImageDraw.ImageDraw, xy: tuple[float, float], text: str, **options: object) -> None:
        told.append(text)
        draw(self, xy, text, **options)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", note)
    return told


def test_the_sheet_shows_who_is_right_in_words_and_colour(tmp_path: Path, written: list[str]) -> None:
    a, b = sides(IMAGES)
    images = image_table([{}] * len(IMAGES), tmp_path)
    sheet = disagreement_sheet(disagreements(a, b, CLASSES), a, b, images)
    assert "Decided differently by A = A and B = B" in written
    assert any(
        text.startswith("4 of 7 images: A right on 2, B right on 1, neither on 1; the 4 str") for text in written
    )
    verdicts = [text for text in written if text.endswith(("right", "wrong"))]
    assert verdicts == [
        *("A right", "B wrong"), *("A wrong", "B wrong"), *("A wrong", "B right"), *("A right", "B wrong"),
    ]  # fmt: skip
    at = written.index("true mel")
    assert written[at + 1 : at + 4] == ["A: nv 0.90, mel 0.05 (5 of 5 seeds)", "B: mel 0.73 (4 of 5 seeds)", "i0001"]
    pixels = np.asarray(sheet).reshape(-1, 3)
    blue, orange = ((pixels == colour).all(axis=1).sum() for colour in ((0, 0x72, 0xB2), (0xD5, 0x5E, 0)))
    assert orange / blue == pytest.approx(5 / 3, rel=0.1)  # of the eight judgements three are right


def test_one_image_a_group_and_no_more_than_it_may(tmp_path: Path, written: list[str]) -> None:
    images = image_table([{}] * 20, tmp_path)
    a, b = sides([("nv", "nv", "mel", 0.9)] * 20, groups=[f"g{number // 2}" for number in range(20)])
    found = disagreements(a, b, CLASSES)
    disagreement_sheet(found, a, b, images, per_sheet=6)
    assert [text for text in written if text.startswith("i0")] == [f"i{number:04d}" for number in range(0, 12, 2)]
    assert "A: nv 0.90" in written  # one fit a side: no seeds to count


def test_a_sheet_of_nothing_says_so(tmp_path: Path, written: list[str]) -> None:
    a, _ = sides(IMAGES)
    disagreement_sheet(disagreements(a, a, CLASSES), a, a, image_table([{}], tmp_path))
    assert "They decide alike on all images." in written


def test_images_that_are_not_there_or_have_changed_are_named(tmp_path: Path) -> None:
    a, b = sides(IMAGES)
    found, images = disagreements(a, b, CLASSES), image_table([{}] * len(IMAGES), tmp_path)
    with pytest.raises(UserError, match="i0002 is not in the image table"):
        disagreement_sheet(found, a, b, images[images["image_id"] != "i0002"])
    Image.new("RGB", (40, 30)).save(tmp_path / "1.png")
    with pytest.raises(UserError, match=r"1\.png has changed"):
        disagreement_sheet(found, a, b, images)

"""Contact sheets: which images stand where, and that a sheet of nothing says so."""

from hashlib import sha256
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageDraw

from derm import contact_sheet
from derm.description.sheets import class_sheet, doubtful_first, pairs_sheet
from derm.errors import UserError
from tests.derm.description.tables import image_table, pair_table

PAIRS = pair_table(
    [
        ("i0000", "i0001", "bytes", 0, 1.0, 0, "l1", "l1", "nv", "nv"),
        ("i0002", "i0003", "near-identical", 12, 0.9, 0, "l2", "l2", "nv", "nv"),
        ("i0004", "i0005", "near-identical", 30, 0.66, 0, "l3", "l3", "nv", "nv"),
        ("i0006", "i0007", "published", None, None, 1, "l4", "l5", "nv", "nv"),
        ("i0008", "i0009", "near-identical", 20, 0.8, 1, "", "", "nv", "nv"),
        ("i0001", "i0002", "near-identical", 21, 0.95, 1, "l1", "l2", "nv", "mel"),
    ]
)


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


def images_in(folder: Path, count: int) -> pd.DataFrame:
    """Two photographs for every group but the last."""
    return image_table(
        [
            {"diagnosis": "nv", "group": f"g{number // 2}", "age": "45.0", "sex": "male", "body_site": "back"}
            for number in range(count)
        ],
        folder,
    )


def test_one_image_of_each_group_by_a_hash_of_its_id(tmp_path: Path, written: list[str]) -> None:
    images = images_in(tmp_path, 9)
    class_sheet("nv", images)
    assert written[:2] == ["nv", "9 images in 5 groups (patient or lesion); shown: 5, one a group, drawn by lot"]
    shown = [text for text in written if text.startswith("i0")]
    lots = {image_id: sha256(image_id.encode()).hexdigest() for image_id in images["image_id"]}
    smallest = {min(rows["image_id"], key=lots.__getitem__) for _, rows in images.groupby("group")}
    assert set(shown) == smallest
    assert shown == sorted(shown, key=lots.__getitem__)
    assert written.count("45 y, male, back") == 5


def test_a_sheet_holds_no_more_than_it_may(tmp_path: Path, written: list[str]) -> None:
    sheet = class_sheet("nv", images_in(tmp_path, 80), per_sheet=24)
    assert len([text for text in written if text.startswith("i0")]) == 24
    assert 1300 < sheet.width < 1600 and 800 < sheet.height < 1100  # 6 across, 4 down


def test_what_is_not_known_is_left_out(tmp_path: Path, written: list[str]) -> None:
    class_sheet(
        "nv", image_table([{"diagnosis": "nv", "age": "7.5"}, {"diagnosis": "nv", "body_site": "ear"}], tmp_path)
    )
    assert {"7.5 y", "ear"} <= set(written)


def test_sheets_are_the_same_each_time_and_in_another_order_of_rows(tmp_path: Path) -> None:
    images = images_in(tmp_path, 12)
    mixed = images.sample(frac=1, random_state=1)
    assert class_sheet("nv", images).tobytes() == class_sheet("nv", mixed).tobytes()
    first = pairs_sheet(PAIRS, images).tobytes()
    assert first == pairs_sheet(PAIRS, images).tobytes()
    assert first == pairs_sheet(PAIRS.sample(frac=1, random_state=2), mixed).tobytes()


def test_the_doubtful_pairs_come_first() -> None:
    order = list(doubtful_first(PAIRS.sample(frac=1, random_state=3))["one"])
    # joining and at odds; joining and alike; joining and published; then from the least to the most similar
    assert order == ["i0001", "i0008", "i0006", "i0004", "i0002", "i0000"]


def test_pairs_are_described_and_marked(tmp_path: Path, written: list[str]) -> None:
    images = images_in(tmp_path, 10)
    sheet = pairs_sheet(PAIRS, images, per_sheet=5)
    told = written[1]
    assert told.startswith("6 in all (4 near-identical, 1 on a published list, 1 of equal bytes), 5 shown: ")
    assert "(3, orange)" in told and told.endswith("1 have two diagnoses")
    assert written[2] == "joins two groups; near-identical: 21 bits apart, similarity 0.95"
    assert written[3:9] == ["OTHER DIAGNOSIS: nv", "l1", "i0001", "OTHER DIAGNOSIS: mel", "l2", "i0002"]
    assert (
        "joins two groups; on a published list" in written
        and "near-identical: 30 bits apart, similarity 0.66" in written
    )
    assert written.count("no lesion id") == 2
    assert "of equal bytes" not in written, "the sixth pair"
    pixels = np.asarray(sheet).reshape(-1, 3)
    orange, blue = ((pixels == colour).all(axis=1).sum() for colour in ((0xD5, 0x5E, 0), (0, 0x72, 0xB2)))
    assert orange / blue == pytest.approx(3 / 2, rel=0.05)  # three of the five join


def test_sheets_of_nothing_say_so(tmp_path: Path, written: list[str]) -> None:
    images = images_in(tmp_path, 2)
    sheet = pairs_sheet(pair_table([]), images)
    assert "No pair was found." in written and sheet.width > 500 and sheet.height > 100
    class_sheet("nv", images.head(0))
    assert "There is no image of this class." in written


def test_no_text_is_wider_than_its_place(tmp_path: Path, written: list[str]) -> None:
    name = "a class with a name that never ends " * 9
    images = image_table(
        [{"image_id": f"{'x' * 80}{end}", "diagnosis": name, "body_site": name} for end in "ab"], tmp_path
    )
    sheet = np.asarray(class_sheet(name, images))
    assert (sheet[:, -contact_sheet.GAP :] == 255).all()
    assert [text[-1] for text in written if text.startswith("xx")] in (["a", "b"], ["b", "a"])


def test_an_image_that_has_changed_is_named(tmp_path: Path) -> None:
    images = images_in(tmp_path, 2)
    Image.new("RGB", (40, 30)).save(tmp_path / "1.png")
    Image.new("RGB", (40, 30)).save(tmp_path / "0.png")
    with pytest.raises(UserError, match=r"[01]\.png has changed"):
        class_sheet("nv", images)

"""Contact sheets hold every tile's photograph and maps, each with its caption, and say what the marks mean."""

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from derm.contact_sheet import BETWEEN, GAP, HEIGHT, RIGHT, WIDTH, WRONG
from derm.explanation.pictures import overlay
from derm.explanation.sheets import KEY, LINED, PALE, Tile, contact_sheet

WHOLE = (0.0, 0.0, 80.0, 60.0)
HEAT = np.linspace(0, 1, 48, dtype=np.float32).reshape(6, 8)


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """All texts that are drawn, in their order."""
    texts: list[str] = []
    draw = ImageDraw.ImageDraw.text

    def keep(self: ImageDraw.ImageDraw, place: tuple[float, float], text: str, *rest, **more) -> None:
        texts.append(text)
        draw(self, place, text, *rest, **more)

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", keep)
    return texts


def tile(number: int = 0, **changes) -> Tile:
    given = {
        "photograph": Image.new("RGB", (80, 60), (170, 20 * number, 90)),
        "maps": [("melanoma 0.62", HEAT), ("nv 0.30", HEAT[::-1, ::-1])],
        "box": WHOLE,
        "name": f"image{number}",
        "caption": f"true mel   told nv {number}",
        "is_right": True,
    }
    return Tile(**(given | changes))


def test_the_photograph_and_then_each_map_with_their_captions(written: list[str]) -> None:
    one = tile()
    sheet = contact_sheet("Missed", "the least probable first", [one])
    assert written[:6] == [
        "Missed",
        "the least probable first",
        "true mel   told nv 0",
        "image0",
        "melanoma 0.62",
        "nv 0.30",
    ]
    pixels = np.asarray(sheet)
    expected = [one.photograph.resize((WIDTH, HEIGHT)), *(overlay(one.photograph, heat, WHOLE) for _, heat in one.maps)]
    for place, picture in enumerate(expected):
        left = GAP + place * (WIDTH + BETWEEN)
        np.testing.assert_array_equal(pixels[64 : 64 + HEIGHT, left : left + WIDTH], np.asarray(picture))


@pytest.mark.parametrize(("is_right", "colour"), [(True, RIGHT), (False, WRONG)])
def test_the_bar_tells_right_from_wrong(is_right: bool, colour: str) -> None:
    bar = contact_sheet("t", "e", [tile(is_right=is_right)]).getpixel((GAP + 5, 64 + HEIGHT + 1))
    assert bar == tuple(int(colour[place : place + 2], 16) for place in (1, 3, 5))


def test_tiles_of_one_two_or_five_maps_make_sheets_of_the_same_kind() -> None:
    """Three, two and one tile in a row; those of a sheet need not have the same number of maps."""
    maps = [("mel", HEAT)] * 5
    sizes = [contact_sheet("t", "e", [tile(n, maps=maps[:count]) for n in range(6)]).size for count in (1, 2, 5)]
    assert max(width for width, _ in sizes) - min(width for width, _ in sizes) < 60
    assert sizes[0][1] < sizes[1][1] < sizes[2][1]
    mixed = contact_sheet("t", "e", [tile(0, maps=maps[:1]), tile(1, maps=maps[:2])])
    assert mixed.size == contact_sheet("t", "e", [tile(0), tile(1)]).size


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({}, []),
        ({"mask": np.ones((60, 80), bool)}, [LINED]),
        ({"box": (10.0, 0.0, 70.0, 60.0)}, [PALE]),
        ({"box": (10.0, 0.0, 70.0, 60.0), "mask": np.ones((60, 80), bool)}, [f"{LINED} {PALE}"]),
    ],
)
def test_marks_are_explained_where_there_are_any(written: list[str], changes: dict, told: list[str]) -> None:
    contact_sheet("title", "explanation", [tile(0), tile(1, **changes)])
    assert written[1 : written.index("true mel   told nv 0")] == ["explanation", *told]


def test_the_mask_reaches_the_maps_and_not_the_photograph() -> None:
    mask = np.zeros((60, 80), bool)
    mask[20:40, 20:60] = True
    without, drawn = (np.asarray(contact_sheet("t", "", [tile(mask=given)])).astype(int) for given in (None, mask))
    heights = slice(64, 64 + HEIGHT)
    for place, differs in enumerate((False, True, True)):
        part = heights, slice(GAP + place * (WIDTH + BETWEEN), GAP + place * (WIDTH + BETWEEN) + WIDTH)
        assert (without[part] != drawn[part]).any() == differs


def test_a_sheet_of_nothing_says_so(written: list[str]) -> None:
    sheet = contact_sheet("Missed", "the least probable first", [])
    assert written == ["Missed", "the least probable first", "There is no such image in the test part."]
    assert sheet.width > 700


def test_a_long_title_leaves_the_key_free(written: list[str]) -> None:
    sheet = contact_sheet("A title that is far too long for a sheet of one tile " * 3, "", [tile(maps=[("mel", HEAT)])])
    key = next(text for text in written if text.startswith("spoke for the class"))
    sizes = [ImageFont.load_default(size).getlength(text) for size, text in ((20, written[0]), (11, key))]
    assert sum(sizes) + KEY[0] + 2 * GAP + 30 < sheet.width and "…" in written[0]

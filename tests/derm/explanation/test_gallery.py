"""The gallery is one file that says of each image what the filters ask for, and takes nothing from anywhere."""

import io
import re
from base64 import b64decode
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from derm.explanation.gallery import SIZE, Card, gallery, outcome
from derm.explanation.pictures import overlay

HOSTILE = 'a"><script>alert(1)</script>&amp;'
CLASSES = ["bcc", "mel", "nv"]
WHOLE = (0.0, 0.0, 80.0, 60.0)
HEAT = np.linspace(0, 1, 48, dtype=np.float32).reshape(6, 8)
VOID = {"img", "meta", "input", "br", "link"}


class Page(HTMLParser):
    """The elements of a page: (tag, attributes, text inside), in the order in which they open."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None], list[str]]] = []
        self.open: list[int] = []
        self.feed(html)
        assert not self.open, "an element is not closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs), []))
        if tag not in VOID:
            self.open.append(len(self.elements) - 1)

    def handle_endtag(self, tag: str) -> None:
        assert self.elements[self.open.pop()][0] == tag, tag

    def handle_data(self, data: str) -> None:
        for place in self.open:
            self.elements[place][2].append(data)

    def of(self, tag: str, **attributes: str) -> list[tuple[dict[str, str | None], str]]:
        """Attributes and text of the elements of this tag that have these attributes."""
        return [
            (has, " ".join(" ".join(text).split()))
            for name, has, text in self.elements
            if name == tag and attributes.items() <= has.items()
        ]


def card(number: int = 0, **changes) -> Card:
    given = {
        "photograph": Image.new("RGB", (80, 60), (170, 20 * number % 255, 90)),
        "maps": [("melanoma 0.62", HEAT), ("nv 0.30", HEAT[::-1, ::-1])],
        "box": WHOLE,
        "image_id": f"image{number}",
        "lesion_id": f"lesion{number}",
        "true": "mel",
        "told": "mel",
        "decided": "mel",
        "probabilities": {"nv": 0.3, "bcc": 0.08, "mel": 0.62},
        "flagged": True,
    }
    return Card(**(given | changes))


def page(cards: list[Card], positive: str | None = "mel", **changes) -> Page:
    return Page(gallery("Gallery", "Some images", cards, CLASSES, positive, **changes))


def test_each_card_says_what_the_filters_ask_for() -> None:
    cards = [
        card(0),
        card(1, told="nv", decided="nv", probabilities={"bcc": 0.1, "mel": 0.23456, "nv": 0.66544}, flagged=False),
    ]
    first, second = page(cards).of("article")
    assert first[0] == {
        "class": "card",
        "data-true": "mel",
        "data-told": "mel",
        "data-outcome": "right",
        "data-probabilities": "0.0800,0.6200,0.3000",
    }
    assert second[0]["data-told"] == "nv" and second[0]["data-outcome"] == "missed"
    assert second[0]["data-probabilities"] == "0.1000,0.2346,0.6654"
    assert "true mel told mel 0.62 decided mel right flagged image0 , lesion lesion0" in first[1]
    assert "true mel told nv 0.67 decided nv missed mel image1 , lesion lesion1" in second[1]


@pytest.mark.parametrize(
    ("true", "decided", "positive", "expected"),
    [
        ("mel", "mel", "mel", "right"),
        ("nv", "nv", "mel", "right"),
        ("mel", "nv", "mel", "missed"),
        ("nv", "mel", "mel", "alarm"),
        ("nv", "bcc", "mel", "wrong"),
        ("mel", "nv", None, "wrong"),
        ("mel", "mel", None, "right"),
    ],
)
def test_the_outcome_is_the_decisions(true: str, decided: str, positive: str | None, expected: str) -> None:
    assert outcome(card(true=true, decided=decided, told="bcc"), positive) == expected


def options(made: Page) -> list[tuple[str | None, str]]:
    return [(has.get("value"), text) for has, text in made.of("option")]


def test_controls_have_names_and_stand_for_what_is_in_the_cards() -> None:
    made = page([card()])
    controls = {has["name"] for tag, has, _ in made.elements if tag in ("select", "input")}
    assert controls == {"true", "told", "outcome", "of", "from", "to", "order"}
    labelled = [text for _, text in made.of("label")]
    assert [text.split()[0] for text in labelled] == ["True", "Told", "Outcome", "Probability", "from", "to", "Order"]
    given = options(made)
    for start in (0, 4):  # the values of data-true and data-told
        assert given[start : start + 4] == [("", "all"), *((name, name) for name in CLASSES)]
    assert given[-6:-3] == [("0", "bcc"), ("1", "mel"), ("2", "nv")]  # places in data-probabilities
    asked = {value for value, _ in given[2 * (1 + len(CLASSES)) :][:5]}
    assert asked == {"", *(outcome(card(true=a, decided=b), "mel") for a in CLASSES for b in CLASSES)}
    # every control that the script asks for by its name is there
    html = gallery("Gallery", "Some images", [card()], CLASSES, "mel")
    used = set(re.findall(r"form\.elements\.(\w+)", html))
    assert used and used <= controls
    assert made.of("button", type="reset") and made.of("p", role="status")[0][1] == "1 of 1 images"


def test_without_a_positive_class_nothing_is_missed_or_raised() -> None:
    made = page([card(decided="nv", flagged=None)], positive=None)
    assert not {"missed", "alarm"} & {value for value, _ in options(made)}
    assert not any("missed" in text or "flagged" in text for _, text in [*made.of("article"), *made.of("dt")])
    assert "mel wrong" not in made.of("article")[0][1] and "nv wrong" in made.of("article")[0][1]


def test_pictures_are_in_the_page_in_their_order() -> None:
    photograph = Image.fromarray(np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8))
    shown = card(photograph=photograph.resize((80, 60), Image.Resampling.BICUBIC))
    made = page([shown])
    images = [has for has, _ in made.of("img", loading="lazy")]
    assert [has["alt"] for has in images] == [
        "image0: photograph",
        "image0: map of melanoma 0.62",
        "image0: map of nv 0.30",
    ]
    assert [text for _, text in made.of("figcaption")] == ["photograph", "melanoma 0.62", "nv 0.30"]
    expected = [shown.photograph.resize((280, 210), Image.Resampling.BICUBIC)]
    expected += [overlay(shown.photograph, heat, WHOLE, size=SIZE) for _, heat in shown.maps]
    for has, picture in zip(images, expected, strict=True):
        kind, _, data = str(has["src"]).partition(",")
        decoded = Image.open(io.BytesIO(b64decode(data)))
        assert kind == "data:image/jpeg;base64" and (has["width"], has["height"]) == ("280", "210")
        assert np.abs(np.asarray(decoded).astype(int) - np.asarray(picture)).mean() < 6  # JPEG


def test_the_page_needs_nothing_else() -> None:
    html = gallery("Gallery", "Some images", [card(n) for n in range(3)], CLASSES, "mel", stamp="SYNTHETIC")
    assert not re.search(r"https?:|//[a-z]|url\(|@import", re.sub(r"base64,[\w+/=]+", "", html.replace("\n//", "")))
    for _, has, _ in Page(html).elements:
        assert not {"href", "srcset", "action", "onclick", "data"} & set(has)
        assert str(has.get("src", "data:")).startswith("data:")
    (policy,) = Page(html).of("meta", **{"http-equiv": "Content-Security-Policy"})
    assert str(policy[0]["content"]).startswith("default-src 'none'; img-src data:;")


def test_everything_from_data_is_escaped() -> None:
    shown = card(
        image_id=HOSTILE,
        lesion_id=HOSTILE,
        true=HOSTILE,
        told=HOSTILE,
        decided="nv",
        probabilities={HOSTILE: 0.9, "nv": 0.1},
        maps=[(HOSTILE, HEAT)],
        measures={HOSTILE: 0.5},
    )
    html = gallery(HOSTILE, HOSTILE, [shown], [HOSTILE, "nv"], HOSTILE, stamp=HOSTILE)
    made = Page(html)
    assert len(made.of("script")) == 1 and "alert(1)</script>" not in html
    (article,) = made.of("article")
    assert article[0]["data-true"] == article[0]["data-told"] == HOSTILE and article[0]["data-outcome"] == "missed"
    assert [has["alt"] for has, _ in made.of("img", loading="lazy")][1] == f"{HOSTILE}: map of {HOSTILE}"
    assert made.of("h1")[0][1] == made.of("h2")[0][1] == made.of("title")[0][1] == HOSTILE


def test_what_it_is_not_is_said_and_synthetic_images_are_stamped() -> None:
    made = page([card()], stamp="SYNTHETIC DATA: these numbers mean nothing clinically")
    assert made.of("div", **{"class": "stamp"})[0][1] == "SYNTHETIC DATA: these numbers mean nothing clinically"
    assert made.of("p", **{"class": "notice"})[0][1].startswith("For research. Not a medical device")
    assert not page([card()]).of("div", **{"class": "stamp"})


def test_marks_and_measures_are_told_where_there_are_any() -> None:
    def key(shown: Card) -> str:
        return page([card(), shown]).of("div", **{"class": "key"})[0][1]

    plain, masked, cut = (
        key(card(1)),
        key(card(1, mask=np.ones((60, 80), bool))),
        key(card(1, box=(9.0, 0.0, 80.0, 60.0))),
    )
    assert "White line" not in plain and "Pale" not in plain
    assert "White line" in masked and "Pale" not in masked
    assert "White line" not in cut and "Pale" in cut
    measured, unmeasured = page([card(measures={"energy inside": 0.4119, "rank": 1}), card()]).of("article")
    assert "energy inside 0.41; rank 1.00" in measured[1]
    assert ";" not in unmeasured[1]


def test_a_gallery_of_nothing_says_so() -> None:
    made = page([])
    assert "hidden" not in made.of("p", **{"class": "none"})[0][0]
    assert made.of("p", **{"class": "none"})[0][1] == "There is no such image."
    assert "hidden" in page([card()]).of("p", **{"class": "none"})[0][0]


def test_the_same_cards_give_the_same_bytes_and_a_hundred_are_a_few_megabytes() -> None:
    """Noise, of which no photograph has as much, is the worst for JPEG: a card of real skin takes half of this."""
    skin = np.random.default_rng(0).normal((170, 110, 90), 12, (450, 600, 3)).clip(0, 255).astype(np.uint8)
    shown = card(photograph=Image.fromarray(skin), box=(0.0, 0.0, 600.0, 450.0))
    first, second = (gallery("t", "e", [shown], CLASSES, "mel") for _ in range(2))
    assert first == second
    none = gallery("t", "e", [], CLASSES, "mel")
    assert 120 * (len(first) - len(none)) + len(none) < 6_000_000

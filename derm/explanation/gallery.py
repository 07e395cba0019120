"""One self-contained HTML page of explained images, to be filtered by class, outcome and probability."""

import io
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from PIL import Image

from derm.diagnosis_names import full_name
from derm.explanation.pictures import Box, Mask, colour_key, fitted, is_whole, overlay

TEMPLATE = Path(__file__).with_name("gallery.html")
# As large as three beside each other are shown on a wide screen; then a hundred images are a few megabytes.
SIZE, JPEG_QUALITY = (280, 280), 80


@dataclass(frozen=True)
class Card:
    """One image.

    photograph: upright RGB. maps: (caption, heat) in the order in which they stand beside it; heat as
    `derm.explanation.pictures.overlay` takes it. box: of what was seen. mask: of the lesion, if there is one.
    true, told, decided: classes; told: the most probable. probabilities: class -> calibrated probability.
    flagged: None without a positive class. measures: name -> number, of the maps.
    """

    photograph: Image.Image
    maps: Sequence[tuple[str, np.ndarray]]
    box: Box
    image_id: str
    lesion_id: str
    true: str
    told: str
    decided: str
    probabilities: Mapping[str, float]
    flagged: bool | None = None
    mask: Mask | None = None
    measures: Mapping[str, float] = field(default_factory=dict)


def gallery(
    title: str, text: str, cards: Sequence[Card], classes: Sequence[str], positive: str | None, stamp: str = ""
) -> str:
    """The page as HTML: pictures, style and script are in it, and everything that comes from data is escaped.

    text: what these images are. classes: all, in the order of the probabilities; positive: the one that is missed or
    falsely raised. stamp: stands at the top of every screen, as in `derm.report.page.render`; '' for none. The same
    cards give the same bytes.
    """
    environment = Environment(
        loader=FileSystemLoader(TEMPLATE.parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    return environment.get_template(TEMPLATE.name).render(
        title=title,
        text=text,
        cards=[_filled(card, classes, positive) for card in cards],
        classes=[(name, full_name(name)) for name in classes],
        positive=positive,
        positive_in_full=None if positive is None else full_name(positive),
        key=_data(colour_key(90, 12), "PNG"),
        has_masks=any(card.mask is not None for card in cards),
        has_unseen=any(not is_whole(card.box, card.photograph) for card in cards),
        stamp=stamp,
    )


def outcome(card: Card, positive: str | None) -> str:
    """What became of it by the decision: `right`, `missed` (the positive class), `alarm` (a false one), or `wrong`."""
    if card.decided == card.true:
        return "right"
    if positive is None:
        return "wrong"
    return {card.true: "missed", card.decided: "alarm"}.get(positive, "wrong")


def _filled(card: Card, classes: Sequence[str], positive: str | None) -> dict[str, Any]:
    """What the template needs of a card."""
    maps = [(caption, overlay(card.photograph, heat, card.box, card.mask, SIZE)) for caption, heat in card.maps]
    pictures = [("photograph", fitted(card.photograph, SIZE)), *maps]
    return {
        "card": card,
        "outcome": outcome(card, positive),
        "probabilities": ",".join(f"{card.probabilities[name]:.4f}" for name in classes),
        "pictures": [(caption, picture.size, _data(picture, "JPEG")) for caption, picture in pictures],
    }


def _data(picture: Image.Image, kind: str) -> str:
    """The picture as a data address."""
    buffer = io.BytesIO()
    picture.save(buffer, kind, quality=JPEG_QUALITY)
    return f"data:image/{kind.lower()};base64,{b64encode(buffer.getvalue()).decode()}"

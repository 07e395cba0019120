"""One image, explained with the packaged classifier: a sheet of maps, and what was told, in words."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from derm.classifier import Classifier
from derm.contact_sheet import FAINT, Cell, draw_sheet
from derm.diagnosis_names import full_name
from derm.encoders.encoder import Encoder
from derm.encoders.layers import AUTO, layers
from derm.errors import UserError
from derm.explanation.maps import explain, seen_box
from derm.explanation.methods import OF_NO_CLASS
from derm.explanation.model import Explained
from derm.explanation.pictures import fitted, is_whole, overlay
from derm.explanation.sheets import BESIDE, PALE, draw_key
from derm.explanation.words import NAMES
from derm.files import write_png
from derm.images import UnreadableImageError, decode, read_bytes
from derm.known import known_of

# Pixels that a picture of the sheet has at most.
EACH = (320, 320)
# Of joined encoders, what is between the names of their layers, as between the encoders' own names.
JOIN = "+"
SYNTHETIC = "The classifier was trained on synthetic images: its answers mean nothing."


@dataclass(frozen=True)
class Asked:
    """What is wanted of the maps.

    layers: each a name for all encoders, or one for each with + between; none: a third and two thirds of the way
    through each encoder, and `auto`. target: a class; none: the most probable one, and the positive class or, if it is
    that or there is none, the next.
    """

    method: str = "gradcam"
    layers: Sequence[str] = ()
    target: str | None = None


def explain_file(
    path: Path,
    asked: Asked,
    classifier_folder: Path,
    out: Path | None = None,
    encoder_weights: Sequence[Path] = (),
    metadata: Path | None = None,
) -> str:
    """Write a sheet, a row for each class and a column for each layer; returns what was told and drawn, as lines.

    out: a PNG file; None: <name of the image>_explained.png in the current folder. encoder_weights: see
    `Classifier.load`. metadata: see `derm.known.known_of`. Of joined encoders a map is the sum of theirs. The maps are
    of the image as it is, also if the classifier takes the mean over its mirrored views.
    UserError in one line if the image, the classifier, or what is asked for is of no use.
    """
    if asked.method not in NAMES:
        raise UserError(f"--method {asked.method}: expected one of {', '.join(NAMES)}")
    out = out or Path(f"{path.stem}_explained.png")
    if out.suffix.lower() != ".png" or out.is_dir() or not out.resolve().parent.is_dir():
        raise UserError(f"--out {out}: expected a .png file in a folder that exists")
    if out.resolve() == path.resolve():
        raise UserError(f"--out {out}: is the image itself; name another file")
    try:
        photograph = decode(read_bytes(path))
    except UnreadableImageError as error:
        raise UserError(f"{path}: {error}") from None
    classifier = Classifier.load(classifier_folder, encoder_weights)
    if asked.target is not None and asked.target not in classifier.classes:
        raise UserError(f"--target {asked.target}: expected one of {', '.join(classifier.classes)}")
    if classifier.synthetic:
        print(f"WARNING: {SYNTHETIC}", file=sys.stderr)
    known = known_of([path], metadata, classifier.head.shape.encoding)
    told = classifier.predict([photograph], known).iloc[0]
    targets = _targets(told, asked, classifier)
    with _told_as_options():
        columns = _columns(explained_by(classifier), asked)
        maps = [
            explain(
                at,
                [photograph] * len(targets),
                [classifier.classes.index(name) for name in targets],
                [asked.method],
                classifier.device,
                known.iloc[[0] * len(targets)],
            )[asked.method]
            for at in columns.values()
        ]
    rows = {_line(name, told, asked): [heats[row] for heats in maps] for row, name in enumerate(targets)}
    lines = [path.name, _outcome(told, classifier), f"{NAMES[asked.method]} at {', '.join(columns)}"]
    write_png(out, _sheet(photograph, rows, list(columns), lines, classifier))
    probabilities = sorted(classifier.classes, key=lambda name: -told[f"p_{name}"])
    width = max(map(len, probabilities))
    table = [f"  {name:{width}}  {told[f'p_{name}']:.3f}  {full_name(name)}" for name in probabilities]
    return "\n".join([lines[0], *table, *lines[1:], f"picture: {out}"])


def layer_listing(classifier_folder: Path, encoder_weights: Sequence[Path] = ()) -> str:
    """The layers of each of the classifier's encoders, a line each, from the first to the last."""
    explained = explained_by(Classifier.load(classifier_folder, encoder_weights))
    lines = []
    for encoder, own in zip(explained.encoders, explained.looked_at(), strict=True):
        lines.append(f"{encoder.manifest['encoder']}:")
        names = list(layers(encoder))
        lines += [f"  {name}{'  (auto)' if name == own.name else ''}" for name in names]
    return "\n".join(lines)


def explained_by(classifier: Classifier) -> Explained:
    """The classifier's encoders and head, as maps are made of them; the layers are those of `auto`."""
    encoders = [_uncompiled(encoder) for encoder in classifier.encoders]
    return Explained(encoders, classifier.head, classifier.token_pooling)


def _uncompiled(encoder: Encoder) -> Encoder:
    """Hooks see nothing of a compiled module, whose weights are those of the module it was made of."""
    return replace(encoder, maps=getattr(encoder.maps, "_orig_mod", encoder.maps))


def _targets(told: pd.Series, asked: Asked, classifier: Classifier) -> list[str]:
    """The classes of the rows."""
    if asked.method in OF_NO_CLASS and asked.target is not None:
        raise UserError(f"--target {asked.target}: {asked.method} knows no classes; leave it out")
    if asked.target is not None:
        return [asked.target]
    first, second = sorted(classifier.classes, key=lambda name: -told[f"p_{name}"])[:2]
    if asked.method in OF_NO_CLASS:
        return [first]
    positive = classifier.calibration.positive
    return [first, second if positive in (None, first) else positive]


def _columns(explained: Explained, asked: Asked) -> dict[str, Explained]:
    """Caption -> with maps taken there."""
    if asked.method == "attention":
        if asked.layers:
            raise UserError(f"--layer {asked.layers[0]}: attention is that of the pooling, behind all layers")
        return {"pooling": explained}
    names = [[part.strip() for part in name.split(JOIN)] for name in asked.layers] or _spread(explained)
    own = [layer.name for layer in explained.looked_at()]
    columns = {}
    for at in map(explained.at, names):
        found = [layer.name for layer in at.looked_at()]
        columns[JOIN.join(found) + " (auto)" * (found == own)] = at
    return columns


def _spread(explained: Explained) -> list[list[str]]:
    """A third and two thirds of the way to the layer of `auto`, and that: of each encoder its own."""
    depths = []
    for encoder, own in zip(explained.encoders, explained.looked_at(), strict=True):
        names = list(layers(encoder))
        last = names.index(own.name) if own.name in names else len(names)
        earlier = [names[round(last * part)] for part in (1 / 3, 2 / 3)] if last else [AUTO, AUTO]
        depths.append([*earlier, AUTO])
    return [list(parts) for parts in zip(*depths, strict=True)]


@contextmanager
def _told_as_options() -> Iterator[None]:
    """What is said of the pipeline's params is said of the options."""
    try:
        yield
    except UserError as error:
        raise UserError(str(error).replace("explain.", "--", 1)) from None


def _line(name: str, told: pd.Series, asked: Asked) -> str:
    """What a row is about."""
    if asked.method in OF_NO_CLASS:
        return "the same for all classes"
    return f"{name}: {full_name(name)}, {told[f'p_{name}']:.3f}"


def _outcome(told: pd.Series, classifier: Classifier) -> str:
    """Told, decided and flagged, in a line."""
    names, calibration = classifier.classes, classifier.calibration
    line = f"most probable {names[told['predicted']]}; decided {names[told['decision']]}"
    if calibration.positive is None:
        return line
    return f"{line}; {'' if told['flag'] else 'not '}flagged ({calibration.positive} from {calibration.threshold:.3f})"


def _sheet(
    photograph: Image.Image,
    rows: dict[str, list[np.ndarray]],
    columns: list[str],
    lines: list[str],
    classifier: Classifier,
) -> Image.Image:
    """A row for each class: the photograph, then its map at each layer."""
    shown = fitted(photograph, EACH)
    box = seen_box(classifier.encoders, *photograph.size)
    cells = [
        Cell(
            [shown, *(overlay(photograph, heat, box, size=EACH) for heat in heats)],
            FAINT,
            line,
            [
                ["photograph"],
                *([name + ": nothing" * (not heat.any())] for name, heat in zip(columns, heats, strict=True)),
            ],
        )
        for line, heats in rows.items()
    ]
    notes = [] if is_whole(box, photograph) else [PALE]
    notes.append("For research. Not a medical device.")
    told = [*lines[1:], " ".join(notes), *[SYNTHETIC] * classifier.synthetic]
    sheet = draw_sheet(lines[0], "\n".join(told), cells, 1, "", shown.size, BESIDE)
    draw_key(sheet)
    return sheet

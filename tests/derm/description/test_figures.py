"""Every figure comes out for few and many classes, long names and empty tables, and is the same each time."""

import io
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from PIL import Image

from derm.description.distributions import count_classes, count_reasons, distributions
from derm.description.figures import class_counts, missing_table, overview, rejected_rows
from derm.description.missing import count_missing
from tests.derm.description.tables import image_table, rejected_table

SITES = [f"site number {number}" for number in range(11)]


def images_of(classes: list[str], known: bool = True, count: int = 120) -> pd.DataFrame:
    generator = np.random.default_rng(3)
    rows = []
    for number in range(count):
        row: dict = {"diagnosis": classes[number % len(classes)]}
        if known:
            row["age"] = str(generator.integers(0, 90)) if number % 7 else ""
            row["sex"] = ("male", "female", "")[number % 3]
            row["body_site"] = SITES[generator.integers(0, len(SITES))]
            row["source"] = ("a hospital with a name of some length, in a town", "$x_1$ and $")[number % 2]
            row["width"] = 600 + number % 15
            row["confirmation"] = "histo"
        rows.append(row)
    return image_table(rows)


def picture(figure: Figure) -> Image.Image:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return Image.open(buffer).convert("RGB")


def draw_overview(images: pd.DataFrame) -> Figure:
    return overview(distributions(images), count_classes(images))


DRAWN: dict[str, Callable[[pd.DataFrame], Figure]] = {
    "classes": lambda images: class_counts(count_classes(images)),
    "overview": draw_overview,
    "missing": lambda images: missing_table(count_missing(images)),
}
LONG = ["pigmented benign keratosis of a kind that has a long name", "nv"]
MANY = [f"class {number}" for number in range(30)]


def texts(figure: Figure) -> str:
    """All words of a figure."""
    told = [text.get_text() for axes in figure.axes for text in axes.texts]
    told += [axes.get_title(loc=place) for axes in figure.axes for place in ("left", "center")]
    told += [text.get_text() for axes in figure.axes for text in axes.get_yticklabels()]
    return " ".join([*told, figure.get_suptitle()]).replace("\n", " ")


@pytest.mark.parametrize("name", DRAWN)
@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("classes", [["benign", "malignant"], LONG, MANY], ids=["two", "long", "many"])
def test_figures_come_out_and_nothing_is_cut_off(name: str, known: bool, classes: list[str]) -> None:
    image = picture(DRAWN[name](images_of(classes, known)))
    assert 500 < image.width < 2200 and 60 < image.height < 3000
    pixels = np.asarray(image)
    assert (pixels < 128).any(), "nothing is drawn"
    edges = (pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1])
    # shaded cells may reach the edge, letters may not
    assert all((edge.min(axis=-1) > 90).all() for edge in edges) or name == "missing"


@pytest.mark.parametrize("name", DRAWN)
def test_figures_are_the_same_each_time_and_in_another_order_of_rows(name: str) -> None:
    images = images_of(["a", "b", "c"])
    first = DRAWN[name](images)
    for again in (images, images.sample(frac=1, random_state=5)):
        assert picture(DRAWN[name](again)).tobytes() == picture(first).tobytes()


def test_the_overview_says_what_it_leaves_out() -> None:
    images = images_of(["a", "b"])
    images["sex"] = ""
    told = texts(draw_overview(images))
    assert "missing everywhere: sex; the same everywhere: confirmation (histo)" in told
    assert "Sex" not in told and "Body site" in told
    nothing = texts(draw_overview(images_of(["a", "b"], known=False)))
    assert "nothing to compare" in nothing and "age, sex, body site, source, confirmation" in nothing
    assert "(40x30)" in nothing


def test_long_names_keep_both_ends() -> None:
    assert "pigmented beni…has a long name (60)" in texts(draw_overview(images_of(LONG)))


def test_the_table_of_missing_values_says_what_was_tested() -> None:
    told = " ".join(
        label.get_text() for label in missing_table(count_missing(images_of(["a", "b"]))).axes[0].get_xticklabels()
    )
    assert "Lesion id\nnever there" in told and "Confirmation\nalways there" in told and "Sex\np = " in told


def test_rejected_rows() -> None:
    assert "Nothing was rejected." in texts(rejected_rows(count_reasons(rejected_table([]))))
    reasons = [f"reason {'abcdefghijklmnopqrstuvwxyz'[number % 25]} {'of some length ' * 9}" for number in range(60)]
    figure = rejected_rows(count_reasons(rejected_table([*reasons, *["file 'x' is empty"] * 70])))
    told = texts(figure)
    assert "130 rejected rows by reason (the 20 commonest of 26 reasons)" in told
    assert told.index("file ... is empty") < told.index("reason a")
    image = picture(figure)
    assert image.height > 800 and (np.asarray(image)[:, -1] > 200).all()

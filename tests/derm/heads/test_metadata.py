"""Age, sex and body site as numbers, by hand; and nothing else ever among them."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from derm.errors import UserError
from derm.heads.head import read_head, write_head
from derm.heads.metadata import MetadataEncoding, fit_metadata
from derm.heads.predict import image_logits
from derm.image_table import COLUMNS
from tests.derm.heads.data import inputs, random_head, shape


def people(*rows: tuple[str, str, str]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["age", "sex", "body_site"])


# Ages 40, 50, 90: median 50, mean 60, variance (400 + 100 + 900) / 3. Usual: female, back.
TRAIN = people(("40", "male", "back"), ("", "female", "scalp"), ("90", "female", ""), ("50", "", "back"))
DEVIATION = (1400 / 3) ** 0.5
NAMES = ["age", "sex=female", "sex=male", "body_site=back", "body_site=scalp"]


def test_columns_and_numbers_by_hand() -> None:
    encoding = fit_metadata(TRAIN, missing=False)
    assert encoding.columns == NAMES
    asked = people(("60", "male", "scalp"), ("", "", ""), ("0", "female", "back"))
    expected = [[0, 0, 1, 0, 1], [-10 / DEVIATION, 1, 0, 1, 0], [-60 / DEVIATION, 1, 0, 1, 0]]
    encoded = encoding.encode(asked)
    assert encoded.dtype == np.float64
    np.testing.assert_allclose(encoded, expected, rtol=1e-12)
    np.testing.assert_array_equal(encoding.unknown(), encoded[1])


def test_indicators_stand_at_the_end_and_say_what_was_not_known() -> None:
    encoding = fit_metadata(TRAIN, missing=True)
    assert encoding.columns == [*NAMES, "age missing", "sex missing", "body_site missing"]
    asked = people(("60", "male", "scalp"), ("", "male", ""), ("60", "", "knee"), ("old", "", "back"))
    encoded = encoding.encode(asked)
    assert encoded[:, 5:].tolist() == [[0, 0, 0], [1, 0, 1], [0, 1, 1], [1, 1, 0]]
    np.testing.assert_array_equal(encoded[:, :5], fit_metadata(TRAIN, missing=False).encode(asked))
    assert encoding.unknown()[5:].tolist() == [1, 1, 1]


def test_a_value_that_no_training_image_had_is_the_usual_one() -> None:
    encoding = fit_metadata(TRAIN, missing=False)
    unseen, usual = people(("50", "other", "knee")), people(("50", "female", "back"))
    np.testing.assert_array_equal(encoding.encode(unseen), encoding.encode(usual))


def test_a_column_that_the_table_lacks_is_unknown_for_all() -> None:
    encoding = fit_metadata(TRAIN, missing=True)
    np.testing.assert_array_equal(
        encoding.encode(pd.DataFrame({"sex": ["male", ""]}, index=[7, 3])),
        encoding.encode(people(("", "male", ""), ("", "", ""))),
    )
    np.testing.assert_array_equal(encoding.encode(pd.DataFrame(index=range(2))), [encoding.unknown()] * 2)


def test_missing_cells_of_another_kind_are_missing_too() -> None:
    encoding = fit_metadata(TRAIN, missing=True)
    asked = pd.DataFrame({"age": [None, np.nan], "sex": [np.nan, None], "body_site": [None, ""]}, dtype=object)
    np.testing.assert_array_equal(encoding.encode(asked), [encoding.unknown()] * 2)


def test_of_equally_frequent_values_the_first_by_name_is_the_usual_one() -> None:
    for order in ([0, 1, 2, 3], [3, 2, 1, 0]):
        rows = people(("", "male", "z"), ("", "female", "b"), ("", "female", "z"), ("", "male", "b")).iloc[order]
        encoding = fit_metadata(rows, missing=False)
        assert encoding.usual == {"sex": "female", "body_site": "b"}
        assert encoding.columns == ["sex=female", "sex=male", "body_site=b", "body_site=z"]


def test_one_age_for_all_is_no_division_by_zero() -> None:
    encoding = fit_metadata(people(("50", "", ""), ("50", "", "")), missing=False)
    assert encoding.columns == ["age"]
    assert encoding.encode(people(("50", "", ""), ("51", "", ""), ("", "", ""))).tolist() == [[0], [1], [0]]


@pytest.mark.parametrize("rows", [people(("", "", "")), pd.DataFrame({"image_id": ["a"]})])
def test_nothing_at_all_is_one_line(rows: pd.DataFrame) -> None:
    with pytest.raises(UserError, match=r"no training image has an age, a sex or a body site.*head\.metadata=false"):
        fit_metadata(rows, missing=True)


@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize(
    "rows", [TRAIN, TRAIN[["age"]], TRAIN[["body_site", "sex"]], TRAIN.assign(age="", sex=["b", "a", "c", "a"])]
)
def test_it_comes_back_from_the_heads_file_as_it_was(tmp_path: Path, rows: pd.DataFrame, missing: bool) -> None:
    """Numbers to the last digit, and columns in their order: JSON sorts its keys."""
    encoding = fit_metadata(rows, missing)
    head = random_head(shape(4, 3, metadata=True, encoding=encoding))
    write_head(head, tmp_path / "head.safetensors")
    back = read_head(tmp_path / "head.safetensors").shape.encoding
    assert isinstance(back, MetadataEncoding)
    assert back == encoding and back.columns == encoding.columns
    asked = people(("61", "male", "scalp"), ("", "b", ""), ("7", "a", "back"))
    np.testing.assert_array_equal(back.encode(asked), encoding.encode(asked))
    given = inputs(np.random.default_rng(0).normal(size=(3, 1, 4)), encoding.encode(asked))
    np.testing.assert_allclose(
        image_logits(read_head(tmp_path / "head.safetensors"), given), image_logits(head, given), rtol=1e-12
    )


# Every other column of the image table, and names under which sources bring what only the diagnosis told.
FORBIDDEN = [name for name in COLUMNS if name not in ("age", "sex", "body_site")] + ["dx", "dx_type", "dataset", "part"]


def tables_that_differ_in_all_else() -> tuple[pd.DataFrame, pd.DataFrame]:
    generator = np.random.default_rng(0)
    known = {
        "age": generator.choice(["", "30", "45", "60"], 60),
        "sex": generator.choice(["", "female", "male"], 60),
        "body_site": generator.choice(["", "back", "scalp", "knee"], 60),
    }
    one: dict[str, Any] = known | {
        name: generator.choice(["histo", "consensus", "follow_up"], 60) for name in FORBIDDEN
    }
    two: dict[str, Any] = known | {name: generator.choice(["", "x", "mel"], 60) for name in FORBIDDEN}
    order = generator.permutation(list(one))
    return pd.DataFrame(one), pd.DataFrame(two)[list(order)]


@pytest.mark.parametrize("missing", [False, True])
def test_how_a_diagnosis_was_confirmed_and_where_an_image_comes_from_never_enters(missing: bool) -> None:
    one, two = tables_that_differ_in_all_else()
    encodings = fit_metadata(one, missing), fit_metadata(two, missing)
    assert encodings[0] == encodings[1]
    names = {column.split("=")[0].removesuffix(" missing") for column in encodings[0].columns}
    assert names == {"age", "sex", "body_site"}
    np.testing.assert_array_equal(encodings[0].encode(one), encodings[0].encode(two))
    for column in ("age", "sex", "body_site"):  # these do enter
        changed = one.assign(**{column: one[column].sample(frac=1, random_state=1).to_numpy()})
        assert (encodings[0].encode(changed) != encodings[0].encode(one)).any()

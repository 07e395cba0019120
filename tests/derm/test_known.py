"""What is known beside the image: found by path or name, and refused in one line where it is of no use."""

from pathlib import Path

import pytest

from derm.errors import UserError
from derm.heads.metadata import MetadataEncoding
from derm.known import known_of

ENCODING = MetadataEncoding(
    age=(50.0, 52.0, 10.0),
    categories={"sex": ["female", "male"], "body_site": ["back", "scalp"]},
    usual={"sex": "male", "body_site": "back"},
    missing=False,
)
FILES = [Path("ward/1.jpg"), Path("ward/2.png"), Path("other/3.jpg")]


def csv(folder: Path, text: str) -> Path:
    path = folder / "known.csv"
    path.write_text(text)
    return path


def test_without_a_table_nothing_is_known_and_a_head_that_asks_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    nothing = [["", "", ""]] * 3
    for encoding in (None, ENCODING):
        known = known_of(FILES, None, encoding)
        assert list(known) == ["age", "sex", "body_site"] and known.to_numpy().tolist() == nothing
        told = capsys.readouterr()
        assert told.out == ""
        assert ("give them by --metadata" in told.err and told.err.count("\n") == 1) == (encoding is not None)


def test_rows_are_found_by_path_by_name_and_by_name_without_ending(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = csv(tmp_path, "image,sex,age,body_site\n3,male,70,scalp\nward/1.jpg,female,40,\n2.png,,,back\nx,,9,\n")
    known = known_of(FILES, table, ENCODING)
    assert known.to_numpy().tolist() == [["40", "female", ""], ["", "", "back"], ["70", "male", "scalp"]]
    assert list(known.index) == [0, 1, 2]
    assert capsys.readouterr().err == ""


def test_the_path_goes_before_the_name(tmp_path: Path) -> None:
    files = [Path("a/1.jpg"), Path("b/1.jpg"), Path("a/1.jpg")]
    known = known_of(files, csv(tmp_path, "image,age\n1.jpg,40\na/1.jpg,50\n1,60\n"), ENCODING)
    assert list(known["age"]) == ["50", "40", "50"]


def test_columns_and_files_that_are_not_in_the_table_are_unknown_and_it_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    known = known_of(FILES, csv(tmp_path, "image;sex;diagnosis\n2; female ;mel\n"), ENCODING)
    assert known.to_numpy().tolist() == [["", "", ""], ["", "female", ""], ["", "", ""]]
    told = capsys.readouterr().err
    assert "known.csv says nothing of 2 of the 3 images" in told and told.count("\n") == 1


def test_a_path_may_begin_with_the_current_folder(tmp_path: Path) -> None:
    known = known_of([Path("./ward/1.jpg")], csv(tmp_path, "image,age\n./ward/1.jpg,40\n"), ENCODING)
    assert list(known["age"]) == ["40"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "is empty"),
        ("name,age\n1,5\n", "no column image"),
        ("image,diagnosis\n1,mel\n", "expected one or more of the columns age, sex, body_site beside image"),
        ("image,age\n1,40\n2,50\n1,60\n", "line 4: image '1' stands there twice"),
        ("image,age\n1,40\n2,old\n", "line 3: age is 'old', expected years or nothing"),
        ("image,age\n1,-1\n", "line 2: age is '-1'"),
        ("image,age\n1,121\n", "line 2: age is '121'"),
        ("image,age\n1,nan\n", "line 2: age is 'nan'"),
        ("image,age\n\n1,inf\n", "line 3: age is 'inf'"),
        ("image,sex\n1,\n2,Female\n", "line 3: sex is 'Female', expected one of female, male, or nothing"),
        ("image,body_site\n1,knee\n", "line 2: body_site is 'knee', expected one of back, scalp, or nothing"),
        ("image,age\n9,40\n", r"none of its images is among those to predict \(such as 1.jpg\)"),
    ],
)
def test_a_table_of_no_use_is_one_line(tmp_path: Path, text: str, told: str) -> None:
    table = csv(tmp_path, text)
    with pytest.raises(UserError, match=told) as refused:
        known_of(FILES, table, ENCODING)
    assert str(table) in str(refused.value) and "\n" not in str(refused.value)


def test_a_missing_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"gone\.csv is missing"):
        known_of(FILES, tmp_path / "gone.csv", ENCODING)


def test_a_head_that_looks_at_images_only_takes_no_table(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="looks at images only; leave it out"):
        known_of(FILES, csv(tmp_path, "image,age\n1,40\n"), None)


@pytest.mark.parametrize("name", ["1.jpg", "1"])
def test_one_row_for_two_files_of_the_same_name_is_refused(tmp_path: Path, name: str) -> None:
    """They may be of different people; the same file twice is one."""
    files = [Path("a/1.jpg"), Path("b/1.jpg")]
    table = csv(tmp_path, f"image,age\n{name},40\n")
    with pytest.raises(UserError, match=f"image '{name}' could be a/1.jpg or b/1.jpg: give its path"):
        known_of(files, table, ENCODING)
    assert list(known_of(files[:1] * 2, table, ENCODING)["age"]) == ["40", "40"]


def test_a_column_that_the_head_does_not_know_is_passed_over(tmp_path: Path) -> None:
    """No training image had a sex."""
    encoding = ENCODING.model_copy(update={"categories": {"body_site": ["back"]}, "usual": {"body_site": "back"}})
    known = known_of(FILES, csv(tmp_path, "image,sex,age\n1,anything,40\n"), encoding)
    assert encoding.encode(known).shape == (3, 2)


def test_ages_at_the_ends_are_taken(tmp_path: Path) -> None:
    known = known_of(FILES, csv(tmp_path, "image,age\n1,0\n2,120\n3,37.5\n"), ENCODING)
    assert list(known["age"]) == ["0", "120", "37.5"]

"""What a module does decides its digest, not how that is written down."""

from pathlib import Path

import pytest

from derm.encoders import code_digest as module
from derm.encoders.code_digest import code_digest

CODE = '''"""What it does."""

LIMIT = 3


def double(value: float) -> float:
    """Twice the value."""
    return 2 * value
'''


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(module, "DERM", tmp_path)
    (tmp_path / "a.py").write_text(CODE)
    (tmp_path / "b.py").write_text("X = 1\n")
    return tmp_path


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("LIMIT = 3", "# why three\nLIMIT = 3  # because"),
        ('"""What it does."""', '"""Another text."""'),
        ('    """Twice the value."""\n', ""),
        ("return 2 * value", "return (\n        2 * value\n    )"),
        ("\n\n\ndef", "\ndef"),
    ],
)
def test_comment_docstring_and_layout_change_nothing(old: str, new: str, package: Path):
    before = code_digest(["a.py"])
    assert CODE.replace(old, new) != CODE
    (package / "a.py").write_text(CODE.replace(old, new))
    assert code_digest(["a.py"]) == before and len(before) == 64


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("LIMIT = 3", "LIMIT = 4"),
        ("LIMIT = 3", "LIMIT = 3.0"),
        ("LIMIT = 3", "LIMIT = '3'"),
        ("LIMIT", "BOUND"),
        ("2 * value", "value * 2"),
        ("2 * value", "2 + value"),
        ("2 * value", "-2 * value"),
        ("return 2 * value", "return None"),
        ("value: float)", "value: float = 1)"),
    ],
)
def test_what_it_does_changes_it(old: str, new: str, package: Path):
    before = code_digest(["a.py"])
    (package / "a.py").write_text(CODE.replace(old, new))
    assert code_digest(["a.py"]) != before


def test_order_of_modules_does_not_count_and_their_names_do(package: Path):
    assert code_digest(["a.py", "b.py"]) == code_digest(["b.py", "a.py"]) != code_digest(["a.py"])
    before = code_digest(["b.py"])
    (package / "b.py").rename(package / "c.py")
    assert code_digest(["c.py"]) != before

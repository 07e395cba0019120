"""The same content gives the same bytes, and a file is whole or absent."""

import json
import os
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from derm.errors import UserError
from derm.files import (
    canonical_json,
    file_digest,
    read_csv,
    read_json,
    read_tensors,
    write_bytes,
    write_csv,
    write_json,
    write_tensors,
)


def test_json_bytes_are_written_out_by_hand(tmp_path: Path) -> None:
    content = {"b": [1, 0.12345649, {"d": True, "c": None}], "a": {"ü": "é", "n": 1e-9}, "c": -0.0}
    write_json(tmp_path / "a.json", content)
    assert (tmp_path / "a.json").read_bytes() == (
        '{\n  "a": {\n    "n": 0.0,\n    "ü": "é"\n  },\n  "b": [\n    1,\n    0.123456,\n'
        '    {\n      "c": null,\n      "d": true\n    }\n  ],\n  "c": 0.0\n}\n'
    ).encode()


def test_json_ignores_the_order_of_keys_and_the_sign_of_zero(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"x": {"one": 1.0, "two": -0.0}, "y": -4e-7})
    write_json(tmp_path / "b.json", {"y": 0.0, "x": {"two": 0.0, "one": 1.00000004}})
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf"), np.float64("nan")])
def test_json_refuses_what_is_not_a_number_and_names_the_key(tmp_path: Path, number: float) -> None:
    with pytest.raises(ValueError, match=r"m\.json: test: melanoma: auc is -?(nan|inf)"):
        write_json(tmp_path / "m.json", {"test": {"melanoma": {"auc": number}}})
    assert list(tmp_path.iterdir()) == []


def test_json_keeps_whole_numbers_of_numpy_whole(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"count": np.int64(3), "yes": np.bool_(True)})
    content = read_json(tmp_path / "a.json")
    assert json.dumps(content) == '{"count": 3, "yes": true}'


def test_canonical_json() -> None:
    assert canonical_json({"b": [1, 2], "a": {"d": 0.1, "c": None}}) == '{"a":{"c":null,"d":0.1},"b":[1,2]}'
    with pytest.raises(ValueError):
        canonical_json({"a": float("nan")})


def test_csv_bytes_are_written_out_by_hand(tmp_path: Path) -> None:
    table = pd.DataFrame(
        {"image": ["a,b", 'q"q', "é"], "p": [0.1, 1 / 3, np.nan], "n": [1, 2, 3], "t": ["", None, "x"]}
    )
    write_csv(tmp_path / "t.csv", table)
    expected = 'image,p,n,t\n"a,b",0.100000,1,\n"q""q",0.333333,2,\né,,3,x\n'
    assert (tmp_path / "t.csv").read_bytes() == expected.encode()


def test_csv_is_read_as_text_unless_told(tmp_path: Path) -> None:
    write_csv(tmp_path / "t.csv", pd.DataFrame({"id": ["007", "NA", ""], "age": [1, 2, 3]}))
    table = read_csv(tmp_path / "t.csv", age=int)
    assert list(table["id"]) == ["007", "NA", ""]
    assert table["age"].sum() == 6


def test_csv_has_no_negative_zero(tmp_path: Path) -> None:
    write_csv(tmp_path / "a.csv", pd.DataFrame({"x": [-0.0, -1e-9]}))
    write_csv(tmp_path / "b.csv", pd.DataFrame({"x": [0.0, 1e-9]}))
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()


def test_tensors_have_the_same_bytes_in_any_order_and_one_metadata_key(tmp_path: Path) -> None:
    one, two = np.arange(6, dtype=np.float16).reshape(2, 3), np.arange(4, dtype=np.int64)
    write_tensors(tmp_path / "a.safetensors", {"one": one, "two": two}, {"x": 1, "y": {"b": 2, "a": 3}})
    write_tensors(tmp_path / "b.safetensors", {"two": two, "one": one}, {"y": {"a": 3, "b": 2}, "x": 1})
    content = (tmp_path / "a.safetensors").read_bytes()
    assert content == (tmp_path / "b.safetensors").read_bytes()
    # The file format: 8 bytes with the header's length, then the header as JSON.
    header = json.loads(content[8 : 8 + struct.unpack("<Q", content[:8])[0]])
    assert header["__metadata__"] == {"manifest": '{"x":1,"y":{"a":3,"b":2}}'}


def test_tensors_come_back_also_if_they_were_not_contiguous(tmp_path: Path) -> None:
    array = np.arange(24, dtype=np.float32).reshape(4, 6)
    tensors = {"turned": array.T, "stepped": array[::2, 1::2], "empty": array[:0]}
    write_tensors(tmp_path / "a.safetensors", tensors, {"k": [1.5, "é"]})
    back, manifest = read_tensors(tmp_path / "a.safetensors")
    assert manifest == {"k": [1.5, "é"]}
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(back[name], tensor)
        assert back[name].dtype == np.float32


def test_digest_is_the_one_of_sha256sum(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")  # the first example of FIPS 180-2
    assert file_digest(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    path = tmp_path / "a.json"
    write_bytes(path, b"old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os if step == "fsync" else Path, step, full)
    with pytest.raises(OSError, match="No space"):
        write_bytes(path, b"new and longer")
    assert path.read_bytes() == b"old"


def test_write_makes_folders_and_leaves_nothing_else_behind(tmp_path: Path) -> None:
    write_bytes(tmp_path / "a/b/c.txt", b"x")
    write_bytes(tmp_path / "a/b/c.txt", b"y")
    assert [(path.name, path.read_bytes()) for path in (tmp_path / "a/b").iterdir()] == [("c.txt", b"y")]


def _line(read: Callable[[Path], object], path: Path) -> str:
    with pytest.raises(UserError) as caught:
        read(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("read", [read_json, read_csv, read_tensors])
def test_a_missing_file_is_named(tmp_path: Path, read: Callable[[Path], object]) -> None:
    assert _line(read, tmp_path / "gone.file").startswith(f"{tmp_path / 'gone.file'} is missing")


@pytest.mark.parametrize("content", [b"", b"{", b'{"a": 1', b"\xff\xfe"])
def test_damaged_json_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.json").write_bytes(content)
    assert str(tmp_path / "a.json") in _line(read_json, tmp_path / "a.json")


@pytest.mark.parametrize("damage", ["empty", "cut", "header"])
def test_damaged_tensors_are_named(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "a.safetensors"
    write_tensors(path, {"x": np.ones(100)}, {})
    content = path.read_bytes()
    path.write_bytes({"empty": b"", "cut": content[:-8], "header": b"\xff" * 16 + content[16:]}[damage])
    assert str(path) in _line(read_tensors, path)


@pytest.mark.parametrize("content", [b"", b"a,b\n1,2\n1,2,3\n", b"a,b\n\xff\xfe,2\n"])
def test_damaged_csv_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.csv").write_bytes(content)
    assert str(tmp_path / "a.csv") in _line(read_csv, tmp_path / "a.csv")


def test_csv_with_a_cell_of_another_type_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("target\n1\nx\n")
    assert str(tmp_path / "a.csv") in _line(lambda path: read_csv(path, target=int), tmp_path / "a.csv")

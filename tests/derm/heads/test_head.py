"""Standardisation, the file and what is refused."""

import json
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.preprocessing import StandardScaler

from derm.errors import UserError
from derm.files import read_tensors, write_tensors
from derm.heads.head import Head, head_logits, image_logits, read_head, write_head
from tests.derm.heads.data import data, table


def test_standardisation_is_that_of_scikit_learn_on_the_training_part() -> None:
    features, other = table(50, 1)[0], table(20, 2)[0] + 5
    head = Head(8, [], 3, 0.0)
    head.fit_standardisation(features)
    expected = np.asarray(StandardScaler().fit(features).transform(other))
    actual = head.double().standardise(torch.from_numpy(other))
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-4)


def test_a_constant_feature_keeps_its_scale() -> None:
    head = Head(2, [], 2, 0.0)
    head.fit_standardisation(np.array([[3.0, 0.0], [3.0, 2.0]]))
    assert head.mean.tolist() == [3.0, 1.0]
    assert head.scale.tolist() == [1.0, 1.0]
    assert torch.isfinite(head(torch.tensor([[4.0, 1.0]]))).all()


def test_logits_of_a_linear_head_by_hand() -> None:
    head = Head(2, [], 2, 0.0)
    head.fit_standardisation(np.array([[0.0, 10.0], [4.0, 30.0]]))  # means 2 and 20, scales 2 and 10
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.copy_(torch.tensor([[1.0, 0.0], [1.0, -2.0]] if parameter.ndim == 2 else [0.5, 0.0]))
    logits = head_logits(head, np.array([[4.0, 10.0], [2.0, 20.0]], dtype=np.float16))
    np.testing.assert_allclose(logits, [[1.5, 3.0], [0.5, 0.0]])
    assert logits.dtype == np.float64


def test_an_images_logits_are_the_mean_over_its_views() -> None:
    head = Head(2, [3], 2, 0.0)
    views = np.random.default_rng(0).normal(size=(4, 5, 2))
    expected = [[head_logits(head, view[None])[0] for view in image] for image in views]
    np.testing.assert_allclose(image_logits(head, views), np.mean(expected, axis=1))


def test_dropout_is_off_when_logits_are_asked_for() -> None:
    head = Head(8, [32], 3, 0.9).train()
    features = table(10, 1)[0]
    np.testing.assert_array_equal(head_logits(head, features), head_logits(head, features))


@pytest.mark.parametrize("hidden", [[], [5], [6, 4]])
def test_what_is_written_is_read(tmp_path: Path, hidden: list[int]) -> None:
    head = Head(8, hidden, 3, 0.25)
    head.fit_standardisation(data().train_features)
    path = tmp_path / "head.safetensors"
    write_head(head, path)
    before = path.read_bytes()
    back = read_head(path)
    assert not back.training
    assert back.shape == {"dim": 8, "hidden": hidden, "classes": 3, "dropout": 0.25}
    np.testing.assert_allclose(head_logits(back, table(9, 5)[0]), head_logits(head, table(9, 5)[0]), rtol=1e-5)
    write_head(back, path)
    assert path.read_bytes() == before


def test_the_file_has_one_metadata_key_and_float32_tensors(tmp_path: Path) -> None:
    write_head(Head(4, [3], 2, 0.5).double(), tmp_path / "h.safetensors")
    content = (tmp_path / "h.safetensors").read_bytes()
    header = json.loads(content[8 : 8 + struct.unpack("<Q", content[:8])[0]])
    manifest = json.loads(header.pop("__metadata__")["manifest"])
    assert manifest == {"classes": 2, "dim": 4, "dropout": 0.5, "hidden": [3]}
    assert {entry["dtype"] for entry in header.values()} == {"F32"}
    assert sorted(entry["shape"] for entry in header.values()) == [[2], [2], [2, 3], [3], [3, 4], [4], [4]]


def refusal(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        read_head(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_missing_or_cut_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "head.safetensors"
    assert str(path) in refusal(path)
    write_head(Head(8, [], 3, 0.0), path)
    path.write_bytes(path.read_bytes()[:-4])
    assert str(path) in refusal(path)


@pytest.mark.parametrize("damage", ["manifest", "tensors"])
def test_a_file_that_is_no_head_is_named(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "head.safetensors"
    write_head(Head(8, [], 3, 0.0), path)
    tensors, manifest = read_tensors(path)
    if damage == "manifest":
        manifest = {"encoder": "colour-texture"}
    else:
        del tensors["mean"]
    write_tensors(path, tensors, manifest)
    assert str(path) in refusal(path)

"""Standardisation, fusion, ensembles, the file, and what is refused."""

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.special import log_softmax, logsumexp
from sklearn.preprocessing import StandardScaler

from derm.embedding.features import Features
from derm.errors import UserError
from derm.files import read_tensors, write_tensors
from derm.heads.head import (
    BESIDE,
    HEAD,
    LIMIT,
    Head,
    Member,
    head_file,
    head_names,
    pool_samples,
    read_head,
    write_head,
)
from derm.heads.inputs import Inputs
from derm.heads.metadata import MetadataEncoding, fit_metadata
from derm.heads.predict import image_logits, member_logits
from derm.heads.registry import fit_of, head_kind
from tests.derm.heads.data import head_params, inputs, random_head, shape, table

TYPES = ["linear", "mlp", "acrnn", "attention_pool", "knn"]
SMALL: dict[str, Any] = {
    **{"hidden": [5, 4], "convolution": 5, "lstm": 4, "attention": 3, "queries": 2, "query_width": 3},
    **{"metadata_hidden": [6], "neighbours": 4},
}
PEOPLE = pd.DataFrame({"age": ["40", "60", ""], "sex": ["male", "", "female"], "body_site": ["back", "back", "scalp"]})


def encoding() -> MetadataEncoding:
    return fit_metadata(PEOPLE, missing=False)


def given_to(kind: str, count: int = 6, metadata: bool = False, views: int = 2) -> Inputs:
    generator = np.random.default_rng(4)
    patches = (4,) if head_kind(kind).reads == "tokens" else ()
    known = generator.normal(size=(count, len(encoding().columns))) if metadata else None
    return inputs(generator.normal(size=(count, views, *patches, 8)), known)


def test_standardisation_is_that_of_scikit_learn_on_the_training_part() -> None:
    features, other = table(50, 1)[0], table(20, 2)[0] + 5
    member = Member(shape(8, 3)).double()
    member.set_standardisation(*inputs(features[:, None]).moments())
    expected = np.asarray(StandardScaler().fit(features).transform(other))
    assert (np.abs(expected) > LIMIT).any() and (np.abs(expected) < LIMIT).any()
    expected = expected.clip(-LIMIT, LIMIT)
    np.testing.assert_allclose(member.standardise(torch.from_numpy(other)), expected, rtol=1e-9, atol=1e-9)


def test_one_image_in_which_a_sleeping_channel_moves_has_no_logit_of_hundreds() -> None:
    """A real case: a histogram bin with a deviation of 2e-5 in training was 0.5 in one image of the calibration part,
    whose logit of 224 alone then set the temperature."""
    member = Member(shape(2, 2)).double()
    member.set_standardisation(np.zeros(2), np.array([2.3e-5, 1.0]))
    assert member.standardise(torch.tensor([[0.5, 0.5], [-0.5, 2.0]])).tolist() == [[LIMIT, 0.5], [-LIMIT, 2.0]]


def test_a_constant_feature_keeps_its_scale() -> None:
    member = Member(shape(2, 2))
    member.set_standardisation(np.array([3.0, 1.0]), np.array([0.0, 2.0]))
    assert member.mean.tolist() == [3.0, 1.0] and member.scale.tolist() == [1.0, 2.0]
    assert torch.isfinite(member(torch.tensor([[4.0, 1.0]]))).all()


def test_logits_of_a_linear_head_by_hand() -> None:
    head = Head(shape(2, 2))
    member = head.members[0]
    assert isinstance(member, Member)
    member.set_standardisation(np.array([2.0, 20.0]), np.array([2.0, 10.0]))
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.copy_(torch.tensor([[1.0, 0.0], [1.0, -2.0]] if parameter.ndim == 2 else [0.5, 0.0]))
    given = inputs(np.array([[[4.0, 10.0]], [[2.0, 20.0]]], dtype=np.float16))
    features = given.features(slice(None), 0, torch.float32)
    np.testing.assert_allclose(head(features).detach(), [[1.5, 3.0], [0.5, 0.0]])
    # what weights and sampling added by design is taken off
    head.logit_offset.copy_(torch.tensor([0.25, -1.0]))
    np.testing.assert_allclose(image_logits(head, given), [[1.25, 4.0], [0.25, 1.0]])
    assert image_logits(head, given).dtype == np.float64


WIDTHS = {"linear": 8, "mlp": 4, "acrnn": 3, "attention_pool": 6}


@pytest.mark.parametrize("kind", WIDTHS)
def test_fusion_puts_both_side_by_side_before_one_output_layer(kind: str) -> None:
    """The logits are what the image's part of the output layer gives, what the metadata's part gives, and the bias."""
    head = random_head(shape(8, 3, type=kind, metadata=True, encoding=encoding(), **SMALL)).double()
    member = head.members[0]
    assert isinstance(member, Member) and member.metadata is not None and member.body is not None
    assert isinstance(member.output, torch.nn.Linear)
    assert (member.output.in_features, member.output.out_features) == (WIDTHS[kind] + 6, 3)
    given = given_to(kind, metadata=True)
    features, known = given.features(slice(None), 0, torch.float64), given.known(slice(None), torch.float64)
    weight, offset = member.output.weight, head.logit_offset
    image, person = member.body(member.standardise(features)), member.metadata(known)
    expected = image @ weight[:, : WIDTHS[kind]].T + person @ weight[:, WIDTHS[kind] :].T + member.output.bias - offset
    torch.testing.assert_close(head(features, known), expected)
    assert known is not None  # both count
    assert (head(features, known.flip(0)) - head(features, known)).abs().max() > 0.01
    assert (head(features.flip(0), known) - head(features, known)).abs().max() > 0.01
    with pytest.raises(ValueError, match="needs metadata"):
        head(features)


@pytest.mark.parametrize("kind", WIDTHS)
def test_metadata_alone_do_not_look_at_the_image(kind: str) -> None:
    head = random_head(shape(8, 3, type=kind, metadata=True, encoding=encoding(), image=False, **SMALL))
    member = head.members[0]
    assert isinstance(member, Member) and member.body is None and isinstance(member.output, torch.nn.Linear)
    assert member.output.in_features == 6
    given = given_to(kind, metadata=True)
    other = Inputs(given.source * 7 - 3, given.rows, given.metadata)
    np.testing.assert_array_equal(image_logits(head, given), image_logits(head, other))
    assert np.ptp(image_logits(head, given), axis=0).max() > 0.01


def test_the_metadata_branch_is_shaped_by_its_own_params() -> None:
    changes = SMALL | {"metadata_hidden": [7, 2], "batch_norm": True, "dropout": 0.4}
    head = random_head(shape(8, 3, type="mlp", metadata=True, encoding=encoding(), **changes))
    branch = head.members[0].metadata
    assert isinstance(branch, torch.nn.Module)
    shapes = [tuple(layer.weight.shape) for layer in branch.modules() if isinstance(layer, torch.nn.Linear)]
    assert shapes == [(7, len(encoding().columns)), (2, 7)]
    assert sum(isinstance(layer, torch.nn.BatchNorm1d) for layer in branch.modules()) == 2


def test_an_ensemble_tells_the_logarithm_of_its_members_mean_probability() -> None:
    head = random_head(shape(8, 3, type="mlp", members=3, **SMALL))
    given = given_to("mlp", views=1)
    each = []
    for number in range(3):
        alone = random_head(shape(8, 3, type="mlp", **SMALL))
        alone.members[0] = head.members[number]
        alone.logit_offset.zero_()
        each.append(image_logits(alone, given) - head.logit_offset.numpy())
    np.testing.assert_allclose(member_logits(head, given), each, rtol=1e-9)
    assert np.ptp(each, axis=0).max() > 0.1
    expected = logsumexp(log_softmax(each, axis=2), axis=0) - np.log(3)
    np.testing.assert_allclose(image_logits(head, given), expected, rtol=1e-9)
    np.testing.assert_allclose(np.exp(expected).sum(axis=1), 1)


def test_one_sample_keeps_its_logits() -> None:
    samples = torch.randn(1, 4, 3)
    assert torch.equal(pool_samples(samples), samples[0])


def test_the_table_of_images_becomes_inputs() -> None:
    """By image id, whatever the order, and with the metadata of the head's own encoding."""
    ids = ["c", "a", "b"]
    features = Features(np.random.default_rng(0).normal(size=(3, 2, 8)).astype(np.float16), ids, {})
    images = PEOPLE.assign(image_id=["b", "c", "a"], diagnosis="mel")
    fused = random_head(shape(8, 3, metadata=True, encoding=encoding(), **SMALL)).inputs(features, images)
    np.testing.assert_array_equal(fused.pooled(), features.pooled[[2, 0, 1]])
    np.testing.assert_array_equal(fused.metadata, encoding().encode(PEOPLE))
    assert random_head(shape(8, 3)).inputs(features, images).metadata is None
    with pytest.raises(UserError, match=r"features\.tokens=true"):
        random_head(shape(8, 3, type="acrnn", **SMALL)).inputs(features, images)
    with pytest.raises(UserError, match="no features of image d"):
        random_head(shape(8, 3)).inputs(features, images.assign(image_id=["b", "c", "d"]))


def test_only_metadata_turn_a_convex_problem_into_another() -> None:
    assert [fit_of(head_params(type=kind)) for kind in TYPES] == [
        *("convex", "gradient", "gradient", "gradient", "neighbours")
    ]
    assert fit_of(head_params(type="linear", metadata=True)) == "gradient"
    assert [head_kind(kind).reads for kind in TYPES] == ["pooled", "pooled", "tokens", "tokens", "pooled"]


def test_heads_beside_are_named_where_they_are(workspace: Path) -> None:
    head = random_head(shape(8, 3))
    write_head(head, head_file())
    assert head_names() == [HEAD]
    for name in BESIDE:
        write_head(head, head_file(name))
    assert head_names() == ["head", "image_only", "metadata_only"]
    assert sorted(path.name for path in Path("models/head").iterdir()) == [
        *("head.safetensors", "image_only.safetensors", "metadata_only.safetensors")
    ]


@pytest.mark.parametrize("members", [1, 3])
@pytest.mark.parametrize("metadata", [False, True])
@pytest.mark.parametrize("kind", TYPES)
def test_what_is_written_is_read(tmp_path: Path, kind: str, metadata: bool, members: int) -> None:
    if kind == "knn" and metadata:
        return  # it is refused
    changes: dict[str, Any] = {"metadata": True, "encoding": encoding()} if metadata else {}
    changes |= {"bank": 12} if kind == "knn" else {}
    head = random_head(shape(8, 3, type=kind, members=members, batch_norm=True, **SMALL, **changes))
    path = tmp_path / "head.safetensors"
    write_head(head, path)
    before = path.read_bytes()
    back = read_head(path)
    assert not back.training and back.shape == head.shape
    given = given_to(kind, metadata=metadata)
    np.testing.assert_allclose(member_logits(back, given), member_logits(head, given), rtol=1e-9)
    write_head(back, path)  # in float64 by now
    assert path.read_bytes() == before


def test_the_file_has_one_metadata_key_and_float32_tensors(tmp_path: Path) -> None:
    given = shape(4, 2, type="mlp", hidden=[3], dropout=0.5)
    write_head(Head(given).double(), tmp_path / "h.safetensors")
    content = (tmp_path / "h.safetensors").read_bytes()
    header = json.loads(content[8 : 8 + struct.unpack("<Q", content[:8])[0]])
    manifest = json.loads(header.pop("__metadata__")["manifest"])
    assert set(manifest) == {"params", "channels", "classes", "image", "encoding", "bank", "members"}
    assert manifest["params"] == head_params(type="mlp", hidden=[3], dropout=0.5).model_dump()
    assert {entry["dtype"] for entry in header.values()} == {"F32"}
    # offset, mean, scale, and weights and biases of two layers
    assert sorted(entry["shape"] for entry in header.values()) == [[2], [2], [2, 3], [3], [3, 4], [4], [4]]


def refusal(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        read_head(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_missing_or_cut_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "head.safetensors"
    assert str(path) in refusal(path)
    write_head(Head(shape(8, 3)), path)
    path.write_bytes(path.read_bytes()[:-4])
    assert str(path) in refusal(path)


@pytest.mark.parametrize("damage", ["manifest", "members", "type", "old", "missing", "more", "shape"])
def test_a_file_that_is_no_head_is_named(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "head.safetensors"
    write_head(Head(shape(8, 3)), path)
    tensors, manifest = read_tensors(path)
    match damage:
        case "manifest":
            manifest = {"encoder": "colour-texture"}
        case "members":
            manifest["members"] = 0
        case "type":
            manifest["params"]["type"] = "forest"
        case "old":
            manifest = {"dim": 8, "hidden": [], "classes": 3, "dropout": 0.0}
        case "missing":
            del tensors["members.0.mean"]
        case "more":
            tensors["members.1.mean"] = tensors["members.0.mean"]
        case "shape":
            manifest["channels"] = 9
    write_tensors(path, tensors, manifest)
    assert str(path) in refusal(path) and "dvc repro train_head" in refusal(path)

"""params.yaml is read as DVC reads it, and a mistake in it ends in one line."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import Field
from ruamel.yaml import YAML

from derm.errors import UserError
from derm.heads.params import HeadParams
from derm.losses import LossParams
from derm.params import Section, load, read_all
from derm.splits.params import SplitParams
from derm.training.params import TrainParams


class Knobs(Section):
    rate: float
    count: int
    name: str
    flags: list[bool] = Field(default=[])


SCALARS = """\
1e-4 1e-05 1.0E3 1e5 1e+5 1.e5 .5 5. -.5 +5 1.5E-3 -0 010 -7 0 1 1.0 .inf -.inf .nan
yes no on off y n Yes NO true True TRUE false False null ~ NULL 1:30 1:30:00 2020-01-01 1.2.3 e5 .e5 - 1- nan inf
0.1 100000000 1e400 abc 'yes' "1e-4" 12e 0.0001 -1E-2
"""


@pytest.mark.parametrize("text", SCALARS.split())
def test_scalars_are_what_dvc_takes_them_for(tmp_path: Path, text: str) -> None:
    """The oracle is ruamel.yaml's safe reader (YAML 1.2), which DVC uses."""
    path = tmp_path / "params.yaml"
    path.write_text(f"knob:\n  value: {text}\n" if text != "-" else "knob:\n  value: a - b\n")
    expected = YAML(typ="safe").load(path.read_text())["knob"]["value"]
    actual = read_all(path)["knob"]["value"]
    assert (type(actual), repr(actual)) == (type(expected), repr(expected))


def test_the_repositorys_own_params_are_what_dvc_takes_them_for() -> None:
    path = Path(__file__).parents[2] / "params.yaml"
    assert repr(read_all(path)) == repr(YAML(typ="safe").load(path.read_text()))


def read(tmp_path: Path, text: str, section: str = "knobs", model: type[Section] = Knobs) -> Any:
    (tmp_path / "params.yaml").write_text(text)
    return load(section, model, tmp_path / "params.yaml")


def refusal(tmp_path: Path, text: str, section: str = "knobs", model: type[Section] = Knobs) -> str:
    with pytest.raises(UserError) as caught:
        read(tmp_path, text, section, model)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_values_keep_their_types(tmp_path: Path) -> None:
    knobs = read(tmp_path, "knobs: {rate: 1e-4, count: 010, name: yes, flags: [true]}")
    assert (knobs.rate, knobs.count, knobs.name, knobs.flags) == (0.0001, 10, "yes", [True])
    assert read(tmp_path, "knobs: {rate: 2, count: 1, name: on}").rate == 2.0  # a whole number is a number


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{rate: abc, count: 1, name: x}", "knobs.rate is 'abc'"),
        ("{rate: true, count: 1, name: x}", "knobs.rate is True"),
        ("{rate: '1e-4', count: 1, name: x}", "knobs.rate is '1e-4'"),
        ("{rate: null, count: 1, name: x}", "knobs.rate is None"),
        ("{rate: 1, count: 1.5, name: x}", "knobs.count is 1.5"),
        ("{rate: 1, count: 1.0, name: x}", "knobs.count is 1.0"),
        ("{rate: 1, count: false, name: x}", "knobs.count is False"),
        ("{rate: 1, count: 1, name: 5}", "knobs.name is 5"),
        ("{rate: 1, count: 1, name: x, flags: [true, yes]}", "knobs.flags.1 is 'yes'"),
        ("{rate: 1, count: 1}", "knobs.name is missing"),
        ("{rate: 1, count: 1, name: x, rat: 2}", "knobs.rat is not a known key"),
        ("null", "knobs is None"),
        ("[1, 2]", "knobs is [1, 2]"),
    ],
)
def test_a_mistake_names_its_key(tmp_path: Path, text: str, told: str) -> None:
    message = refusal(tmp_path, f"knobs: {text}")
    assert message.startswith(f"{tmp_path / 'params.yaml'}: {told}")


def test_all_mistakes_of_a_section_are_told_at_once(tmp_path: Path) -> None:
    message = refusal(tmp_path, "knobs: {rate: x, count: y, nam: z}")
    assert all(part in message for part in ("knobs.rate", "knobs.count", "knobs.name is missing", "knobs.nam is not"))


def test_a_missing_section_is_named(tmp_path: Path) -> None:
    assert "section `knobs` is missing" in refusal(tmp_path, "other: {}")


@pytest.mark.parametrize(
    "text", ["a: [1", "a: b: c", "\ta: 1", "a: @x", "a: !!python/object/apply:os.getcwd []", "", "7"]
)
def test_what_is_not_yaml_is_told_with_the_file(tmp_path: Path, text: str) -> None:
    assert "params.yaml" in refusal(tmp_path, text)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"gone\.yaml is missing"):
        read_all(tmp_path / "gone.yaml")


def test_a_file_that_is_not_text_is_told(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_bytes(b"loss: {gamma: \xff}")
    with pytest.raises(UserError, match=r"params\.yaml"):
        read_all(tmp_path / "params.yaml")


SPLIT = (
    "scheme: {scheme}, val: {val}, calibration: 0.1, test: 0.2, folds: 5, fold: {fold}, seed: 1, rare: refuse, "
    "keep: '', keep_sha256: ''"
)


@pytest.mark.parametrize(("scheme", "val", "fold"), [("kfold", 0.1, 5), ("kfold", 0.1, 7), ("holdout", 0.7, 0)])
def test_split_params_that_contradict_each_other(tmp_path: Path, scheme: str, val: float, fold: int) -> None:
    text = f"split: {{{SPLIT.format(scheme=scheme, val=val, fold=fold)}}}"
    message = refusal(tmp_path, text, "split", SplitParams)
    assert ("folds count from 0" if fold else "val + calibration + test below 1") in message


LOSS = (
    "loss: {gamma: GAMMA, alpha: null, label_smoothing: 0.0, tau: 0.0, class_weights: none, effective_beta: 0.999, "
    "melanoma_boost: 1.0}"
)


@pytest.mark.parametrize("gamma", ["-1", ".nan", ".inf", "-1e-9", "two"])
def test_loss_params_out_of_range(tmp_path: Path, gamma: str) -> None:
    told = refusal(tmp_path, LOSS.replace("GAMMA", gamma), "loss", LossParams)
    assert "params.yaml: loss.gamma is" in told and ";" not in told


TRAIN = (
    "train: {seed: 1, members: 1, sampling: natural, l2: L2, max_iterations: 9, epochs: 1, batch_size: 2, "
    "learning_rate: RATE, least_learning_rate: 0, weight_decay: 0, schedule: cosine, warmup_epochs: 0, "
    "restart_epochs: 1, clip_norm: 0, mixup: 0, noise: 0, averaging: 0, monitor: loss, patience: 1}"
)


@pytest.mark.parametrize(
    ("l2", "rate"),
    [
        ("[]", "0.1"),
        ("[1]", "0.0"),
        ("[1]", ".nan"),
        pytest.param("[-1.0]", "0.1"),
        pytest.param("[1, .inf]", "0.1"),
        pytest.param("[.nan]", "0.1"),
        pytest.param("[1]", ".inf"),
    ],
)
def test_train_params_out_of_range(tmp_path: Path, l2: str, rate: str) -> None:
    told = refusal(tmp_path, TRAIN.replace("L2", l2).replace("RATE", rate), "train", TrainParams)
    assert "params.yaml: train.l" in told and ";" not in told


HEAD = (
    "head: {type: TYPE, hidden: HIDDEN, batch_norm: false, dropout: DROPOUT, input_dropout: 0, convolution: 1, "
    "lstm: 1, attention: 1, queries: 1, query_width: 1, neighbours: 1, sharpness: 0.1, metadata: false, "
    "metadata_hidden: [], metadata_dropout: 0, metadata_missing: false}"
)


@pytest.mark.parametrize(
    ("kind", "hidden", "dropout", "key"),
    [("forest", "[]", "0.5", "type"), ("mlp", "[8, 0]", "0.5", "hidden.1"), ("mlp", "[]", "1.0", "dropout")],
)
def test_head_params_out_of_range(tmp_path: Path, kind: str, hidden: str, dropout: str, key: str) -> None:
    text = HEAD.replace("TYPE", "mlp").replace("HIDDEN", "[8, 4]").replace("DROPOUT", "0")
    assert read(tmp_path, text, "head", HeadParams).hidden == [8, 4]
    text = HEAD.replace("TYPE", kind).replace("HIDDEN", hidden).replace("DROPOUT", dropout)
    told = refusal(tmp_path, text, "head", HeadParams)
    assert f"params.yaml: head.{key} is" in told and ";" not in told

"""The stage: joined encoders side by side, a share alone, tokens, external sets."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from safetensors import safe_open

from derm import journal
from derm.embedding.features import EXTERNAL_FEATURES, FEATURES, read_features
from derm.embedding.views import view_names
from derm.errors import UserError
from derm.files import write_csv
from derm.image_table import COLUMNS
from stages import featurize
from tests.closure import ROOT
from tests.derm.embedding.fake import Fake, embed, write_images


class Stage:
    """A workspace with 20 images at home, 5 in the external set `away`, and the params of the repository."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self._patch = folder, monkeypatch
        self.home = write_images(folder / "images", 20)
        self.away = write_images(folder / "away", 5, seed=3)
        for table, (paths, digests) in (("prepared", self.home), ("external/away", self.away)):
            rows = pd.DataFrame("", index=range(len(paths)), columns=COLUMNS).assign(
                image_id=[f"{Path(path).parent.name}{number}" for number, path in enumerate(paths)],
                path=paths, sha256=digests, width=8, height=8,
            )  # fmt: skip
            write_csv(folder / "data" / table / "images.csv", rows)
        write_csv(folder / "data/external/sets.csv", pd.DataFrame({"name": ["away"]}))

    def run(self, *fakes: Fake, **changes: object) -> None:
        params = yaml.safe_load((ROOT / "params.yaml").read_text())
        params["features"] |= changes
        params["encoder"]["name"] = "+".join(f"timm/{fake.encoder.manifest['encoder']}" for fake in fakes)
        params["encoder"]["weights"] = "random"
        (self.folder / "params.yaml").write_text(yaml.safe_dump(params))
        self._patch.setattr(featurize, "build_current", lambda params: [fake.encoder for fake in fakes])
        featurize.main()


@pytest.fixture
def stage(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    monkeypatch.setenv("DERM_DEVICE", "cpu")
    return Stage(workspace, monkeypatch)


def test_joined_encoders_stand_side_by_side_in_their_order(stage: Stage) -> None:
    negative = Fake(name="b")
    negative.maps.kernel = -negative.maps.kernel
    stage.run(Fake(name="a"), negative, views=2)
    features = read_features(FEATURES)
    assert features.pooled.shape == (20, 2, 10)
    assert features.manifest == {
        "encoders": [{"encoder": "a"}, {"encoder": "b"}],
        "dims": [5, 5],
        "batch_size": [8, 8],
        "device": "cpu",
        "views": ["identity", "flip_horizontal"],
    }
    alone = [embed(fake, stage.home, views=view_names(2)) for fake in (Fake(name="a"), Fake(name="b"))]
    assert [done.computed for done in alone] == [0, 0]  # each is cached by itself
    np.testing.assert_array_equal(features.pooled, np.concatenate([done.features for done in alone], axis=2))
    assert not np.array_equal(features.pooled[..., :5], features.pooled[..., 5:])
    external = read_features(EXTERNAL_FEATURES / "away")
    assert (external.pooled.shape, external.image_ids[4]) == ((5, 2, 10), "away4")
    assert (EXTERNAL_FEATURES / "sets.csv").read_text() == "name\naway\n"


def test_the_journal_says_how_fast_and_where_the_time_went(stage: Stage) -> None:
    stage.run(Fake(seconds=0.01))
    events = [event for event in journal.read() if event["event"] == "embedded"]
    assert [(event["stage"], event["images"], event["computed"]) for event in events] == [
        ("featurize", 20, 20),
        ("featurize", 5, 5),
    ]
    first = events[0]
    assert (first["encoder"], first["device"], first["batch_size"]) == ("fake", "cpu", 8)
    assert first["images_per_second"] == pytest.approx(20 / first["seconds"])
    assert first["forward_seconds"] >= 0.03
    assert {"read_seconds", "decode_seconds", "write_seconds"} <= set(first)


def test_a_share_fills_the_cache_and_writes_nothing_else(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fakes = [Fake(), Fake(), Fake()]
    for number, fake in enumerate(fakes[:2], start=1):
        monkeypatch.setenv("DERM_PARTITION", f"{number}/2")
        stage.run(fake)
    assert "nothing else is written" in capsys.readouterr().out
    assert not FEATURES.exists() and not EXTERNAL_FEATURES.exists()
    assert [len(fake.transformed) for fake in fakes] == [13, 12, 0]
    monkeypatch.delenv("DERM_PARTITION")
    stage.run(fakes[2])
    assert len(fakes[2].transformed) == 0
    assert read_features(FEATURES).pooled.shape == (20, 1, 5)


def test_tokens_are_written_beside_the_features(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    stage.run(Fake(), tokens=True, token_pooling=2)
    assert "patch tokens take" in capsys.readouterr().out
    features = read_features(FEATURES)
    assert features.tokens is not None and features.tokens.shape == (20, 1, 9, 5)
    assert features.manifest["token_pooling"] == 2
    with safe_open(FEATURES / "tokens.safetensors", framework="numpy") as archive:
        assert json.loads(archive.metadata()["manifest"])["token_pooling"] == 2
        np.testing.assert_array_equal(archive.get_tensor("tokens"), features.tokens)
    assert read_features(EXTERNAL_FEATURES / "away").tokens is not None
    assert sorted(path.name for path in FEATURES.iterdir()) == [
        "features.safetensors",
        "rows.csv",
        "tokens.safetensors",
    ]


def test_tokens_of_joined_encoders_are_refused(stage: Stage) -> None:
    with pytest.raises(UserError, match=r"features\.tokens .* joins several"):
        stage.run(Fake(name="a"), Fake(name="b"), tokens=True)


def test_two_runs_write_the_same_bytes_cached_or_not(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    contents = []
    for cache in ("", "", "elsewhere"):
        monkeypatch.setenv("DVC_ROOT", str(stage.folder / cache))
        (stage.folder / cache).mkdir(exist_ok=True)
        stage.run(Fake(), tokens=True, views=3)
        contents.append({path.name: path.read_bytes() for path in FEATURES.iterdir()})
    assert contents[0] == contents[1] == contents[2]
    assert len(contents[0]) == 3


def test_a_halved_batch_stands_in_the_manifest_and_holds_for_external_sets(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("derm.embedding.job.forward_batch_size", lambda device, asked: asked)
    small = Fake(memory=4)
    stage.run(small, batch_size=16, tokens=True)
    assert read_features(FEATURES).manifest["batch_size"] == [4]
    assert read_features(EXTERNAL_FEATURES / "away").manifest["batch_size"] == [4]
    tokens = read_features(FEATURES).tokens
    stage.run(Fake(name="enough"), batch_size=16, tokens=True)
    np.testing.assert_array_equal(tokens, read_features(FEATURES).tokens)

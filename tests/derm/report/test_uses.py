"""What it is not for and what is weak about it: what the artefacts show, and nothing where they do not."""

from pathlib import Path

from derm.files import read_json
from derm.report.artefacts import Artefacts
from derm.report.uses import limits, out_of_scope
from tests.derm.report.conftest import CLASSES, HOSTILE, Folder


def test_classes_are_named(folder: Folder) -> None:
    assert any(f"one of its classes ({', '.join(CLASSES)})" in line for line in out_of_scope(folder.artefacts()))


def test_weaknesses_are_those_of_the_artefacts(folder: Folder) -> None:
    told = " ".join(limits(folder.artefacts()))
    assert "1,000 resamples" in told
    assert f"fewer than 20 groups in the test part: mel 2, {HOSTILE} 2." in told
    assert "mel (8 more)" in told
    assert "own source alone (synthetic)" in told
    assert "overfits" not in told
    assert "no lesion id" not in told


def test_another_run_has_other_weaknesses(folder: Folder) -> None:
    folder.json("metrics/prepare_external.json", {"elsewhere": {"images": 3}})
    folder.json("metrics/train_head.json", {"fit": "overfits"})
    folder.json("metrics/prepare.json", read_json(Path("metrics/prepare.json")) | {"without_lesion_id": 5})
    told = " ".join(limits(folder.artefacts()))
    assert "own source alone" not in told
    assert "it overfits" in told
    assert "5 images have no lesion id" in told


def test_what_the_artefacts_do_not_say_is_left_out(folder: Folder) -> None:
    (folder.folder / "metrics/calibrate.json").unlink()
    told = " ".join(limits(Artefacts({})))
    assert "resamples" not in told
    assert "calibration lesions" not in told

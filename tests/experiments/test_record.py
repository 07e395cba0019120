"""What of the plots goes into a record."""

from pathlib import Path

from experiments.record import figures

CHARTS = ("adapt/curves.png", "evaluate/roc_test.png", "prepare/classes.png", "train_head/curves.png")
PATIENTS = (
    "adapt/augmentation.png",
    "explain/missed.png",
    "prepare/pairs.png",
    "prepare/sheets/00_mel.png",
    "report/index.html",
)


def test_pictures_of_patients_are_kept_out_if_so_asked(tmp_path: Path) -> None:
    for name in (*CHARTS, *PATIENTS, "evaluate/roc.csv"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert {str(path.relative_to(tmp_path)) for path in figures(True, tmp_path)} == {*CHARTS, *PATIENTS}
    assert {str(path.relative_to(tmp_path)) for path in figures(False, tmp_path)} == set(CHARTS)

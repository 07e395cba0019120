"""Notes on quality: rates by hand, and whether a note is told where it matters and kept back where it does not."""

import numpy as np
import pandas as pd
import pytest

from derm.decisions.quality import MEASURE, Quality, QualityParams, fit_quality, notes
from derm.files import read_json, write_json

PARAMS = QualityParams(share=0.05, resamples=200, seed=1)


def table(images: int, seed: int) -> pd.DataFrame:
    generator = np.random.default_rng(seed)
    return pd.DataFrame({measure: generator.normal(50, 10, images) for measure in MEASURE.values()})


def planted(seed: int, extra: float) -> Quality:
    """1,500 judged images of 1,000 groups; a quarter is wrong, of the blurred ones `extra` more."""
    generator = np.random.default_rng(1000 + seed)
    train, judged = table(4000, seed), table(1500, 500 + seed)
    groups = np.concatenate([np.arange(1000), generator.integers(0, 1000, 500)])
    blurred = judged["sharpness"].to_numpy() < np.quantile(train["sharpness"], 0.05)
    # Photographs of one lesion are wrong together.
    luck = generator.random(1000)[groups]
    return fit_quality(train, judged, luck < 0.25 + extra * blurred, groups, PARAMS)


def test_rates_by_hand() -> None:
    train = pd.DataFrame({measure: np.arange(101.0) for measure in MEASURE.values()})
    judged = pd.DataFrame({measure: [1.0, 2.0, 4.0, 5.0, 6.0, 7.0, 50.0] for measure in MEASURE.values()})
    judged["brightness"] = [50.0] * 7
    judged["lesion_contrast"] = [np.nan, 1.0, 50.0, 50.0, 50.0, 50.0, 50.0]
    wrong = np.array([True, True, False, True, False, False, False])
    found = fit_quality(train, judged, wrong, np.array(list("aabcdee")), PARAMS)
    assert found.images == 7 and found.groups == 5
    blurred = found.notes["blurred"]
    assert blurred.threshold == 5 and blurred.images == 3 and blurred.groups == 2
    assert blurred.error == pytest.approx(2 / 3) and blurred.error_others == pytest.approx(1 / 4)
    assert blurred.difference == pytest.approx(5 / 12) and not blurred.shown
    dark = found.notes["dark"]
    assert (dark.images, dark.error, dark.difference, dark.shown) == (0, None, None, False)
    assert dark.error_others == pytest.approx(3 / 7)
    unmeasured = found.notes["no lesion"]
    assert unmeasured.images == 1 and unmeasured.error == 1


def test_a_note_that_matters_is_told_and_others_are_not() -> None:
    found = [planted(seed, extra=0.35) for seed in range(20)]
    assert sum(one.notes["blurred"].shown for one in found) >= 18
    assert sum(one.notes["dark"].shown + one.notes["no lesion"].shown for one in found) <= 4
    differences = [one.notes["blurred"].difference or 0.0 for one in found]
    assert np.mean(differences) == pytest.approx(0.35, abs=0.04)
    assert sum(planted(seed, extra=0.0).notes["blurred"].shown for seed in range(20)) <= 2


def test_few_that_are_all_wrong_prove_nothing() -> None:
    train, judged = table(1000, 1), pd.DataFrame(50.0, index=range(200), columns=list(MEASURE.values()))
    wrong = np.zeros(200, dtype=bool)
    for groups, expected in ((19, False), (20, True)):
        judged.loc[: groups - 1, "sharpness"] = 0.0
        wrong[:groups] = True
        found = fit_quality(train, judged, wrong, np.arange(200), PARAMS).notes["blurred"]
        assert found.groups == groups and found.low == 1 and found.shown == expected


def test_only_notes_that_are_shown_are_told_and_they_survive_a_file(tmp_path) -> None:
    fitted = planted(0, extra=0.35)
    write_json(tmp_path / "quality.json", fitted.model_dump())
    stored = Quality.model_validate(read_json(tmp_path / "quality.json"))
    assert stored.notes["blurred"].threshold == fitted.notes["blurred"].threshold
    both = stored.notes | {"dark": stored.notes["dark"].model_copy(update={"shown": True})}
    changed = stored.model_copy(update={"notes": both})
    rows = pd.DataFrame({"sharpness": [1, 1, 90, np.nan], "brightness": [1, 90, 1, 90], "lesion_contrast": 1.0})
    assert notes(rows, changed) == ["blurred|dark", "blurred", "dark", ""]
    assert notes(rows, stored) == ["blurred", "blurred", "", ""]
    assert notes(rows.head(0), stored) == []

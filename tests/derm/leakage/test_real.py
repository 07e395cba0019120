"""Random image splits of the real HAM10000 leak as much as its own lesion ids say; no image is opened."""

import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from derm.leakage.audit import Share
from derm.leakage.audited import Given
from derm.leakage.command import audit_files
from tests.closure import ROOT
from tests.real_data import HAM10000, needs_ham10000

FOLDER = Path(str(HAM10000))
SEEDS = 20


@pytest.mark.real
@needs_ham10000
def test_random_splits_of_ham10000(tmp_path: Path) -> None:
    table = pd.read_csv(FOLDER / "HAM10000_metadata.csv", dtype=str)
    assert len(table) == 10_015
    of_all, of_melanoma, seconds = [], [], []
    for seed in range(SEEDS):
        test = np.random.default_rng(seed).permutation(len(table)) < len(table) // 5
        path = tmp_path / "split.csv"
        pd.DataFrame({"image": table["image_id"] + ".jpg", "split": np.where(test, "test", "train")}).to_csv(
            path, index=False
        )
        started = time.perf_counter()
        report = audit_files(Given(path, metadata=FOLDER / "HAM10000_metadata.csv")).report
        seconds.append(time.perf_counter() - started)
        found = table[test]["lesion_id"].isin(table[~test]["lesion_id"])
        melanoma = found[table[test]["dx"] == "mel"]
        siblings = report.share_of_test_with_sibling["test"]
        assert siblings.all == Share(int(found.sum()), 2003)
        assert siblings.melanoma is not None and siblings.melanoma == siblings.by_class["mel"] == Share(
            int(melanoma.sum()), len(melanoma)
        )
        assert siblings.all.share == found.mean() and siblings.melanoma.share == melanoma.mean()
        if seed == 0:  # the example in README
            readme = (ROOT / "README.md").read_text()
            assert (
                f"LEAK: {siblings.all.n} of 2,003 test images ({siblings.all.share:.1%})".replace("%", " %") in readme
            )
            assert f"melanoma: {siblings.melanoma.n} of {siblings.melanoma.of} (" in readme
            assert f"in two or more parts: {report.groups}" in readme
        of_all.append(siblings.all.share)
        of_melanoma.append(siblings.melanoma.share)
    assert 0.38 <= np.mean(of_all) <= 0.395
    assert 0.67 <= np.mean(of_melanoma) <= 0.71
    assert min(seconds) < 1

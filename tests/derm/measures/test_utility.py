"""Net benefit and deferral, by hand and by their properties."""

import numpy as np
import pytest

from derm.measures.utility import deferral, net_benefit, net_benefit_of_all


def drawn(rows: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities that are true, of a rare class."""
    generator = np.random.default_rng(0)
    scores = generator.beta(0.5, 3, rows)
    return scores, generator.random(rows) < scores


def test_net_benefit_by_hand() -> None:
    """Ten images, two positive. From .2 on: both, and three others: 2/10 - 3/10 * .2/.8; from .5 on: one and one."""
    scores = np.array([0.9, 0.3, 0.6, 0.2, 0.25, 0.1, 0.1, 0.05, 0.0, 0.1])
    positive = np.array([True, True] + [False] * 8)
    found = net_benefit(scores, positive, np.array([0.2, 0.5]))
    np.testing.assert_allclose(found, [[0.2 - 0.3 * 0.25, 0.1 - 0.1]])
    # everybody: .2 - .8 * t / (1 - t): nothing is left at the prevalence
    np.testing.assert_allclose(net_benefit_of_all(positive, np.array([0.1, 0.2])), [[0.2 - 0.8 / 9, 0.0]], atol=1e-12)


@pytest.mark.parametrize(
    ("threshold", "of_history", "of_all"),
    [
        (0.05, 0.025614035087719297, 0.09473684210526317),
        (0.10, 0.018518518518518517, 0.04444444444444445),
        (0.15, 0.010588235294117645, -0.011764705882352927),
        (0.20, 0.0016666666666666635, -0.07499999999999998),
        (0.35, -0.033333333333333354, -0.32307692307692315),
    ],
)
def test_net_benefit_of_a_published_example(threshold: float, of_history: float, of_all: float) -> None:
    """Who should have a biopsy: 750 patients of whom 14 % have cancer, and of whom a family history tells 3.2 % rightly
    and 12.13 % wrongly. The worked example of decisioncurveanalysis.org; values as the R package dcurves gives them
    (github.com/MSKCC-Epi-Bio/dcurves, dcurves/data/r_dca_famhistory.csv)."""
    cancer = np.repeat([True, False], [105, 645])
    history = np.concatenate([np.repeat([1.0, 0.0], [24, 81]), np.repeat([1.0, 0.0], [91, 554])])
    at = np.array([threshold])
    assert net_benefit(history, cancer, at)[0, 0] == pytest.approx(of_history, abs=1e-12)
    assert net_benefit_of_all(cancer, at)[0, 0] == pytest.approx(of_all, abs=1e-12)


def test_a_weight_of_two_is_an_image_twice() -> None:
    scores, positive = drawn(50)
    weights = np.random.default_rng(1).integers(0, 3, (4, 50)).astype(float)
    thresholds = np.array([0.05, 0.1, 0.3])
    again = [np.repeat(np.arange(50), row.astype(int)) for row in weights]
    np.testing.assert_allclose(
        net_benefit(scores, positive, thresholds, weights),
        [net_benefit(scores[rows], positive[rows], thresholds)[0] for rows in again],
    )


def test_true_probabilities_are_worth_as_much_as_everybody_and_nobody_or_more() -> None:
    scores, positive = drawn()
    thresholds = np.linspace(0.02, 0.6, 30)
    ours, everybody = net_benefit(scores, positive, thresholds)[0], net_benefit_of_all(positive, thresholds)[0]
    assert (ours >= np.maximum(everybody, 0) - 1e-3).all()
    assert (net_benefit(scores / 3, positive, thresholds)[0] < ours + 1e-3).all()


def test_deferral_by_hand() -> None:
    doubt = np.array([0.1, 0.9, 0.5, 0.2])
    wrong, missed = np.array([False, True, True, False]), np.array([False, True, False, False])
    table = deferral(doubt, wrong, missed, np.array([0.0, 0.25, 0.5, 1.0]))
    assert list(table["missed"]) == [1, 0, 0, 0]
    assert list(table["risk"][:3]) == pytest.approx([0.5, 1 / 3, 0])
    assert np.isnan(table["risk"][3])

"""Decisions by hand and against Bayes; flags and predictions are other things than decisions."""

import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score

from derm.decisions.outcome import calibration_file, cheapest, decide, outcomes, read_calibration
from derm.errors import UserError
from derm.files import write_json
from tests.derm.decisions.calibrations import calibration

PRIORS = np.array([0.1, 0.2, 0.7])


def test_prior_rule_by_hand() -> None:
    """p / prior: (2, 2.5, 0.43), (4, 0.5, 0.71), (0.5, 0.5, 1.21)."""
    probabilities = np.array([[0.2, 0.5, 0.3], [0.4, 0.1, 0.5], [0.05, 0.1, 0.85]])
    assert decide(probabilities, "prior", 1.0, PRIORS).tolist() == [1, 0, 2]
    assert decide(probabilities, "argmax", 1.0, PRIORS).tolist() == [1, 2, 2]
    assert decide(probabilities, "prior", 0.0, PRIORS).tolist() == [1, 2, 2]
    # p / sqrt(prior): the second row is (1.26, 0.22, 0.60); p / prior^2: the third is (5, 2.5, 1.7)
    assert decide(probabilities, "prior", 0.5, PRIORS).tolist() == [1, 0, 2]
    assert decide(probabilities, "prior", 2.0, PRIORS).tolist() == [0, 0, 0]


def test_tau_0_is_argmax_and_equal_priors_change_nothing() -> None:
    probabilities = np.random.default_rng(0).dirichlet(np.ones(4), size=500)
    argmax = probabilities.argmax(axis=1)
    assert (decide(probabilities, "prior", 0.0, np.array([0.7, 0.1, 0.1, 0.1])) == argmax).all()
    assert (decide(probabilities, "prior", 1.3, np.full(4, 0.25)) == argmax).all()


def test_a_probability_of_0_is_never_decided_for() -> None:
    assert decide(np.array([[0.0, 0.6, 0.4]]), "prior", 1.0, PRIORS).tolist() == [1]


@pytest.mark.parametrize(("tau", "probability"), [(0.0, 0.1), (0.0, 0.0), (1.0, 0.0)])
def test_a_class_that_was_never_trained_on_takes_nothing(tau: float, probability: float) -> None:
    probabilities = np.array([[0.7 - probability, 0.3, probability]])
    assert decide(probabilities, "prior", tau, np.array([0.5, 0.5, 0.0])).tolist() == [0]


def test_tau_1_is_the_best_for_balanced_accuracy() -> None:
    """Three normal classes of very different share: their true posteriors are known, and no other tau does better."""
    generator = np.random.default_rng(1)
    targets = generator.choice(3, p=PRIORS, size=60_000)
    centres = np.array([[0.0, 0.0], [1.5, 0.0], [0.7, 1.2]])
    features = centres[targets] + generator.normal(size=(len(targets), 2))
    density = np.exp(-((features[:, None] - centres) ** 2).sum(axis=2) / 2)
    posterior = density * PRIORS / (density * PRIORS).sum(axis=1, keepdims=True)
    reached = {
        tau: balanced_accuracy_score(targets, decide(posterior, "prior", tau, PRIORS))
        for tau in (0.0, 0.3, 0.6, 1.0, 1.5, 2.0)
    }
    assert max(reached, key=lambda tau: reached[tau]) == 1.0
    assert reached[1.0] > reached[0.0] + 0.03
    # the best rule for balanced accuracy is the class whose density is highest (Menon et al. 2021)
    assert (decide(posterior, "prior", 1.0, PRIORS) == density.argmax(axis=1)).mean() > 0.9999


ONE_EACH = 1 - np.eye(3)


def test_where_every_mistake_costs_the_same_it_is_the_most_probable_class() -> None:
    probabilities = np.random.default_rng(0).dirichlet(np.ones(3), size=300)
    assert (cheapest(probabilities, PRIORS, PRIORS, ONE_EACH) == probabilities.argmax(axis=1)).all()
    # with classes as frequent as each other it is the prior rule of tau 1
    equal = cheapest(probabilities, PRIORS, np.full(3, 1 / 3), ONE_EACH)
    assert (equal == decide(probabilities, "prior", 1.0, PRIORS)).all()
    # and with one over the prior as the cost of missing a class, too
    assert (cheapest(probabilities, PRIORS, PRIORS, ONE_EACH / PRIORS[:, None]) == equal).all()


def test_costs_by_hand() -> None:
    """A melanoma called nv costs 10: .1 of it outweighs .5 of nv, and .04 does not."""
    costs = ONE_EACH.copy()
    costs[1, 2] = 10
    probabilities = np.array([[0.4, 0.1, 0.5], [0.36, 0.04, 0.6], [0.0, 0.1, 0.9]])
    # row 1: bcc .6, mel .9, nv 1.4; row 2: bcc .64, mel .96, nv .76; row 3: bcc 1, mel .9, nv 1
    assert cheapest(probabilities, PRIORS, PRIORS, costs).tolist() == [0, 0, 1]


def test_where_melanoma_is_rarer_it_is_decided_for_less() -> None:
    """Prior .2 there and .02 here: odds of .6 to .4 become .06 to .4 times 98/80."""
    rarer = np.array([0.1, 0.02, 0.88])
    assert cheapest(np.array([[0.0, 0.6, 0.4]]), PRIORS, rarer, ONE_EACH).tolist() == [2]
    assert cheapest(np.array([[0.0, 0.6, 0.4]]), PRIORS, PRIORS, ONE_EACH).tolist() == [1]


def test_the_cheapest_costs_least_where_probabilities_are_true() -> None:
    generator, costs = np.random.default_rng(2), np.array([[0.0, 3, 1], [8, 0, 20], [1, 2, 0]])
    probabilities = generator.dirichlet(np.array([1, 2, 7.0]), size=40_000)
    targets = (generator.random((40_000, 1)) > probabilities.cumsum(axis=1)).sum(axis=1)
    paid = {
        "cost": costs[targets, cheapest(probabilities, PRIORS, PRIORS, costs)].mean(),
        "argmax": costs[targets, probabilities.argmax(axis=1)].mean(),
        "prior": costs[targets, decide(probabilities, "prior", 1.0, PRIORS)].mean(),
    }
    assert paid["cost"] < min(paid["argmax"], paid["prior"])


def test_outcomes_by_cost() -> None:
    costs = [[0.0, 1.0, 1.0], [1.0, 0.0, 10.0], [1.0, 1.0, 0.0]]
    table = outcomes(2 * np.log([[0.4, 0.1, 0.5]]), calibration(rule="cost", costs=costs))
    assert (list(table["predicted"]), list(table["decision"])) == ([2], [0])


def test_outcomes_by_hand() -> None:
    """Logits are twice the log of the probabilities wanted, so that temperature 2 gives them."""
    wanted = np.array([[0.2, 0.25, 0.55], [0.1, 0.24, 0.66], [0.2, 0.5, 0.3]])
    table = outcomes(2 * np.log(wanted), calibration(threshold=0.249))
    assert list(table) == ["p_bcc", "p_mel", "p_nv", "predicted", "decision", "flag", "set"]
    np.testing.assert_allclose(table[["p_bcc", "p_mel", "p_nv"]], wanted)
    assert list(table["predicted"]) == [2, 2, 1]
    assert list(table["decision"]) == [0, 1, 1]  # p / prior: 2, 1.25, .79; 1, 1.2, .94; 2, 2.5, .43
    assert list(table["flag"]) == [1, 0, 1]
    # Of the logits as they are, so of the squares, normalised: .10 .15 .75; .02 .11 .87; .11 .66 .24.
    # In are bcc from .37 = exp(-1) on, mel from .22, nv from .61.
    assert list(table["set"]) == ["nv", "nv", "mel"]


def test_a_probability_at_the_threshold_is_flagged() -> None:
    assert list(
        outcomes(np.log([[0.5, 0.25, 0.25]]), calibration(calibrator={"method": "none"}, threshold=0.25))["flag"]
    ) == [1]


def test_without_a_positive_class_there_is_no_flag() -> None:
    table = outcomes(np.zeros((2, 3)), calibration(positive=None, threshold=None))
    assert list(table["flag"]) == ["", ""]


def test_calibration_comes_back_from_its_file(tmp_path: Path) -> None:
    path = tmp_path / "calibration.json"
    write_json(path, calibration().model_dump())
    assert read_calibration(path) == calibration()
    path.unlink()
    with pytest.raises(UserError, match=r"calibration\.json is missing"):
        read_calibration(path)


def test_a_calibration_file_with_a_key_missing_is_named(tmp_path: Path) -> None:
    path = tmp_path / "calibration.json"
    content = calibration().model_dump()
    del content["calibrator"]["temperature"]
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"calibration\.json"):
        read_calibration(path)


def test_each_head_has_a_calibration_of_its_own() -> None:
    assert calibration_file("head") == Path("models/calibration/head.json")
    assert calibration_file("image_only") == Path("models/calibration/image_only.json")


def test_a_calibration_of_an_older_version_is_named(tmp_path: Path) -> None:
    path = tmp_path / "calibration.json"
    write_json(path, calibration().model_dump() | {"logit_offset": [0.0, 0.0, 0.0]})
    with pytest.raises(UserError, match=r"calibration\.json is damaged \(1 wrong keys\): run `dvc repro`"):
        read_calibration(path)

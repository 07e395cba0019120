"""Comparisons: against an analytical standard error, against what must hold of any, and on pairs of known truth."""

import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from derm.errors import UserError
from derm.measures.headline import headline
from derm.measures.paired import Comparison, Side, compare, what_is_judged
from tests.derm.measures.paired_data import CLASSES, rule, side, table

NOTHING = "no difference shown"


def versus(
    a: Side, b: Side, primary: str = "accuracy", positive: str | None = None, resamples: int = 100, seed: int = 1
) -> Comparison:
    return compare(a, b, CLASSES, positive, primary, resamples, seed)


def one(name: str, predictions: pd.DataFrame) -> Side:
    """A single fit of a head without a seed."""
    return Side(name, [predictions], seeded=False)


def two(images: int = 150, of_group: int = 1, gain: float = 0.0, seed: int = 0) -> tuple[Side, Side]:
    """Two single fits of one rule, the second with a gain."""
    truth, generator = rule(images, seed, of_group), np.random.default_rng(seed + 50)
    return (
        one("A", side("A", truth, 1, generator).tables[0]),
        one("B", side("B", truth.better(gain), 1, generator).tables[0]),
    )


def several(gain: float, seed: int, images: int = 160) -> tuple[Side, Side]:
    """Five seeds a side, on two images a lesion."""
    truth, generator = rule(images, seed, of_group=2), np.random.default_rng((seed, 9))
    return side("A", truth, 5, generator), side("B", truth.better(gain), 5, generator)


def test_half_width_is_that_of_the_analytical_standard_error() -> None:
    """A lesion an image: the accuracies' difference is the mean of +1, 0 and -1 for who alone is right (as in McNemar's
    test), drawn within each class."""
    a, b = two(600)
    result = versus(a, b, resamples=2000)
    (one_table,), (other,) = a.tables, b.tables
    right = [given["predicted"] == given["target"] for given in (one_table, other)]
    alone = right[1].astype(int) - right[0].astype(int)
    variance = sum(len(of_class) * of_class.var(ddof=0) for _, of_class in alone.groupby(one_table["target"]))
    error = np.sqrt(variance) / len(alone)
    assert result.primary["difference"] == pytest.approx(alone.mean())
    assert result.smallest == pytest.approx(1.96 * error, rel=0.06)
    low, high = result.primary["low"], result.primary["high"]
    assert result.smallest == pytest.approx((high - low) / 2) and low < alone.mean() < high
    assert ((high - alone.mean()) / error, (alone.mean() - low) / error) == pytest.approx((1.96, 1.96), rel=0.1)


def test_values_are_the_headline_numbers_averaged_over_seeds() -> None:
    a, b = several(0.5, seed=1)
    result = versus(a, b, positive="mel")
    for letter, given in (("a", a), ("b", b)):
        numbers = [headline(predictions, CLASSES, "mel") for predictions in given.tables]
        assert set(result.table["metric"]) == set(numbers[0])
        of_seeds = np.array([[number[metric][0] for number in numbers] for metric in result.table["metric"]])
        np.testing.assert_allclose(result.table[letter], of_seeds.mean(axis=1))
        np.testing.assert_allclose(result.table[f"{letter}_spread"], of_seeds.std(axis=1, ddof=1))
    np.testing.assert_allclose(result.table["difference"], result.table["b"] - result.table["a"])
    assert (result.names, result.seeds, result.images, result.groups) == (("A", "B"), (5, 5), 160, 80)


def test_the_primary_comes_first_and_the_others_are_exploratory_and_adjusted() -> None:
    rows = versus(*two(gain=0.4), primary="macro_auc", positive="mel").table
    assert rows["metric"].iloc[0] == "macro_auc" and rows["metric"].is_unique and len(rows) == 25
    assert rows["role"].tolist() == ["primary"] + ["exploratory"] * 24
    assert rows["p_adjusted"].iloc[0] == rows["p"].iloc[0]
    assert rows["p_adjusted"].iloc[1:].min() == pytest.approx(24 * rows["p"].iloc[1:].min())
    assert (rows["p_adjusted"] >= rows["p"]).all() and rows["p_adjusted"].max() <= 1


def test_swapping_the_sides_flips_every_sign() -> None:
    a, b = two(gain=0.6)
    there, back = (versus(*sides, positive="mel", resamples=200).table for sides in ((a, b), (b, a)))
    np.testing.assert_allclose(there["difference"], -back["difference"])
    np.testing.assert_allclose(there["low"], -back["high"])
    np.testing.assert_allclose(there["p"], back["p"])
    np.testing.assert_array_equal(there["a"], back["b"])


def test_swapping_sides_of_several_seeds_turns_the_verdict() -> None:
    a, b = several(1.0, seed=2)
    assert (versus(a, b).outcome, versus(b, a).outcome) == ("better", "worse")
    # the draw of seeds is another, within what 800 resamples allow
    there, back = (versus(*sides, resamples=800).primary for sides in ((a, b), (b, a)))
    assert there["low"] == pytest.approx(-back["high"], abs=0.2 * (there["high"] - there["low"]))


def test_identical_sides_have_no_difference_at_all() -> None:
    (a, _), (seeds, _) = two(), several(0.0, seed=3)
    for given in (a, seeds, Side("equal seeds", [a.tables[0]] * 5, seeded=True)):
        result = versus(given, Side("the same", given.tables, given.seeded), positive="mel")
        assert (result.table["difference"] == 0).all()
        assert result.outcome == NOTHING and result.primary["p"] > 0.5
        if given is not seeds:
            assert (result.table[["low", "high"]] == 0).all(axis=None) and (result.table["p"] == 1).all()


@pytest.mark.parametrize("primary", ["nll", "brier"])
def test_where_lower_is_better_a_lower_number_is(primary: str) -> None:
    a, b = several(1.0, seed=4)
    result = versus(a, b, primary=primary)
    assert result.primary["difference"] < 0 and result.primary["high"] < 0
    assert result.outcome == "better" and versus(b, a, primary=primary).outcome == "worse"
    better = result.table.set_index("metric")["better"]
    assert set(better.index[better == "lower"]) == {"nll", "brier", "ece", "classwise_ece"}


def test_copies_of_images_add_nothing_if_they_are_drawn_by_lesion() -> None:
    """Four copies of each image: by lesion the interval stays, by image it would be half as wide."""
    a, b = two(200)

    def copied(given: Side, by_lesion: bool) -> Side:
        copies = [given.tables[0].assign(image_id=lambda t, n=n: t["image_id"] + f"-{n}") for n in range(4)]
        stacked = pd.concat(copies, ignore_index=True)
        return one(given.name, stacked if by_lesion else stacked.assign(group=stacked["image_id"]))

    width = versus(a, b, resamples=1500).smallest
    by_lesion, by_image = (versus(copied(a, by), copied(b, by), resamples=1500).smallest for by in (True, False))
    assert by_lesion == pytest.approx(width, rel=0.08)
    assert by_image == pytest.approx(width / 2, rel=0.08)


def test_the_order_of_rows_does_not_matter_and_nothing_is_changed() -> None:
    a, b = two()
    before = b.tables[0].copy()
    mixed = one("B", b.tables[0].sample(frac=1, random_state=1))
    pd.testing.assert_frame_equal(versus(a, b, positive="mel").table, versus(a, mixed, positive="mel").table)
    pd.testing.assert_frame_equal(b.tables[0], before)


def test_the_seed_decides_and_the_number_of_resamples_is_kept() -> None:
    a, b = two()
    first, again, other = (versus(a, b, resamples=150, seed=seed) for seed in (1, 1, 2))
    pd.testing.assert_frame_equal(first.table, again.table)
    assert (first.table["low"] != other.table["low"]).any()
    smallest = 2 / 151
    counts = first.table["p"] / smallest
    np.testing.assert_allclose(counts[first.table["p"] < 1], counts.round()[first.table["p"] < 1])


def test_what_cannot_be_computed_is_left_out() -> None:
    a, b = (one(given.name, given.tables[0].assign(flag=0)) for given in two())
    rows = versus(a, b, positive="mel").table
    assert "flag.precision" not in set(rows["metric"]) and "flag.sensitivity" in set(rows["metric"])
    assert rows["p_adjusted"].notna().all()
    with pytest.raises(UserError, match=r"primary metric flag\.precision cannot be computed"):
        versus(a, b, primary="flag.precision", positive="mel")


def test_an_unknown_primary_metric() -> None:
    with pytest.raises(UserError, match="primary metric is 'auc', expected one of accuracy, balanced_accuracy"):
        versus(*two(), primary="auc")


CHANGES: dict[str, tuple[Callable[[pd.DataFrame], pd.DataFrame], str]] = {
    "another image": (
        lambda t: t.assign(image_id=t["image_id"].replace("i0007", "x")),
        "1 images are in A and not in B, such as i0007: .* the same images",
    ),
    "one more": (
        lambda t: pd.concat([t, t.tail(1).assign(image_id="more")]),
        "1 images are in B and not in A, such as more",
    ),
    "fewer": (lambda t: t.iloc[3:], "3 images are in A and not in B, such as i0000"),
    "twice": (lambda t: pd.concat([t, t.tail(1)]), "B: image i0149 is there twice"),
    "target": (lambda t: t.assign(target=np.where(t.index == 4, 2 - t["target"] // 2, t["target"])), "the target of i"),
    "group": (lambda t: t.assign(group=t["group"].replace("g9", "g8")), "group of i0009 is g9 in A and g8 in B"),
    "classes": (lambda t: t.rename(columns={"p_nv": "p_df"}), "B tells bcc, mel, df, expected bcc, mel, nv"),
    "no flags": (lambda t: t.assign(flag=""), "B has no flags, and the positive class is mel"),
}


@pytest.mark.parametrize("what", CHANGES)
def test_sides_that_cannot_be_compared_are_refused_in_one_line(what: str) -> None:
    change, message = CHANGES[what]
    a, b = two()
    with pytest.raises(UserError, match=message) as refusal:
        versus(a, Side("B", [b.tables[0], change(b.tables[0])], seeded=True), positive="mel")
    assert "\n" not in str(refusal.value)


def test_without_a_positive_class_flags_may_be_empty() -> None:
    a, b = (one(given.name, given.tables[0].assign(flag="")) for given in two())
    assert "flag.sensitivity" not in set(versus(a, b).table["metric"])


SEEDS = Side("seeds", [pd.DataFrame()] * 5, seeded=True)
ONE_FIT = Side("one fit", [pd.DataFrame()], seeded=True)
NO_SEED = Side("no seed", [pd.DataFrame()], seeded=False)


@pytest.mark.parametrize(
    ("a", "b", "judged"),
    [
        (SEEDS, SEEDS, "settings"),
        (SEEDS, NO_SEED, "settings"),
        (SEEDS, ONE_FIT, "fitted models"),
        (NO_SEED, NO_SEED, "fitted models"),
        (NO_SEED, ONE_FIT, "fitted models"),
        (ONE_FIT, ONE_FIT, "fitted models"),
    ],
)
def test_what_may_be_judged(a: Side, b: Side, judged: str) -> None:
    assert what_is_judged(a, b) == what_is_judged(b, a) == judged


def test_one_fit_a_side_is_never_better() -> None:
    a, b = two(gain=1.5)
    for seeded in (True, False):
        result = versus(Side("A", a.tables, seeded), Side("B", b.tables, seeded))
        assert (result.judged, result.outcome) == ("fitted models", "differ")


def test_a_head_without_a_seed_beside_one_with_seeds() -> None:
    """Its rule without the noise of seeds; both ways round."""
    a, _ = several(0.0, seed=6)
    truth = rule(160, 6, of_group=2).better(1.0)
    b = one("B", table(truth, truth.logits))
    assert versus(a, b).outcome == "better" and versus(b, a).outcome == "worse"
    row = versus(a, b).primary
    assert row["a_spread"] > 0 and np.isnan(row["b_spread"])


def test_pairs_that_differ_by_seed_alone_get_a_verdict_once_in_twenty() -> None:
    """60 pairs, new lesions each: at most six of five seeds a side. Of one seed a side many more *models* differ."""
    verdicts = {"five seeds": 0, "one seed": 0}
    for seed in range(60):
        a, b = several(0.0, seed)
        verdicts["five seeds"] += versus(a, b, "balanced_accuracy").outcome != NOTHING
        first, second = (Side(given.name, given.tables[:1], seeded=True) for given in (a, b))
        verdicts["one seed"] += versus(first, second, "balanced_accuracy").outcome != NOTHING
    assert verdicts["five seeds"] <= 6, verdicts
    assert verdicts["one seed"] >= 8, verdicts


def test_a_planted_gain_is_found() -> None:
    outcomes = [versus(*several(0.9, seed), "balanced_accuracy").outcome for seed in range(200, 212)]
    assert outcomes.count("better") >= 10 and "worse" not in outcomes


def test_torch_is_not_needed() -> None:
    loaded = "import sys, derm.measures.paired; sys.exit('torch' in sys.modules or 'matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", loaded], check=False).returncode == 0

"""What is said of a comparison, and what is never said."""

import pytest

from derm.comparison.words import as_text, basis, p_value, shown, verdict
from tests.derm.comparison.comparisons import comparison

NUMBERS = (
    "balanced_accuracy 0.6800 against 0.6400, difference +0.0400 [+0.0200, +0.0600], p = 0.002 (wide against linear)."
)


def test_a_verdict_about_settings() -> None:
    assert verdict(comparison()) == f"wide is better than linear: {NUMBERS}"
    assert verdict(comparison(outcome="worse")).startswith("wide is worse than linear: ")


def test_without_a_verdict_what_could_have_been_seen_is_told() -> None:
    told = verdict(comparison(outcome="no difference shown"))
    assert told.startswith(f"No difference shown between linear and wide: {NUMBERS}")
    assert told.endswith(" A true difference of 0.0200 would have been shown about every second time.")


def test_fitted_models_differ_and_are_never_better_or_worse() -> None:
    told = verdict(comparison("fitted models", "differ", seeds=(1, 1)))
    assert told.startswith(f"These two fitted models differ: {NUMBERS}") and "about them alone" in told
    several = verdict(comparison("fitted models", "differ", seeds=(5, 1)))
    assert several.startswith("These fitted models differ: ")
    nothing = verdict(comparison("fitted models", "no difference shown", seeds=(1, 1)))
    assert nothing.startswith("No difference shown between these two fitted models: ")
    for sentence in (told, several, nothing):
        assert "better" not in sentence and "worse" not in sentence


def test_what_it_is_based_on() -> None:
    assert basis(comparison(seeds=(1, 5))) == "A = linear (one fit), B = wide (5 seeds); 2,007 images in 1,490 groups"


def test_which_side_is_favoured() -> None:
    rows = comparison().table.set_index("metric")
    sides = {metric: shown(row) for metric, row in rows.iterrows()}
    # ece: its own p is below .05, Holm's is not
    assert sides == {"balanced_accuracy": "B", "nll": "B", "melanoma.auc": "A", "ece": "", "accuracy": ""}


@pytest.mark.parametrize(("p", "told"), [(0.0004, "< 0.001"), (0.001, "= 0.001"), (0.0501, "= 0.050"), (1, "= 1.000")])
def test_p_values(p: float, told: str) -> None:
    assert p_value(p) == told


def test_a_line_for_each_metric() -> None:
    told = as_text(comparison()).splitlines()
    assert told[0].startswith("wide is better") and told[1].startswith("A = linear")
    lines = told[4:9]
    assert [line.split()[0] for line in lines] == ["balanced_accuracy", "nll", "melanoma.auc", "ece", "accuracy"]
    assert " ".join(lines[1].split()) == (
        "nll (lower is better) 0.6000 0.5500 -0.0500 [-0.0800, -0.0200] 0.004 favours B"
    )
    assert len({line.index("[") for line in lines}) == 1  # in columns
    assert told[-1].startswith("The first line decides. The other 4 are exploratory")

"""What passes and what fails, by evidence that was made so; and the sentences that tell it."""

import numpy as np
import pandas as pd
import pytest

from derm.errors import UserError
from derm.explanation.localisation import MEASURES
from derm.explanation.study import localisation_table, numbers, sanity_table, score_table, targets_of, weights_of
from derm.explanation.verdict import Evidence, verdicts
from derm.explanation.words import FAILS, OPEN, PASSES, TESTS, UNMEASURED, called, in_words, unmeasured

IMAGES = 60
ROWS = pd.DataFrame(
    {
        "image_id": [f"i{number}" for number in range(IMAGES)],
        "lesion_id": [f"l{number // 2}" for number in range(IMAGES)],
        "group": [f"l{number // 2}" for number in range(IMAGES)],
        "target": np.repeat([0, 1], IMAGES // 2),
        "predicted": np.arange(IMAGES) % 2,
    }
)
WEIGHTS = weights_of(ROWS, 200, 1)


def table(mean: float, seed: int = 0) -> pd.DataFrame:
    """All measures about a mean, with a noise that is large beside .05 and small beside 1."""
    noise = 0.2 * np.random.default_rng(seed).normal(size=IMAGES)
    return pd.DataFrame({"area": np.linspace(0.02, 0.5, IMAGES), **dict.fromkeys(MEASURES, mean + noise)})


def similarities(method: str, mean: float, shuffled: str = "weights", share: float = 1.0) -> pd.DataFrame:
    noise = 0.05 * np.random.default_rng(1).normal(size=IMAGES)
    told = pd.DataFrame({"row": range(IMAGES), "similarity": mean + noise})
    return told.assign(method=method, shuffled=shuffled, share=share)


def evidence() -> Evidence:
    values = {"good": table(3.0), "bad": table(1.0, 1), "randomcam": table(2.0, 2), "centred blob": table(2.0, 3)}
    values |= {"good, random weights": table(3.02, 4), "bad, random weights": table(0.5, 5)}
    sanity = pd.concat(
        [
            similarities("good", 0.1),
            similarities("good", 0.9, share=0.0),  # the head alone: it is the whole network that counts
            similarities("bad", 0.9),
            similarities("bad", 0.5, shuffled="labels", share=0.0),
        ]
    )
    higher, lower = np.full(IMAGES, 0.4), np.full(IMAGES, 0.1)
    scores = {
        "road": {"good": higher, "bad": lower, "randomcam": np.full(IMAGES, 0.2)},
        "deletion": {"good": lower, "bad": higher, "randomcam": np.full(IMAGES, 0.2)},
    }
    return Evidence(values, sanity, WEIGHTS, scores, WEIGHTS)


def test_a_method_passes_fails_or_nothing_is_shown() -> None:
    rows = verdicts(evidence(), ["good", "bad"]).to_dict("records")
    told = {(row["method"], row["test"]): row for row in rows}
    expected = {
        "beats the centred blob": (PASSES, FAILS),
        "beats edges": (UNMEASURED, UNMEASURED),
        "beats RandomCAM": (PASSES, FAILS),
        "beats random weights": (OPEN, PASSES),
        "beats shuffled labels": (UNMEASURED, UNMEASURED),
        "follows the weights": (PASSES, FAILS),
        "follows the labels": (UNMEASURED, OPEN),
        "faithful (ROAD)": (PASSES, FAILS),
        "faithful (insertion)": (UNMEASURED, UNMEASURED),
        "faithful (deletion)": (PASSES, FAILS),
    }
    assert set(expected) == set(TESTS)
    for test, (good, bad) in expected.items():
        assert told[("good", test)]["verdict"] == good, test
        assert told[("bad", test)]["verdict"] == bad, test
    lead = told["good", "beats the centred blob"]
    ours, theirs = table(3.0), table(2.0, 3)
    assert lead["value"] == pytest.approx((ours["enrichment"] - theirs["enrichment"]).mean())
    assert lead["low"] < lead["value"] < lead["high"] and lead["images"] == IMAGES
    assert told[("good", "follows the weights")]["value"] == pytest.approx(0.1, abs=0.05)


def test_the_sentences_name_every_test_once() -> None:
    judged = verdicts(evidence(), ["good", "bad"])
    never = unmeasured(judged)
    assert never == ["beats edges", "beats shuffled labels", "faithful (insertion)"]
    good, bad = in_words(judged)
    assert "not measured: «follows the labels»" in good and "not measured" not in bad
    for sentence in (good, bad):
        assert all(sentence.count(f"«{test}»") == (test not in never) for test in TESTS)
    assert good.startswith("good passes «beats the centred blob», «beats RandomCAM»")
    assert "fails «beats the centred blob»" in bad and "nothing is shown of «beats random weights»" in good
    assert called("gradcam, random weights") == "Grad-CAM, random weights" and called("edges") == "edges"


def test_the_table_has_all_images_each_class_and_each_size() -> None:
    found = localisation_table({"good": table(3.0)}, ROWS, ["nv", "mel"], WEIGHTS)
    whole = found[(found["by"] == "all") & (found["metric"] == "energy")].iloc[0]
    assert (whole["images"], whole["lesions"]) == (60, 30)
    assert whole["value"] == pytest.approx(table(3.0)["energy"].mean())
    assert found[found["metric"] == "energy"].groupby("by")["images"].sum().to_dict() == {
        "all": 60,
        "class": 60,
        "size": 60,
    }
    assert set(found.loc[found["by"] == "class", "name"]) == {"nv", "mel"}
    assert numbers(found, ["good"])["good"].keys() == set(MEASURES)
    assert localisation_table({}, ROWS.head(0), ["nv", "mel"], WEIGHTS[:, :0]).empty


def test_tables_of_sanity_and_scores_leave_out_what_is_not_known() -> None:
    unknown = evidence()
    told = sanity_table(unknown.sanity, WEIGHTS)
    assert len(told) == 4 and (told["images"] == IMAGES).all()
    partly = unknown.sanity.assign(similarity=unknown.sanity["similarity"].where(unknown.sanity["row"] > 9))
    assert (sanity_table(partly, WEIGHTS)["images"] == IMAGES - 10).all()
    scores = {"blanked": {"lesion": np.r_[np.nan, np.full(IMAGES - 1, -0.5)], "background": np.full(IMAGES, np.nan)}}
    (row,) = score_table(scores, WEIGHTS).to_dict("records")
    assert row["method"] == "lesion" and row["images"] == IMAGES - 1 and row["value"] == -0.5


def test_whose_map_is_made() -> None:
    rows = ROWS.head(3)
    assert targets_of(rows, "predicted", ["nv", "mel"], "mel") == [0, 1, 0]
    assert targets_of(rows, "true", ["nv", "mel"], "mel") == [0, 0, 0]
    assert targets_of(rows, "positive", ["nv", "mel"], "mel") == [1, 1, 1]
    with pytest.raises(UserError, match=r"explain\.target is positive, and the task has no such class"):
        targets_of(rows, "positive", ["nv", "mel"], None)


def test_of_a_few_images_nothing_is_shown() -> None:
    """All of three images lead: an interval without width would pass."""
    few = {name: of.head(3) for name, of in evidence().values.items()}
    told = verdicts(Evidence(few, evidence().sanity.query("row < 3"), WEIGHTS[:, :3], {}, WEIGHTS), ["good", "bad"])
    assert set(told["verdict"]) == {OPEN, UNMEASURED}

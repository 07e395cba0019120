"""What the artefacts answer to the items of the checklist; each takes them and gives a sentence or two.

`AbsentError` where what is asked for is not there; an empty answer where there is nothing to tell.
"""

from collections.abc import Callable
from typing import Any

from derm.report.artefacts import FIELDS, AbsentError, Artefacts
from derm.report.uses import FOR, limits

Answer = Callable[[Artefacts], str]
HEADLINES = ("macro_auc", "balanced_accuracy", "decision.balanced_accuracy", "melanoma.auc", "malignant.auc", "ece")


def purpose(artefacts: Artefacts) -> str:
    """Item 3b."""
    artefacts.described("features")
    return f"{FOR[0]} No part in care is intended."


def objectives(artefacts: Artefacts) -> str:
    """Item 4."""
    sets = len(artefacts.metric("prepare_external"))
    further = f", and on {sets} further sets" if sets else "; no other set"
    return f"Development and evaluation: trained on one part of a source, tested on another part of it{further}."


def sources(artefacts: Artefacts) -> str:
    """Item 5a."""
    drawn = " Drawn by this repository: of no person." if artefacts.synthetic else ""
    told = ", ".join(f"{name} ({images:,} images)" for name, images in artefacts.values("source").items())
    return f"Development and test part alike: {told}.{drawn}"


def eligibility(artefacts: Artefacts) -> str:
    """Item 6b."""
    listed, rejected = (artefacts.metric("prepare", key) for key in ("listed", "rejected"))
    return f"Every image that the source lists ({listed:,}) and that can be used ({rejected:,} rows were refused)."


def preparation(artefacts: Artefacts) -> str:
    """Item 7."""
    pairs = artefacts.metric("prepare", "pairs")
    found = ", ".join(f"{kind.replace('_', ' ')} {count}" for kind, count in pairs.items())
    recipes = "; ".join(
        f"{encoder['encoder']}: {encoder['transform']['resize']} to {_size(encoder)}, "
        f"{encoder['transform']['interpolation']}"
        for encoder in artefacts.described("features", "encoders")
    )
    return (
        f"Every image decoded and compared with its digest; pairs that belong together: {found}. {recipes}. "
        "The same for every image, whoever it is of."
    )


def _size(encoder: dict[str, Any]) -> str:
    rows, columns = encoder["transform"]["size"]
    return f"{columns}x{rows} px"


def outcome(artefacts: Artefacts) -> str:
    """Item 8a."""
    classes = ", ".join(artefacts.calibration.classes)
    told = f"Target {artefacts.setting('task', 'target')}, of one photograph, at the time it was made: {classes}."
    try:
        counts = artefacts.values("confirmation")
    except AbsentError:
        return told
    ways = ", ".join(f"{name.replace('_', ' ')} {images:,}" for name, images in counts.items())
    return f"{told} Established by: {ways} images; not told to the model."


def choice_of_predictors(artefacts: Artefacts) -> str:
    """Item 9a."""
    metadata = _metadata(artefacts)
    beside = f" and of the metadata {', '.join(metadata)}" if metadata else "; age, sex and body site are none"
    return f"All {_width(artefacts):,} numbers that the encoder gives{beside}. None was selected."


def predictors(artefacts: Artefacts) -> str:
    """Item 9b."""
    encoders = artefacts.described("features", "encoders")
    names = "; ".join(f"{one['encoder']}, {one['pooling']} pooling, {one['precision']}" for one in encoders)
    views = ", ".join(artefacts.described("features", "views"))
    return f"Features of the photograph by the encoder ({names}), views {views}."


def judged_predictors(artefacts: Artefacts) -> str:
    """Item 9c."""
    return "" if _metadata(artefacts) else "No predictor needs a person's judgement: all are computed from pixels."


def missing(artefacts: Artefacts) -> str:
    """Item 11."""
    table = artefacts.table("prepare/missing.csv", images=int, missing=int)
    table = table[(table["diagnosis"] == "ALL") & table["field"].isin(FIELDS)]
    told = ", ".join(
        f"{field.replace('_', ' ')} {missing:,} of {images:,}"
        for field, missing, images in zip(table["field"], table["missing"], table["images"], strict=True)
    )
    if _metadata(artefacts):
        how = "A missing age counts as the training part's median, a missing sex or body site as its most frequent one"
    else:
        how = "They are no predictors, and no image was left out for them"
    return f"Images without a value: {told}. {how}. Refused rows: {artefacts.metric('prepare', 'rejected'):,}."


def division(artefacts: Artefacts) -> str:
    """Item 12a."""
    scheme, seed = (artefacts.setting("split", key) for key in ("scheme", "seed"))
    roles = {"train": "fits the head", "val": "chooses", "calibration": "fits probabilities and thresholds"}
    told = "; ".join(
        f"{part.replace('_', ' ')} ({counts['images']:,} images, {counts['groups']:,} groups)"
        + (f" {roles[part]}" if part in roles else "")
        for part, counts in artefacts.parts.items()
    )
    return f"Whole groups (patient, lesion, near-identical images), {scheme}, seed {seed}: {told}."


def scaling(artefacts: Artefacts) -> str:
    """Item 12b."""
    limits_of = " Ages are standardised, sex and body site are 0 or 1." if _metadata(artefacts) else ""
    return f"Features are standardised by the training part's means and deviations; no selection.{limits_of}"


def building(artefacts: Artefacts) -> str:
    """Item 12c."""
    told = f"Head {artefacts.head['params']['type']}, {artefacts.head['members']} member(s), on the features; "
    told += f"step {artefacts.metric('train_head', 'best_step')} of {artefacts.metric('train_head', 'steps')} kept by "
    told += f"the validation part; gamma {artefacts.setting('loss', 'gamma'):g}"
    try:
        penalty, tried = artefacts.metric("train_head", "l2"), artefacts.setting("train", "l2")
        told += f"; L2 penalty {penalty:g} of {len(tried)} tried"
    except AbsentError:
        pass
    return f"{told}. Probabilities: {artefacts.calibration.calibrator.method}, fitted on the calibration part."


def measures(artefacts: Artefacts) -> str:
    """Item 12e."""
    names = ", ".join(name.replace("_", " ") for name in artefacts.numbers)
    plots = "ROC, precision and recall, reliability, confusion, decision curve, deferral, sets"
    return f"{names}; each with a 95 % interval. Plots: {plots}."


def updating(artefacts: Artefacts) -> str:
    """Items 12f and 24."""
    artefacts.metric("evaluate")
    return "None: nothing is fitted or chosen after the evaluation."


def calculation(artefacts: Artefacts) -> str:
    """Item 12g."""
    artefacts.described("features")
    return "By the packaged head and calibration on stored features; python -m derm predict starts from photographs."


def imbalance(artefacts: Artefacts) -> str:
    """Item 13."""
    weights, sampling = artefacts.setting("loss", "class_weights"), artefacts.setting("train", "sampling")
    told = f"In training: class weights {weights}, sampling {sampling}, logit adjustment tau "
    told += f"{artefacts.setting('loss', 'tau'):g}; what they add to the logits is taken off again. After it: "
    calibration = artefacts.calibration
    rule = f"rule {calibration.rule}" + (f" with tau {calibration.tau:g}" if calibration.rule == "prior" else "")
    return f"{told}{rule} on calibrated probabilities, which stay as they are."


def fairness(artefacts: Artefacts) -> str:
    """Item 14."""
    artefacts.settings("loss")
    try:
        groups = artefacts.table("evaluate/subgroups_test.csv")["by"].unique()
    except AbsentError:
        return "Nothing: training knows classes, not groups of people."
    return f"In training nothing; measured by {', '.join(name.replace('_', ' ') for name in groups)}."


def output(artefacts: Artefacts) -> str:
    """Item 15."""
    calibration = artefacts.calibration
    told = f"A probability for each of {len(calibration.classes)} classes; a decision ({calibration.rule}); a set of "
    told += f"classes (alpha {calibration.conformal.alpha:g}, by class)"
    if calibration.threshold is not None:
        told += f"; a flag where p({calibration.positive}) is at least {calibration.threshold:.4f}, set for a "
        told += f"sensitivity of {calibration.target_sensitivity:.0%}"
    return f"{told}. The thresholds come from the calibration part, the decision's priors from the training part."


def differences(artefacts: Artefacts) -> str:
    """Item 16."""
    artefacts.metric("split")
    told = "Test and training part are of one source, one set of classes and one encoder"
    sets = artefacts.metric("prepare_external")
    return f"{told}; external sets differ: {', '.join(sets)}." if sets else f"{told}."


def data_sharing(artefacts: Artefacts) -> str:
    """Item 18e."""
    if artefacts.synthetic:
        return "Drawn by python -m stages.sample: whoever has the code can draw the same images."
    return "The digests on this page tell whether data at hand are the same." if len(artefacts.digests()) else ""


def flow(artefacts: Artefacts) -> str:
    """Item 20a."""
    listed, rejected, images, groups = (
        artefacts.metric("prepare", key) for key in ("listed", "rejected", "images", "groups")
    )
    told = f"{listed:,} rows listed, {rejected:,} refused, {images:,} images of {groups:,} groups"
    by_class: dict[str, int] = {}
    for counts in artefacts.parts.values():
        for name, count in counts["images_by_class"].items():
            by_class[name] = by_class.get(name, 0) + count
    return f"{told}. Images by class: {', '.join(f'{name} {count:,}' for name, count in by_class.items())}."


def characteristics(artefacts: Artefacts) -> str:
    """Item 20b."""
    counts = artefacts.people()
    return f"In the table of who is in each part ({int(counts['images'].sum()):,} images)."


def comparison(artefacts: Artefacts) -> str:
    """Item 20c."""
    people = artefacts.people().set_index("part")
    told = [
        f"{part}: age {people['age in years'][part]}, {people['sex'][part]}"
        for part in ("train", "test")
        if part in people.index
    ]
    return f"{'; '.join(told)}." if len(told) == 2 else ""


def analyses(artefacts: Artefacts) -> str:
    """Item 21."""
    positive = artefacts.calibration.positive
    told = []
    for part, counts in artefacts.parts.items():
        line = f"{part.replace('_', ' ')} {counts['images']:,} images of {counts['groups']:,} groups"
        if positive in counts["images_by_class"]:
            by_image, by_group = counts["images_by_class"][positive], counts["groups_by_class"][positive]
            line += f", {positive} {by_image:,} of {by_group:,}"
        told.append(line)
    return f"{'; '.join(told)}."


def specification(artefacts: Artefacts) -> str:
    """Item 22."""
    weights = ", ".join(encoder["weights"] for encoder in artefacts.described("encoders"))
    return (
        "The folder models/classifier is the whole model but for encoder weights that it names "
        f"(here: {weights}); python -m derm predict runs it; its digests stand on this page."
    )


def performance(artefacts: Artefacts) -> str:
    """Item 23a."""
    told = [f"{name} {artefacts.number(name)}" for name in HEADLINES if name in artefacts.numbers]
    if not told:
        return ""
    try:
        artefacts.table("evaluate/subgroups_test.csv")
    except AbsentError:
        return f"Test: {'; '.join(told)}; all numbers in the tables above. By group of people: not in the artefacts."
    return f"Test: {'; '.join(told)}; all numbers, and those by group of people, in the tables above."


def limitations(artefacts: Artefacts) -> str:
    """Item 26."""
    return " ".join(limits(artefacts))


def poor_inputs(artefacts: Artefacts) -> str:
    """Item 27a."""
    artefacts.described("features")
    told = "An image that cannot be read gets its reason in the column status and no prediction"
    return f"{told}; unknown metadata count as in item 11." if _metadata(artefacts) else f"{told}."


def interaction(artefacts: Artefacts) -> str:
    """Item 27b."""
    asked = ", and a table of what is known of age, sex and body site" if _metadata(artefacts) else ""
    return f"Users give dermatoscopic photographs{asked}; nothing is marked or cropped by hand."


def _metadata(artefacts: Artefacts) -> list[str]:
    """Which fields beside the image the head uses."""
    encoding = artefacts.head["encoding"]
    if encoding is None:
        return []
    return [*(["age"] if encoding["age"] else []), *sorted(encoding["categories"])]


def _width(artefacts: Artefacts) -> int:
    return int(artefacts.head["channels"])

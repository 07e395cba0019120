"""What the classifier is for, what it is not for, and what limits the artefacts show."""

from collections.abc import Callable

from derm.report.artefacts import AbsentError, Artefacts
from derm.report.page import Part

FOR = (
    "Research on classifying dermatoscopic photographs: comparing encoders, heads, calibrations and decision rules by "
    "numbers that come with intervals.",
    "A baseline that others can repeat and beat on the same split.",
)
NOT_FOR = (
    "Not a medical device: no diagnosis, triage, treatment or reassurance of any person may rest on it.",
    "Not for self-diagnosis, and not for an app that anybody points at their own skin.",
    "Not for photographs made without a dermatoscope, nor for other kinds of images.",
    "Not for diagnoses that it does not know: it gives every image one of its classes.",
    "Not for skin, ages, body sites, clinics and cameras that the data below do not hold; no field of the image table "
    "tells the colour of the skin.",
)


SYNTHETIC = "SYNTHETIC DATA: these numbers mean nothing clinically"
RANDOM = "RANDOM ENCODER WEIGHTS: a trial of the machinery"


def stamp(artefacts: Artefacts) -> str:
    """What every page has to say of itself; '' for real images and weights."""
    told = [SYNTHETIC] if artefacts.synthetic else []
    if any(_is_random(encoder) for encoder in artefacts.described("features", "encoders")):
        told.append(RANDOM)
    return ". ".join(told)


def uses_part(artefacts: Artefacts) -> Part:
    """What it is for and not for, and what is weak about it, as a section of the page."""
    lists = [("For", list(FOR)), ("Not for", out_of_scope(artefacts)), ("What is weak about it", limits(artefacts))]
    return Part("What it is for, and what not", "", [], [], lists)


def out_of_scope(artefacts: Artefacts) -> list[str]:
    """What it is not for, the classes named."""
    classes = ", ".join(artefacts.calibration.classes)
    named = [line.replace("one of its classes", f"one of its classes ({classes})") for line in NOT_FOR]
    return [*(["Not for anything clinical at all: it was trained on drawings."] if artefacts.synthetic else []), *named]


def limits(artefacts: Artefacts) -> list[str]:
    """What the artefacts themselves show to be weak; what they do not hold is left out."""
    found = []
    for told in LIMITS:
        try:
            found.append(told(artefacts))
        except AbsentError:
            continue
    return [line for line in found if line]


def _synthetic(artefacts: Artefacts) -> str:
    return "The images are synthetic: the numbers mean nothing clinically." if artefacts.synthetic else ""


def _random(artefacts: Artefacts) -> str:
    names = [encoder["encoder"] for encoder in artefacts.described("features", "encoders") if _is_random(encoder)]
    return f"The weights of {', '.join(names)} are random: a trial of the machinery." if names else ""


def _is_random(encoder: dict) -> bool:
    return encoder.get("weights") == "random"


def _interval(artefacts: Artefacts) -> str:
    resamples = artefacts.setting("evaluate", "resamples")
    return (
        f"The intervals come from {resamples:,} resamples of the test part's groups. They cover which lesions were "
        "drawn for testing, not how the model would differ if it were trained again, and not another clinic."
    )


def _one_source(artefacts: Artefacts) -> str:
    if artefacts.metric("prepare_external"):
        return ""
    return f"Tested on images of its own source alone ({', '.join(artefacts.sources)}): nothing is known of others."


def _small_classes(artefacts: Artefacts) -> str:
    counts = artefacts.parts.get("test", {}).get("groups_by_class", {})
    few = [f"{name} {count}" for name, count in counts.items() if count < 20]
    return f"Classes with fewer than 20 groups in the test part: {', '.join(few)}." if few else ""


def _no_guarantee(artefacts: Artefacts) -> str:
    classes = artefacts.metric("calibrate", "conformal")
    short = [f"{name} ({told['missing']} more)" for name, told in classes.items() if told["missing"]]
    return f"Too few calibration lesions for any promise about the sets of {', '.join(short)}." if short else ""


def _verdict(artefacts: Artefacts) -> str:
    return "On the validation part it overfits." if artefacts.metric("train_head", "fit") == "overfits" else ""


def _without_lesion(artefacts: Artefacts) -> str:
    count = artefacts.metric("prepare", "without_lesion_id")
    return f"{count} images have no lesion id: a lesion may stand on both sides of the split." if count else ""


LIMITS: tuple[Callable[[Artefacts], str], ...] = (
    _synthetic,
    _random,
    _one_source,
    _interval,
    _small_classes,
    _no_guarantee,
    _without_lesion,
    _verdict,
)

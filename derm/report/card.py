"""The model card, in Hugging Face's format: metadata that the hub reads, and a text for people."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from derm.report.artefacts import AbsentError, Artefacts
from derm.report.scored import UNTOLD
from derm.report.tripod import checklist, count_words
from derm.report.uses import FOR, limits, out_of_scope

if TYPE_CHECKING:
    from huggingface_hub.repocard_data import ModelCardData

TEMPLATE = Path(__file__).with_name("card.md")
# The hub wants a name where the dataset gives none.
UNNAMED = "unnamed"
BLANK = "not stated in the artefacts: fill in before publishing"
# Of the hub's own names for metrics (hf.co/metrics) those that are the same thing as ours.
HUB_METRICS = {"accuracy": "accuracy", "macro_auc": "roc_auc", "macro_f1": "f1", "melanoma.sensitivity": "recall"}
SECTIONS = ("task", "split", "loss", "train", "evaluate")
# What Markdown could take for markup.
MARKUP = re.compile(r"([\\`*_\[\]<>|#~&$!])")


class Raw(str):
    """Markdown of this module's own making, which is not to be escaped."""

    __slots__ = ()


def model_card(title: str, license_name: str, notices: list[str], facts: dict[str, str], artefacts: Artefacts) -> str:
    """The card as Markdown with its metadata in front; everything that comes from data is escaped.

    license_name: an identifier of the hub's, such as mit; '' leaves it open. notices: what a reader must know first.
    facts: what the page tells in a line each.
    """
    from huggingface_hub.repocard import ModelCard

    environment = Environment(
        loader=FileSystemLoader(TEMPLATE.parent),
        autoescape=False,  # that is for HTML
        finalize=escaped,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    classes = artefacts.calibration.classes
    tripod = checklist(artefacts)
    body = environment.get_template(TEMPLATE.name).render(
        title=title,
        notices=notices,
        classes=classes,
        positive=artefacts.calibration.positive,
        blank=Raw(f"*{BLANK}*"),
        license=license_name or Raw(f"*{BLANK}*"),
        details=table(pd.DataFrame({"": list(facts), "of this model": list(facts.values())})),
        uses=FOR,
        not_for=out_of_scope(artefacts),
        limits=limits(artefacts),
        data=_data(artefacts),
        counts=table(_counts(artefacts)),
        people=table(artefacts.people()),
        digests=table(artefacts.digests()),
        training=_training(artefacts),
        settings=table(_settings(artefacts)),
        scored=Raw(UNTOLD),
        numbers=table(_numbers(artefacts)),
        by_class=table(_by_class(artefacts)),
        calibration=_calibration(artefacts),
        decisions=f"Decision: {facts['decision']}. Flag: {facts['flag']}.",
        sets_told=_sets_told(artefacts),
        sets=table(_sets(artefacts)),
        tripod_told=count_words(tripod),
        tripod=table(tripod),
    )
    return str(ModelCard(f"---\n{metadata(title, license_name, artefacts).to_yaml()}\n---\n\n{body}\n"))


def metadata(title: str, license_name: str, artefacts: Artefacts) -> "ModelCardData":
    """What the hub reads: tags, data and the test numbers of HUB_METRICS and of the chain's own names."""
    from huggingface_hub.repocard_data import EvalResult, ModelCardData

    sources = artefacts.sources
    results = [
        EvalResult(
            task_type="image-classification",
            dataset_type=sources[0] if sources else UNNAMED,
            dataset_name=", ".join(sources) or UNNAMED,
            dataset_split="test",
            metric_type=HUB_METRICS.get(name, name),
            metric_name=f"test.{name}",
            metric_value=round(value, 6),
        )
        for name, (value, _, _) in artefacts.numbers.items()
    ]
    tags = ["dermatology", "dermoscopy", "skin-lesions", "image-classification", "calibrated", "not-a-medical-device"]
    return ModelCardData(
        license=license_name or None,
        library_name="pytorch",
        pipeline_tag="image-classification",
        tags=[*tags, "synthetic-data"] if artefacts.synthetic else tags,
        datasets=sources or None,
        metrics=sorted({HUB_METRICS[name] for name in artefacts.numbers if name in HUB_METRICS}),
        model_name=title,
        eval_results=results,
    )


def escaped(value: Any) -> str:
    """Text as Markdown that shows it as it is, on one line; what is Raw as it is."""
    if isinstance(value, Raw):
        return value
    return MARKUP.sub(r"\\\1", " ".join(str(value).split()))


def table(rows: pd.DataFrame) -> Raw:
    """A Markdown table; a sentence if there are no rows."""
    if rows.empty:
        return Raw(f"*{BLANK}*")
    lines = [list(rows.columns), *rows.itertuples(index=False)]
    text = [f"| {' | '.join(escaped(cell) for cell in line)} |" for line in lines]
    return Raw("\n".join([text[0], "|" + " --- |" * len(rows.columns), *text[1:]]))


def _data(artefacts: Artefacts) -> str:
    prepared = artefacts.metric("prepare")
    drawn = ", drawn by this repository and of no person" if artefacts.synthetic else ""
    scheme, seed = (artefacts.setting("split", key) for key in ("scheme", "seed"))
    sources = ", ".join(artefacts.sources) or BLANK
    return (
        f"Source: {sources}{drawn}. {prepared['listed']:,} rows listed, {prepared['rejected']:,} "
        f"refused, {prepared['images']:,} images in {prepared['groups']:,} groups. A group is a patient where ids are "
        f"known, else a lesion, with its near-identical images; no group stands in two parts ({scheme}, seed {seed}). "
        f"Digest of the split: {artefacts.metric('split', 'digest')}."
    )


def _counts(artefacts: Artefacts) -> pd.DataFrame:
    parts = artefacts.parts
    classes = sorted({name for counts in parts.values() for name in counts["images_by_class"]})
    rows: list[dict[str, Any]] = []
    for name in [*classes, "all"]:
        row: dict[str, Any] = {"class": name}
        for part, counts in parts.items():
            images, groups = (
                counts[kind] if name == "all" else counts[f"{kind}_by_class"].get(name, 0)
                for kind in ("images", "groups")
            )
            row[part.replace("_", " ")] = f"{images} ({groups})"
        rows.append(row)
    return pd.DataFrame(rows)


def _training(artefacts: Artefacts) -> str:
    trained, head = artefacts.metric("train_head"), artefacts.head
    told = f"Kept: step {trained['best_step']} of {trained['steps']}, val loss {trained['val_loss']:.4f}"
    told += f", training loss {trained['train_loss']:.4f}" if "train_loss" in trained else ""
    return (
        f"{_encoder_training(artefacts)}; a head of type {head['params']['type']} was trained on its "
        f"{head['channels']:,} numbers an image, {head['members']} member(s). {told}. "
        f"On the validation part it {trained['fit']}."
    )


def _encoder_training(artefacts: Artefacts) -> str:
    adapted = artefacts.metric("adapt")
    if adapted["method"] == "none":
        return "The encoder stayed as it is"
    moved = f"{adapted['trained_parameters']:,} of {adapted['parameters']:,} parameters"
    if adapted["method"] == "lora":
        moved = (
            f"{adapted['trained_parameters']:,} in low-rank adapters beside its {adapted['parameters']:,} parameters"
        )
    return (
        f"The encoder was trained first on the training part (adapt.method {adapted['method']}: {moved}; epoch "
        f"{adapted['best_step'] + 1} of {adapted['steps']} kept by the validation part)"
    )


def _settings(artefacts: Artefacts) -> pd.DataFrame:
    told = {f"head.{key}": value for key, value in artefacts.head["params"].items()}
    for section in SECTIONS:
        # A path is the user's own; that file's digest stands beside it.
        shown = {key: value for key, value in artefacts.settings(section).items() if key != "keep"}
        told |= {f"{section}.{key}": value for key, value in shown.items()}
    return pd.DataFrame({"setting": list(told), "value": [_plain(value) for value in told.values()]})


def _plain(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else "none" if value in (None, "") else str(value)


def _numbers(artefacts: Artefacts) -> pd.DataFrame:
    return pd.DataFrame({"metric": list(artefacts.numbers), "test": [artefacts.number(n) for n in artefacts.numbers]})


def _by_class(artefacts: Artefacts) -> pd.DataFrame:
    given = artefacts.table("evaluate/per_class_test.csv")
    told = given[["diagnosis", "images", "groups"]].rename(columns={"diagnosis": "class"})
    for measure in ("sensitivity", "specificity", "precision", "auc"):
        told[measure] = [
            f"{float(value):.2f} [{float(low):.2f}, {float(high):.2f}]" if value and low else "-"
            for value, low, high in zip(given[measure], given[f"{measure}_low"], given[f"{measure}_high"], strict=True)
        ]
    return told


def _calibration(artefacts: Artefacts) -> str:
    fitted = artefacts.metric("calibrate")
    told = (
        f"Method: {fitted['method']}, fitted on {fitted['images']:,} images of {fitted['groups']:,} groups. There the "
        f"expected calibration error was {fitted['before']['ece']:.3f} before and {fitted['after']['ece']:.3f} after"
    )
    perfect = fitted["after"].get("ece_if_perfect")
    told += f" ({perfect:.3f} is what perfect probabilities would get on so few)" if perfect is not None else ""
    return f"{told}. On the test part it is {artefacts.number('ece')}."


def _sets_told(artefacts: Artefacts) -> str:
    alpha = artefacts.calibration.conformal.alpha
    return (
        f"For each image a set of classes that is to hold the true one in {1 - alpha:.0%} of the lesions of each class "
        "(class-conditional split conformal prediction, one image a lesion). Intervals are Wilson's."
    )


def _sets(artefacts: Artefacts) -> pd.DataFrame:
    try:
        given = artefacts.table("evaluate/sets_test.csv", coverage=float, low=float, high=float, size=float)
    except AbsentError:
        return pd.DataFrame()
    missing = dict(zip(artefacts.calibration.classes, artefacts.calibration.conformal.missing, strict=True))
    promised = [
        ("no" if missing.get(name, 0) else "yes") if by == "class" else "-"
        for by, name in zip(given["by"], given["name"], strict=True)
    ]
    return pd.DataFrame(
        {
            "of": given["name"],
            "lesions": given["lesions"],
            "coverage": [f"{row.coverage:.3f} [{row.low:.3f}, {row.high:.3f}]" for row in given.itertuples()],
            "mean size": given["size"].round(2),
            "promised": promised,
        }
    )

"""What README says of intervals, sets and distances, from the measured results."""

import json
from pathlib import Path
from typing import Any

from benchmarks.table import RESULTS
from derm.explanation.words import called

MEASURES = ("balanced_accuracy", "macro_auc", "melanoma_auc")


def review_lines(folder: Path = RESULTS) -> str:
    """Markdown: a point each, from `probabilities.json`, `coverage.json`, `conformal_coverage-out-of-fold.json` and
    `out-of-distribution.json`."""
    names = ("probabilities", "coverage", "conformal_coverage-out-of-fold", "out-of-distribution")
    given = [json.loads((folder / f"{name}.json").read_text()) for name in names]
    tellers = (_probabilities, _intervals, _sets, _distances)
    return "\n".join(told(result) for told, result in zip(tellers, given, strict=True))


def _probabilities(result: dict[str, Any]) -> str:
    def told(name: str) -> str:
        of = result[name]
        return f"{of['value']:.4f} (perfect ones: {of['perfect_low']:.4f} to {of['perfect_high']:.4f})"

    gain, slope = result["first_fold"]["nll_gain"], result["slope"]
    sensitivity, specificity = result["flag_sensitivity"], result["flag_specificity"]
    return (
        f"- **Probabilities** of `{result['cross_validation'].rsplit('-', 1)[0]}`, {result['folds']} folds pooled: "
        f"calibration error {told('ece')}, class by class {told('classwise_ece')}; slope {slope['value']:.2f} "
        f"[{slope['low']:.2f}, {slope['high']:.2f}], 1 is honest. On the first fold's test part calibration gains "
        f"{gain['value']:.3f} [{gain['low']:.3f}, {gain['high']:.3f}] in negative log-likelihood. The threshold set "
        f"for 95 % melanoma sensitivity on calibration gives {sensitivity['mean']:.3f} [{sensitivity['low']:.3f}, "
        f"{sensitivity['high']:.3f}] on test, at a specificity of {specificity['mean']:.3f} [{specificity['low']:.3f}, "
        f"{specificity['high']:.3f}] (`python -m benchmarks.probabilities best-frozen-<digest>`)."
    )


def _intervals(result: dict[str, Any]) -> str:
    held = result["coverage"]
    groups, images = (
        ", ".join(f"{held[name][kind]['coverage']:.1%}" for name in MEASURES) for kind in ("groups", "images")
    )
    rare = held["recall.df"]
    return (
        f"- **Intervals**: in {result['simulations']:,} simulated test parts of HAM10000's size the 95 % interval by "
        "lesion holds the true balanced accuracy, macro AUC and melanoma AUC in "
        f"{groups} of them; resampling images as if they were independent in {images}. A recall among few lesions "
        f"gets Wilson's interval: that of dermatofibroma ({result['lesions']['df']} lesions) holds it in "
        f"{rare['rule']['coverage']:.1%}, the bootstrap's in {rare['groups']['coverage']:.1%} "
        "(`python -m benchmarks.coverage`)."
    )


def _sets(result: dict[str, Any]) -> str:
    melanoma = next(row for row in result["classes"] if row["diagnosis"] == "mel")
    gap = max(abs(row["gap"]) for row in result["classes"])
    return (
        f"- **Sets**: over {result['draws']} draws of calibration and test lesions each class's sets cover within "
        f"{gap:.3f} of what is promised; one threshold for all classes would cover {melanoma['marginal']:.0%} of the "
        f"melanomas, where theirs covers {melanoma['covered']:.0%} (`python -m benchmarks.conformal_coverage`)."
    )


def _distances(result: dict[str, Any]) -> str:
    test, mean = result["mahalanobis"]["test"], result["mahalanobis"]["redrawn"]["mean"]
    ranked = sorted(test["auroc_held_out_class"].items(), key=lambda one: one[1])
    (worst, least), (best, most) = ranked[0], ranked[-1]
    return (
        "- **Unlike the training images**: AUROC of photographs that are no skin, of noise and of blank frames at "
        f"least {min(test['auroc'].values()):.4f}; false alarms on {test['false_alarms']['images']:.1%} of the test "
        f"images (with lesions dealt out again {mean:.1%} in the mean). A class of lesion that was never trained on is "
        f"hardly told: AUROC {least:.2f} ({worst}) to {most:.2f} ({best}) "
        "(`python -m benchmarks.out_of_distribution`). Another resolution than that of the training images is told too."
    )


def explanations_table(folder: Path = RESULTS) -> str:
    """Markdown: a row for each encoder and method, from `explanations-*.json`: what its maps are worth."""
    head = ["encoder", "method", "energy over area", "more than a blob", "highest place inside", "ROAD over RandomCAM"]
    head += ["follows the weights", "follows the labels"]
    lines = ["| " + " | ".join(head) + " |", "|---|---|---|---|---|---|---|---|"]
    for path in sorted(folder.glob("explanations-*.json")):
        result = json.loads(path.read_text())
        whole = {(row["method"], row["metric"]): row for row in result["localisation"] if row["by"] == "all"}
        judged = {(row["method"], row["test"]): row for row in result["verdicts"]}
        encoder = f"`{'+'.join(result['encoders'])}`"
        for method in result["explain"]["methods"]:
            cells = [
                f"{whole[method, 'enrichment']['value']:.2f}",
                _lead(judged[method, "beats the centred blob"]),
                f"{whole[method, 'pointing']['value']:.2f}",
                _lead(judged[method, "faithful (ROAD)"]),
                judged[method, "follows the weights"]["verdict"],
                judged[method, "follows the labels"]["verdict"],
            ]
            lines.append(f"| {encoder} | {called(method)} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def shortcut_lines(folder: Path = RESULTS) -> str:
    """Markdown: what is drawn onto photographs does to the probability of melanoma, from `explanations-*.json`."""
    lines = []
    for path in sorted(folder.glob("explanations-*.json")):
        result = json.loads(path.read_text())
        told = "; ".join(
            f"{row['artefact'].replace('_', ' ')} {row['change']:+.3f} [{row['change_low']:+.3f}, "
            f"{row['change_high']:+.3f}], {row['flag']:.0%} of the flags"
            for row in result["shortcuts"]
        )
        lines.append(f"- `{'+'.join(result['encoders'])}`, {result['shortcuts'][0]['images']:,} images: {told}")
    return ";\n".join(lines) + "."


def explained_images(folder: Path = RESULTS) -> str:
    """Markdown: on how many test images each encoder's maps were measured, from `explanations-*.json`."""
    told = []
    for path in sorted(folder.glob("explanations-*.json")):
        result = json.loads(path.read_text())
        test = result["metrics"]["test"]
        images, lesions, scored = test["localisation"]["images"], test["localisation"]["lesions"], test["faithfulness"]
        name = "+".join(result["encoders"])
        told.append(f"`{name}` {images:,} test images of {lesions:,} lesions, ROAD on {scored['images']:,}")
    return "; ".join(told)


def adapted_lines(folder: Path = RESULTS) -> str:
    """Markdown: what training the encoder was worth, a point for each `adapt-*.json`."""
    lines = []
    for path in sorted(folder.glob("adapt-*.json")):
        result = json.loads(path.read_text())
        decided, adapt, speed = result["test"]["decision.balanced_accuracy"], result["adapt"], result["speed"]
        what = "the drawn sample" if result["synthetic"] else "real HAM10000, 200x150"
        epochs = result["training"]["steps"]
        how = f"{epochs} epochs at {adapt['learning_rate']:g} (layer decay {adapt['layer_decay']:g})"
        interval = f"{decided['difference']:+.3f} [{decided['low']:+.3f}, {decided['high']:+.3f}]"
        lines.append(
            f"- {what}, `{adapt['encoder']['name']}` at {adapt['encoder']['image_size']} pixels, `{adapt['method']}`, "
            f"{how} on a {speed['device'].upper()}: balanced accuracy of the decision {decided['b']:.3f}, "
            f"frozen {decided['a']:.3f}, difference {interval} on {result['images']:,} test images; "
            f"{speed['waiting_share']:.1%} of the time spent waiting for images"
        )
    return ";\n".join(lines) + "."


def _lead(row: dict[str, Any]) -> str:
    if "value" not in row:
        return row["verdict"]
    return f"{row['value']:+.2f} [{row['low']:+.2f}, {row['high']:+.2f}]"

"""The tables of README.md, made from the measurements in benchmarks/results.

    python -m benchmarks.table

A test compares README.md with what this prints, so that no number there is typed by hand.
"""

import csv
import json
from pathlib import Path

from experiments.recipes import read_recipe

RESULTS = Path(__file__).with_name("results")
RECIPES = Path(__file__).resolve().parents[1] / "recipes"
OURS = {"ham10000-joined": "no document; a plain linear head", "best-frozen": "no document; the best that val found"}
# All of the decision, but for the two that are of probabilities.
SEED_COLUMNS = {
    "decision.accuracy": "accuracy",
    "decision.balanced_accuracy": "balanced accuracy",
    "decision.macro_f1": "macro F1",
    "melanoma.auc": "melanoma AUC",
    "decision.melanoma_sensitivity": "melanoma sensitivity",
    "decision.melanoma_specificity": "melanoma specificity",
    "ece": "calibration error",
}
COLUMNS = {
    "mobilenetv2": "`mobilenetv2`",
    "colour-texture": "`colour-texture`",
    "joined": "`joined`",
    "joined-4-views": "`joined`, 4 views",
    "best-frozen": "`best-frozen`",
}
ROWS = {
    "decision.balanced_accuracy": "balanced accuracy of the decision",
    "balanced_accuracy": "balanced accuracy of the most probable class",
    "melanoma.auc": "melanoma AUC",
    "macro_auc": "macro AUC",
    "melanoma.specificity_at_95_sensitivity": "specificity for melanoma at 95 % sensitivity",
    "flag.sensitivity": "melanoma sensitivity of the flag, set for 95 %",
    "flag.specificity": "its specificity",
    "ece": "expected calibration error",
}


def results_table(folder: Path = RESULTS) -> str:
    """Markdown: one row for each metric, one column for each cross-validation: pooled value and 95 % interval."""
    paths = {words: folder / f"crossval-{name}.json" for name, words in COLUMNS.items()}
    columns = {words: json.loads(path.read_text())["pooled"] for words, path in paths.items() if path.is_file()}
    lines = ["| pooled over five folds | " + " | ".join(columns) + " |", "|---|" + "---|" * len(columns)]
    for metric, words in ROWS.items():
        cells = [_cell(numbers[metric]) for numbers in columns.values()]
        lines.append(f"| {words} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def lead_lines(folder: Path = RESULTS) -> str:
    """Markdown: by how much best-frozen is ahead of the linear heads, and its probabilities of those of a recipe with
    focal loss and class weights, from `compare-*.csv` (`differences.csv` of `compare --on folds`)."""
    lines = []
    for name in ("joined", "joined-4-views"):
        row = next(csv.DictReader((folder / f"compare-{name}.csv").read_text().splitlines()))
        low, high = float(row["low"]), float(row["high"])
        lines.append(
            f"- `best-frozen` against {COLUMNS[name]}: {float(row['difference']):+.3f} [{low:+.3f}, {high:+.3f}] in "
            f"{ROWS[row['metric']]}"
        )
    rows = csv.DictReader((folder / "compare-seed-0.csv").read_text().splitlines())
    nll = next(row for row in rows if row["metric"] == "nll")
    difference, low, high = (float(nll[name]) for name in ("difference", "low", "high"))
    lines.append(
        f"- `best-frozen` against `seed-0-medgemma-frozen` (focal loss, class weights): {difference:+.3f} [{low:+.3f}, "
        f"{high:+.3f}] in negative log-likelihood, where less is better"
    )
    return ";\n".join(lines) + "."


def uncertainty_line(folder: Path = RESULTS) -> str:
    """Markdown: how well mutual information tells what was never trained on, from `uncertainty.json`."""
    found = json.loads((folder / "uncertainty.json").read_text())

    def told(key: str) -> str:
        return f"{found[key]['epistemic']:.2f} ({found[key]['entropy']:.2f})"

    return (
        f"AUROC of mutual information (of entropy) for what was never trained on, HAM10000, an mlp on "
        f"`{'+'.join(found['encoders'])}`, {found['passes']} passes: "
        f"a class left out, in the mean {told('auroc_mean_over_held_out')}; photographs that are not skin "
        f"{told('auroc_photographs')}; noise {told('auroc_noise')}."
    )


def compare_line(folder: Path = RESULTS) -> str:
    """Markdown: how often `compare` tells a difference that is not there, and one that is, from `compare.json`."""
    found = json.loads((folder / "compare.json").read_text())
    return (
        f"Out of fold on HAM10000 with the mlp of `{found['cross_validation'].rsplit('-', 1)[0]}`, "
        f"{found['null_verdicts']} of {found['null_pairs']} pairs that differ by their seeds "
        f"alone get a verdict, and a planted gain of {found['planted_gain']:.3f} is found {found['planted_found']} "
        f"times in {found['planted']}."
    )


def seeds_table(folder: Path = RESULTS) -> str:
    """Markdown: a row for each seed system, what its document reports and what its recipe gives here; then, measured in
    the same way, a plain linear head on the same features and the best frozen recipe."""
    reported = json.loads(Path(__file__).with_name("seeds.json").read_text())
    lines = ["| recipe | its document reports | here | " + " | ".join(SEED_COLUMNS.values()) + " |"]
    lines.append("|---|---|---|" + "---|" * len(SEED_COLUMNS))
    rows = [(name, folder / f"{name}.json", told) for name, told in reported.items()]
    rows += [(name, folder / f"crossval-{name.removeprefix('ham10000-')}.json", told) for name, told in OURS.items()]
    for name, path, told in rows:
        if not path.is_file():
            lines.append(f"| `{name}` | {told} | not run | " + " | " * len(SEED_COLUMNS))
            continue
        result = json.loads(path.read_text())
        cells = [_cell(result["pooled"].get(metric)) for metric in SEED_COLUMNS]
        lines.append(f"| `{name}` | {told} | {_weights(name, result)} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(number: dict[str, float] | None) -> str:
    return "" if number is None else f"{number['value']:.3f} [{number['low']:.3f}, {number['high']:.3f}]"


def _weights(recipe: str, result: dict) -> str:
    """The features that it ran on, and whether they are those of the recipe."""
    used = result["changes"]["encoder.name"]
    path = RECIPES / recipe
    own = read_recipe(recipe, RECIPES)["encoder.name"] if path.is_file() else used
    return f"`{used}`" if used == own else f"`{used}`; weights of `{own}` could not be had"


def measured_lines(folder: Path = RESULTS) -> str:
    """Markdown: what was measured of the speed, from `experiment.json`, `prepare.json` and `featurize-*.json`."""
    experiment = json.loads((folder / "experiment.json").read_text())
    machine = experiment["machine"]
    lines = [
        f"On {machine['cores']} cores of {machine['processor']}, {machine['date']}, {experiment['images']:,} images:",
        "",
        f"- an experiment, `dvc exp run -S {experiment['setting']}`: {experiment['seconds']:.0f} s for all that "
        f"follows, {experiment['seconds_up_to_metrics']:.0f} s up to the metrics;",
    ]
    prepare = json.loads((folder / "prepare.json").read_text())
    counts = prepare["search_seconds_by_count"]
    lines += [
        f"- `prepare`: {prepare['seconds']:.0f} s, {prepare['peak_memory_mb']} MB at most, of which the search for "
        f"near-identical images takes {prepare['near_identical_seconds']:.1f} s;",
        f"- that search over 100,000 synthetic hashes: {counts['100000']:.1f} s, "
        f"{counts['100000'] / counts['50000']:.1f} times as long as over half of them;",
    ]
    heads = json.loads((folder / "heads.json").read_text())
    lines += [
        f"- {heads['penalties']} penalties of the linear head, {heads['train_images']:,} images of {heads['dim']:,} "
        f"numbers (`{'+'.join(heads['encoders'])}`): {heads['linear_seconds']:.0f} s, {heads['ratio']:.2f} of "
        "scikit-learn's time in the same run;",
        f"- an mlp, {heads['mlp_epochs']} epochs: {heads['mlp_seconds']:.0f} s;",
    ]
    for path in sorted(folder.glob("featurize-*.json")):
        result = json.loads(path.read_text())
        date = result["machine"]["date"]
        when = f" ({date})" if date != machine["date"] else ""
        native = " of 600x450 pixels" if path.stem.endswith("-native") else ""
        lines.append(
            f"- `featurize` with `{result['encoder']}`, {result['images']:,} images{native}: "
            f"{result['end_to_end_images_per_second']:.0f} images a second from disk to cache, "
            f"{result['share_of_possible']:.2f} of what decoding and forward pass allow in the same run "
            f"({result['share_of_bare']:.2f} of the bare forward pass), {result['peak_memory_mb']:,} MB at most{when};"
        )
    return "\n".join(lines)[:-1] + "."


if __name__ == "__main__":
    print(results_table())
    print()
    print(lead_lines())
    print()
    print(uncertainty_line())
    print()
    print(compare_line())
    print()
    print(measured_lines())
    print()
    print(seeds_table())

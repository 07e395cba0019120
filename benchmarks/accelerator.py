"""How near `featurize` comes to what a card can do: a small and a large network, two sizes, two precisions.

    python -m benchmarks.accelerator --root data/raw/ham10000 --out benchmarks/results/accelerator.json

Random weights of the real architectures: ResNet-50 at 224, and the tower of MedSigLIP and MedGemma (SigLIP So400m/14)
at 448 and at 896. Each case is a process of its own (`benchmarks.featurize`). Writes JSON and, beside it, a picture.
`--small` takes tiny sizes, to try the script where there is no card: its figures say nothing.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from tqdm import tqdm

PRECISIONS = ("float32", "bfloat16")
# encoder, image size, images at once
CASES = (("timm/resnet50", 224, 256), ("medsiglip-448", 448, 64), ("medgemma-4b", 896, 16))
SMALL = (("timm/resnet50", 64, 8), ("medsiglip-448", 28, 8), ("medgemma-4b", 42, 8))


def main(
    root: Annotated[str, typer.Option(help="A dataset folder in HAM10000's layout.")],
    out: Annotated[Path, typer.Option(help="JSON file; the picture goes beside it.")],
    images: Annotated[int, typer.Option(help="How many images in each turn.")] = 1024,
    turns: Annotated[int, typer.Option(help="How many turns.")] = 5,
    small: Annotated[bool, typer.Option("--small", help="Tiny sizes, to try the script.")] = False,
) -> None:
    """Measure all cases, one after another."""
    cases = [(*case, precision) for case in (SMALL if small else CASES) for precision in PRECISIONS]
    results = [measure(root, case, images, turns) for case in tqdm(cases, desc="cases")]
    out.write_text(json.dumps({"small": small, "cases": results}, indent=2) + "\n")
    draw(results, small, out.with_suffix(".png"))
    for result in results:
        print(told(result))


def measure(root: str, case: tuple[str, int, int, str], images: int, turns: int) -> dict[str, Any]:
    """What `benchmarks.featurize` prints for one case. Ends the program if it fails."""
    encoder, size, batch_size, precision = case
    options = {
        "--root": root,
        "--encoder": encoder,
        "--weights": "random",
        "--image-size": size,
        "--batch-size": batch_size,
        "--precision": precision,
        "--images": images,
        "--turns": turns,
    }
    arguments = [str(part) for pair in options.items() for part in pair]
    command = [sys.executable, "-m", "benchmarks.featurize", *arguments, "--repeat"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{encoder} at {size} in {precision} failed: {done.stderr.strip().splitlines()[-1]}")
    return json.loads(done.stdout)


def told(result: dict[str, Any]) -> str:
    """One case in a line."""
    return (
        f"{_name(result)}: {result['end_to_end_images_per_second']:.1f} images a second end to end, "
        f"{result['share_of_bare']:.2f} of the bare forward pass, which runs at "
        f"{result['bare_share_of_matrix_rate']:.2f} of the measured matrix rate"
    )


def draw(results: list[dict[str, Any]], small: bool, path: Path) -> None:
    """Both shares of every case as bars."""
    from matplotlib.figure import Figure

    from derm.files import write_figure

    figure = Figure(figsize=(9, 0.6 * len(results) + 1.6), layout="constrained")
    axes = figure.subplots()
    places = range(len(results))
    for offset, key, label in (
        (-0.18, "share_of_bare", "end to end, of the bare forward pass"),
        (0.18, "bare_share_of_matrix_rate", "bare forward pass, of the measured matrix rate"),
    ):
        bars = axes.barh([place + offset for place in places], [one[key] for one in results], 0.34, label=label)
        axes.bar_label(bars, fmt="%.2f", padding=3)
    axes.set_yticks(places, [_name(result) for result in results])
    axes.invert_yaxis()
    axes.set_xlim(0, max(1.1, *(1.1 * one["share_of_bare"] for one in results)))
    axes.set_xlabel("share")
    axes.set_title(f"featurize on {results[0]['device']}" + (" (tiny sizes: the figures say nothing)" if small else ""))
    axes.legend(loc="upper center", bbox_to_anchor=(0.4, -0.12), ncols=2, frameon=False)
    write_figure(path, figure)


def _name(result: dict[str, Any]) -> str:
    return f"{result['encoder']} at {result['image_size'][0]}, {result['precision']}"


if __name__ == "__main__":
    typer.run(main)

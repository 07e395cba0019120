"""Draw the synthetic sample: openly made-up images in HAM10000's folder layout."""

from pathlib import Path

from derm.params import load
from derm.synthetic.dataset import SampleParams, draw_sample
from stages.runner import run


def main() -> None:
    draw_sample(Path("data/sample"), load("sample", SampleParams))


if __name__ == "__main__":
    run("sample", main)

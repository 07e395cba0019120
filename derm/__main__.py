"""The command line: `python -m derm check` before a run, `python -m derm predict` after it."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from derm.errors import UserError

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, help=__doc__)


@app.command()
def predict(
    paths: Annotated[list[Path], typer.Argument(help="Images, or folders of images (searched to the bottom).")],
    out: Annotated[Path, typer.Option(help="Where the table goes: one row for each image.")],
    classifier: Annotated[Path, typer.Option(help="Folder of a packaged classifier.")] = Path("models/classifier"),
) -> None:
    """Classify images with a packaged classifier.

    Each row has the calibrated probabilities (p_<class>), the most probable class, the decision by the rule that was
    fitted, the flag (1: look again) and a status: ok, or why the image could not be used. The exit code is 1 if any
    could not. For research; not a medical device.
    """
    from derm.prediction import predict_files

    table = predict_files(paths, classifier, out)
    failed = int((table["status"] != "ok").sum())
    print(f"{len(table) - failed} images classified, {failed} failed; table: {out}")
    for _, row in table[table["status"] != "ok"].head(5).iterrows():
        print(f"  {row['image']}: {row['status']}", file=sys.stderr)
    if failed:
        raise typer.Exit(1)


@app.command()
def check() -> None:
    """Look before a long run: what was found, how it will be split, disk, device, licences, and the time to expect."""
    from derm.check import check_setup

    check_setup()


def main() -> None:
    """Run the command line; a user's mistake ends in one line and exit code 1."""
    try:
        app()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()

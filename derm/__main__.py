"""The command line: `python -m derm check` before a run, `python -m derm predict` after it."""

import sys
from pathlib import Path
from typing import Annotated, Literal

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


@app.command()
def leakage(
    split: Annotated[Path, typer.Argument(help="CSV with a row per image, with an image and a split column.")],
    metadata: Annotated[Path | None, typer.Option(help="CSV with lesion or patient ids, joined by image.")] = None,
    images: Annotated[Path | None, typer.Option(help="Folder of the files, to compare the pictures.")] = None,
    duplicates: Annotated[Path | None, typer.Option(help="CSV with pairs of images of one lesion.")] = None,
    train: Annotated[str | None, typer.Option(help="What the split column calls the training part.")] = None,
    image_column: Annotated[str | None, typer.Option(help="Guessed if not given, as the others below.")] = None,
    split_column: Annotated[str | None, typer.Option()] = None,
    label_column: Annotated[str | None, typer.Option(help="`none`: do not guess it; so for the others below.")] = None,
    lesion_column: Annotated[str | None, typer.Option()] = None,
    patient_column: Annotated[str | None, typer.Option()] = None,
    group_column: Annotated[str | None, typer.Option(help="Any other id of what belongs together.")] = None,
    ids: Annotated[
        Literal["name", "path"], typer.Option(help="An image is known by its file's name, or path.")
    ] = "name",
    out: Annotated[Path | None, typer.Option(help="CSV for all leaking images: image, part, group, reason.")] = None,
    json: Annotated[
        bool, typer.Option("--json", help="One JSON object; lists hold the first 100, and a total.")
    ] = False,
) -> None:
    """Audit any split of images: is a patient, lesion or photograph of one part also in another?

    The exit code is 1 if anything is in two parts.
    """
    from derm.leakage.audited import Given
    from derm.leakage.command import audit_files, print_report, refuse_overwriting, write_leaking

    asked = {
        "image": image_column,
        "split": split_column,
        "label": label_column,
        "lesion": lesion_column,
        "patient": patient_column,
        "group": group_column,
    }
    columns = {role: name for role, name in asked.items() if name is not None}
    given = Given(split, metadata, images, duplicates, columns, train, by_path=ids == "path")
    if out:
        refuse_overwriting(out, given)
    audited = audit_files(given)
    if out:
        write_leaking(out, audited.report)
    print_report(audited, json)
    if audited.report.leak:
        raise typer.Exit(1)


def main() -> None:
    """Run the command line; a user's mistake ends in one line and exit code 1."""
    try:
        app()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()

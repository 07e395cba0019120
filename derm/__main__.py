"""The command line: `python -m derm check` before a run, `predict` and `explain` after it."""

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
    encoder_weights: Annotated[
        list[Path] | None,
        typer.Option(help="File or folder of an encoder's weights that the package names and does not hold."),
    ] = None,
    metadata: Annotated[
        Path | None,
        typer.Option(help="CSV with a row per image: image, and what is known of age, sex, body_site."),
    ] = None,
) -> None:
    """Classify images with a packaged classifier.

    Each row has the calibrated probabilities (p_<class>), the most probable class, the decision by the rule that was
    fitted, the flag (1: look again) and a status: ok, or why the image could not be used. The exit code is 1 if any
    could not. For research; not a medical device.
    """
    from derm.prediction import predict_files

    table = predict_files(paths, classifier, out, encoder_weights or [], metadata)
    failed = int((table["status"] != "ok").sum())
    print(f"{len(table) - failed} images classified, {failed} failed; table: {out}")
    for _, row in table[table["status"] != "ok"].head(5).iterrows():
        print(f"  {row['image']}: {row['status']}", file=sys.stderr)
    if failed:
        raise typer.Exit(1)


@app.command()
def explain(
    image: Annotated[Path | None, typer.Argument(help="The image.")] = None,
    out: Annotated[Path | None, typer.Option(help="PNG file; else <name of the image>_explained.png here.")] = None,
    classifier: Annotated[Path, typer.Option(help="Folder of a packaged classifier.")] = Path("models/classifier"),
    encoder_weights: Annotated[
        list[Path] | None,
        typer.Option(help="File or folder of an encoder's weights that the package names and does not hold."),
    ] = None,
    method: Annotated[
        str, typer.Option(help="gradcam, gradcam++, hirescam, layercam, eigencam, randomcam or attention.")
    ] = "gradcam",
    layer: Annotated[
        list[str] | None, typer.Option(help="Where in the encoder; may be given several times, also as auto.")
    ] = None,
    layers: Annotated[bool, typer.Option("--layers", help="List the layers there are, and do no more.")] = False,
    target: Annotated[str | None, typer.Option(help="The class to explain.")] = None,
    metadata: Annotated[Path | None, typer.Option(help="CSV, as for predict.")] = None,
) -> None:
    """Show what of an image spoke for a class: a picture with a row for each class and a column for each layer.

    Classes: the most probable one, and the positive one (or the runner-up, if that is it). Layers: a third and two
    thirds of the way through the encoder, and the last from which a map can be taken, `auto`. Of joined encoders each
    map is the sum of theirs; layers are then named for all of them, as in --layer auto, or one for each, as in --layer
    maps+auto. For research; not a medical device.
    """
    from derm.explanation.command import Asked, explain_file, layer_listing

    if layers:
        print(layer_listing(classifier, encoder_weights or []))
        return
    if image is None:
        raise UserError("explain: name an image, or --layers")
    asked = Asked(method, layer or [], target)
    print(explain_file(image, asked, classifier, out, encoder_weights or [], metadata))


@app.command()
def check() -> None:
    """Look before a long run: what was found, how it will be split, disk, device, licences, and the time to expect."""
    from derm.check import check_setup

    check_setup()


@app.command()
def encoders(
    timm: Annotated[
        str | None, typer.Option(help="List timm's pretrained models that fit, such as '*dinov3*'.")
    ] = None,
) -> None:
    """List encoders: size, numbers an image, resolution, terms, training data, and test sets they have seen.

    encoder.name also takes timm/<any model of timm> and hf/<any vision model that transformers loads>, and joins
    several with +.
    """
    from derm.encoders.catalogue import listing, timm_models

    if timm is None:
        print(listing())
        print("\nAlso: timm/<any model> (--timm PATTERN lists them), hf/<repository>, and several joined by +")
        return
    names = timm_models(timm)
    if not names:
        raise UserError(
            f"--timm {timm}: timm has no pretrained model of that name; a pattern needs *, as in '*dinov3*'"
        )
    print("\n".join(names))


@app.command()
def cache(
    prune: Annotated[bool, typer.Option("--prune", help="Remove what data/features is not made of.")] = False,
    older_than: Annotated[
        int | None, typer.Option(min=0, help="Of this only what was not used for so many days.")
    ] = None,
) -> None:
    """Show the embeddings that are kept, or throw away what the present features are not made of."""
    from derm.embedding import cache_report

    if not prune:
        if older_than is not None:
            raise UserError("--older-than says what --prune removes: give both")
        cache_report.show()
        return
    from derm.embedding.features import read_manifest

    cache_report.prune(read_manifest(), older_than)


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


@app.command()
def download(
    dataset: Annotated[str, typer.Argument(help="Known: ham10000.")],
    out: Annotated[Path, typer.Option(help="Folder of the dataset.")] = Path("data/raw/ham10000"),
    with_masks: Annotated[bool, typer.Option("--with-masks", help="The masks of the lesions too.")] = False,
    official_test: Annotated[bool, typer.Option("--official-test", help="The ISIC 2018 test set too.")] = False,
    accept_terms: Annotated[bool, typer.Option("--accept-terms", help="You have read and accept its terms.")] = False,
    origin: Annotated[
        Literal["dataverse", "kaggle"], typer.Option("--from", help="Kaggle has neither masks nor test set.")
    ] = "dataverse",
    server: Annotated[str | None, typer.Option(help="Address of the Dataverse; else Harvard's.")] = None,
    keep_archives: Annotated[
        bool, typer.Option("--keep-archives", help="Leave the archives in <out>.download when all is unpacked.")
    ] = False,
) -> None:
    """Fetch a dataset, digests checked, into the layout that the pipeline reads.

    Broken off or killed, the same command goes on where it was; what is there is not fetched again. It shows the
    terms, and fetches nothing without --accept-terms.
    """
    if dataset != "ham10000":
        raise UserError(
            f"{dataset}: the only dataset known here is ham10000; ISIC archives are fetched by hand from "
            "https://challenge.isic-archive.com/data and read with data.source=isic"
        )
    if origin == "kaggle":
        from derm.download.kaggle import download as from_kaggle

        given = {"--with-masks": with_masks, "--official-test": official_test, "--server": server is not None}
        given |= {"--keep-archives": keep_archives}
        if any(given.values()):
            raise UserError(f"--from kaggle does not go with {', '.join(flag for flag in given if given[flag])}")
        from_kaggle(out, accept_terms)
        return
    from derm.download.ham10000 import SERVER
    from derm.download.ham10000 import download as from_dataverse

    from_dataverse(out, with_masks, official_test, accept_terms, server or SERVER, keep_archives)


def main() -> None:
    """Run the command line; a user's mistake ends in one line and exit code 1."""
    try:
        app()
    except (UserError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()

"""Which layout a folder has, by a look at its names."""

from pathlib import Path

from derm.errors import UserError
from derm.folder_files import files_below
from derm.sources.folders import PARTS
from derm.sources.ham10000 import ENDINGS, IMAGES, METADATA
from derm.sources.image_files import image_files

LAYOUTS = ("ham10000", "isic", "folders", "table")


def detect_source(root: Path) -> str:
    """One of `LAYOUTS`. UserError, with what each of them looks like, if the folder is none or could be several."""
    if any((root / f"{METADATA}{ending}").is_file() for ending in ENDINGS):
        return "ham10000"
    tables = [file for file in files_below(root) if file.lower().endswith(".csv")]
    names = [file.rsplit("/", 1)[-1].lower() for file in tables]
    if any("groundtruth" in name or name == "train-metadata.csv" for name in names):
        return "isic"
    in_folders = [file.split("/") for file in image_files(root)]
    classes = {
        parts[1] if parts[0].lower() in PARTS and len(parts) > 2 else parts[0] for parts in in_folders if len(parts) > 1
    }
    if of_ham10000 := sorted(name for name in classes if name.lower().startswith(IMAGES.lower())):
        raise UserError(
            f"{root} holds {of_ham10000[0]}, and its metadata file {METADATA}.csv is missing: put it into {root}, or "
            "say --source with one of " + ", ".join(LAYOUTS)
        )
    if not tables and len(classes) > 1:
        return "folders"
    if tables:
        raise UserError(
            f"{root} holds the table {tables[0]}, of no layout that is known by its name: say "
            "--source table --table FILE --columns 'path=... diagnosis=...', or --source with another of "
            + ", ".join(LAYOUTS)
        )
    raise UserError(
        f"{root}: no layout that is known: expected HAM10000_metadata.csv (ham10000), an ISIC ..._GroundTruth.csv "
        "(isic), two or more class folders of images (folders), or a CSV file (table)"
    )

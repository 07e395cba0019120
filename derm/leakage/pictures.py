"""What the files of a split's images say: their bytes, and which of them show the same photograph."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath

import pandas as pd
from tqdm import tqdm

from derm.errors import UserError
from derm.images import UnreadableImageError, decode, digest, read_bytes
from derm.near_duplicates import near_identical, perceptual_hash
from derm.sources.image_files import ImageFinder
from derm.workers import worker_count


def read_pictures(rows: pd.DataFrame, folder: Path, by_path: bool) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The rows with `path, sha256, perceptual_hash` (empty where no file could be used), and problems: image, reason.

    A file is looked for by the name as given, then, unless `by_path`, by the file's name alone: tables often hold
    paths of another machine. UserError if the folder is none, or if no image is in it.
    """
    if not folder.is_dir():
        raise UserError(f"--images: no folder {folder}: give the folder that holds the images")
    finder = ImageFinder(folder)
    found = {given: _find(finder, given, by_path) for given in rows["given"].unique()}
    files = sorted({file for file, _ in found.values() if file})
    if not files:
        first = rows["given"].iloc[0]
        raise UserError(f"--images: none of the split's images is in {folder}, such as {first!r}: give their folder")

    def look(file: str) -> tuple[str, str, str]:
        try:
            content = read_bytes(folder / file)
            return digest(content), perceptual_hash(decode(content)), ""
        except UnreadableImageError as error:
            return "", "", str(error)

    with ThreadPoolExecutor(worker_count()) as pool:
        looked = list(tqdm(pool.map(look, files), total=len(files), desc="reading images", unit="img", mininterval=0.5))
    facts = dict(zip(files, looked, strict=True))
    seen = [facts.get(found[given][0], ("", "", found[given][1])) for given in rows["given"]]
    facts_of_rows = pd.DataFrame(seen, columns=["sha256", "perceptual_hash", "reason"], index=rows.index)
    paths = [str(folder / found[given][0]) if found[given][0] else "" for given in rows["given"]]
    bad = rows[["image"]].assign(reason=facts_of_rows["reason"])
    problems = bad[bad["reason"] != ""].drop_duplicates().reset_index(drop=True)
    return pd.concat([rows.assign(path=paths), facts_of_rows.drop(columns="reason")], axis=1), problems


def _find(finder: ImageFinder, given: str, by_path: bool) -> tuple[str, str]:
    file, reason = finder.find(given)
    if not file and not by_path:
        file, reason = finder.find(PurePosixPath(given.replace("\\", "/")).name)
    return file, reason.partition(": ")[0]


def lookalikes(rows: pd.DataFrame) -> pd.DataFrame:
    """Pairs of near-identical files: `one, other` (SHA-256), `distance` (bits), `similarity`; the likest first.

    Also within one part: a chain of copies may lead from one part to another through images that stand together.
    """
    files = rows.loc[rows["sha256"] != "", ["path", "sha256", "perceptual_hash"]].drop_duplicates("sha256")
    try:
        pairs = near_identical(files)
    except UnreadableImageError as error:
        raise UserError(f"--images: a file changed while it was looked at ({error}): try again") from None
    digests = files["sha256"].reset_index(drop=True)
    return pairs.assign(one=pairs["one"].map(digests).astype(str), other=pairs["other"].map(digests).astype(str))

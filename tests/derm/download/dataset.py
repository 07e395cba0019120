"""A dataset in HAM10000's layout, as Dataverse holds it: a few small photographs in zips, and tables."""

import io
import zipfile
from hashlib import md5

import numpy as np
from PIL import Image

HEADER = "lesion_id,image_id,dx,dx_type,age,sex,localization,dataset"
FIRST = [f"ISIC_00243{n:02}" for n in range(4)]
SECOND = [f"ISIC_00294{n:02}" for n in range(3)]
TEST = [f"ISIC_00345{n:02}" for n in range(2)]


def photograph(seed: int, format: str = "JPEG") -> bytes:
    """A small image file of coloured noise, about 4 kB."""
    pixels = np.random.default_rng(seed).integers(0, 255, (48, 64, 3)).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format=format, **({"quality": 95} if format == "JPEG" else {}))
    return stream.getvalue()


def zipped(members: dict[str, bytes]) -> bytes:
    """A zip of these files."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return stream.getvalue()


def table(images: list[str], lesion: str) -> bytes:
    """The CSV that the authors uploaded."""
    rows = [f"{lesion}_{n // 2:07},{name},nv,histo,45.0,female,back,rosendahl" for n, name in enumerate(images)]
    return ("\n".join([HEADER, *rows]) + "\n").encode()


def ingested(csv: bytes) -> bytes:
    """What Dataverse makes of a CSV, and hands out without `?format=original`."""
    lines = csv.decode().splitlines()
    return ("\n".join("\t".join(f'"{cell}"' for cell in line.split(",")) for line in lines) + "\n").encode()


def archives() -> dict[str, bytes]:
    """The zips by their names; some with a folder of their own, some made on a Mac."""
    masks = "HAM10000_segmentations_lesion_tschandl"
    test = "ISIC2018_Task3_Test_Images"
    return {
        "HAM10000_images_part_1.zip": zipped({f"{name}.jpg": photograph(n) for n, name in enumerate(FIRST)}),
        "HAM10000_images_part_2.zip": zipped(
            {f"HAM10000_images_part_2/{name}.jpg": photograph(10 + n) for n, name in enumerate(SECOND)}
        ),
        f"{masks}.zip": zipped(
            {
                f"{masks}/": b"",
                f"{masks}/.DS_Store": b"Mac",
                **{f"{masks}/{name}_segmentation.png": photograph(20, "PNG") for name in [*FIRST, *SECOND]},
                f"__MACOSX/{masks}/._{FIRST[0]}_segmentation.png": b"Mac",
            }
        ),
        f"{test}.zip": zipped({f"{test}/{name}.jpg": photograph(30 + n) for n, name in enumerate(TEST)}),
        "HAM10000_v1_features.zip": zipped({"features.csv": b"not wanted\n"}),
    }


def hexadecimal(content: bytes) -> str:
    """MD5, as Dataverse lists it."""
    return md5(content).hexdigest()

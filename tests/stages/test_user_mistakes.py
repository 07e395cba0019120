"""Every mistake a user can make ends in one line, or in a row of rejected.csv; never in a traceback (promise 7)."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from derm.appearance import MEASURES
from derm.encoders.adapted import write_adapted
from derm.errors import UserError
from derm.folder_digest import folder_digest
from derm.image_table import read_appearance
from stages import evaluate, featurize, prepare, prepare_external, split, train_head
from tests.closure import ROOT
from tests.dataset import Folder, make_folder


def set_params(**sections: dict) -> None:
    """Change params.yaml in the current folder."""
    params = yaml.safe_load(Path("params.yaml").read_text())
    for section, values in sections.items():
        params[section] |= values
    Path("params.yaml").write_text(yaml.safe_dump(params))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    """A workspace with the repository's params and a small dataset; every rejection is borne unless a test says no."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    Path("params.yaml").write_text((ROOT / "params.yaml").read_text())
    set_params(data={"root": "data/own", "max_rejected": 0.5})
    return make_folder(tmp_path / "data/own")


def failure(stage: Callable[[], None]) -> str:
    """The one line a stage ends with."""
    with pytest.raises(UserError) as caught:
        stage()
    message = str(caught.value)
    assert "\n" not in message
    return message


def rejected() -> dict[str, str]:
    """image_id -> reason."""
    table = pd.read_csv("data/prepared/rejected.csv", dtype=str)
    return dict(zip(table["image_id"], table["reason"], strict=True))


def kept() -> list[str]:
    return list(pd.read_csv("data/prepared/images.csv", dtype=str)["image_id"])


def test_no_such_root(folder: Folder) -> None:
    set_params(data={"root": "data/elsewhere"})
    assert "data/elsewhere" in failure(prepare.main)


def test_a_relative_root_that_leaves_the_repository(folder: Folder) -> None:
    set_params(data={"root": "../own"})
    assert "absolute path" in failure(prepare.main)


def test_no_metadata_file(folder: Folder) -> None:
    (folder.root / "HAM10000_metadata.csv").unlink()
    assert "HAM10000_metadata.csv" in failure(prepare.main)


def test_an_empty_metadata_file(folder: Folder) -> None:
    (folder.root / "HAM10000_metadata.csv").write_text("\n")
    assert "HAM10000_metadata.csv is empty" in failure(prepare.main)


def test_a_header_without_rows(folder: Folder) -> None:
    folder.rows = []
    folder.write()
    assert "no rows" in failure(prepare.main)


def test_a_headless_metadata_file(folder: Folder) -> None:
    folder.header = ",".join(folder.rows.pop(0))
    folder.write()
    message = failure(prepare.main)
    assert "no column image_id, dx" in message and "header" in message


def test_a_missing_column(folder: Folder) -> None:
    folder.header = folder.header.replace("dx,", "diagnostic,")
    folder.write()
    assert "no column dx" in failure(prepare.main)


def test_a_row_of_another_length(folder: Folder) -> None:
    folder.rows[3].append("surplus")
    folder.write()
    assert "line 5 has 8 values, the header has 7" in failure(prepare.main)


def test_tab_separated_metadata_with_a_byte_order_mark(folder: Folder) -> None:
    text = (folder.root / "HAM10000_metadata.csv").read_text().replace(",", "\t")
    (folder.root / "HAM10000_metadata.csv").unlink()
    (folder.root / "HAM10000_metadata.tab").write_text("\ufeff" + text, encoding="utf-8")
    prepare.main()
    assert len(kept()) == len(folder.rows)


@pytest.mark.parametrize("how", ["no column", "empty values"])
def test_no_lesion_ids_is_one_loud_line(folder: Folder, how: str, capsys: pytest.CaptureFixture[str]) -> None:
    if how == "no column":
        folder.header = folder.header.replace("lesion_id", "remark")
    else:
        folder.rows = [["", *row[1:]] for row in folder.rows]
    folder.write()
    prepare.main()
    loud = [line for line in capsys.readouterr().err.splitlines() if "WARNING" in line]
    assert len(loud) == 1 and f"{len(folder.rows)} of {len(folder.rows)} images have no lesion_id" in loud[0]
    assert len(set(pd.read_csv("data/prepared/images.csv")["group"])) == len(folder.rows)


def test_an_unknown_diagnosis(folder: Folder) -> None:
    folder.rows[0][2] = "melanom"
    folder.write()
    prepare.main()
    reason = rejected()[folder.rows[0][1]]
    assert "'melanom'" in reason and "mel" in reason
    assert folder.rows[0][1] not in kept()


def test_unusable_files(folder: Folder) -> None:
    ids = [row[1] for row in folder.rows]
    folder.image(0).unlink()
    folder.image(1).write_bytes(b"")
    folder.image(2).write_bytes(folder.image(2).read_bytes()[:600])
    Image.new("RGB", (1, 1)).save(folder.image(3))
    folder.image(4).write_text("not an image")
    set_params(data={"max_pixels": 48 * 64})
    Image.new("RGB", (65, 48)).save(folder.image(5))
    prepare.main()
    reasons = rejected()
    assert "not found" in reasons[ids[0]]
    assert "empty" in reasons[ids[1]]
    assert "cannot be decoded" in reasons[ids[2]]
    assert "1x1" in reasons[ids[3]] and "under 32" in reasons[ids[3]]
    assert "not an image" in reasons[ids[4]]
    assert "65x48" in reasons[ids[5]] and "3072" in reasons[ids[5]]
    assert not set(kept()) & set(ids[:6]) and len(kept()) == len(ids) - 6


def test_too_many_unusable_rows_stop_the_run(folder: Folder) -> None:
    set_params(data={"max_rejected": 0.01})
    folder.image(0).unlink()
    folder.image(1).unlink()
    message = failure(prepare.main)
    assert "2 of 84 rows" in message and "data.max_rejected" in message and folder.rows[0][1] in message
    assert len(rejected()) == 2


def test_an_image_changed_after_prepare(folder: Folder) -> None:
    prepare.main()
    prepare_external.main()
    write_adapted({})
    Image.new("RGB", (64, 48), "red").save(folder.image(7))
    message = failure(featurize.main)
    assert folder.image(7).name in message and "changed" in message


@pytest.mark.parametrize("mode", ["L", "RGBA", "CMYK", "I;16", "EXIF"])
def test_unusual_images_are_read_right(folder: Folder, mode: str) -> None:
    path = folder.image(0)
    grey = np.full((48, 64), 128, dtype=np.uint8)
    grey[:24, :32] = 250
    upright = Image.fromarray(grey).convert("RGB")
    if mode == "I;16":
        Image.fromarray(grey.astype(np.uint16) * 257).save(path.with_suffix(".png"))
    elif mode == "RGBA":
        upright.convert("RGBA").save(path.with_suffix(".png"))
    elif mode == "EXIF":
        exif = Image.Exif()
        exif[0x0112] = 6  # to be shown turned by 90 degrees clockwise
        upright.transpose(Image.Transpose.ROTATE_90).save(path, quality=95, exif=exif)
    else:
        upright.convert(mode).save(path, quality=95)
    if path.with_suffix(".png").exists():
        path.unlink()
        path = path.with_suffix(".png")
    prepare.main()
    row = pd.read_csv("data/prepared/images.csv", dtype=str).set_index("image_id").loc[folder.rows[0][1]]
    assert (row["width"], row["height"]) == ("64", "48")
    from derm.images import read_image

    pixels = np.asarray(read_image(str(row["path"]), str(row["sha256"])).convert("L"), dtype=int)
    assert abs(pixels[5:18, 5:25].mean() - 250) < 6 and abs(pixels[30:, 40:].mean() - 128) < 6


def test_an_id_twice_with_one_label(folder: Folder) -> None:
    folder.rows.append(list(folder.rows[0]))
    folder.write()
    prepare.main()
    assert kept().count(folder.rows[0][1]) == 1
    assert (
        "csv line 2, HAM10000_metadata.csv line 86: HAM10000_metadata.csv line 2 is kept"
        in rejected()[folder.rows[0][1]]
    )


def test_an_id_twice_with_two_labels(folder: Folder) -> None:
    folder.rows.append([*folder.rows[0][:2], "mel", *folder.rows[0][3:]])
    folder.write()
    prepare.main()
    assert folder.rows[0][1] not in kept()
    assert "different diagnoses: akiec, mel" in rejected()[folder.rows[0][1]]


@pytest.mark.parametrize("evil", ["../../secret", "..", "/etc/passwd", "a/b"])
def test_an_id_that_would_leave_the_folder(folder: Folder, evil: str) -> None:
    folder.rows[0][1] = evil
    folder.write()
    prepare.main()
    assert "image_id" in rejected()[evil]
    assert not any(".." in path for path in pd.read_csv("data/prepared/images.csv")["path"])


def test_a_mask_that_does_not_fit_costs_only_the_mask(folder: Folder) -> None:
    masks = folder.root / "HAM10000_segmentations_lesion_tschandl"
    masks.mkdir()
    Image.new("L", (64, 48), 255).save(masks / f"{folder.rows[0][1]}_segmentation.png")
    Image.new("L", (48, 64), 255).save(masks / f"{folder.rows[1][1]}_segmentation.png")
    prepare.main()
    table = pd.read_csv("data/prepared/images.csv", dtype=str, keep_default_na=False).set_index("image_id")
    assert table.loc[folder.rows[0][1], "mask_sha256"] and not table.loc[folder.rows[1][1], "mask"]
    assert "48x64" in rejected()[folder.rows[1][1]]
    # What the photographs look like stands beside the table; skin is seen only around a mask that can be used.
    looks = read_appearance()
    assert list(looks["image_id"]) == list(table.index) and list(looks)[1:] == MEASURES
    assert looks["ita"].isna().all()  # the one mask covers the whole frame
    Image.new("L", (64, 48), 0).save(masks / f"{folder.rows[2][1]}_segmentation.png")
    prepare.main()
    assert list(read_appearance().dropna()["image_id"]) == [folder.rows[2][1]]


def test_only_one_class(folder: Folder) -> None:
    folder.rows = [row for row in folder.rows if row[2] == "nv"]
    folder.write()
    prepare.main()
    assert "one class (nv)" in failure(split.main)


def test_a_class_with_fewer_lesions_than_parts(folder: Folder) -> None:
    folder.rows = [row for row in folder.rows if row[2] != "df" or row[0] in ("HAM_3000", "HAM_3001")]
    folder.write()
    prepare.main()
    message = failure(split.main)
    assert "df has 2" in message and "leave it out" in message


def test_a_positive_class_that_is_not_there(folder: Folder) -> None:
    prepare.main()
    set_params(task={"positive": "melanom"})
    message = failure(split.main)
    assert "task.positive" in message and "mel" in message


@pytest.mark.parametrize(
    ("section", "values", "told"),
    [
        ("loss", {"gamma": "abc"}, "loss.gamma is 'abc'"),
        ("loss", {"gamma": -1}, "loss.gamma is -1"),
        ("loss", {"gama": 2}, "loss.gama is not a known key"),
        ("train", {"l2": []}, "train.l2"),
        ("head", {"type": "lineal"}, "head.type is 'lineal'"),
    ],
)
def test_wrong_params(folder: Folder, section: str, values: dict, told: str) -> None:
    set_params(**{section: values})
    assert told in failure(train_head.main)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"name": "color-texture"}, "'colour-texture'"),
        ({"name": "timm/resnet5O", "weights": "random"}, "timm/resnet50"),
        ({"weights": "pretrained"}, "colour-texture has no weights"),
        ({"name": "timm/test_resnet"}, "needs some"),
        ({"name": "timm/test_resnet", "weights": "weights.pt"}, ".safetensors"),
        ({"name": "timm/test_resnet", "weights": "absent.safetensors"}, "absent.safetensors"),
        ({"precision": "float16"}, "overflow in float16"),
        ({"precision": "bfloat16"}, "colour-texture counts in narrow bins"),
        ({"image_size": 64}, "colour-texture has one input"),
        ({"image_size": "large"}, "encoder.image_size is 'large', expected auto, or a whole number of pixels"),
        ({"revision": "main"}, "encoder.revision is 'main', expected a commit"),
        ({"resize": "stretch"}, "encoder.resize is 'stretch', expected 'auto', 'squash', 'pad' or 'crop'"),
        ({"name": "timm/test_resnet", "weights": "random", "pooling": "cls"}, "expected one of auto, mean"),
        ({"name": "colour-texture+colour-texture"}, "different ones joined by +"),
        ({"name": "colour-texture+timm/test_resnet"}, "timm/test_resnet needs some"),
        ({"name": "colour-texture+timm/test_resnet", "weights": ["none"]}, "one for each of the 2 encoders"),
        ({"name": "timm/test_resnet+timm/test_vit", "weights": "own.safetensors"}, "give a list in params.yaml"),
        ({"name": "hf/nobody/nothing", "weights": "none"}, "hf/nobody/nothing needs some"),
    ],
)
def test_wrong_encoders(folder: Folder, values: dict, told: str) -> None:
    prepare.main()
    write_adapted({})
    set_params(encoder=values)
    assert told in failure(featurize.main)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"views": 17}, "features.views is 17, expected less than or equal to 16"),
        ({"batch_size": 1}, "features.batch_size is 1"),
        ({"tokens": True}, "encoder.name joins several"),
        ({"token_pooling": 3}, "features.token_pooling is 3"),
    ],
)
def test_wrong_features(folder: Folder, values: dict, told: str) -> None:
    prepare.main()
    set_params(encoder={"name": "colour-texture+timm/test_resnet", "weights": "random"}, features=values)
    assert told in failure(featurize.main)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"source": "ham1000"}, "data.source is 'ham1000', expected 'ham10000', 'isic', 'folders' or 'table'"),
        ({"source": "folders"}, "no image"),
        ({"source": "isic"}, "GroundTruth"),
        ({"source": "table"}, "data.table is empty"),
        ({"label_map": {"naevus": "nv"}}, "names 'naevus', which no image has; there are: akiec (12)"),
        ({"label_map": {"nv": 3}}, "data.label_map.nv is 3"),
        (
            {"external": [{"name": "Two Words", "source": "folders", "root": "x", "digest": ""}]},
            "a short name of",
        ),
        ({"external": [{"name": "a", "source": "folders", "root": "x"}]}, "data.external.0.digest is missing"),
        (
            {"external": [{"name": "a", "source": "folders", "root": "x", "digest": ""}] * 2},
            "a different name",
        ),
    ],
)
def test_wrong_data_params(folder: Folder, values: dict, told: str) -> None:
    set_params(data=values)
    if values.get("source") == "folders":
        (folder.root / "HAM10000_images_part_1").rename(folder.root.parent / "moved")
    assert told in failure(prepare.main)


@pytest.mark.parametrize(
    ("section", "values", "told"),
    [
        ("split", {"scheme": "random"}, "split.scheme is 'random', expected 'holdout', 'kfold' or 'official'"),
        ("split", {"scheme": "official"}, "the source names no test images"),
        ("split", {"keep": "gone.csv"}, "split.keep: no file 'gone.csv'"),
        ("split", {"keep_sha256": "abc"}, "64 hex digits"),
        ("task", {"target": "cancer"}, "task.target is 'cancer'"),
        ("task", {"target": "melanoma", "melanoma": ["melanoma"]}, "none of akiec, bcc"),
    ],
)
def test_wrong_split_and_task_params(folder: Folder, section: str, values: dict, told: str) -> None:
    prepare.main()
    set_params(**{section: values})
    assert told in failure(split.main)


def test_an_external_set_that_is_missing_changed_or_unusable(folder: Folder) -> None:
    prepare.main()
    away = make_folder(folder.root.parent / "away", lesions_per_class=2)
    given = {"name": "away", "source": "ham10000", "root": str(away.root), "digest": folder_digest(away.root)}
    set_params(data={"external": [given | {"root": "data/nowhere"}]})
    assert "data.external[0].root: no folder 'data/nowhere'" in failure(prepare_external.main)
    set_params(data={"external": [given | {"digest": "0" * 64}]})
    assert given["digest"] in failure(prepare_external.main)
    set_params(data={"external": [given], "max_rejected": 0.0})
    away.image(0).unlink()
    set_params(data={"external": [given | {"digest": folder_digest(away.root)}]})
    assert "data.external[0].max_rejected allows 0.0%: 1 x image file not found" in failure(prepare_external.main)
    set_params(data={"external": [given | {"digest": folder_digest(away.root), "max_rejected": 0.1}]})
    prepare_external.main()
    # Every image of the small folders is drawn alike: all of them are in the home set too.
    assert pd.read_csv("data/external/away/images.csv").empty
    assert read_appearance(Path("data/external/away/appearance.csv")).empty


def test_a_stage_without_the_files_before_it_says_which(folder: Folder) -> None:
    assert "data/prepared/images.csv is missing" in failure(split.main)
    prepare.main()
    assert "data/split/split.csv is missing" in failure(evaluate.main)


def test_as_a_process_a_mistake_is_one_line_and_exit_code_1(folder: Folder) -> None:
    set_params(loss={"gamma": "abc"})
    command = [sys.executable, "-m", "stages.train_head"]
    environment = {"PYTHONPATH": str(ROOT), "DVC_ROOT": str(folder.root.parents[1]), "PATH": ""}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 1
    assert done.stderr == "error: train_head: params.yaml: loss.gamma is 'abc', expected a valid number\n"

"""`python -m derm check` as a user calls it."""

import subprocess
import sys
from pathlib import Path

import yaml

from tests.closure import ROOT
from tests.dataset import make_folder


def run_check(folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {"PYTHONPATH": str(ROOT), "DVC_ROOT": str(folder), "DERM_DEVICE": "cpu"}
    command = [sys.executable, "-m", "derm", "check"]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_it_tells_what_a_run_will_find_and_take(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "data/own", lesions_per_class=14)
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["data"]["root"] = "data/own"
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    done = run_check(tmp_path)
    assert done.returncode == 0, done.stderr
    rows = [line for line in done.stdout.splitlines() if "data/own/HAM10000_images_part_1" in line]
    assert len(rows) == 20
    assert f"{len(folder.rows)} images listed, 0 rows refused" in done.stdout
    by_part = next(line for line in done.stdout.splitlines() if line.startswith("all ")).split()
    assert int(by_part[-1]) == 7 * 14 == sum(int(count) for count in by_part[1:-1])
    for told in (
        "colour-texture on cpu",
        "no token needed",
        "GB free",
        f"colour-texture: {len(folder.rows)} images to embed (this enc",
        "takes about",
    ):
        assert told in done.stdout
    assert not (tmp_path / "data/prepared").exists()


def test_a_class_that_is_left_out_is_not_counted(tmp_path: Path) -> None:
    make_folder(tmp_path / "data/own", lesions_per_class=14)
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["data"] |= {"root": "data/own", "label_map": {"df": None, "vasc": "other vessel"}}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    done = run_check(tmp_path)
    assert done.returncode == 0, done.stderr
    by_part = next(line for line in done.stdout.splitlines() if line.startswith("all ")).split()
    assert int(by_part[-1]) == 6 * 14
    assert not any(line.startswith("df ") for line in done.stdout.splitlines())
    assert any(line.startswith("other vessel ") for line in done.stdout.splitlines())


def test_a_wrong_root_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    done = run_check(tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("error: data.root: no folder 'data/sample'") and done.stderr.count("\n") == 1

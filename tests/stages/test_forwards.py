"""What costs a forward pass and what does not, by the stage itself with a real encoder."""

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from derm.encoders import code_digest
from derm.encoders.adapted import write_adapted
from stages import featurize, prepare, prepare_external
from tests.closure import ROOT
from tests.dataset import make_folder


class Runs:
    """A workspace with a small dataset, in which `featurize` is run again and again."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.dataset = make_folder(folder / "data/own", lesions_per_class=2)
        self.images = len(self.dataset.rows)
        self.params: dict[str, Any] = yaml.safe_load((ROOT / "params.yaml").read_text())
        self.params["data"]["root"] = "data/own"
        self.params["encoder"] |= {"name": "timm/test_resnet", "weights": "random"}
        self._capsys = capsys
        self.write()

    def write(self, **sections: dict[str, Any]) -> None:
        """params.yaml, with some values changed for this time."""
        params = {name: values | sections.get(name, {}) for name, values in self.params.items()}
        Path("params.yaml").write_text(yaml.safe_dump(params))

    def computed(self, **sections: dict[str, Any]) -> int:
        """Run the stage with these changes; how many embeddings it says that it computed."""
        self.write(**sections)
        self._capsys.readouterr()
        featurize.main()
        told = re.search(r"([\d,]+) from the cache, ([\d,]+) computed", self._capsys.readouterr().out)
        assert told
        return int(told[2].replace(",", ""))


@pytest.fixture
def runs(workspace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Runs:
    monkeypatch.setenv("DERM_DEVICE", "cpu")
    made = Runs(workspace, capsys)
    prepare.main()
    prepare_external.main()
    write_adapted({})
    return made


def test_only_what_changes_the_numbers_is_computed_again(
    runs: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    every = runs.images
    assert runs.computed() == every
    for section, change in (
        ("head", {"type": "mlp"}),
        ("split", {"seed": 2}),
        ("loss", {"gamma": 2.0}),
        ("features", {"batch_size": 4}),  # a CPU always takes eight
    ):
        assert runs.computed(**{section: change}) == 0, section
    for section, change in (
        ("encoder", {"seed": 1}),
        ("encoder", {"image_size": 64}),
        ("encoder", {"resize": "squash"}),
        ("encoder", {"pooling": "mean"}),
        ("encoder", {"precision": "bfloat16"}),
        ("encoder", {"name": "timm/test_convnext"}),
        ("features", {"views": 2}),  # the first of them is there
    ):
        assert runs.computed(**{section: change}) == every, (section, change)
    assert runs.computed() == 0
    derm = tmp_path / "code/derm"
    shutil.copytree(ROOT / "derm", derm)
    monkeypatch.setattr(code_digest, "DERM", derm)
    code = derm / "encoders/timm_modules.py"
    text = code.read_text()
    code.write_text(text.replace('"""What a timm', '"""Another word. What a timm') + "\n# and a comment\n")
    assert runs.computed() == 0
    for module, old, new in (
        ("encoders/timm_modules.py", "maps[:, 0]", "maps[:, 1]"),
        ("encoders/encoder.py", "self.pooling(maps).float()", "self.pooling(maps).float() * 1"),
        ("embedding/forward.py", ".half()", ".half() * 1"),
        ("encoders/preprocessing.py", ".div(255)", ".div(256)"),
        ("images.py", "grey / 257", "grey / 256"),
    ):
        path = derm / module
        text = path.read_text()
        assert old in text, module
        path.write_text(text.replace(old, new))
        assert runs.computed() == every, module
        path.write_text(text)
    assert runs.computed() == 0


def test_new_images_alone_are_computed(runs: Runs) -> None:
    assert runs.computed() == runs.images
    shutil.rmtree("data/own")
    make_folder(Path("data/own"), lesions_per_class=2)
    for number in range(5):
        shutil.copy(runs.dataset.image(0), runs.dataset.image(0).with_name(f"NEW_{number}.jpg"))
        with runs.dataset.image(0).with_name(f"NEW_{number}.jpg").open("ab") as stream:
            stream.write(bytes([number]))  # another file, though the picture is the same
        runs.dataset.rows.append([f"NEW_{number}", f"NEW_{number}", *runs.dataset.rows[0][2:]])
    runs.dataset.write()
    prepare.main()
    assert runs.computed() == 5

"""One image in, a sheet and what was told out; whatever is wrong ends in one line."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from derm.__main__ import app, main
from derm.classifier import Classifier
from derm.encoders.layers import layer, layers
from derm.errors import UserError
from derm.explanation import command
from derm.explanation.command import EACH, Asked, explain_file, explained_by, layer_listing
from derm.explanation.maps import explain
from derm.explanation.pictures import overlay
from derm.heads.metadata import fit_metadata
from derm.images import decode
from tests.derm.test_classifier import CLASSES, package, photographs

FOLDER = Path("classifier")
PEOPLE = pd.DataFrame({"age": ["40", "70"], "sex": ["male", "female"], "body_site": ["", "back"]})


@pytest.fixture
def image(workspace: Path, cpu: torch.device) -> Path:
    """A photograph in the current folder, beside a packaged classifier."""
    package(FOLDER)
    return photographs(workspace, 1)[0].relative_to(workspace)


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The cells of every sheet that is drawn."""
    cells: list[Any] = []
    draw = command.draw_sheet

    def keep(title: str, explanation: str, given: list, *rest: Any) -> Image.Image:
        cells.extend(given)
        return draw(title, explanation, given, *rest)

    monkeypatch.setattr(command, "draw_sheet", keep)
    return cells


def refusal(path: Path, asked: Asked, folder: Path = FOLDER, **given: Any) -> str:
    with pytest.raises(UserError) as caught:
        explain_file(path, asked, folder, **given)
    assert "\n" not in str(caught.value)
    assert not list(Path().glob("*_explained.png"))
    return str(caught.value)


def test_a_row_for_each_class_and_a_column_for_each_layer(image: Path, drawn: list) -> None:
    """The oracle makes each map by itself."""
    told = explain_file(image, Asked(), FOLDER)
    classifier = Classifier.load(FOLDER)
    photograph = decode(image.read_bytes())
    row = classifier.predict([photograph]).iloc[0]
    first = CLASSES[row["predicted"]]
    second = "mel" if first != "mel" else max({"bcc", "nv"}, key=lambda name: row[f"p_{name}"])
    assert [cell.line.split(":")[0] for cell in drawn] == [first, second]
    names = list(layers(classifier.encoders[0]))
    spread = [names[round((len(names) - 1) / 3)], names[round((len(names) - 1) * 2 / 3)], "maps (auto)"]
    explained = explained_by(classifier)
    seen, highest = classifier.encoders[0].covered(*photograph.size), []
    for cell, target in zip(drawn, (first, second), strict=True):
        captions = [caption.removesuffix(": nothing") for (caption,) in cell.captions]
        assert captions == ["photograph", *spread]
        for name, picture in zip(spread, cell.photographs[1:], strict=True):
            at = explained.at([name.removesuffix(" (auto)")])
            (heat,) = explain(at, [photograph], [CLASSES.index(target)], ["gradcam"], torch.device("cpu"))["gradcam"]
            expected = overlay(photograph, heat, seen, size=EACH)
            assert np.abs(np.asarray(picture).astype(int) - np.asarray(expected)).mean() < 1, (target, name)
            highest.append(heat.max())
    assert sum(highest) > 2, "maps of nothing: the test would see nothing"
    lines = told.splitlines()
    assert lines[0] == image.name and lines[-1] == f"picture: {image.stem}_explained.png"
    assert [line.split()[0] for line in lines[1:4]] == sorted(CLASSES, key=lambda name: -row[f"p_{name}"])
    assert [float(line.split()[1]) for line in lines[1:4]] == pytest.approx(
        sorted((row[f"p_{name}"] for name in CLASSES), reverse=True), abs=6e-4
    )
    flag = "flagged" if row["flag"] else "not flagged"
    assert lines[4] == f"most probable {first}; decided {CLASSES[row['decision']]}; {flag} (mel from 0.250)"
    assert Image.open(f"{image.stem}_explained.png").width > 4 * 300


def test_layers_and_class_can_be_chosen(image: Path, drawn: list) -> None:
    asked = Asked("hirescam", ["model.layer1", "auto"], "bcc")
    explain_file(image, asked, FOLDER, Path("here.png"))
    (cell,) = drawn
    assert cell.line.startswith("bcc: basal cell carcinoma, ")
    assert cell.captions == [["photograph"], ["model.layer1"], ["maps (auto)"]]
    early, late = (np.asarray(picture).astype(int) for picture in cell.photographs[1:])
    assert np.abs(early - late).max() > 20
    assert Image.open("here.png").format == "PNG"


def test_without_a_positive_class_the_second_row_is_the_runner_up(image: Path, drawn: list) -> None:
    package(FOLDER, positive=None, threshold=None)
    told = explain_file(image, Asked(layers=["auto"]), FOLDER)
    row = Classifier.load(FOLDER).predict([decode(image.read_bytes())]).iloc[0]
    order = sorted(CLASSES, key=lambda name: -row[f"p_{name}"])
    assert [cell.line.split(":")[0] for cell in drawn] == order[:2]
    assert "flagged" not in told


def test_the_positive_class_has_the_second_row_though_it_is_the_least_probable(image: Path, drawn: list) -> None:
    row = Classifier.load(FOLDER).predict([decode(image.read_bytes())]).iloc[0]
    order = sorted(CLASSES, key=lambda name: -row[f"p_{name}"])
    package(FOLDER, positive=order[2])
    explain_file(image, Asked(layers=["auto"]), FOLDER)
    assert [cell.line.split(":")[0] for cell in drawn] == [order[0], order[2]]


def test_methods_that_know_no_class_have_one_row(image: Path, drawn: list) -> None:
    explain_file(image, Asked("eigencam", ["auto"]), FOLDER)
    assert [cell.line for cell in drawn] == ["the same for all classes"]
    assert "eigencam knows no classes" in refusal_of_target(image)


def refusal_of_target(image: Path) -> str:
    Path(f"{image.stem}_explained.png").unlink()
    return refusal(image, Asked("eigencam", target="mel"))


def test_joined_encoders_have_one_map_with_layers_of_each(image: Path, drawn: list) -> None:
    package(FOLDER, {"name": "colour-texture+timm/test_vit"})
    explain_file(image, Asked(), FOLDER)
    vit = Classifier.load(FOLDER).encoders[1]
    own = layer(vit).name
    names = list(layers(vit))
    last = names.index(own)
    expected = [f"maps+{names[round(last / 3)]}", f"maps+{names[round(last * 2 / 3)]}", f"maps+{own} (auto)"]
    assert [caption[0] for caption in drawn[0].captions] == ["photograph", *expected]
    Path(f"{image.stem}_explained.png").unlink()
    assert "--layer names 3 layers, and there are 2 encoders" in refusal(image, Asked(layers=["auto+auto+auto"]))
    assert "--layer: colour-texture has no layer 'model.blocks.1'" in refusal(image, Asked(layers=["model.blocks.1"]))


def test_an_encoder_of_one_layer_has_one_column(image: Path, drawn: list) -> None:
    package(FOLDER, {"name": "colour-texture", "weights": "none"})
    explain_file(image, Asked(), FOLDER)
    assert [cell.captions for cell in drawn] == [[["photograph"], ["maps (auto)"]]] * 2


def test_a_head_that_reads_patches_and_attention_of_the_pooling(image: Path, drawn: list) -> None:
    small = {"type": "acrnn", "convolution": 6, "lstm": 5, "attention": 4}
    package(FOLDER, {"image_size": 128}, head=small, token_pooling=2)
    explain_file(image, Asked(layers=["auto"]), FOLDER)
    assert np.ptp(np.asarray(drawn[0].photographs[1]).astype(int) - np.asarray(drawn[0].photographs[0])) > 20
    Path(f"{image.stem}_explained.png").unlink()
    assert "is not pooled by attention" in refusal(image, Asked("attention"))


def test_attention_has_one_column(image: Path, drawn: list) -> None:
    package(FOLDER, {"name": "timm/test_vit3", "pooling": "map"})
    explain_file(image, Asked("attention"), FOLDER)
    assert [cell.captions for cell in drawn] == [[["photograph"], ["pooling"]]]
    Path(f"{image.stem}_explained.png").unlink()
    assert "behind all layers" in refusal(image, Asked("attention", ["auto"]))


def test_what_is_known_of_the_person_counts(image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For the answer, and for its maps: it is what they are told, as not every head's maps depend on it."""
    fusion = {"type": "mlp", "hidden": [6], "metadata": True, "metadata_hidden": [3]}
    package(FOLDER, head=fusion | {"encoding": fit_metadata(PEOPLE, missing=False)})
    Path("known.csv").write_text(f"image,age,sex\n{image.name},70,female\n")
    told = []
    monkeypatch.setattr(command, "explain", lambda *given: told.append(given[5]) or explain(*given))
    nothing = explain_file(image, Asked(layers=["auto"]), FOLDER, Path("a.png"))
    known = explain_file(image, Asked(layers=["auto"]), FOLDER, Path("b.png"), metadata=Path("known.csv"))
    assert nothing.splitlines()[1:4] != known.splitlines()[1:4]
    assert [table[["age", "sex"]].to_numpy().tolist() for table in told] == [[["", ""]] * 2, [["70", "female"]] * 2]


def test_metadata_for_a_classifier_without_are_refused(image: Path) -> None:
    assert "looks at images only" in refusal(image, Asked(), metadata=Path("known.csv"))


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (Asked("gradkam"), "--method gradkam: expected one of gradcam, gradcam++, "),
        (Asked(target="melanoma"), "--target melanoma: expected one of bcc, mel, nv"),
        (Asked(layers=["layer9"]), "--layer: timm/test_resnet has no layer 'layer9' of which a map could be made; it "),
        (Asked(layers=["auto+auto"]), "--layer names 2 layers, and there are 1 encoders"),
    ],
)
def test_what_is_asked_wrongly_is_told_in_a_line(image: Path, asked: Asked, told: str) -> None:
    assert refusal(image, asked).startswith(told)


def test_a_map_of_nothing_is_called_so(image: Path, drawn: list) -> None:
    """The class token alone is read: nothing of the patches behind the last block's attention."""
    package(FOLDER, {"name": "timm/test_vit", "pooling": "cls", "resize": "squash"})
    explain_file(image, Asked(layers=["model.norm", "auto"], target="mel"), FOLDER)
    (cell,) = drawn
    assert cell.captions == [["photograph"], ["model.norm: nothing"], ["model.blocks.5.norm1 (auto)"]]
    assert (np.asarray(cell.photographs[1]) == np.asarray(cell.photographs[0])).all()


@pytest.mark.parametrize("out", ["map.jpg", "folder.png", "nowhere/map.png"])
def test_an_unusable_out_is_refused(image: Path, out: str) -> None:
    Path("folder.png").mkdir()
    assert refusal(image, Asked(), out=Path(out)) == f"--out {out}: expected a .png file in a folder that exists"


def test_the_image_itself_is_never_written_over(image: Path) -> None:
    before = image.read_bytes()
    assert image.suffix == ".png"
    assert "is the image itself" in refusal(image, Asked(), out=Path("../") / Path.cwd().name / image)
    assert image.read_bytes() == before


def test_an_unusable_image_or_classifier_is_named(image: Path) -> None:
    Path("broken.jpg").write_bytes(b"no image")
    assert refusal(Path("broken.jpg"), Asked()).startswith("broken.jpg: not an image")
    assert refusal(Path("gone.jpg"), Asked()) == "gone.jpg: file not found"
    assert "classifier.json is missing" in refusal(image, Asked(), Path("elsewhere"))
    assert "needs no such weights" in refusal(image, Asked(), encoder_weights=[Path("weights.safetensors")])


def test_layers_of_each_encoder_are_listed(image: Path) -> None:
    package(FOLDER, {"name": "colour-texture+timm/test_vit"})
    lines = layer_listing(FOLDER).splitlines()
    vit = Classifier.load(FOLDER).encoders[1]
    assert lines[:3] == ["colour-texture:", "  maps  (auto)", "timm/test_vit:"]
    assert [line.split()[0] for line in lines[3:]] == list(layers(vit))
    assert [line for line in lines[3:] if "(auto)" in line] == [f"  {layer(vit).name}  (auto)"]


def test_a_compiled_encoder_is_explained_as_it_was_before(image: Path) -> None:
    classifier = Classifier.load(FOLDER)
    plain = list(layers(explained_by(classifier).encoders[0]))
    classifier.encoders = [replace(one, maps=torch.compile(one.maps)) for one in classifier.encoders]
    (encoder,) = explained_by(classifier).encoders
    assert list(layers(encoder)) == plain and layer(encoder).name == "maps"


def test_a_classifier_of_synthetic_images_is_marked(
    image: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    explain_file(image, Asked(layers=["auto"]), FOLDER, Path("real.png"))
    assert "synthetic" not in capsys.readouterr().err
    description = FOLDER / "classifier.json"
    description.write_text(description.read_text().replace('"synthetic":false', '"synthetic":true'))
    explain_file(image, Asked(layers=["auto"]), FOLDER, Path("drawn.png"))
    assert capsys.readouterr().err.startswith("WARNING: The classifier was trained on synthetic images")
    assert Image.open("drawn.png").height > Image.open("real.png").height  # one more line


def run(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(sys, "argv", ["derm", "explain", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def test_the_command_line(
    image: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], drawn: list
) -> None:
    given = ["--classifier", str(FOLDER)]
    chosen = ["--layer", "model.layer1", "--layer", "auto", "--target", "nv", "--method", "layercam"]
    assert run([str(image), *given, "--out", "o.png", *chosen], monkeypatch) == 0
    assert capsys.readouterr().out.endswith("LayerCAM at model.layer1, maps (auto)\npicture: o.png\n")
    assert [cell.line[:3] for cell in drawn] == ["nv:"] and Path("o.png").is_file()
    assert run(["--layers", *given], monkeypatch) == 0
    assert capsys.readouterr().out.startswith("timm/test_resnet:\n  model.conv1.0\n")
    for wrong in ([], [str(image), "--target", "melanoma"]):
        assert run([*wrong, *given], monkeypatch) == 1
        captured = capsys.readouterr()
        assert not captured.out and captured.err.startswith("error: ") and captured.err.count("\n") == 1


def test_the_help_says_what_becomes_of_joined_encoders() -> None:
    (registered,) = [one for one in app.registered_commands if one.callback and one.callback.__name__ == "explain"]
    assert registered.callback and "Of joined encoders each" in str(registered.callback.__doc__)

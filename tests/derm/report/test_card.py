"""The model card: metadata that Hugging Face's own reader takes, the artefacts' numbers, honest blanks, escapes."""

import re
from hashlib import sha256
from pathlib import Path
from typing import cast

import pytest
from huggingface_hub.repocard import ModelCard
from huggingface_hub.repocard_data import ModelCardData
from markdown_it import MarkdownIt

from derm.files import read_json
from derm.report.card import BLANK, escaped, model_card
from derm.report.scored import UNTOLD, with_number
from tests.derm.report.conftest import HOSTILE, NUMBERS, Folder

NOTICES = ["The images are SYNTHETIC."]
FACTS = {"encoder": "filters", "decision": "the largest", "flag": f"p({HOSTILE})"}


def card(folder: Folder, license_name: str = "") -> str:
    return model_card("A *title*", license_name, NOTICES, FACTS, folder.artefacts())


def metadata(given: ModelCard) -> ModelCardData:
    """What Hugging Face's reader makes of it."""
    return cast("ModelCardData", given.data)


def html(text: str) -> str:
    """The body as a reader of Markdown shows it."""
    return MarkdownIt("commonmark").enable("table").render(ModelCard(text).text)


def test_metadata_is_read_back_by_hugging_face(folder: Folder, tmp_path: Path) -> None:
    path = tmp_path / "card.md"
    path.write_text(card(folder, "mit"))
    data = metadata(ModelCard.load(path))
    assert (data.license, data.library_name, data.pipeline_tag) == ("mit", "pytorch", "image-classification")
    assert {"synthetic-data", "not-a-medical-device"} <= set(data.tags or [])
    assert data.model_name == "A *title*"
    found = {result.metric_name: result.metric_value for result in data.eval_results or []}
    assert found == {f"test.{name}": value for name, (value, _, _) in NUMBERS.items()}
    assert found["test.macro_auc"] == read_json(Path("metrics/evaluate.json"))["test"]["macro_auc"]
    assert {result.dataset_split for result in data.eval_results or []} == {"test"}


def test_an_open_licence_is_a_blank_and_no_metadata(folder: Folder) -> None:
    text = card(folder)
    assert metadata(ModelCard(text)).license is None
    assert f"Licence of this model: *{BLANK}*" in text
    assert BLANK not in text.split("Licence of this model:")[1].split("\n")[0].replace(f"*{BLANK}*", "")


def test_numbers_come_with_their_intervals(folder: Folder) -> None:
    shown = html(card(folder))
    assert "<td>macro_auc</td>\n<td>0.912 [0.850, 0.950]</td>" in shown
    assert "<td>4 (4)</td>" in shown
    assert "0.200 before and 0.100 after" in shown


def test_synthetic_data_are_the_first_thing_told(folder: Folder) -> None:
    body = ModelCard(card(folder)).text.strip().splitlines()
    assert body[2] == "> **The images are SYNTHETIC.**"
    prepared = read_json(Path("metrics/prepare.json"))
    folder.json("metrics/prepare.json", prepared | {"synthetic": False})
    assert "synthetic-data" not in (metadata(ModelCard(card(folder))).tags or [])


def test_digests_are_those_of_the_files(folder: Folder) -> None:
    text = card(folder)
    for name in ("data/prepared/images.csv", "data/split/split.csv", "models/classifier/head.safetensors"):
        assert f"{escaped(name)} | {sha256(Path(name).read_bytes()).hexdigest()}" in text
    assert "f" * 64 in text


def test_what_comes_from_data_is_shown_as_it_is(folder: Folder) -> None:
    shown = html(card(folder))
    assert "<b>" not in shown
    assert "<td>&lt;b&gt;n|v&lt;/b&gt;*`</td>" in shown
    assert "<h1>A *title*</h1>" in shown


@pytest.mark.parametrize(
    "text", ["a|b", "# no heading", "[x](http://y)", "<script>", "a\n\n---\nb", "\\", "&lt;", "![x](y)"]
)
def test_escaped_text_reads_as_it_was(text: str) -> None:
    shown = MarkdownIt("commonmark").enable("table").render(f"| h |\n| --- |\n| {escaped(text)} |")
    cell = re.search(r"<tbody>\s*<tr>\s*<td>(.*)</td>", shown)
    assert cell is not None
    plain = cell[1].replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    assert plain == " ".join(text.split())


def test_no_path_of_the_user_gets_into_it(folder: Folder) -> None:
    assert "secret" not in card(folder)
    assert str(folder.folder) not in card(folder)


def test_sets_that_promise_nothing_say_so(folder: Folder) -> None:
    shown = html(card(folder))
    assert re.search(r"<td>mel</td>\n<td>2</td>\n<td>1.000 \[0.300, 1.000\]</td>\n<td>1.5</td>\n<td>no</td>", shown)


def test_number_of_states_is_put_where_it_was_not_known(folder: Folder) -> None:
    text = card(folder)
    assert text.count(UNTOLD) == 1
    told = with_number(text, 1234)
    assert UNTOLD not in told
    assert "1,234 states of the pipeline" in told
    assert "1 state of the pipeline" in with_number(text, 1)


def test_same_artefacts_same_bytes(folder: Folder) -> None:
    assert card(folder) == card(folder)

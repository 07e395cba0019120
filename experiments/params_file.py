"""Change params.yaml and keep its comments."""

import io
from collections.abc import Callable
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq

from derm.files import write_bytes
from derm.params import PARAMS_FILE


def change_params(change: Callable[[Any], None]) -> None:
    """Let `change` work on the content of params.yaml, as nested mappings, and write it back with its comments."""
    editor = YAML()
    editor.preserve_quotes = True
    editor.width = 4096  # never break a line that somebody wrote as one
    with PARAMS_FILE.open(encoding="utf-8") as stream:
        content = editor.load(stream)
    change(content)
    text = io.StringIO()
    editor.dump(content, text)
    write_bytes(PARAMS_FILE, text.getvalue().encode())


def flow_list(items: list[dict[str, Any]]) -> CommentedSeq:
    """A list of mappings that is written on one line. A new object: ruamel hangs a comment on an empty list itself, and
    writes it into the middle of one that is filled later."""
    made = CommentedSeq([CommentedMap(item) for item in items])
    made.fa.set_flow_style()
    for item in made:
        item.fa.set_flow_style()
    return made

"""Load one section of params.yaml into its typed model; nothing else."""

import re
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from derm.errors import UserError

PARAMS_FILE = Path("params.yaml")


class Section(BaseModel):
    """Base of every section's model: an unknown key is an error, and no value is bent into another type."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


SectionType = TypeVar("SectionType", bound=Section)


class _Yaml12Loader(yaml.SafeLoader):
    """PyYAML reads YAML 1.1, DVC reads 1.2: `1e-4` must be the same number, and `yes` the same text, in both."""


_RESOLVERS = {
    first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith((":bool", ":float", ":int"))]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Yaml12Loader.yaml_implicit_resolvers = _RESOLVERS
for _tag, _pattern, _first in (
    ("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", "tTfF"),
    ("int", r"^[-+]?[0-9]+$", "-+0123456789"),
    (
        "float",
        r"^(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf)|\.(?:nan|NaN))$",
        "-+0123456789.",
    ),
):
    _Yaml12Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(_pattern), list(_first))


def _decimal(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> int:
    """A whole number as YAML 1.2 reads it: 010 is ten, not eight."""
    return int(str(loader.construct_scalar(node)))


_Yaml12Loader.add_constructor("tag:yaml.org,2002:int", _decimal)


def read_all(path: Path = PARAMS_FILE) -> dict[str, Any]:
    """Every section, untyped. UserError if the file is missing or is not YAML."""
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), _Yaml12Loader)  # noqa: S506 a SafeLoader
    except FileNotFoundError:
        raise UserError(f"{path} is missing: run from the repository's root") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 text (byte {error.start})") from None
    except yaml.YAMLError as error:
        raise UserError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise UserError(f"{path} is empty: expected one section per concept")
    return content


def load(section: str, model: type[SectionType], path: Path = PARAMS_FILE) -> SectionType:
    """One section as its typed model. UserError names the key, what was found and what was expected."""
    content = read_all(path)
    if section not in content:
        raise UserError(f"{path}: section `{section}` is missing")
    return checked(content[section], section, model, path)


def checked(content: Any, section: str, model: type[SectionType], path: Path = PARAMS_FILE) -> SectionType:
    """What stands in a section, or shall be written there, as its typed model. UserError as in `load`."""
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise UserError(f"{path}: " + "; ".join(_told(section, item) for item in error.errors())) from None


def _told(section: str, error: Any) -> str:
    # A part in angle brackets tells which of several kinds of value was meant, and stands in no file.
    parts = [str(part) for part in error["loc"] if not str(part).startswith("<")]
    key = ".".join([section, *parts])
    if error["type"] == "missing":
        return f"{key} is missing"
    if error["type"] == "extra_forbidden":
        return f"{key} is not a known key"
    message = error["msg"].removeprefix("Input should be ").removeprefix("Value error, ")
    if not error["loc"] and isinstance(error["input"], dict):  # keys that contradict each other
        return f"{key}: expected {message}"
    return f"{key} is {error['input']!r}, expected {message}"

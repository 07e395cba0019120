"""What tells runs apart: of a hundred params the few that differ, as short texts."""

from collections import Counter
from collections.abc import Mapping, Sequence

TOLD_APART = ("encoder.name", "head.type", "tracking.experiment")
"""Those that whoever shows the runs has told already."""
_LAST = ("explain", "package", "report", "tracking")
"""Sections that change no number."""
_LONGEST = 24


def differing(runs: Sequence[Mapping[str, str]]) -> list[list[str]]:
    """For each run (its params by dotted name) texts such as ``gamma=2``: where it differs from the others.

    A param's section is told only where another one has a key of the same name: ``train.seed=3``.
    A value that more than half of the runs have is left out; so are digests, what only follows from the encoder, and
    a param that some runs do not know and the others agree on.
    """
    plain = _all_plain(runs)
    texts: list[list[str]] = [[] for _ in runs]
    keys = Counter(_key(name) for name in _names(plain))
    for name in _differing(plain):
        if name in TOLD_APART:
            continue
        values = [params.get(name) for params in plain]
        counts = Counter(value for value in values if value is not None)
        common, number = counts.most_common(1)[0]
        usual = common if number * 2 > counts.total() else None
        shown = _key(name) if keys[_key(name)] == 1 else name
        for row, value in zip(texts, values, strict=True):
            if value is not None and value != usual:
                row.append(f"{shown}={_short(value)}")
    return texts


def names_that_differ(runs: Sequence[Mapping[str, str]]) -> list[str]:
    """The params of which runs have different values, without digests and what only follows from the encoder."""
    return _differing(_all_plain(runs))


def _differing(plain: Sequence[Mapping[str, str]]) -> list[str]:
    return [
        name
        for name in _names(plain)
        if len({params[name] for params in plain if name in params}) > 1
        and not name.endswith("_sha256")
        and not _follows_from_encoder(name, plain)
    ]


def _names(plain: Sequence[Mapping[str, str]]) -> list[str]:
    return sorted({name for params in plain for name in params}, key=_order)


def _all_plain(runs: Sequence[Mapping[str, str]]) -> list[dict[str, str]]:
    return [{name: _plain(value) for name, value in params.items()} for params in runs]


def _order(name: str) -> tuple[bool, str]:
    return name.split(".", maxsplit=1)[0] in _LAST, name


def _key(name: str) -> str:
    return name.rsplit(".", 1)[-1]


def _follows_from_encoder(name: str, runs: Sequence[Mapping[str, str]]) -> bool:
    """Whether ``name`` is a setting of the encoder that is the same wherever the encoder is: its weights, mostly."""
    pairs = {(params.get("encoder.name"), params[name]) for params in runs if name in params}
    return name.startswith("encoder.") and len(pairs) == len({encoder for encoder, _ in pairs})


def _plain(value: str) -> str:
    """``2.0`` and ``2`` are one value: params.yaml has the one, `dvc exp run -S` may have set the other."""
    try:
        return f"{float(value):.12g}"
    except ValueError:
        return value


def _short(value: str) -> str:
    """Of a path the file's name, of a list no spaces, of a long text its beginning; an empty one as ``''``."""
    text = (value.rsplit("/", 1)[-1] if value[:1] not in "[{" else value.replace(" ", "")) or "''"
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"

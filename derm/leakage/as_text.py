"""The audit for people: the verdict, who has a sibling where, and the first cases of everything that was found."""

import textwrap
from collections.abc import Sequence

from derm.leakage.audit import Report, Share
from derm.leakage.audited import Audited
from derm.leakage.columns import Column
from derm.leakage.conflicts import Conflict
from derm.leakage.verdict import checked, counted, kinds_told, melanoma, percent, pooled, verdict

# Cases of a kind that are shown, images shown of one case, parts that stand beside each other in one table.
SHOWN, IMAGES, PARTS = 5, 4, 3
# Where the text after a name begins, in a section.
INDENT = 28
WIDTH = 120
CONFLICTS = {
    "image": "images with two labels",
    "equal_bytes": "equal files with two labels",
    "near_identical": "near-identical pairs with two labels",
    "lesion": "lesions with two labels (may be real)",
}


def as_text(audited: Audited) -> str:
    """The report as lines of at most `WIDTH` signs where names allow, without a newline at the end."""
    report = audited.report
    lines = [line for line in (verdict(report), melanoma(report)) if line]
    lines += ["", *_what(audited)]
    if report.leak:
        lines += ["", *_siblings(report), "", *_groups(report)]
    for section in (_alike(report), _listed_twice(report), _conflicts(report), _problems(audited)):
        lines += ["", *section] if section else []
    if audited.notes:
        lines += ["", "To know", *(line for note in audited.notes for line in _item(note))]
    return "\n".join(lines)


def _what(audited: Audited) -> list[str]:
    report = audited.report
    parts = ", ".join(f"{part}: {count:,}" for part, count in report.parts.items())
    left = f", in no part: {report.left_out:,}" if report.left_out else ""
    training = f"training part: {report.train}" if report.train else "each fold is tested against the others"
    split = str(audited.given.split)
    columns = [
        f"{role}: {', else '.join(_column(column, split) for column in used)}" for role, used in audited.columns.items()
    ]
    told = (
        ("images", f"{parts}{left} ({training})"),
        ("columns", ", ".join(columns)),
        ("checked by", checked(report)),
    )
    return [line for name, text in told for line in _named(name, text, 10)]


def _column(column: Column, split: str) -> str:
    where = "" if column.file == split else f" in {column.file}"
    return f"{column.name}{where}{' (guessed)' if column.guessed else ''}"


def _siblings(report: Report) -> list[str]:
    """Parts beside each other and classes below; where parts are many, parts below each other, and classes pooled."""
    found = report.share_of_test_with_sibling
    where = "in the training part" if report.train else "in another fold"
    classes = sorted({name for siblings in found.values() for name in siblings.by_class})
    rows: list[tuple[str, list[Share | None]]]
    if len(found) <= PARTS:
        heads = list(found)
        rows = [("all", [siblings.all for siblings in found.values()])]
        rows += [(name or "(no label)", [one.by_class.get(name) for one in found.values()]) for name in classes]
    else:
        heads = ["images"]
        kind = "part" if report.train else "fold"
        rows = [(f"{kind} {part}", [siblings.all]) for part, siblings in found.items()]
        rows.append(("all", [pooled([siblings.all for siblings in found.values()])]))
        for name in classes:
            rows.append(
                (name or "(no label)", [pooled([o.by_class[name] for o in found.values() if name in o.by_class])])
            )
    return [f"Images with a sibling {where}", *_grid(heads, rows)]


def _grid(heads: Sequence[str], rows: Sequence[tuple[str, list[Share | None]]]) -> list[str]:
    """`name   n of N   share` for each head; numbers flush right."""
    cells = [[(f"{s.n:,}", f"of {s.of:,}", percent(s)) if s else ("", "-", "") for s in shares] for _, shares in rows]
    widths = [[max(len(row[i][j]) for row in cells) for j in range(3)] for i in range(len(heads))]
    first = max(len(name) for name, _ in rows)
    blocks = [max(sum(three) + 3, len(head)) for three, head in zip(widths, heads, strict=True)]
    head = "    ".join(name.rjust(block) for name, block in zip(heads, blocks, strict=True))
    lines = [f"  {'':{first}}  {head}"]
    for (name, _), row in zip(rows, cells, strict=True):
        told = (
            f"{n:>{w[0]}} {of:>{w[1]}}  {share:>{w[2]}}".rjust(block)
            for (n, of, share), w, block in zip(row, widths, blocks, strict=True)
        )
        lines.append(f"  {name:{first}}  {'    '.join(told)}".rstrip())
    return lines


def _groups(report: Report) -> list[str]:
    lines = [f"Groups of images that stand in two or more parts: {report.groups:,}"]
    for kind, (groups, images) in report.groups_by_kind.items():
        lines += _named(f"  by {kinds_told([kind])}", f"{groups:,} ({counted(images, 'image')})")
    if report.groups_by_class:
        by_class = ", ".join(f"{name}: {count:,}" for name, count in report.groups_by_class.items())
        lines += _named("  by class", by_class)
    for number, (_, rows) in enumerate(report.leaking.groupby("group")):
        if number == SHOWN:
            lines.append("  ... (all of them: --out FILE)")
            break
        # One image of each part first: that is what leaks.
        order = rows.assign(turn=rows.groupby("part").cumcount()).sort_values(["turn", "part", "image"])
        told = [f"{image} ({part})" for image, part in zip(order["image"], order["part"], strict=True)]
        lines += _named("  such as" if not number else "", _first(told, IMAGES, ", "))
    return lines


def _alike(report: Report) -> list[str]:
    if report.alike.empty:
        return []
    kinds = report.alike["kind"].value_counts()
    told = ", ".join(f"{kinds_told([str(kind)])} {count:,}" for kind, count in kinds.items())
    lines = [f"One picture under two names, in two parts: {told}"]
    for row in report.alike.head(SHOWN).to_dict("records"):
        lines.append(
            f"  {row['image_one']} ({row['part_one']})  {row['image_other']} ({row['part_other']})  "
            f"distance {row['distance']} of 256 bits, similarity {row['similarity']:.2f}"
        )
    return lines + (["  ..."] if len(report.alike) > SHOWN else [])


def _listed_twice(report: Report) -> list[str]:
    lines = []
    if len(report.in_several_parts):
        told = [
            f"{image} ({', '.join(parts)})"
            for image, parts in report.in_several_parts.head(IMAGES).itertuples(index=False)
        ]
        count = len(report.in_several_parts)
        lines += _named("  in several parts", f"{counted(count, 'image')}, such as {', '.join(told)}")
    if len(report.repeated):
        told = [f"{one.image} ({one.part}, {one.rows} rows)" for one in report.repeated.head(IMAGES).itertuples()]
        lines += _named("  in one part", f"{counted(len(report.repeated), 'image')}, such as {', '.join(told)}")
    return ["Images listed more than once", *lines] if lines else []


def _conflicts(report: Report) -> list[str]:
    lines = []
    for kind, found in report.conflicts.items():
        if found:
            lines.append(f"  {CONFLICTS[kind]}: {len(found):,}")
            lines += [line for one in found[:SHOWN] for line in _item(_conflict(kind, one), 4)]
    return ["Conflicting labels", *lines] if lines else []


def _conflict(kind: str, one: Conflict) -> str:
    lesion = f"{one.name}: " if kind == "lesion" else ""
    return f"{lesion}{_first(one.images, IMAGES, ', ')}: {' / '.join(one.labels)}"


def _problems(audited: Audited) -> list[str]:
    if audited.problems.empty:
        return []
    lines = [f"Images without a usable file, so not compared as pictures: {audited.problems['image'].nunique():,}"]
    for image, reason in audited.problems.head(SHOWN).itertuples(index=False):
        lines.append(f"  {image}: {reason}")
    return lines + (["  ..."] if len(audited.problems) > SHOWN else [])


def _first(items: Sequence[str], count: int, between: str) -> str:
    more = f"{between}and {len(items) - count:,} more" if len(items) > count else ""
    return between.join(items[:count]) + more


def _named(name: str, text: str, width: int = INDENT) -> list[str]:
    """A name, `width` wide, and beside it a text of one or more lines."""
    return _wrapped(text, f"{name:{width}}  ", width + 2)


def _item(text: str, indent: int = 2) -> list[str]:
    return _wrapped(text, " " * indent, indent + 2)


def _wrapped(text: str, start: str, further: int) -> list[str]:
    """A name is never broken, however long."""
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent=start,
        subsequent_indent=" " * further,
        break_long_words=False,
        break_on_hyphens=False,
    )

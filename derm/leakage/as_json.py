"""The audit as one JSON object, for other programs."""

from collections.abc import Sequence
from itertools import islice
from typing import Any

from derm.files import DECIMALS
from derm.leakage.audit import Report, Share, Siblings
from derm.leakage.audited import Audited
from derm.leakage.conflicts import Conflict
from derm.leakage.verdict import verdict

# Of every list the first so many stand in `first`, and their number in `total`; `--out` writes all leaking images.
LISTED = 100


def as_json(audited: Audited) -> dict[str, Any]:
    """Everything in the report as plain types: counts, shares from 0 to 1, lists as `{total, first}`."""
    report = audited.report
    return {
        "leak": report.leak,
        "verdict": verdict(report),
        "files": {
            name: str(path) if path else None
            for name, path in (
                ("split", audited.given.split),
                ("metadata", audited.given.metadata),
                ("images", audited.given.images),
                ("duplicates", audited.given.duplicates),
            )
        },
        "columns": {
            role: [{"column": one.name, "file": one.file, "guessed": one.guessed} for one in columns]
            for role, columns in audited.columns.items()
        },
        "train": report.train or None,
        "parts": report.parts,
        "left_out": report.left_out,
        "checked_by": report.checked_by,
        "groups": _groups(report),
        "share_of_test_with_sibling": {
            part: _siblings(siblings) for part, siblings in report.share_of_test_with_sibling.items()
        },
        "alike_across_parts": _capped([_rounded(row) for row in report.alike.to_dict("records")])
        | {"by_kind": {str(kind): int(n) for kind, n in report.alike["kind"].value_counts().items()}},
        "conflicting_labels": {
            kind: _capped([_conflict(one) for one in found]) for kind, found in report.conflicts.items()
        },
        "listed_twice": {
            "in_one_part": _capped(report.repeated.to_dict("records")),
            "in_several_parts": _capped(report.in_several_parts.to_dict("records")),
        },
        "without_id": _capped(report.without_id),
        "unusable_files": _capped(audited.problems.to_dict("records")),
        "notes": audited.notes,
    }


def _groups(report: Report) -> dict[str, Any]:
    members = [
        {"group": str(name), "images": _capped(rows[["image", "part", "reason"]].to_dict("records"))}
        for name, rows in islice(report.leaking.groupby("group"), LISTED)
    ]
    return {
        "in_several_parts": {"total": report.groups, "first": members},
        "images": int(report.leaking["image"].nunique()),
        "by_kind": {kind: {"groups": n, "images": images} for kind, (n, images) in report.groups_by_kind.items()},
        "by_class": report.groups_by_class,
    }


def _siblings(siblings: Siblings) -> dict[str, Any]:
    return {
        "all": _share(siblings.all),
        "by_class": {name: _share(share) for name, share in siblings.by_class.items()},
        "melanoma": _share(siblings.melanoma) if siblings.melanoma else None,
    }


def _share(share: Share) -> dict[str, Any]:
    return {"n": share.n, "of": share.of, "share": round(share.share, DECIMALS)}


def _conflict(one: Conflict) -> dict[str, Any]:
    return {"name": one.name, "labels": list(one.labels), "images": _capped(one.images)}


def _capped(items: Sequence[Any]) -> dict[str, Any]:
    return {"total": len(items), "first": list(items[:LISTED])}


def _rounded(row: dict[Any, Any]) -> dict[str, Any]:
    return row | {"similarity": round(float(row["similarity"]), DECIMALS)}

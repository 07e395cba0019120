"""From files to a report: what `python -m derm leakage` does."""

import json
from pathlib import Path

import pandas as pd

from derm.errors import UserError
from derm.files import write_csv
from derm.leakage.as_json import as_json
from derm.leakage.as_text import as_text
from derm.leakage.audit import Report, audit
from derm.leakage.audited import Audited, Given
from derm.leakage.links import IDS
from derm.leakage.listed import Listed, read_listed
from derm.leakage.names import read_duplicates
from derm.leakage.parts import training_part


def audit_files(given: Given) -> Audited:
    """Read what is given and audit it. UserError for what is missing or unclear in it."""
    listed = read_listed(given.split, given.metadata, given.columns, given.by_path)
    train = training_part(listed, given.train, given.split)
    rows, notes = listed.rows, list(listed.notes)
    duplicates, near = None, None
    if given.duplicates:
        duplicates, note = read_duplicates(given.duplicates, set(rows["image"]), given.by_path, listed.others["image"])
        notes.append(note)
    problems = pd.DataFrame(columns=["image", "reason"])
    if given.images:
        # Looking at pictures takes imports that a table alone does not need.
        from derm.leakage.pictures import lookalikes, read_pictures

        rows, problems = read_pictures(rows, given.images, given.by_path)
        near = lookalikes(rows)
    report = audit(rows, train, duplicates, near, listed.others)
    return Audited(given, listed.columns, report, notes + _unknown(listed, report, given), problems)


def print_report(audited: Audited, for_programs: bool) -> None:
    """The report on stdout: a table for people, or one JSON object and nothing else."""
    print(json.dumps(as_json(audited), sort_keys=True, indent=2, allow_nan=False) if for_programs else as_text(audited))


def write_leaking(out: Path, report: Report) -> None:
    """All leaking images: `image, part, group, reason`, one row for each part an image is in."""
    write_csv(out, report.leaking)


def refuse_overwriting(out: Path, given: Given) -> None:
    """UserError if the table of leaking images would go where it cannot, or over a file that is read."""
    if out.is_dir():
        raise UserError(f"--out {out} is a folder: name a CSV file")
    for path in (given.split, given.metadata, given.duplicates):
        if path and out.resolve() == path.resolve():
            raise UserError(f"--out {out} is a file that is read here: name another")


def _unknown(listed: Listed, report: Report, given: Given) -> list[str]:
    """What this audit cannot have seen."""
    notes = []
    known = {name: bool((listed.rows[name] != "").any()) for name in IDS}
    if not any(known.values()):
        compared = "image names and pictures" if given.images else "image names"
        ways = [f"--{name}" for name, path in (("metadata", given.metadata), ("images", given.images)) if not path]
        notes.append(f"no lesion ids: only {compared} were compared" + (f"; give {' or '.join(ways)}" if ways else ""))
    elif report.without_id:
        count = f"{len(report.without_id):,}, such as {report.without_id[0]}"
        notes.append(f"images without any id: {count}; each was taken to stand alone")
    if any(known.values()) and not known["patient_id"] and not known["group_id"]:
        notes.append("no patient ids: two lesions of one patient cannot be seen to belong together")
    if any(known.values()) and not given.images:
        notes.append("pictures were not compared: one photograph under two names shows only with --images")
    if "label" not in listed.columns:
        notes.append("no labels: nothing is told by class; give --label-column or --metadata")
    return notes

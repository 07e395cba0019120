"""What stands in two parts: tables with answers worked out by hand, and random ones against brute force."""

import numpy as np
import pandas as pd

from derm.leakage.audit import Share, audit
from tests.derm.leakage.tables import pairs, rows


def test_a_lesion_in_two_parts() -> None:
    report = audit(
        rows(
            ("a", "train", "mel", "l1"),
            ("b", "test", "mel", "l1"),
            ("c", "test", "mel", "l2"),
            ("d", "test", "nv", "l3"),
            ("e", "val", "nv", "l3"),
            ("f", "train", "nv", "l4"),
            ("g", "train", "nv", "l4"),
        ),
        "train",
        None,
        None,
    )
    assert report.leak and report.groups == 2
    assert report.parts == {"train": 3, "test": 3, "val": 1}
    assert report.checked_by == ["image_name", "lesion_id"]
    assert report.groups_by_kind == {"lesion_id": (2, 4)}
    assert report.groups_by_class == {"mel": 1, "nv": 1}
    test, val = report.share_of_test_with_sibling["test"], report.share_of_test_with_sibling["val"]
    assert (test.all, test.melanoma) == (Share(1, 3), Share(1, 2))
    assert test.by_class == {"mel": Share(1, 2), "nv": Share(0, 1)}
    # The nevus of val has a sibling in test and none in train.
    assert (val.all, val.melanoma) == (Share(0, 1), None)
    assert list(report.leaking.itertuples(index=False, name=None)) == [
        ("b", "test", "a", "lesion_id"),
        ("a", "train", "a", "lesion_id"),
        ("d", "test", "d", "lesion_id"),
        ("e", "val", "d", "lesion_id"),
    ]


def test_every_kind_of_link_makes_a_group() -> None:
    table = rows(
        ("a", "train", "nv", "l1"),
        ("b", "test", "nv", "l1"),
        ("c", "train", "nv", "", "p1"),
        ("d", "test", "nv", "", "p1"),
        ("e", "train", "nv", "", "", "g1"),
        ("f", "test", "nv", "", "", "g1"),
        ("g", "train", "nv"),
        ("g", "test", "nv"),
        ("h", "train", "nv"),
        ("i", "test", "nv"),
        ("j", "train", "nv"),
        ("k", "test", "nv"),
        ("l", "train", "nv"),
        ("m", "test", "nv"),
        ("n", "test", "nv"),
        sha256="          00123",
    )
    report = audit(table, "train", pairs(("h", "i")), pairs(("1", "2")))
    assert report.groups_by_kind == {
        "image_name": (1, 1),
        "patient_id": (1, 2),
        "lesion_id": (1, 2),
        "group_id": (1, 2),
        "equal_bytes": (1, 2),
        "duplicates_list": (1, 2),
        "near_identical": (1, 2),
    }
    assert report.groups == 7
    assert report.share_of_test_with_sibling["test"].all == Share(7, 8)
    assert report.in_several_parts.to_dict("records") == [{"image": "g", "parts": ["test", "train"]}]
    assert report.without_id == ["g", "h", "i", "j", "k", "l", "m", "n"]


def test_pairs_of_pictures_are_told_with_their_likeness() -> None:
    table = rows(("a", "train"), ("b", "test"), ("c", "test"), ("d", "val"), ("e", "train"), sha256="00112")
    report = audit(table, "train", None, pairs(("0", "1"), ("1", "2")))
    told = report.alike[["image_one", "part_one", "image_other", "part_other", "distance", "similarity", "kind"]]
    assert sorted(told.itertuples(index=False, name=None)) == [
        ("a", "train", "c", "test", 7, 0.9, "near_identical"),
        ("a", "train", "d", "val", 7, 0.9, "near_identical"),
        ("b", "test", "a", "train", 0, 1.0, "equal_bytes"),
        ("b", "test", "d", "val", 7, 0.9, "near_identical"),
        ("c", "test", "d", "val", 0, 1.0, "equal_bytes"),
        ("c", "test", "e", "train", 7, 0.9, "near_identical"),
        ("d", "val", "e", "train", 7, 0.9, "near_identical"),
    ]


def test_an_image_on_no_side_leaks_nothing_and_still_connects() -> None:
    alone = audit(rows(("a", "train", "", "l1"), ("b", "", "", "l1"), ("c", "test", "", "l2")), "train", None, None)
    assert not alone.leak and alone.left_out == 1
    tied = audit(
        rows(("a", "train", "", "l1"), ("b", "", "", "l1", "p1"), ("c", "test", "", "", "p1")), "train", None, None
    )
    assert tied.groups_by_kind == {"through_others": (1, 2)}
    assert set(tied.leaking["reason"]) == {"through_others"}
    assert tied.share_of_test_with_sibling["test"].all == Share(1, 1)


def test_an_image_that_is_listed_twice_counts_once() -> None:
    report = audit(
        rows(("a", "train"), ("a", "train"), ("b", "test"), ("b", "test"), ("c", "test")), "train", None, None
    )
    assert not report.leak and report.parts == {"train": 1, "test": 2}
    assert report.repeated.to_dict("records") == [
        {"image": "a", "part": "train", "rows": 2},
        {"image": "b", "part": "test", "rows": 2},
    ]
    assert report.share_of_test_with_sibling["test"].all == Share(0, 2)


def test_folds_are_each_tested_against_the_others() -> None:
    table = rows(
        ("a", "0", "", "l1"), ("b", "1", "", "l1"), ("c", "1", "", "l2"), ("d", "2", "", "l2"), ("e", "10", "", "l3")
    )
    report = audit(table, "", None, None)
    assert list(report.parts) == ["0", "1", "2", "10"]
    shares = {fold: siblings.all for fold, siblings in report.share_of_test_with_sibling.items()}
    assert shares == {"0": Share(1, 1), "1": Share(2, 2), "2": Share(1, 1), "10": Share(0, 1)}


def test_labels_that_contradict_each_other() -> None:
    table = rows(
        ("a", "train", "nv", "l1"),
        ("a", "train", "mel", "l1"),
        ("b", "train", "nv", "l2"),
        ("c", "train", "mel", "l2"),
        ("d", "train", "nv"),
        ("e", "test", "bkl"),
        ("f", "", "nv"),
        ("g", "train", "mel"),
        ("h", "train", ""),
        ("h", "train", "nv"),
        sha256="00123345  ",
    )
    found = audit(table, "train", None, pairs(("4", "5"), ("1", "4"))).conflicts
    told = {kind: [(one.name, one.labels, one.images) for one in several] for kind, several in found.items()}
    assert told == {
        "image": [("a", ("mel", "nv"), ("a",))],
        "equal_bytes": [("d", ("bkl", "nv"), ("d", "e"))],
        "near_identical": [("f", ("mel", "nv"), ("f", "g"))],
        "lesion": [("l1", ("mel", "nv"), ("a",)), ("l2", ("mel", "nv"), ("b", "c"))],
    }


def closure(table: pd.DataFrame, edges: np.ndarray) -> np.ndarray:
    """Which rows reach which, over any number of edges: a boolean matrix squared until it stands still."""
    reach = edges | edges.T | np.eye(len(table), dtype=bool)
    while True:
        further = (reach.astype(int) @ reach.astype(int)) > 0
        if (further == reach).all():
            return reach
        reach = further


def test_random_tables_against_pairs_of_all_rows() -> None:
    generator = np.random.default_rng(11)
    seen = set()
    for _ in range(40):
        count = int(generator.integers(2, 40))

        def drawn(letter: str, kinds: int, empty: float, count: int = count) -> list[str]:
            values = generator.integers(0, kinds, count)
            return [f"{letter}{v}" if u > empty else "" for v, u in zip(values, generator.random(count), strict=True)]

        table = pd.DataFrame(
            {
                "image": drawn("i", 3 * count, -1),
                "part": generator.choice(["train", "val", "test", ""], count, p=[0.5, 0.2, 0.2, 0.1]),
                "label": drawn("c", 3, 0.1),
                "lesion_id": drawn("x", 2 * count, 0.3),
                "patient_id": drawn("x", 3 * count, 0.5),
                "group_id": drawn("x", 3 * count, 0.7),
                "sha256": drawn("s", 4 * count, 0.3),
            }
        ).astype(str)
        duplicates = pairs(*zip(generator.choice(table["image"], 2), generator.choice(table["image"], 2), strict=True))
        digests = [digest for digest in table["sha256"] if digest] or ["s0"]
        near = pairs(*zip(generator.choice(digests, 2), generator.choice(digests, 2), strict=True))
        report = audit(table, "train", duplicates, near)

        # Every row beside every row.
        crossed = table.assign(row=range(count)).merge(table.assign(row=range(count)), how="cross", suffixes=("", "_2"))
        kinds = {}
        for kind, column in {
            "image_name": "image",
            "patient_id": "patient_id",
            "lesion_id": "lesion_id",
            "group_id": "group_id",
            "equal_bytes": "sha256",
        }.items():
            kinds[kind] = (crossed[column] == crossed[f"{column}_2"]) & (crossed[column] != "")
        for kind, column, given in (("duplicates_list", "image", duplicates), ("near_identical", "sha256", near)):
            both = {*zip(given["one"], given["other"], strict=True), *zip(given["other"], given["one"], strict=True)}
            kinds[kind] = pd.Series(
                [ends in both for ends in zip(crossed[column], crossed[f"{column}_2"], strict=True)]
            )
        edges = np.logical_or.reduce(list(kinds.values())).reshape(count, count)
        reach = closure(table, edges)
        parts = table["part"].to_numpy()
        apart = (parts[:, None] != parts[None]) & (parts[:, None] != "") & (parts[None] != "")
        leaking = (reach & apart).any(axis=1)
        assert set(zip(report.leaking["image"], report.leaking["part"], strict=True)) == set(
            table.loc[leaking, ["image", "part"]].itertuples(index=False, name=None)
        )
        assert report.groups == len({tuple(reach[row]) for row in np.flatnonzero(leaking)})
        names = table["image"].to_numpy()
        smallest = {(names[row], parts[row]): min(names[reach[row]]) for row in np.flatnonzero(leaking)}
        told = report.leaking.set_index(["image", "part"])
        assert told["group"].to_dict() == smallest
        reasons: dict[tuple[str, str], set[str]] = {ends: set() for ends in smallest}
        for kind, linked in kinds.items():
            tied = (linked.to_numpy().reshape(count, count) & apart).any(axis=1)
            for row in np.flatnonzero(tied):
                reasons[names[row], parts[row]].add(kind)
            groups = {tuple(reach[row]) for row in np.flatnonzero(tied)}
            expected = (len(groups), len(set(names[tied])))
            assert report.groups_by_kind.get(kind, (0, 0)) == expected, kind
        stated = {ends: set(reason.split("; ")) - {"through_others"} for ends, reason in told["reason"].items()}
        assert stated == reasons
        for part, siblings in report.share_of_test_with_sibling.items():
            here = table[table["part"] == part].drop_duplicates("image")
            found = pd.Series((reach & (parts == "train")[None]).any(axis=1))[here.index]
            assert siblings.all == Share(int(found.sum()), len(here))
            assert sum(share.of for share in siblings.by_class.values()) in (0, len(here))
            for name, share in siblings.by_class.items():
                assert share == Share(int(found[here["label"] == name].sum()), int((here["label"] == name).sum()))
        seen.add((report.leak, "through_others" in report.groups_by_kind))
    assert len(seen) >= 3

"""Images of one patient, one lesion or one known pair stand together."""

import numpy as np
import pandas as pd

from derm.groups import group_images


def table(*rows: tuple[str, str, str]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["image_id", "patient_id", "lesion_id"])


def flooded(images: pd.DataFrame, pairs: list[tuple[str, str]]) -> dict[str, str]:
    """The oracle: walk from image to image over every link, one image at a time."""
    rows = images.to_dict("records")
    absent = {name for pair in pairs for name in pair} - {row["image_id"] for row in rows}
    rows += [{"image_id": name, "patient_id": "", "lesion_id": ""} for name in sorted(absent)]
    links = {
        one["image_id"]: {
            two["image_id"]
            for two in rows
            if one["image_id"] == two["image_id"]
            or (one["patient_id"] and one["patient_id"] == two["patient_id"])
            or (one["lesion_id"] and one["lesion_id"] == two["lesion_id"])
            or (one["image_id"], two["image_id"]) in pairs
            or (two["image_id"], one["image_id"]) in pairs
        }
        for one in rows
    }
    groups = {}
    for start in links:
        seen, todo = {start}, [start]
        while todo:
            new = links[todo.pop()] - seen
            seen |= new
            todo += new
        groups[start] = min(seen - absent, default=start)
    return {name: group for name, group in groups.items() if name not in absent}


def test_a_chain_through_all_three_kinds_of_link() -> None:
    images = table(("d", "p1", "l1"), ("c", "p1", "l2"), ("b", "", "l2"), ("a", "", ""), ("e", "", ""))
    assert list(group_images(images, [("a", "b")])) == ["a", "a", "a", "a", "e"]


def test_empty_ids_connect_nothing() -> None:
    images = table(("a", "", ""), ("b", "", ""), ("c", "p", ""), ("d", "", "l"))
    assert list(group_images(images, [])) == ["a", "b", "c", "d"]


def test_a_patient_and_a_lesion_of_the_same_name_are_not_the_same() -> None:
    assert list(group_images(table(("a", "7", ""), ("b", "", "7")), [])) == ["a", "b"]


def test_pairs_that_name_absent_images_still_connect() -> None:
    images = table(("a", "", ""), ("b", "", ""), ("c", "", ""))
    assert list(group_images(images, [("a", "gone"), ("away", "gone"), ("away", "b")])) == ["a", "a", "c"]
    assert list(group_images(images, [("a", "gone"), ("elsewhere", "b")])) == ["a", "b", "c"]


def test_rows_without_an_id_are_not_one_image() -> None:
    images = table(("a", "", "l1"), ("", "", "l1"), ("", "", "l2"), ("b", "", "l2"))
    groups = group_images(images, [])
    assert list(groups) == ["a", "a", "b", "b"]


def test_an_id_that_stands_in_several_rows_is_one_image() -> None:
    images = table(("a", "", "l1"), ("x", "", "l1"), ("x", "", "l2"), ("b", "", "l2"))
    assert list(group_images(images, [])) == ["a", "a", "a", "a"]


def test_random_tables_in_any_order_against_flooding() -> None:
    generator = np.random.default_rng(4)
    sizes = set()
    for _ in range(40):
        count = int(generator.integers(1, 25))
        ids = [f"i{number:02d}" for number in generator.permutation(count)]
        patients = [f"p{n}" if n < 8 else "" for n in generator.integers(0, 30, count)]
        lesions = [f"l{n}" if n < 12 else "" for n in generator.integers(0, 30, count)]
        images = table(*zip(ids, patients, lesions, strict=True))
        pairs = [tuple(generator.choice([*ids, "gone"], 2)) for _ in range(3)]
        expected = flooded(images, pairs)
        assert dict(zip(ids, group_images(images, pairs), strict=True)) == expected
        shuffled = images.sample(frac=1, random_state=int(generator.integers(1000)))
        again = group_images(shuffled, pairs[::-1])
        assert again.index.equals(shuffled.index)
        assert dict(zip(shuffled["image_id"], again, strict=True)) == expected
        sizes.add(len(set(expected.values())))
    assert len(sizes) > 5

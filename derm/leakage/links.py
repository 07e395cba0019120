"""What ties two rows of a split together: the same name, id or bytes, or a pair that is known or seen to be alike."""

import pandas as pd

from derm.groups import group_images

# How a link is called, and the column whose equal values make it; two more come as pairs.
KEYS = {
    "image_name": "image",
    "patient_id": "patient_id",
    "lesion_id": "lesion_id",
    "group_id": "group_id",
    "equal_bytes": "sha256",
}
IDS = ["patient_id", "lesion_id", "group_id"]
DUPLICATES, NEAR = "duplicates_list", "near_identical"
# Tied to another part, but only through other images: those of its own part, or some that stand on no side or are not
# in the split at all.
CHAIN = "through_others"


def group_rows(
    rows: pd.DataFrame, others: pd.DataFrame | None, duplicates: pd.DataFrame, near: pd.DataFrame
) -> pd.Series:
    """The group of each row, by any chain of links: the smallest name among the group's rows. Aligned with `rows`.

    rows: `Listed.rows`, with `sha256` where files were read. others: `Listed.others`. duplicates: `one, other` as in
    `image`. near: `one, other` as in `sha256`. Rows on no side, others, and images that only `duplicates` names connect
    as well: what they tie together shows one lesion.
    """
    names = rows["image"]
    listed = pd.DataFrame({"image": pd.concat([duplicates["one"], duplicates["other"]]).unique()})
    keys = rows.columns.intersection(list(KEYS.values()))
    rows = pd.concat([rows[keys], others, listed], ignore_index=True).fillna("")
    numbers = pd.Series(rows.index.astype(str), index=rows.index)
    edges = []
    for column, pairs in (("image", duplicates), ("group_id", None), ("sha256", near)):
        if column not in rows:
            continue
        values = rows.loc[rows[column] != "", column]
        first = numbers[values.index].groupby(values).first()
        # Equal bytes and other ids connect in `group_images` itself.
        if column != "sha256":
            edges += list(zip(values.map(first), numbers[values.index], strict=True))
        if pairs is not None:
            ends = pd.DataFrame({end: pairs[end].map(first) for end in ("one", "other")}).dropna()
            edges += list(zip(ends["one"], ends["other"], strict=True))
    nodes = rows.drop(columns="image").assign(image_id=numbers)
    component = group_images(nodes, edges).to_numpy()[: len(names)]
    return names.groupby(component).transform("min").rename("group")


def across_parts(rows: pd.DataFrame, column: str, pairs: pd.DataFrame) -> pd.DataFrame:
    """Each pair of values (`one, other`) once for every two parts it reaches: plus `part_one, part_other`, `image_one,
    image_other` (the first image of that value in that part).

    A pair of a value with itself is its appearance in two parts, each two parts once.
    """
    sides = rows[rows["part"] != ""]
    values = pd.DataFrame({"value": sides[column], "part": sides["part"], "image": sides["image"]})
    first = values.groupby(["value", "part"])["image"].min().reset_index()
    found = pairs
    for end in ("one", "other"):
        found = found.merge(first.set_axis([end, f"part_{end}", f"image_{end}"], axis=1), on=end)
    itself = found["one"] == found["other"]
    apart = (found["part_one"] != found["part_other"]) & (~itself | (found["part_one"] < found["part_other"]))
    return found[apart].reset_index(drop=True)


def shared(rows: pd.DataFrame, duplicates: pd.DataFrame | None, near: pd.DataFrame | None) -> pd.DataFrame:
    """Which rows are tied to a row of another part, and by what: bool [rows on a side, kinds of link].

    A kind stands in the columns if it was looked at: an id that any row has, pairs and files that were given.
    """
    sides = rows[rows["part"] != ""]
    found = {}
    for key, column in KEYS.items():
        if column in rows and (rows[column] != "").any():
            values = sides.loc[sides[column] != "", column]
            parts = sides.loc[values.index, "part"].groupby(values).transform("nunique")
            found[key] = (parts > 1).reindex(sides.index, fill_value=False)
    for key, column, pairs in ((DUPLICATES, "image", duplicates), (NEAR, "sha256", near)):
        if pairs is not None:
            pairs_across = across_parts(rows, column, pairs)
            ends = {
                end
                for one in ("one", "other")
                for end in zip(pairs_across[one], pairs_across[f"part_{one}"], strict=True)
            }
            found[key] = pd.Series(
                [end in ends for end in zip(sides[column], sides["part"], strict=True)], index=sides.index, dtype=bool
            )
    return pd.DataFrame(found, index=sides.index)

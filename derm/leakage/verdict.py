"""The answer in one line."""

from derm.leakage.audit import Report, Share

# Parts named in one line.
NAMED = 3
WORDS = {"near_identical": "near-identical pictures", "duplicates_list": "list of duplicates"}


def kinds_told(names: list[str]) -> str:
    """Kinds of link in words."""
    return ", ".join(WORDS.get(name, name.replace("_", " ")) for name in names)


def checked(report: Report) -> str:
    """What was looked at, in words."""
    return kinds_told(report.checked_by) + (" only" if len(report.checked_by) == 1 else "")


def counted(count: int, thing: str) -> str:
    """`1 image`, `2,003 images`."""
    return f"{count:,} {thing}{'' if count == 1 else 's'}"


def share_told(share: Share) -> str:
    """`776 of 2,003 (38.7 %)`."""
    return f"{share.n:,} of {share.of:,} ({percent(share)})"


def percent(share: Share) -> str:
    """One decimal; nothing that is there is told as 0.0 %, and nothing short of all as 100.0 %."""
    value = 100 * share.share
    if 0 < value < 0.1:
        return "< 0.1 %"
    return f"{min(value, 99.9) if share.n < share.of else value:.1f} %"


def pooled(shares: list[Share]) -> Share:
    """All of them together."""
    return Share(sum(share.n for share in shares), sum(share.of for share in shares))


def verdict(report: Report) -> str:
    """Whether anything leaks, how many images of which part, or what was looked at in vain."""
    if not report.leak:
        among = [f"{count:,} {part}" for part, count in report.parts.items()]
        told = f"{sum(report.parts.values()):,}" if len(among) > NAMED + 1 else ", ".join(among)
        return f"no leak found among {told} images, checked by {checked(report)}"
    found = {part: siblings.all for part, siblings in report.share_of_test_with_sibling.items() if siblings.all.n}
    if not report.train:
        return f"LEAK: {_images(pooled(_all(report)), '')} have a sibling in another fold"
    if not found:
        parts = ", ".join(sorted(set(report.leaking["part"])))
        return f"LEAK: {counted(report.groups, 'group')} of images in two or more of {parts}; none reaches training"
    most = sorted(found, key=lambda part: (-found[part].n, part))
    told = " and ".join(_images(found[part], part) for part in most[:NAMED])
    more = f" (and images of {len(most) - NAMED} more parts)" if len(most) > NAMED else ""
    return f"LEAK: {told}{more} have a sibling in training"


def melanoma(report: Report) -> str:
    """The same for melanoma, the part with most first; empty if no class is called so."""
    found = {part: one.melanoma for part, one in report.share_of_test_with_sibling.items() if one.melanoma}
    if not found or not report.leak:
        return ""
    if not report.train:
        return f"melanoma: {share_told(pooled(list(found.values())))}"
    most = sorted(found, key=lambda part: (-found[part].n, part))[:NAMED]
    return "melanoma: " + ", ".join(f"{share_told(found[part])} in {part}" for part in most)


def _all(report: Report) -> list[Share]:
    return [siblings.all for siblings in report.share_of_test_with_sibling.values()]


def _images(share: Share, part: str) -> str:
    return f"{share.n:,} of {share.of:,}{f' {part}' if part else ''} images ({percent(share)})"

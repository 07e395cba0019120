"""How many states of the pipeline were scored on one test part: a number that no state can know of itself."""

# Stands as it is in the page and in the model card; whoever knows the number puts it in place of this.
UNTOLD = (
    "How many states of the pipeline have been scored on this test part stands in the experiment store alone: "
    "python -m experiments leaderboard --on-test counts them. "
    "The more they are, the more the best of them owes to luck."
)


def with_number(text: str, scored: int) -> str:
    """The page or the card with the number in it."""
    states = "1 state" if scored == 1 else f"{scored:,} states"
    told = (
        f"{states} of the pipeline, this one among them, had been scored on this test part when this copy was made. "
        "The more they are, the more the best of them owes to luck."
    )
    return text.replace(UNTOLD, told)

"""Seeds from a seed: independent streams for members, passes and whatever else one experiment draws."""

import numpy as np


def derived(seed: int, *parts: int) -> int:
    """A seed of its own for each sequence of non-negative numbers, below 2^63."""
    # As one list, numpy would pad them with zeros: (1) and (1, 0) would be one seed.
    return int(np.random.SeedSequence(seed, spawn_key=parts).generate_state(1, np.uint64)[0] >> 1)

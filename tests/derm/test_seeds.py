"""Seeds from a seed are all their own."""

from itertools import product

import numpy as np

from derm.seeds import derived


def test_every_sequence_of_numbers_has_a_seed_of_its_own() -> None:
    """Also those that differ by a zero alone, and those of seeds that do not fit into 32 bits."""
    starts = [0, 1, 2, 5, 2**32, 2**32 + 1, 2**32 + 5, 2**63 - 1]
    sequences = [(), *product(range(4)), *product(range(4), repeat=2), *product(range(4), repeat=3)]
    seeds = [derived(start, *parts) for start in starts for parts in sequences]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_the_same_numbers_give_the_same_seed() -> None:
    assert derived(7, 3) == derived(7, 3)


def test_seeds_are_spread_over_all_63_bits() -> None:
    """Each bit is set in about half of 1,000 seeds: within five standard deviations."""
    seeds = np.array([derived(1, part) for part in range(1000)])
    shares = [np.mean(seeds >> bit & 1) for bit in range(63)]
    assert np.abs(np.array(shares) - 0.5).max() < 5 * 0.5 / np.sqrt(1000)

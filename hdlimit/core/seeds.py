"""Seeds: what drives run k is child k of one SeedSequence, whatever else is run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from hdlimit.core import checks
from hdlimit.errors import InvalidInput

Seed = int | np.random.SeedSequence | np.random.Generator


def seed_sequence(seed: Any) -> np.random.SeedSequence:
    """Return the SeedSequence that a seed stands for.

    Parameters
    ----------
    seed : int, SeedSequence or Generator
        An integer >= 0, a SeedSequence, which is returned, or a Generator, from whose SeedSequence one is spawned.

    Returns
    -------
    numpy.random.SeedSequence
        The sequence.

    Raises
    ------
    InvalidInput
        If the seed is anything else.
    """
    if isinstance(seed, np.random.SeedSequence):
        return seed
    if isinstance(seed, np.random.Generator):
        parent = seed.bit_generator.seed_seq
        if not isinstance(parent, np.random.SeedSequence):
            raise InvalidInput("seed", "a Generator that was seeded by a SeedSequence", type(parent).__name__)
        return parent.spawn(1)[0]
    try:
        return np.random.SeedSequence(checks.integer("seed", seed, 0))
    except InvalidInput as error:
        raise InvalidInput("seed", "an integer >= 0, a SeedSequence or a Generator", error.got) from None


def as_int(entropy: int | Sequence[int] | None) -> int:
    """Return the integer with the same entropy as a sequence of integers.

    Parameters
    ----------
    entropy : int or sequence of int
        Entropy of a SeedSequence.

    Returns
    -------
    int
        The integer; SeedSequences of both draw the same numbers.
    """
    if not isinstance(entropy, Sequence | np.ndarray):
        assert entropy is not None
        return int(entropy)
    words: list[int] = []
    for value in map(int, entropy):
        words += [value >> shift & 0xFFFFFFFF for shift in range(0, max(value.bit_length(), 1), 32)]
    return sum(word << 32 * k for k, word in enumerate(words))

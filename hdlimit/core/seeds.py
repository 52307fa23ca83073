"""Seeds: what drives run k is child k of one SeedSequence, whatever else is run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from hdlimit.core import checks
from hdlimit.errors import InvalidInput

Seed = int | np.random.SeedSequence | np.random.Generator


def seed_sequence(seed: Any) -> np.random.SeedSequence:
    """The SeedSequence that a user's seed stands for; one is spawned from a Generator. Raises InvalidInput."""
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
    """The integer that stands for the same entropy as a sequence of integers."""
    if not isinstance(entropy, Sequence | np.ndarray):
        assert entropy is not None
        return int(entropy)
    words: list[int] = []
    for value in map(int, entropy):
        words += [value >> shift & 0xFFFFFFFF for shift in range(0, max(value.bit_length(), 1), 32)]
    return sum(word << 32 * k for k, word in enumerate(words))

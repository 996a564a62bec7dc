"""Randomness that follows from the simulation's seed, so that a run can be repeated to the bit.

A real federation draws all of this from the operating system. Whoever knows the seed of a simulation knows its keys.
"""

from __future__ import annotations

from collections.abc import Callable

from blindsight.protocol.encoding import tagged_hash, u64be
from blindsight.protocol.keystream import Stream


def entropy(seed: int, *purpose: str) -> Callable[[int], bytes]:
    """A source of bytes for one purpose of one party.

    Args:
        seed: the simulation's seed.
        purpose: names party and purpose; equal names give equal bytes.
    """
    key = tagged_hash("simulation", u64be(seed))
    return Stream(key, "simulation", *(word.encode() for word in purpose)).bytes

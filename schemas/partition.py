"""Which partition a probe belongs to: the same function in every producer."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

MEMBER_BITS = 3
#: The lowest bits of a group count the rounds in which the same target is probed again.
ROUND_BITS = 10


def group_of(probe_id: NDArray[np.int64]) -> NDArray[np.int64]:
    """Group of each probe: i8[n] -> i8[n]."""
    return probe_id >> MEMBER_BITS


def mix64(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Finaliser of SplitMix64, a bijection of 64 bits: u8[n] -> u8[n].

    Source: Steele, Lea, Flood, "Fast Splittable Pseudorandom Number Generators", OOPSLA 2014.
    """
    x = values.astype(np.uint64, copy=True)
    with np.errstate(over="ignore"):
        x ^= x >> np.uint64(30)
        x *= np.uint64(0xBF58476D1CE4E5B9)
        x ^= x >> np.uint64(27)
        x *= np.uint64(0x94D049BB133111EB)
        x ^= x >> np.uint64(31)
    return x


def partition_of(group_id: NDArray[np.int64], partitions: int) -> NDArray[np.int32]:
    """Partition of each group: ``mix64(group_id >> ROUND_BITS) % partitions``, i8[n] -> i4[n].

    The mix spreads consecutive targets. All members of a group share a partition, and so do all rounds
    of a target: whoever joins a probe has joined the earlier ones of the same flow.
    """
    if partitions < 1:
        raise ValueError(f"a topic has at least 1 partition, not {partitions}")
    return (mix64((group_id >> ROUND_BITS).astype(np.uint64)) % np.uint64(partitions)).astype(np.int32)

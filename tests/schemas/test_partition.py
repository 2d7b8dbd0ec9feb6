"""The partition function: the same numbers for ever, members together, partitions evenly filled."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.partition import ROUND_BITS, group_of, mix64, partition_of

#: group_id -> partition of 8, of 7. Producers of other versions count on these.
GOLDEN = {
    0: (0, 0),
    1: (0, 0),
    2: (0, 0),
    3: (0, 0),
    536870912: (5, 1),
    536870913: (5, 1),
    536870989: (5, 1),
    35184372088831: (4, 6),
    123456789012: (5, 5),
    1152921504606846976: (3, 3),
}


def plain(group: int) -> int:
    """SplitMix64's finaliser on Python's own integers."""
    mask = 2**64 - 1
    x = group & mask
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & mask
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & mask
    return x ^ (x >> 31)


def test_golden():
    groups = np.array(list(GOLDEN), np.int64)
    assert partition_of(groups, 8).tolist() == [a for a, _ in GOLDEN.values()]
    assert partition_of(groups, 7).tolist() == [b for _, b in GOLDEN.values()]


@given(st.lists(st.integers(0, 2**60), min_size=1), st.integers(1, 1000))
def test_agrees_with_plain_integers(groups, partitions):
    found = partition_of(np.array(groups, np.int64), partitions)
    assert found.tolist() == [plain(group >> 10) % partitions for group in groups]
    assert found.dtype == np.int32


@given(st.integers(1, 65_535), st.integers(0, 2**29 - 1))
def test_members_stay_together(prober, group):
    ids = np.array([(prober << 32) | (group << 3) | member for member in range(8)], np.int64)
    assert len(set(group_of(ids).tolist())) == 1
    assert len(set(partition_of(group_of(ids), 8).tolist())) == 1


def test_all_rounds_of_a_target_share_a_partition():
    rounds = np.arange(1 << ROUND_BITS, dtype=np.int64) | 7 << ROUND_BITS
    assert len(set(partition_of(rounds, 8).tolist())) == 1


def test_consecutive_targets_spread():
    targets = np.arange(80_000, dtype=np.int64) << ROUND_BITS
    counts = np.bincount(partition_of(targets + (1 << 29), 8), minlength=8)
    assert abs(counts - 10_000).max() < 500


def test_mix_is_a_bijection_on_a_sample():
    values = np.arange(100_000, dtype=np.uint64)
    assert len(np.unique(mix64(values))) == len(values)
    assert values[5] == 5, "the argument stays as it was"


def test_no_partitions():
    with pytest.raises(ValueError, match="at least 1"):
        partition_of(np.zeros(1, np.int64), 0)

"""One order of two logs, whichever of them is fetched faster."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.merge import LogMerge, LogMessage

TIMES = st.lists(st.integers(0, 50), max_size=30)


def logs_of(left: list[int], right: list[int]) -> list[list[LogMessage]]:
    return [
        [LogMessage(side, offset, time, None) for offset, time in enumerate(times)]
        for side, times in enumerate((left, right))
    ]


def merged(left: list[int], right: list[int], turns: list[bool]) -> list[tuple[int, int, int]]:
    merge, queues = LogMerge(), logs_of(left, right)
    out: list[tuple[int, int, int]] = []
    for turn in [*turns, *([False] * len(left)), *([True] * len(right))]:
        if queues[turn]:
            merge.offer(queues[turn].pop(0))
        out += [(m.side, m.offset, m.timestamp_ms) for m in merge.drain()]
    return out


@given(TIMES, TIMES, st.lists(st.booleans(), max_size=60), st.lists(st.booleans(), max_size=60))
def test_arrival_does_not_matter(left, right, some, other):
    assert merged(left, right, some) == merged(left, right, other)


@given(TIMES, TIMES, st.lists(st.booleans(), max_size=60))
def test_order_is_that_of_the_logs(left, right, turns):
    out = merged(left, right, turns)
    for side in (0, 1):
        offsets = [offset for s, offset, _ in out if s == side]
        assert offsets == list(range(len(offsets)))
    keys = [(time, side) for side, _, time in out]
    assert keys == sorted(keys), "by time, then by side"
    # Nothing is held back that could be placed: one log has been used up.
    used = [sum(side == s for side, _, _ in out) for s in (0, 1)]
    assert used[0] == len(left) or used[1] == len(right)


def test_a_head_needs_the_other_head():
    merge = LogMerge()
    assert merge.waiting_for() is None
    merge.offer(LogMessage(0, 0, 5, b"a"))
    assert list(merge.drain()) == []
    assert merge.waiting_for() == 1
    assert merge.queued(0) == 1
    merge.offer(LogMessage(1, 0, 7, b"b"))
    assert [m.value for m in merge.drain()] == [b"a"]
    assert merge.waiting_for() == 0


def test_a_clock_that_steps_back_does_not_reorder_its_own_log():
    assert merged([10, 3, 12], [5, 11, 20], []) == [(1, 0, 5), (0, 0, 10), (0, 1, 10), (1, 1, 11), (0, 2, 12)]


def test_equal_times_go_to_the_first_side():
    assert merged([5, 5], [5, 5], [True] * 2) == [(0, 0, 5), (0, 1, 5)]


@pytest.mark.parametrize("offset", [3, 4])
def test_offsets_must_rise(offset):
    merge = LogMerge()
    merge.offer(LogMessage(0, 4, 1, None))
    with pytest.raises(ValueError, match="after 4"):
        merge.offer(LogMessage(0, offset, 1, None))

"""Copies lost on the way to the collector, from gaps in GRE sequence numbers."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from producers.mirror.sequences import Copies, SequenceState, count, drain, no_copies
from schemas.batch import ExporterCount


def copies(sequence: list[int], switch: int = 3, session: int = 5) -> Copies:
    rows = len(sequence)
    return Copies(
        np.full(rows, switch, np.int32), np.full(rows, session, np.int32), np.array(sequence, dtype=np.int64)
    )


def lost(*sequences: list[int]) -> int:
    state = no_copies()
    for sequence in sequences:
        state = count(state, copies(sequence))
    return drain(state)[1][0].lost


def test_no_gap_is_no_loss() -> None:
    assert lost([10, 11, 12], [13, 14]) == 0


def test_gaps_within_and_between_batches_count() -> None:
    assert lost([10, 12], [15]) == 1 + 2


def test_numbers_wrap() -> None:
    assert lost([2**32 - 2, 2**32 - 1, 0, 1]) == 0
    assert lost([2**32 - 2, 1]) == 2


def test_reordered_copies_are_not_lost() -> None:
    assert lost([5, 7, 6, 8]) == 0
    assert lost([5, 7], [6, 8]) == 0


def test_numbers_that_are_always_zero_or_repeated_say_nothing() -> None:
    assert lost([0, 0, 0, 0]) == 0
    assert lost([5, 6, 6, 7]) == 0


def test_a_restarted_exporter_lost_nothing() -> None:
    assert lost([100_000, 100_001, 0, 1, 3]) == 1


def test_copies_without_numbers_are_received_all_the_same() -> None:
    state, counts = drain(count(no_copies(), copies([-1, -1], session=-1)))
    assert counts == (ExporterCount(switch=3, session=-1, received=2, lost=0),)
    assert drain(state)[1] == ()


def test_a_late_copy_after_a_drain_is_set_against_later_losses() -> None:
    state, first = drain(count(no_copies(), copies([1, 3])))
    state, second = drain(count(state, copies([2])))
    _, third = drain(count(state, copies([5])))
    assert [c[0].lost for c in (first, second, third)] == [1, 0, 0]


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(-1, 2), st.integers(0, 60)), max_size=60),
    st.integers(1, 10),
)
def test_result_is_that_of_a_plain_counter_in_any_batching(
    arrivals: list[tuple[int, int, int]], rows_max: int
) -> None:
    received: dict[tuple[int, int], int] = {}
    losses: dict[tuple[int, int], int] = {}
    last: dict[tuple[int, int], int] = {}
    for switch, session, sequence in arrivals:
        key = (switch, session)
        received[key] = received.get(key, 0) + 1
        step = sequence - last.get(key, sequence)
        losses[key] = losses.get(key, 0) + (step - 1 if step else 0)
        last[key] = sequence
    state: SequenceState = no_copies()
    columns = np.array(arrivals, dtype=np.int64).reshape(-1, 3)
    for start in range(0, len(arrivals), rows_max):
        switch, session, sequence = columns[start : start + rows_max].T
        state = count(state, Copies(switch.astype(np.int32), session.astype(np.int32), sequence))
    _, counts = drain(state)
    assert {(c.switch, c.session): c.received for c in counts} == received
    assert {(c.switch, c.session): c.lost for c in counts} == {k: max(v, 0) for k, v in losses.items()}

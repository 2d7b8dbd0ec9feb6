"""Who is suspect: from the fifth loss on, at every rate. A healthy network is left alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.localise.sequential import LOST_MIN, SCORE_MAX, SequentialTest

SLOT_US = 250_000
HEALTHY = 1e-6


def step(
    test: SequentialTest, number: int, lost: dict[int, int], passed: float, rate: float = HEALTHY
) -> None:
    elements = np.array(sorted(lost), np.int64)
    test.step(
        elements,
        np.array([lost[e] for e in sorted(lost)], np.int64),
        lambda at: np.full(len(at), passed),
        lambda at: np.full(len(at), rate),
        number * SLOT_US,
        (number + 1) * SLOT_US,
    )


@pytest.mark.parametrize("rate", [1.0, 0.1, 1e-2, 1e-3, 1e-4])
def test_the_fifth_loss_makes_a_suspect(rate):
    """One loss a slot, with as many packets between two as the rate says."""
    test = SequentialTest(3)
    for number in range(LOST_MIN):
        assert len(test.alarms()) == 0
        step(test, number, {1: 1}, passed=1 / rate - 1)
    assert test.alarms().tolist() == [1]
    assert test.onset_of(1) == 0


def test_four_losses_make_none():
    test = SequentialTest(1)
    step(test, 0, {0: LOST_MIN - 1}, passed=0)
    assert test.score.max() > 30
    assert len(test.alarms()) == 0


def test_losses_that_are_expected_make_no_suspect():
    rng = np.random.default_rng(1)
    cells, packets = 5_000, 25
    test = SequentialTest(cells)
    for number in range(4_000):  # 5e8 packets, about 500 losses
        hit, count = np.unique(
            rng.integers(0, cells, rng.poisson(HEALTHY * packets * cells)), return_counts=True
        )
        step(test, number, dict(zip(hit.tolist(), count.tolist(), strict=True)), packets)
        assert len(test.alarms()) == 0


def test_a_host_that_leaves_one_in_a_thousand_unanswered_is_left_alone():
    rng = np.random.default_rng(2)
    test = SequentialTest(200)
    for number in range(4_000):
        lost = rng.binomial(6, 1e-3, 200)
        step(test, number, {int(i): int(lost[i]) for i in np.flatnonzero(lost)}, 6, rate=1e-3)
        assert len(test.alarms()) == 0


def test_a_suspect_is_cleared_by_what_passes_and_by_being_forgotten():
    test = SequentialTest(2)
    step(test, 0, {0: 20, 1: 20}, passed=10)
    assert test.alarms().tolist() == [0, 1]
    test.forget(np.array([1]))
    assert test.alarms().tolist() == [0]
    for number in range(1, 200):
        step(test, number, {}, passed=1e5)
    assert len(test.alarms()) == 0
    assert len(test.active) == 0


def test_a_new_beginning_has_a_new_onset():
    test = SequentialTest(1)
    step(test, 0, {0: 1}, passed=100)  # years ago, by chance
    for number in range(1, 50):
        step(test, number, {}, passed=100)
    for number in range(50, 60):
        step(test, number, {0: 3}, passed=7)
    assert test.onset_of(0) == 50 * SLOT_US


@given(
    st.lists(
        st.tuples(st.dictionaries(st.integers(0, 4), st.integers(1, 9)), st.floats(0, 1e4)), max_size=25
    ),
    st.integers(0, 24),
)
@settings(max_examples=60, deadline=None)
def test_a_restart_changes_nothing(slots, cut):
    whole, first = SequentialTest(5), SequentialTest(5)
    second = SequentialTest(5)
    for number, (lost, passed) in enumerate(slots):
        step(whole, number, lost, passed)
        if number < cut:
            step(first, number, lost, passed)
    second.restore(first.snapshot())
    for number, (lost, passed) in enumerate(slots):
        if number >= cut:
            step(second, number, lost, passed)
    assert whole.alarms().tolist() == second.alarms().tolist()
    assert whole.snapshot() == second.snapshot()
    assert (whole.score <= SCORE_MAX).all()

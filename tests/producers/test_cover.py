"""Covers: everything crossed, with no more flows than needed, against trying all sets."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from producers.cover import greedy_cover, least_flows, without_spare
from producers.cover_search import one_flow_per_target
from producers.flow_paths import Crossings

ELEMENTS = 8


def crossings(flows: list[set[int]]) -> Crossings:
    rows = [sorted(each) for each in flows]
    start = np.cumsum([0, *(len(row) for row in rows)])
    return Crossings(start.astype(np.int64), np.array([e for row in rows for e in row], np.int32))


def smallest(flows: list[set[int]], wanted: set[int]) -> int:
    reachable = wanted & set().union(*flows)
    return next(
        size
        for size in range(len(flows) + 1)
        for some in combinations(flows, size)
        if reachable <= set().union(*some)
    )


some_flows = st.lists(st.sets(st.integers(0, ELEMENTS - 1), max_size=4), min_size=1, max_size=9)
some_elements = st.sets(st.integers(0, ELEMENTS - 1))


@settings(deadline=None, max_examples=300)
@given(some_flows, some_elements, st.integers(0, 3))
def test_greedy_covers_and_bounds_hold(flows: list[set[int]], wanted: set[int], seed: int) -> None:
    table = crossings(flows)
    mask = np.isin(np.arange(ELEMENTS), list(wanted))
    picked = greedy_cover(table, mask, np.ones(len(flows), np.bool_), seed).tolist()
    best = smallest(flows, wanted)
    crossed = set().union(*(flows[each] for each in picked)) if picked else set()
    assert wanted & set().union(*flows) <= crossed
    assert len(set(picked)) == len(picked)
    # Chvatal's bound for sets of at most four.
    assert best <= len(picked) <= best * (1 + 1 / 2 + 1 / 3 + 1 / 4)
    for left_out in picked:
        rest = set().union(set(), *(flows[each] for each in picked if each != left_out))
        assert wanted & flows[left_out] - rest, "a flow that nothing needs"
    label = np.arange(ELEMENTS, dtype=np.int32) // 3
    kind = (np.arange(len(flows)) % 2).astype(np.int32)
    assert 0 <= least_flows(table, mask, label, kind) <= best


def test_only_allowed_flows_are_taken() -> None:
    table = crossings([{0, 1, 2}, {0}, {1}])
    allowed = np.array([False, True, True])
    picked = greedy_cover(table, np.ones(3, np.bool_), allowed)
    assert sorted(picked.tolist()) == [1, 2]  # nobody crosses 2, and that is no reason to take the first


def test_bounds_of_kinds_add_up() -> None:
    # Four elements that only flows of kind 0 cross, one at a time, and two of kind 1.
    table = crossings([{0}, {1}, {2}, {3}, {4, 5}])
    label = np.array([0, 0, 0, 0, 1, 1], np.int32)
    kind = np.array([0, 0, 0, 0, 1], np.int32)
    assert least_flows(table, np.ones(6, np.bool_), label, kind) == 5
    assert least_flows(table, np.arange(6) < 4, label, kind) == 4


def test_spare_flows_are_dropped_oldest_first() -> None:
    table = crossings([{0, 1}, {0}, {1}])
    assert without_spare(table, np.array([0, 1, 2]), np.ones(2, np.bool_)).tolist() == [1, 2]


@pytest.mark.parametrize("seed", range(5))
def test_exchanges_find_what_greedy_choice_misses(seed: int) -> None:
    # Each of n targets has its own port and one of n links per flow, in both directions: a perfect choice
    # exists by construction, hidden among others.
    n, rng = 60, np.random.default_rng(seed)
    up, down = rng.permutation(n), rng.permutation(n)
    flows, target = [], []
    for each in range(n):
        mine = {(int(up[each]), int(down[each])), *((int(a), int(b)) for a, b in rng.integers(0, n, (7, 2)))}
        for a, b in sorted(mine):
            flows.append({each, n + a, 2 * n + b})
            target.append(each)
    table, wanted = crossings(flows), np.ones(3 * n, np.bool_)
    targets = np.array(target, np.int32)
    greedy = greedy_cover(table, wanted, np.ones(len(flows), np.bool_), seed)
    mine = one_flow_per_target(table, wanted, targets, greedy, seed)
    assert sorted(targets[mine].tolist()) == list(range(n))
    open_ = 3 * n - len(set().union(*(flows[each] for each in mine.tolist())))
    assert n + open_ < len(greedy)


def test_nothing_is_wanted() -> None:
    table = crossings([{0}, {1}])
    none = np.zeros(2, np.bool_)
    assert not len(greedy_cover(table, none, np.ones(2, np.bool_)))
    assert least_flows(table, none, np.zeros(2, np.int32), np.zeros(2, np.int32)) == 0
    assert not len(one_flow_per_target(table, none, np.zeros(2, np.int32), np.empty(0, np.int64)))

"""Gathering rows and cutting them into inserts."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sinks.batching import Gathered, by_days, joined
from sinks.columns import TableRows

_DAY_US = 86_400_000_000


def rows(table: str, times: list[int]) -> TableRows:
    return TableRows(table, {"slot": np.array(times, dtype=np.int64), "n": np.arange(len(times))})


@given(st.lists(st.integers(0, 400).map(lambda day: day * _DAY_US + day), max_size=300), st.integers(1, 60))
def test_pieces_hold_few_days_and_every_row_once(times: list[int], days_max: int) -> None:
    pieces = list(by_days(rows("link_evidence", times), days_max))
    for piece in pieces:
        assert len(np.unique(piece.columns["slot"] // _DAY_US)) <= days_max
    numbers = np.concatenate([p.columns["n"] for p in pieces])
    assert sorted(numbers.tolist()) == list(range(len(times)))


def test_tables_without_days_stay_whole() -> None:
    faults = TableRows("fault_events", {"detected_at": np.arange(200) * _DAY_US})
    assert list(by_days(faults)) == [faults]


def test_a_slot_is_written_after_its_evidence() -> None:
    gathered = Gathered()
    gathered.add("link-evidence", 0, 7, [rows("slots", [1]), rows("link_evidence", [1, 1])])
    gathered.add("link-evidence", 0, 8, [rows("slots", [2]), rows("link_evidence", [2])])
    gathered.add("faults", 0, 3, [])
    assert [(r.table, r.count) for r in gathered.inserts()] == [("link_evidence", 3), ("slots", 2)]
    assert gathered.rows == 5
    assert gathered.next_offsets == {("link-evidence", 0): 9, ("faults", 0): 4}


def test_joined_keeps_the_order() -> None:
    whole = joined([rows("slots", [3, 1]), rows("slots", [2])])
    assert whole.columns["slot"].tolist() == [3, 1, 2]

"""Clocks of collectors against those of Probers."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from streams.clocks import ahead_us

ROW = st.tuples(st.integers(0, 3), st.booleans(), st.integers(-2_000_000, 2_000_000))


@given(st.lists(ROW, max_size=60))
def test_it_is_the_lower_median_of_each_prober(rows: list[tuple[int, bool, int]]) -> None:
    prober, answered, ahead = (np.array([row[i] for row in rows]) for i in range(3))
    had_us = np.arange(len(rows), dtype=np.int64) * 1_000
    received_us = had_us + ahead.astype(np.int64)
    found = ahead_us(prober.astype(np.int32), answered.astype(bool), had_us, received_us)
    for row, (mine, _, _) in enumerate(rows):
        known = sorted(a for p, told, a in rows if p == mine and told)
        assert found[row] == (known[(len(known) - 1) // 2] if known else 0)

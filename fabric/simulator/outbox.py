"""Outcomes that the Prober does not know yet, and what it may promise meanwhile."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from schemas.partition import group_of
from schemas.rows import OUTCOME, gather, join


class Outbox:
    """Holds outcomes back until their whole group is known, as a Prober does."""

    def __init__(self) -> None:
        self._rows: NDArray[np.void] = np.empty(0, OUTCOME.dtype)
        self._known_at_us: NDArray[np.int64] = np.empty(0, np.int64)

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, outcomes: NDArray[np.void], known_at_us: NDArray[np.int64]) -> None:
        """outcomes: OUTCOME.dtype[n], members of a group together; known_at_us: i8[n], when each is known."""
        group = group_of(outcomes["probe_id"].astype(np.int64))
        starts = np.flatnonzero(np.append(True, group[1:] != group[:-1])) if len(group) else np.empty(0, int)
        if not len(starts):
            return
        last_us = np.maximum.reduceat(known_at_us, starts)
        sizes = np.diff(np.append(starts, len(group)))
        self._rows = join([self._rows, outcomes])
        self._known_at_us = np.concatenate([self._known_at_us, np.repeat(last_us, sizes)])

    def clear(self) -> None:
        """Forget everything, as a Prober does that ends."""
        self._rows, self._known_at_us = self._rows[:0], self._known_at_us[:0]

    def take(self, now_us: int, simulated_until_us: int) -> tuple[NDArray[np.void], int]:
        """Outcomes known by now, and the low watermark: the send time before which none is missing.

        simulated_until_us: probes sent before it have been added, by the clock that stamped them.
        """
        known = self._known_at_us <= now_us
        rows = gather(self._rows, known)
        self._rows, self._known_at_us = gather(self._rows, ~known), self._known_at_us[~known]
        waiting_since_us = int(self._rows["sent_at_us"].min()) if len(self._rows) else simulated_until_us
        return rows, min(waiting_since_us, simulated_until_us)

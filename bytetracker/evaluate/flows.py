"""What became of the probes of each flow, window by window, with the way that they took."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from bytetracker.evaluate.ways import WIDTH, Ways
from schemas.partition import mix64
from streams.localise.tomography.paths import PathCounts

U8 = NDArray[np.uint64]
Bools = NDArray[np.bool_]

#: Outcomes are known so long after the probes were sent.
SETTLED_US = 1_000_000


@dataclass(frozen=True, slots=True)
class FlowWindow:
    """One window: probes sent and not answered in time, by flow."""

    start_us: int
    counts: PathCounts


@dataclass(slots=True)
class FlowCounter:
    """Outcomes in, windows out. `cells`: rows of the link table."""

    ways: Ways
    cells: int
    window_us: int
    _start_us: int | None = None
    _keys: list[U8] = field(default_factory=list)
    _lost: list[Bools] = field(default_factory=list)
    _fresh: list[NDArray[np.void]] = field(default_factory=list)  # probes of flows that are not known yet
    _known: U8 = field(default_factory=lambda: np.empty(0, np.uint64))  # sorted
    _way: NDArray[np.int32] = field(default_factory=lambda: np.empty((0, WIDTH), np.int32))

    def add(self, probes: NDArray[np.void], lost: Bools) -> None:
        """probes: structured[n], as planned; lost: bool[n]."""
        if not len(probes):
            return
        if self._start_us is None:
            self._start_us = int(probes["sent_at_us"].min())
        keys = _flow_keys(probes)
        self._keys.append(keys)
        self._lost.append(lost)
        new = self._row(keys) < 0
        if new.any():
            self._fresh.append(probes[new])

    def take(self, now_us: int) -> FlowWindow | None:
        """All that was added since the last window, if it is a whole one and its outcomes are known. What
        was sent while they were waited for is in it."""
        if self._start_us is None or now_us < self._start_us + self.window_us + SETTLED_US:
            return None
        self._learn()
        keys, lost = np.concatenate(self._keys), np.concatenate(self._lost)
        start_us, self._start_us, self._keys, self._lost = self._start_us, None, [], []
        flows, row = np.unique(keys, return_inverse=True)
        sent = np.bincount(row, minlength=len(flows))
        bad = np.bincount(row[lost], minlength=len(flows))
        return FlowWindow(start_us, PathCounts.of_matrix(self._way[self._row(flows)], sent, bad, self.cells))

    def _row(self, keys: U8) -> NDArray[np.intp]:
        """Place of each flow among those known, -1 if it is not."""
        if not len(self._known):
            return np.full(len(keys), -1, np.intp)
        at = np.minimum(np.searchsorted(self._known, keys), len(self._known) - 1)
        return np.where(self._known[at] == keys, at, -1)

    def _learn(self) -> None:
        if not self._fresh:
            return
        probes, self._fresh = np.concatenate(self._fresh), []
        keys, first = np.unique(_flow_keys(probes), return_index=True)
        known = np.concatenate([self._known, keys])
        way = np.concatenate([self._way, self.ways.of(probes[first])])
        order = np.argsort(known)
        self._known, self._way = known[order], way[order]


def _flow_keys(probes: NDArray[np.void]) -> U8:
    """One number for each flow: Prober, target, decapsulating switch and source port."""
    key = mix64((probes["probe_id"].astype(np.int64) >> 32).astype(np.uint64))
    for name in ("target_node", "via_node", "source_port"):
        key = mix64(key ^ probes[name].astype(np.int64).astype(np.uint64))
    return key

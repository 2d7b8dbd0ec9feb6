"""Probers and collectors as processes: which of them are out, and what their clocks show."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fabric.simulator.active import FOREVER_US, ActiveFault
from fabric.simulator.clocks import Clocks
from schemas.nodes import PROBER_BASE


class Sources:
    """What whoever publishes on their behalf must know. `faults` may grow."""

    def __init__(self, clocks: Clocks, faults: Sequence[ActiveFault]) -> None:
        self._clocks, self._faults = clocks, faults

    def prober_out_since_us(self, number: int, at_us: int) -> int | None:
        """When the outage began that this Prober is in; None if it works."""
        return self._since(at_us, [f for f in self._of("prober_outage") if f.node == PROBER_BASE + number])

    def collector_out_since_us(self, place: int, at_us: int) -> int | None:
        """The same for the collector at a place of the fabric's list."""
        return self._since(at_us, [f for f in self._of("mirror_outage") if f.collector == place])

    def prober_clock_us(self, number: int, at_us: int) -> int:
        """What its clock shows at a time, us since 1970."""
        numbers, times = np.array([number], dtype=np.int64), np.array([at_us], dtype=np.int64)
        return at_us + int(np.sum(self._clocks.of_probers(numbers, times, self._faults)))

    def collector_clock_us(self, place: int, at_us: int) -> int:
        """The same for the collector at a place of the fabric's list."""
        places, times = np.array([place], dtype=np.int32), np.array([at_us], dtype=np.int64)
        return at_us + int(np.sum(self._clocks.of_collectors(places, times, self._faults)))

    def _of(self, kind: str) -> list[ActiveFault]:
        return [fault for fault in self._faults if fault.kind == kind]

    @staticmethod
    def _since(at_us: int, outages: Sequence[ActiveFault]) -> int | None:
        since_us = min((f.start_us for f in outages if f.start_us <= at_us < f.end_us), default=FOREVER_US)
        return None if since_us == FOREVER_US else since_us

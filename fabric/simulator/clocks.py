"""How far clocks are off: those of Probers, of collectors, and of exporters that stamp copies.

The network itself knows the right time; only what somebody writes down is wrong.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fabric.model import Fabric
from fabric.simulator.active import ActiveFault
from fabric.simulator.draws import draw_uniform, lots
from fabric.simulator.settings import SimulatorSettings
from fabric.simulator.tally import FaultTally, TallyBook
from schemas.nodes import PROBER_BASE

I4 = NDArray[np.int32]
I8 = NDArray[np.int64]

# What a draw decides; see fabric.simulator.draws.
_PROBER, _COLLECTOR = 2_000_006, 2_000_007


class Clocks:
    """The clocks of a fabric: each has a small error of its own, and those that are skewed have more."""

    def __init__(self, fabric: Fabric, seed: int, settings: SimulatorSettings) -> None:
        numbers = max((prober.number for prober in fabric.probers), default=0) + 1
        skew_us_max = settings.clock_skew_us_max
        self._prober_us = _errors(numbers, skew_us_max, seed, _PROBER)
        self._collector_us = _errors(len(fabric.collectors), skew_us_max, seed, _COLLECTOR)

    def of_probers(
        self, number: I8, at_us: I8, faults: Sequence[ActiveFault], book: TallyBook | None = None
    ) -> I8 | int:
        """What to add to the right time to get what each Prober writes: i8[n], i8[n] -> i8[n], us, or 0.

        faults: of any kind. book: takes down what skewed clocks stamped.
        """
        mine = [(fault, fault.node - PROBER_BASE) for fault in _skews(faults) if fault.node >= PROBER_BASE]
        if not mine and not self._prober_us.any():
            return 0
        return _add(self._prober_us[number], mine, number, at_us, book)

    def of_collectors(
        self, place: I4, at_us: I8, faults: Sequence[ActiveFault], book: TallyBook | None = None
    ) -> I8 | int:
        """The same for collectors, by their places in the fabric's list: i4[n], i8[n] -> i8[n], us, or 0."""
        mine = [(fault, fault.collector) for fault in _skews(faults) if fault.collector >= 0]
        if not mine and not self._collector_us.any():
            return 0
        return _add(self._collector_us[place], mine, place, at_us, book)

    @staticmethod
    def of_exporters(
        switch: I4, at_us: I8, faults: Sequence[ActiveFault], book: TallyBook | None = None
    ) -> I8 | int:
        """The same for exporters, by switch rows; their own errors are in their ticks already."""
        mine = [(fault, fault.switch_rows[0]) for fault in _skews(faults) if fault.is_of_exporter]
        return _add(np.zeros(len(switch), np.int64), mine, switch, at_us, book) if mine else 0


def _skews(faults: Sequence[ActiveFault]) -> list[ActiveFault]:
    return [fault for fault in faults if fault.kind == "clock_skew"]


def _add(
    error_us: I8,
    faults: Sequence[tuple[ActiveFault, int]],
    clock: I4 | I8,
    at_us: I8,
    book: TallyBook | None,
) -> I8:
    """Errors and what faults add to them. faults: each with the clock that it shifts."""
    for fault, shifted in faults:
        hit = (clock == shifted) & fault.is_on(at_us)
        error_us[hit] += round(float(fault.spec.params["ms"]) * 1_000)
        stamped = int(np.count_nonzero(hit))
        if book is not None and stamped:
            book.add(fault.number, FaultTally(packets=stamped))
    return error_us


def _errors(count: int, most_us: int, seed: int, purpose: int) -> I8:
    """An error for each clock, between -most_us and most_us: i8[count]."""
    number = np.arange(count, dtype=np.int64)
    share = 2 * draw_uniform(lots(number, number), seed, purpose) - 1
    return np.asarray(np.rint(share * most_us), dtype=np.int64)

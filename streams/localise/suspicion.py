"""Which elements lose more than is healthy: one sequential test per family of elements.

Families: cells (links, and beyond switches), switches by what is lost behind them on the way to others,
racks (the same for the servers and Probers that hang on a switch: these lose more), switches by what is lost
on the way into them, chips, and pairs of chips. The wider families see slight losses that are spread over
many links, and are weighed against the narrow ones in streams.localise.explain.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streams.localise.background import Background, lost_behind
from streams.localise.counts import SlotCounts
from streams.localise.explain import Alarms
from streams.localise.history import EventLog, Traffic, counted
from streams.localise.sequential import SequentialTest
from streams.localise.terrain import Terrain

I8 = NDArray[np.int64]
F8 = NDArray[np.float64]

#: An element that has lost nothing for so long, or for so many times as long as it takes it to lose
#: something, is innocent again.
QUIET_US = 15_000_000
QUIET_INTERVALS = 5
#: What was suspect stays so for this time after its score has fallen. A switch is crossed by more packets
#: than each of its links, so its score falls first when all is well again; its links must not be left over as
#: if each had a fault of its own.
HOLD_US = 15_000_000
#: What may happen by chance with a probability of one in a million is no fault.
CHANCE_LOG = math.log(1e-6)
_RECENT_US = 1_000_000

_FAMILIES = ("cells", "switches", "racks", "into", "chips", "pairs")


class Suspicion:
    """Tests of all elements against the background that it measures."""

    def __init__(self, terrain: Terrain) -> None:
        self.terrain = terrain
        self.background = Background(terrain)
        self._chip_base = np.cumsum(terrain.chips) - terrain.chips
        chips = int(terrain.chips.sum())
        self._tests = {
            "cells": SequentialTest(terrain.cells),
            "switches": SequentialTest(terrain.switches),
            "racks": SequentialTest(terrain.switches),
            "into": SequentialTest(terrain.switches),
            "chips": SequentialTest(chips),
            "pairs": SequentialTest(terrain.turns),
        }
        self._recent: deque[SlotCounts] = deque()
        #: By family: suspects with their onset, and when their score was high last.
        self._held: dict[str, dict[int, tuple[int, int]]] = {family: {} for family in _FAMILIES}

    def remember(self, counts: SlotCounts) -> None:
        """Take in a slot that has been judged already, after a restart."""
        while self._recent and self._recent[0].slot_us <= counts.slot_us - _RECENT_US:
            self._recent.popleft()
        self._recent.append(counts)

    def step(self, counts: SlotCounts, traffic: Traffic) -> Alarms:
        """Take in a slot, which `traffic` knows already; returns who is suspect at its end."""
        self.remember(counts)
        terrain, background = self.terrain, self.background
        background.look(traffic, counts, lost_behind(terrain, list(self._recent)))
        passed = counts.big.astype(np.float64) + counts.small
        rate = background.expected(counts.links.astype(np.int64))
        to_host = self._to_host(counts.links)
        from_row = terrain.from_row[counts.links]
        behind, behind_rate = self._per_switch(np.where(to_host, -1, from_row), passed, rate)
        rack, rack_rate = self._per_switch(np.where(to_host, from_row, -1), passed, rate)
        into, into_rate = self._per_switch(
            np.where(self._may_come_in(counts.links), terrain.to_row[counts.links], -1), passed, rate
        )
        lost = counts.lost
        cell, at = np.unique(lost.cell, return_inverse=True)
        count = np.bincount(at, lost.count, len(cell)).astype(np.int64)
        of_link = cell < terrain.links
        link = np.where(of_link, cell, 0)
        near = np.where(of_link, terrain.from_row[link], cell - terrain.links)
        at_host = of_link & self._to_host(link)
        far = np.where(of_link & self._may_come_in(link), terrain.to_row[link], -1)

        def cell_passed(cells: I8) -> F8:
            on_link = cells < terrain.links
            big, small = counts.passed_on(np.where(on_link, cells, 0).astype(np.int32))
            return np.where(on_link, big + small, behind[np.where(on_link, 0, cells - terrain.links)])

        self._step("cells", cell, count, cell_passed, background.expected, counts)
        self._step(
            "switches",
            *_sum(np.where(at_host, -1, near), count),
            lambda s: behind[s],
            lambda s: behind_rate[s],
            counts,
        )
        self._step(
            "racks",
            *_sum(np.where(at_host, near, -1), count),
            lambda s: rack[s],
            lambda s: rack_rate[s],
            counts,
        )
        self._step("into", *_sum(far, count), lambda s: into[s], lambda s: into_rate[s], counts)
        if terrain.turns:
            self._step_turns(counts, behind_rate)
        alarms = self._alarms(counts.end_us)
        background.learn(counts, self._suspect_cells(alarms))
        return alarms

    def _to_host(self, links: NDArray[np.integer]) -> NDArray[np.bool_]:
        """Cables to servers and Probers, from their switch."""
        return np.asarray(self.terrain.to_server[links] | self.terrain.to_prober[links])

    def _may_come_in(self, links: NDArray[np.integer]) -> NDArray[np.bool_]:
        """Whether links say something of the switch that they lead to: not those from servers."""
        return np.asarray((self.terrain.from_row[links] >= 0) | self.terrain.at_prober[links])

    def _per_switch(self, row: NDArray[np.int32], passed: F8, rate: F8) -> tuple[F8, F8]:
        known = row >= 0
        total = np.bincount(row[known], passed[known], self.terrain.switches)
        share = np.bincount(row[known], (passed * rate)[known], self.terrain.switches)
        least = self.background.link_rate
        return np.asarray(total, np.float64), np.where(total > 0, share / np.maximum(total, 1), least)

    def _step_turns(self, counts: SlotCounts, behind_rate: F8) -> None:
        terrain = self.terrain
        rate = behind_rate[terrain.turn_switch]
        passed = np.zeros(terrain.turns)
        passed[counts.turn] = counts.turn_passed
        hit = counts.turn_lost > 0
        turn, lost = counts.turn[hit], counts.turn_lost[hit]
        known = terrain.turn_out[turn] < terrain.chips[terrain.turn_switch[turn]]
        self._step("pairs", turn[known], lost[known], lambda t: passed[t], lambda t: rate[t], counts)
        came, left = self._chips_of(counts.turn)
        chips = int(terrain.chips.sum())
        other = left != came
        through = np.bincount(came, counts.turn_passed, chips)
        through += np.bincount(left[other], counts.turn_passed[other], chips)
        came, left = self._chips_of(turn)
        other = known & (left != came)
        chip, lost_at = _sum(np.concatenate([came, left[other]]), np.concatenate([lost, lost[other]]))
        switch = np.repeat(np.arange(terrain.switches), terrain.chips)
        self._step("chips", chip, lost_at, lambda c: through[c], lambda c: behind_rate[switch[c]], counts)

    def _chips_of(self, turn: I8) -> tuple[I8, I8]:
        """Global numbers of the chips of turns; of an unknown way out that of the way in."""
        terrain = self.terrain
        switch = terrain.turn_switch[turn]
        came = self._chip_base[switch] + terrain.turn_in[turn]
        out = terrain.turn_out[turn]
        left = np.where(out < terrain.chips[switch], self._chip_base[switch] + out, came)
        return came.astype(np.int64), left.astype(np.int64)

    def _step(self, family: str, element: I8, lost: I8, passed: Any, rate: Any, counts: SlotCounts) -> None:
        self._tests[family].step(element, lost, passed, rate, counts.slot_us, counts.end_us)

    def _alarms(self, now_us: int) -> Alarms:
        found = {family: self._suspects(family, now_us) for family in _FAMILIES}
        switch = np.repeat(np.arange(self.terrain.switches), self.terrain.chips)
        return Alarms(
            cells=found["cells"],
            switches={
                s: min(found[f][s] for f in ("switches", "racks") if s in found[f])
                for s in sorted(found["switches"].keys() | found["racks"].keys())
            },
            into=found["into"],
            chips={
                (int(switch[c]), c - int(self._chip_base[switch[c]])): t for c, t in found["chips"].items()
            },
            pairs=found["pairs"],
        )

    def _suspects(self, family: str, now_us: int) -> dict[int, int]:
        """Suspects of a family, sorted, with the times at which they began."""
        test, held = self._tests[family], self._held[family]
        suspects = test.alarms()
        quiet = np.array([now_us - self._quiet_us(test, int(i)) > test.last_us[i] for i in suspects], bool)
        held |= {int(i): (test.onset_of(int(i)), now_us) for i in suspects[~quiet]}
        test.forget(suspects[quiet])
        over = set(suspects[quiet].tolist())
        over |= {i for i, (_, at_us) in held.items() if now_us - at_us > HOLD_US}
        for element in over & held.keys():
            del held[element]
        return {element: held[element][0] for element in sorted(held)}

    @staticmethod
    def _quiet_us(test: SequentialTest, element: int) -> float:
        onset_us = test.onset_of(element)
        lost = max(1, int(test.lost[:, element].max()))
        return max(QUIET_US, QUIET_INTERVALS * (int(test.last_us[element]) - onset_us) / lost)

    def _suspect_cells(self, alarms: Alarms) -> I8:
        cells = [np.array(sorted(alarms.cells), np.int64)]
        for switch in alarms.switches:
            cells.append(self.terrain.out_links(switch).astype(np.int64))
            cells.append(np.array([self.terrain.beyond(switch)], np.int64))
        cells += [self.terrain.in_links(switch).astype(np.int64) for switch in alarms.into]
        return np.concatenate(cells)

    def snapshot(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "background": self.background.snapshot(),
            **{family: self._tests[family].snapshot() for family in _FAMILIES},
            "held": {
                family: [[i, *times] for i, times in sorted(self._held[family].items())]
                for family in _FAMILIES
            },
        }

    def restore(self, values: dict[str, Any]) -> None:
        """Reverse of `snapshot`."""
        self.background.restore(values["background"])
        for family in _FAMILIES:
            self._tests[family].restore(values[family])
            self._held[family] = {i: (onset_us, at_us) for i, onset_us, at_us in values["held"][family]}


def repeated(
    log: EventLog,
    terrain: Terrain,
    turn_log: EventLog,
    since_us: int,
    least: int,
    mirror_loss: F8,
    damaged: F8,
) -> Alarms:
    """Suspects by mere count since a time: for events that a healthy network never shows.

    mirror_loss: f8[S], share of copies that each switch's mirror loses. Where that of k is missing, what
    happened after k seems to have happened before it. damaged: f8[S], copies that each mirror is known to
    have damaged; about as many more at the end of ways may look as if the packet had been altered before it.
    What these explain is nobody's fault.
    """
    spots = log.since(since_us)
    cell, at = np.unique(spots.cell, return_inverse=True)
    count = np.bincount(at, spots.count, len(cell)).astype(np.int64)
    of_link = cell < terrain.links
    near = np.where(of_link, terrain.from_row[np.where(of_link, cell, 0)], cell - terrain.links)
    switch, total = _sum(near, count)
    seeming = np.where(terrain.at_end, damaged, 0.0)
    seeming[switch] += mirror_loss[switch] * total
    turns = turn_log.since(since_us)
    turn = np.unique(turns.cell)
    sure = turn[
        (counted(turns, turn) >= least) & (terrain.turn_out[turn] < terrain.chips[terrain.turn_switch[turn]])
    ]

    def begun(places: I8, of: EventLog) -> int:
        return of.span(places, since_us)[0]

    def seeming_beyond(row: int) -> float:
        far = terrain.to_row[terrain.out_links(row)]
        return float(seeming[far[far >= 0]].sum())

    behind = {
        row: number
        for row, number in zip(switch.tolist(), total.tolist(), strict=True)
        if number >= least and not _explains(seeming_beyond(row), number)
    }
    cells = []
    for c, number in zip(cell.tolist(), count.tolist(), strict=True):
        far = int(terrain.to_row[c]) if c < terrain.links else -1
        expected = (
            seeming_beyond(c - terrain.links) if c >= terrain.links else seeming[far] if far >= 0 else 0
        )
        if number >= least and not _explains(float(expected), number):
            cells.append(c)
    chips: dict[tuple[int, int], int] = {}
    for row in behind:
        if terrain.turn_base[row] >= 0:
            begin = begun(cell[near == row], log)
            chips |= {(row, chip): begin for chip in range(int(terrain.chips[row]))}
    return Alarms(
        cells={c: begun(np.array([c]), log) for c in cells},
        switches={s: begun(cell[near == s], log) for s in behind},
        chips=chips,
        pairs={int(t): begun(np.array([t]), turn_log) for t in sure.tolist()},
    )


def _explains(expected: float, count: int) -> bool:
    """Whether so many events may be chance: the tail of a Poisson distribution, by Chernoff's bound."""
    if count <= expected or expected <= 0:
        return expected > 0
    return count - expected + count * math.log(expected / count) > CHANCE_LOG


def _sum(row: NDArray[np.integer], count: I8) -> tuple[I8, I8]:
    """Distinct rows but -1, and the sum of each."""
    known = row >= 0
    rows, at = np.unique(row[known], return_inverse=True)
    return rows.astype(np.int64), np.bincount(at, count[known], len(rows)).astype(np.int64)

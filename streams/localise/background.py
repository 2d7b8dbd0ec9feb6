"""How much a healthy network loses, as measured: what every suspicion has to beat.

- A link loses `link_rate` of its packets by chance.
- A host does not answer `host_rate` of its probes, for reasons of its own.
- A copy that the mirror of k lost makes a packet that was dropped beyond k look dropped before it. So the
  links into k are expected to show m * d on top: m the share of copies that k's mirror loses, d the share
  of packets that k and what lies behind it drop.
- Before a switch whose mirror is dark, everything that happens behind it is seen, host silence included.

What a link loses counts as background a minute later, unless it was part of a fault: the first losses of
a fault would raise the bar for those that follow. Hosts lose so much more that it matters little there.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streams.localise.counts import SlotCounts
from streams.localise.history import Traffic, counted
from streams.localise.terrain import Terrain

F8 = NDArray[np.float64]
I8 = NDArray[np.int64]

#: What is assumed before anything was measured, with the weight of so many packets.
LINK_RATE, LINK_WEIGHT = 1e-6, 2e6
HOST_RATE, HOST_WEIGHT = 1e-3, 20_000.0
MIRROR_RATE, MIRROR_WEIGHT = 1e-3, 50.0
#: What is measured counts for about so many slots.
_KEEP = 0.9999
#: Losses of links become background after so long: by then it has shown whether they are a fault's.
WAIT_US = 60_000_000
#: Mirrors that lose more than this are as good as dark.
DARK = 0.5
_MIRROR_WINDOW_US = 10_000_000
_RECENT_US = 1_000_000


@dataclass(frozen=True, slots=True)
class _Slot:
    """What was lost in a slot by which cells but the cables of servers, and what passed these cells."""

    end_us: int
    cell: I8
    lost: I8
    passed: int


@dataclass(slots=True)
class Background:
    """Rates of a healthy network. `link`, `host`: lost and passed so far, fading with time."""

    terrain: Terrain
    link: list[float] = field(default_factory=lambda: [LINK_RATE * LINK_WEIGHT, LINK_WEIGHT])
    host: list[float] = field(default_factory=lambda: [HOST_RATE * HOST_WEIGHT, HOST_WEIGHT])
    #: Per switch: share of copies that its mirror loses, and of packets that are lost behind it.
    mirror_loss: F8 = field(init=False)
    beyond: F8 = field(init=False)
    _waiting: deque[_Slot] = field(default_factory=deque)
    _suspect: I8 = field(default_factory=lambda: np.empty(0, np.int64))

    def __post_init__(self) -> None:
        self.mirror_loss = np.full(self.terrain.switches, MIRROR_RATE)
        self.beyond = np.zeros(self.terrain.switches)

    @property
    def link_rate(self) -> float:
        return max(LINK_RATE, self.link[0] / self.link[1])

    @property
    def host_rate(self) -> float:
        return max(HOST_RATE / 2, self.host[0] / self.host[1])

    def learn(self, counts: SlotCounts, suspect: I8) -> None:
        """Take in a slot; what suspect cells lose is not background, nor what they lost while waiting."""
        terrain, lost = self.terrain, counts.lost
        calm = ~np.isin(lost.cell, suspect)
        at_host = calm & self._at_host(lost.cell)
        passed, passed_host = counts.big + counts.small, terrain.to_server[counts.links]
        host = int(lost.count[at_host].sum()), int(passed[passed_host].sum())
        _count(self.host, *host, HOST_RATE, HOST_WEIGHT)
        mine = calm & ~at_host
        self._waiting.append(
            _Slot(counts.end_us, lost.cell[mine], lost.count[mine], int(passed[~passed_host].sum()))
        )
        # What is suspect now as it was in the slot before has nothing waiting.
        if not np.array_equal(suspect, self._suspect):
            self._suspect = suspect
            self._waiting = deque(_without(slot, suspect) for slot in self._waiting)
        while self._waiting[0].end_us <= counts.end_us - WAIT_US:
            slot = self._waiting.popleft()
            _count(self.link, int(slot.lost.sum()), slot.passed, LINK_RATE, LINK_WEIGHT)

    def _at_host(self, cells: I8) -> NDArray[np.bool_]:
        of_link = cells < self.terrain.links
        return np.asarray(of_link & self.terrain.to_server[np.where(of_link, cells, 0)])

    def look(self, traffic: Traffic, counts: SlotCounts, lost_lately: F8) -> None:
        """Measure mirrors and what is lost behind each switch. lost_lately: f8[S], probes last seen at
        each switch within the last second."""
        terrain = self.terrain
        now_us = counts.end_us
        share = np.zeros(terrain.switches)
        for window_us in (_MIRROR_WINDOW_US, _RECENT_US):
            came, unseen = traffic.mirrored(now_us - window_us)
            measured = (unseen + MIRROR_RATE * MIRROR_WEIGHT) / (came + MIRROR_WEIGHT)
            share = np.maximum(share, measured)
        # A window in which no copy was missed does not show that none ever is.
        self.mirror_loss = np.maximum(share, MIRROR_RATE)
        came, _ = traffic.mirrored(now_us - _RECENT_US)
        self.beyond = lost_lately / np.maximum(1, came)

    def expected(self, cells: I8) -> F8:
        """Share of packets that a healthy cell loses or seems to lose: i8[n] -> f8[n]."""
        terrain = self.terrain
        rate = np.full(len(cells), self.link_rate)
        of_link = cells < terrain.links
        link = np.where(of_link, cells, 0)
        rate[of_link & terrain.to_server[link]] += self.host_rate
        far = terrain.to_row[link]
        known = of_link & (far >= 0)
        missed = self.mirror_loss[far]
        rate += np.where(known, missed * self.beyond[far], 0)
        rate += np.where(known & (missed > DARK), 2 * self.host_rate, 0)
        # Where a ToR's copy of a reply is missing, a reply lost beyond it looks like a silent host.
        near = terrain.from_row[link]
        rate += np.where(of_link & terrain.to_server[link], self.mirror_loss[near] * self.beyond[near], 0)
        return np.asarray(np.minimum(rate, 0.95))

    def snapshot(self) -> dict[str, Any]:
        """Plain values; mirrors are measured anew."""
        waiting = [
            [slot.end_us, slot.cell.tolist(), slot.lost.tolist(), slot.passed] for slot in self._waiting
        ]
        return {"link": list(self.link), "host": list(self.host), "waiting": waiting}

    def restore(self, values: dict[str, Any]) -> None:
        """Reverse of `snapshot`."""
        self.link, self.host = list(values["link"]), list(values["host"])
        self._waiting = deque(
            _Slot(end_us, np.array(cell, np.int64), np.array(lost, np.int64), passed)
            for end_us, cell, lost, passed in values["waiting"]
        )


def _count(rate: list[float], lost: int, passed: int, assumed: float, weight: float) -> None:
    """Take a slot into a rate."""
    rate[0] = rate[0] * _KEEP + lost
    rate[1] = rate[1] * _KEEP + lost + passed
    # Never surer than the assumption is at the outset.
    if rate[1] < weight:
        rate[0] += assumed * (weight - rate[1])
        rate[1] = weight


def _without(slot: _Slot, suspect: I8) -> _Slot:
    calm = ~np.isin(slot.cell, suspect)
    return slot if calm.all() else replace(slot, cell=slot.cell[calm], lost=slot.lost[calm])


def lost_behind(terrain: Terrain, counts: list[SlotCounts]) -> F8:
    """Probes last seen at each switch, over some slots: f8[S]."""
    total = np.zeros(terrain.switches)
    for each in counts:
        cell = each.lost.cell
        of_link = cell < terrain.links
        row = np.where(of_link, terrain.from_row[np.where(of_link, cell, 0)], cell - terrain.links)
        known = row >= 0
        total += np.bincount(row[known], each.lost.count[known], terrain.switches)
    return total


__all__ = ["Background", "counted", "lost_behind"]

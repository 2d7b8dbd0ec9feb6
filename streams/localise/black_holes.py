"""Losses by chance, or all packets of some flows? Told by what becomes of flows that were lost.

Of each of them the join says whether its next packet was lost at the same place (streams.fates). If a place
loses a share p of its packets by chance, a flow that has just lost one loses the next with probability p, and
passes with 1 - p. In a black hole it is lost again but for accidents. The ratio of the two likelihoods
decides. Where everything is lost, both say the same, and it is no black hole.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streams.localise.explain import Cause
from streams.localise.history import EventLog
from streams.localise.scene import Scene
from streams.localise.terrain import Terrain

I8 = NDArray[np.int64]

#: Share of the flows of a black hole that are seen to pass: their way may change, or a mirror be wrong.
ACCIDENTS = 0.02
#: More than this share passes in no black hole.
PASSED_MAX = 0.05
#: Flows that must have come back, and the logarithm of how much likelier a black hole must be.
BACK_MIN = 5
SURE = math.log(1e4)
#: A cause that hits this share of packets lets nothing through.
ALL = 0.98
#: The share that is lost is also taken of this time alone: what was lost by chance may be lost whole now.
RECENT_US = 5_000_000
#: Of the links that a switch may choose between, one that carries less than this share of what is usual for
#: them may be dead, and then everything on it is lost.
CARRIED_MIN = 0.2


class BlackHoles:
    """Flows that came back to places where they had been lost. JSON-able through `snapshot`."""

    def __init__(self, terrain: Terrain) -> None:
        self._terrain = terrain
        self._again, self._recovered = EventLog(), EventLog()

    def add(self, slot_us: int, fates: NDArray[np.void]) -> None:
        """Take in the FATES rows of a slot; slots come in order. Those of servers say nothing here."""
        terrain = self._terrain
        cell = terrain.cell_of(fates["from_node"].astype(np.int32), fates["to_node"].astype(np.int32))
        known = (cell >= 0) & ~(
            (cell < terrain.links) & terrain.to_server[np.minimum(cell, terrain.links - 1)]
        )
        for log, name in ((self._again, "lost_again"), (self._recovered, "recovered")):
            count = fates[name].astype(np.int64)
            some = known & (count > 0)
            log.add(slot_us, cell[some], fates["leg"][some], count[some])

    def flows(self, cause: Cause, scene: Scene) -> int:
        """About how many flows a cause loses whole, if it is a black hole; else 0."""
        if cause.shape in ("host", "dead") or not cause.total:
            return 0
        cells = cause.hit
        if cause.switch >= 0:
            cells = np.append(cells, self._terrain.beyond(cause.switch))
        # The end of a fault makes all flows pass, so what is from the slot of the last loss on is left out.
        last_us = scene.span(cells, cause.since_us)[1]
        again = self._again.total(cells, cause.since_us, last_us)
        passed = self._recovered.total(cells, cause.since_us, last_us)
        if again + passed < BACK_MIN or passed > PASSED_MAX * (again + passed):
            return 0
        lost, share = self._share(cause, scene, cells, last_us)
        if share >= ALL or likelihood_ratio(again, passed, share) < SURE:
            return 0
        return max(1, lost - again)

    def _share(self, cause: Cause, scene: Scene, cells: I8, last_us: int) -> tuple[int, float]:
        """Packets lost, and the share of those that might have been: the greatest of several estimates."""
        terrain = self._terrain
        links = cause.hit[cause.hit < terrain.links]
        if cause.shape == "beyond":
            out = terrain.out_links(cause.switch)
            links = out[terrain.up[out]].astype(np.int64)
            big, small = scene.passed_on(links, cause.since_us)
            if not len(links) or (big + small).min() < CARRIED_MIN * np.median(big + small):
                return 0, 1.0
        shares, lost = [cause.lost / cause.total], 0.0
        for since_us in (max(cause.since_us, last_us - RECENT_US), cause.since_us):
            bad, good = scene.by_size(cells, links, since_us, last_us + 1)
            # Where only packets of one size are lost, the others do not tell how many of them are.
            alike = bad > 0
            lost = float(bad.sum())
            shares.append(lost / max(1.0, float(bad[alike].sum() + good[alike].sum())))
        return round(lost), max(shares)

    def snapshot(self) -> list[list[list[int]]]:
        """Plain values."""
        return [self._again.snapshot(), self._recovered.snapshot()]

    def restore(self, values: list[Any]) -> None:
        """Reverse of `snapshot`."""
        self._again, self._recovered = (EventLog.restore(log) for log in values)


def likelihood_ratio(again: int, passed: int, share: float) -> float:
    """Logarithm of how much likelier it is that so many flows are lost again and so many pass if there is a
    black hole, than if a share of all packets (0 < share < 1) is lost by chance."""
    return again * math.log((1 - ACCIDENTS) / share) + passed * math.log(ACCIDENTS / (1 - share))

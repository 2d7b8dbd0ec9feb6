"""The way of every flow, from a twin of the network in which nothing is ever wrong."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fabric.model import Fabric
from fabric.simulator.simulator import Simulator
from schemas.nodes import PROBER_BASE
from schemas.rows import Leg

I4 = NDArray[np.int32]
I8 = NDArray[np.int64]

WIDTH = 24  # links of a way there and back, at most


class Ways:
    """Links that probes cross: the encapsulated leg, the probe's, and the reply's. `seed`: the network's."""

    def __init__(self, fabric: Fabric, seed: int) -> None:
        self._index = fabric.index
        self._twin = Simulator(fabric, seed)

    def of(self, probes: NDArray[np.void]) -> I4:
        """Rows of the link table, i4[n, WIDTH], -1 after the last. probes: structured[n], as planned."""
        alone = probes.copy()
        # One probe of each flow: its number is its row, so that copies are told apart.
        alone["probe_id"] = (probes["probe_id"] >> 32 << 32) | np.arange(len(probes))
        digests = self._twin.run(alone).digests
        row = digests["probe_id"].astype(np.int64) & 0xFFFFFFFF
        order = np.lexsort((-digests["ttl"].astype(np.int64), digests["leg"], row))
        row, leg = row[order], digests["leg"][order].astype(np.int64)
        node = digests["switch"][order].astype(np.int32)
        count = len(probes)
        prober = (PROBER_BASE + (probes["probe_id"].astype(np.int64) >> 32)).astype(np.int32)
        target, rows = probes["target_node"].astype(np.int32), np.arange(count)
        # Every way as one sequence of nodes: its ends put in between, sorted by row, leg and place.
        nodes = np.concatenate([node, prober, target, prober])
        place = np.concatenate(
            [leg * 2 + 1, np.full(count, -1), np.full(count, 2 * Leg.PROBE + 2), np.full(count, 99)]
        )
        rows_of = np.concatenate([row, rows, rows, rows])
        order = np.lexsort((np.arange(len(nodes)), place, rows_of))
        nodes, rows_of = nodes[order], rows_of[order]
        link = self._index.link_index(nodes[:-1], nodes[1:])
        keep = (rows_of[:-1] == rows_of[1:]) & (link >= 0)
        link, rows_of = link[keep], rows_of[:-1][keep]
        first = np.searchsorted(rows_of, rows)
        at = np.arange(len(link)) - first[rows_of]
        ways = np.full((count, WIDTH), -1, np.int32)
        ways[rows_of, at] = link
        return ways

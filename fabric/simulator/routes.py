"""Equal-cost shortest paths, and the hash by which each switch picks one of them.

Next hops are worked out per (destination switch, switch) the first time that such a pair is asked for;
after that a hop costs a few array look-ups per packet. A switch hashes the five-tuple with a seed of its
own, so that the choices of two tiers are independent. Drained switches carry no transit.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fabric.index import FabricIndex
from schemas.partition import mix64

I4 = NDArray[np.int32]
U8 = NDArray[np.uint64]

NO_LINK = -1
_UNREACHABLE = np.int8(127)
_DISTANCE_MAX = 32


class Routes:
    """Next hops of a fabric. Rows of switches and links are those of its FabricIndex."""

    def __init__(self, index: FabricIndex, seed: int) -> None:
        switches = len(index.switch_node)
        self.from_row: I4 = index.switch_row(index.link_from)  # i4[L]: switch row at each end, -1: no switch
        self.to_row: I4 = index.switch_row(index.link_to)
        between = np.flatnonzero((self.from_row >= 0) & (self.to_row >= 0)).astype(np.int32)
        self._drained = index.drained

        ends = np.unique(self.from_row[self.to_row < 0])
        self._destinations = ends.astype(np.int32)  # switches that servers or Probers hang from
        self._destination_of = np.full(switches, -1, dtype=np.int32)
        self._destination_of[ends] = np.arange(len(ends), dtype=np.int32)

        self._out_link = _padded_out_links(self.from_row[between], between, switches)
        self._distance = self._distances(between, switches)
        pairs = len(ends) * switches
        self._first: NDArray[np.int64] = np.full(pairs, -1, dtype=np.int64)
        self._count: I4 = np.zeros(pairs, dtype=np.int32)
        self._members: I4 = np.full(
            1, NO_LINK, dtype=np.int32
        )  # never empty, so any index is clipped into it
        self._seeds: U8 = mix64(mix64(index.switch_node.astype(np.uint64)) ^ np.uint64(seed & (1 << 64) - 1))

    def next_link(self, switch: I4, destination: I4, flow: U8) -> I4:
        """Link by which each packet leaves.

        switch, destination: i4[n], switch rows, not equal; destination has servers or Probers.
        flow: u8[n], hash of the five-tuple. Returns i4[n], link rows, NO_LINK where there is no way.
        """
        pair = self._destination_of[destination].astype(np.int64) * len(self._seeds) + switch
        first = self._first[pair]
        if (first < 0).any():
            self._resolve(np.unique(pair[first < 0]))
            first = self._first[pair]
        count = self._count[pair]
        # Multiply-shift instead of a remainder: the upper bits of the hash choose.
        chosen = ((self.hash(switch, flow) >> np.uint64(32)) * count.astype(np.uint64)) >> np.uint64(32)
        link = self._members[np.minimum(first + chosen.astype(np.int64), len(self._members) - 1)]
        return np.where(count > 0, link, np.int32(NO_LINK))

    def hash(self, switch: I4, flow: U8) -> U8:
        """What each switch makes of a flow: i4[n], u8[n] -> u8[n]."""
        return mix64(flow ^ self._seeds[switch])

    def next_links(self, switch: int, destination: int) -> I4:
        """All equal-cost next hops of one switch row towards another, as link rows; for tests and plans."""
        pair = int(self._destination_of[destination]) * len(self._seeds) + switch
        if self._first[pair] < 0:
            self._resolve(np.array([pair]))
        return self._members[self._first[pair] : self._first[pair] + self._count[pair]]

    def _distances(self, between: I4, switches: int) -> NDArray[np.int8]:
        """Hops from each switch to each destination: i1[destinations, switches]."""
        # Breadth-first search from all destinations at once: one step is one matrix product.
        adjacent = np.zeros((switches, switches), dtype=np.float32)
        adjacent[self.to_row[between], self.from_row[between]] = 1
        distance = np.full((len(self._destinations), switches), _UNREACHABLE, dtype=np.int8)
        frontier = np.zeros(distance.shape, dtype=np.float32)
        frontier[np.arange(len(self._destinations)), self._destinations] = 1
        distance[frontier > 0] = 0
        for hops in range(1, _DISTANCE_MAX):
            reached = ((frontier @ adjacent) > 0) & (distance == _UNREACHABLE)
            if not reached.any():
                break
            distance[reached] = hops
            frontier = (reached & ~self._drained).astype(np.float32)
        return distance

    def _resolve(self, pairs: NDArray[np.int64]) -> None:
        switches = len(self._seeds)
        destination, switch = pairs // switches, pairs % switches
        links = self._out_link[switch]
        neighbour = self.to_row[links]
        last = self._destinations[destination]
        here = self._distance[destination, switch]
        closer = self._distance[destination[:, None], neighbour] == (here - 1)[:, None]
        usable = (links >= 0) & closer & (~self._drained[neighbour] | (neighbour == last[:, None]))
        usable &= (here != _UNREACHABLE)[:, None]
        count = usable.sum(axis=1)
        self._first[pairs] = len(self._members) + np.cumsum(count) - count
        self._count[pairs] = count
        self._members = np.concatenate([self._members, links[usable]])


def _padded_out_links(from_row: I4, links: I4, switches: int) -> I4:
    """Links that leave each switch for another, as i4[switches, most], padded with NO_LINK."""
    order = np.argsort(from_row, kind="stable")
    degree = np.bincount(from_row, minlength=switches)
    padded = np.full((switches, max(1, int(degree.max(initial=0)))), NO_LINK, dtype=np.int32)
    start = np.cumsum(degree) - degree
    padded[from_row[order], np.arange(len(links)) - np.repeat(start, degree)] = links[order]
    return padded

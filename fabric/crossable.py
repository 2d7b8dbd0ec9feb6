"""Which elements a probe can cross at all.

An element can be crossed if some probe that a Prober may send, or its reply, takes it on a shortest way
without a valley:

- North-South: from a Prober's switch to a ToR with servers, and back from those that answer;
- East-West: from a decapsulating ToR to the servers of another pod;
- inter-Prober: from Prober to Prober and back.

So a port to a server that is known not to answer cannot be shown to be crossed, nor can what lies behind a
drained switch only, or a pair of chips that no shortest way joins.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from fabric.coverage import Elements
from fabric.ways import HOPS_MAX, Ways, WaysTo
from schemas.nodes import PROBER_BASE, SERVER_BASE

I4 = NDArray[np.int32]
Bools = NDArray[np.bool_]


def crossable(elements: Elements) -> Bools:
    """bool[elements.count]."""
    marks = _Marks(elements)
    sites = _Sites(elements)
    for tors in sites.tor_groups():
        way = marks.ways.to(tors)
        near = [row for row in sites.prober_rows if way.valley_free[row]]
        if not near:
            continue
        served = sites.down_to_servers(tors)
        marks.walk(way, np.array(near, np.int32), sites.up_from_probers(near), served)
        pods = set(sites.index.pod[tors].tolist())
        vias = sites.vias[way.valley_free[sites.vias] & ~np.isin(sites.index.pod[sites.vias], list(pods))]
        if len(vias) and len(served):
            marks.walk(way, vias, np.empty(0, np.int32), served)
    for row in sites.prober_rows:
        way = marks.ways.to(np.array([row], np.int32))
        home = sites.down_to_probers([row])
        others = [other for other in sites.prober_rows if other != row and way.valley_free[other]]
        for rows, up in (
            (sites.answering_tors, sites.up_from_servers),
            (np.array(others, np.int32), sites.up_from_probers(others)),
        ):
            far = rows[way.valley_free[rows]]
            if len(far):
                marks.walk(way, far, up[np.isin(elements.to_row[up], far)], home)
    return marks.crossed()


class _Marks:
    """What has been found to be crossed so far."""

    def __init__(self, elements: Elements) -> None:
        self.ways = Ways(elements.fabric.index)
        self._elements = elements
        self._links = np.zeros(len(elements.link), np.bool_)
        self._pairs = np.zeros(elements.pairs, np.bool_)
        # Chips of all switches in one row: first chip of a switch, then its place.
        chips = np.array([len(s.chips) for s in elements.fabric.switches], np.int64)
        self._first_chip = np.cumsum(chips) - chips
        self._chips = int(chips.sum())
        self._several = chips > 1
        base = self._first_chip[elements.pair_switch]
        self._pair_in, self._pair_out = base + elements.pair_in, base + elements.pair_out

    def crossed(self) -> Bools:
        """By element."""
        elements = self._elements
        seen = np.zeros(elements.count, np.bool_)
        seen[elements.of_links(np.flatnonzero(self._links).astype(np.int32))] = True
        seen[elements.pair_first :] = self._pairs
        return seen

    def walk(self, way: WaysTo, rows: I4, came: I4, leaving: I4) -> None:
        """All shortest ways from switches `rows`, i4[n], each of which has one. `came`, `leaving`: links to
        servers and Probers that packets come in by at their first switch, and leave by at their last."""
        ways = self.ways
        up = np.zeros(len(way.climbing), np.bool_)
        up[rows] = True
        down = np.zeros_like(up)
        nearer_up, nearer_down = ways.steps(way)
        turns = (way.descending == way.climbing)[ways.near]
        climbing = descending = np.zeros(len(ways.links), np.bool_)
        for _ in range(HOPS_MAX):
            climbing = nearer_up & up[ways.near]
            descending = nearer_down & ((turns & up[ways.near]) | down[ways.near])
            reached = np.count_nonzero(up) + np.count_nonzero(down)
            up[ways.far[climbing]] = True
            down[ways.far[descending]] = True
            if np.count_nonzero(up) + np.count_nonzero(down) == reached:
                break
        self._links[ways.links[climbing | descending]] = True
        self._links[came] = True
        self._links[leaving] = True
        if self._elements.pairs:
            on = nearer_down & down[ways.near]
            self._mark_pairs(climbing, nearer_down & turns & up[ways.near], on, came, leaving)

    def _mark_pairs(self, up: Bools, over: Bools, down: Bools, came: I4, leaving: I4) -> None:
        """Every way in joined with every way on: of packets that climb (`up`) and go on climbing or turn
        (`over`), and of packets that have turned and go on descending (`down`)."""
        links = self.ways.links
        ins = (np.concatenate([links[up], came]), links[over | down])
        outs = (np.concatenate([links[up], links[over], leaving]), np.concatenate([links[down], leaving]))
        for coming, going in zip(ins, outs, strict=True):
            here = self._chip_set(self._elements.to_row, self._elements.chip_in, coming)
            there = self._chip_set(self._elements.from_row, self._elements.chip_out, going)
            self._pairs |= here[self._pair_in] & there[self._pair_out]

    def _chip_set(self, row: I4, chip: NDArray[np.int16], links: I4) -> Bools:
        found = np.zeros(self._chips, np.bool_)
        links = links[row[links] >= 0]
        links = links[self._several[row[links]]]
        found[self._first_chip[row[links]] + chip[links]] = True
        return found


class _Sites:
    """Where Probers and servers hang."""

    def __init__(self, elements: Elements) -> None:
        self._elements = elements
        fabric = elements.fabric
        self.index = index = fabric.index
        to_server = (index.link_to >= SERVER_BASE) & (index.link_to < PROBER_BASE)
        from_server = (index.link_from >= SERVER_BASE) & (index.link_from < PROBER_BASE)
        probed = _probed(elements)
        is_probed = np.zeros(len(index.link_to), np.bool_)
        is_probed[to_server] = probed[_position(index.server_node, index.link_to[to_server])]
        is_probed[from_server] = probed[_position(index.server_node, index.link_from[from_server])]
        self._down = np.flatnonzero(to_server & is_probed).astype(np.int32)
        #: Links from servers that answer into their ToRs, and the rows of those ToRs.
        self.up_from_servers: I4 = np.flatnonzero(from_server & is_probed).astype(np.int32)
        self.answering_tors: I4 = np.unique(elements.to_row[self.up_from_servers])
        self._prober_up = np.flatnonzero(index.link_from >= PROBER_BASE).astype(np.int32)
        self._prober_down = np.flatnonzero(index.link_to >= PROBER_BASE).astype(np.int32)
        self.prober_rows: list[int] = np.unique(elements.to_row[self._prober_up]).tolist()
        decapsulates = np.array([s.decapsulates and not s.drained for s in fabric.switches], np.bool_)
        self.vias: I4 = np.flatnonzero(decapsulates & (index.pod >= 0)).astype(np.int32)

    def tor_groups(self) -> Iterator[I4]:
        """Rows of switches that probes go to, those with the same pod and neighbours together: the ways to
        them differ in the last link only."""
        ends = np.union1d(self._elements.from_row[self._down], self.vias)
        groups: dict[tuple[object, ...], list[int]] = {}
        for row in ends.tolist():
            switch = self._elements.fabric.switches[row]
            names = self._elements.fabric.switch_by_name
            neighbours = frozenset(p.peer for p in switch.ports if p.peer in names)
            groups.setdefault((switch.pod, switch.tier, neighbours), []).append(row)
        for rows in groups.values():
            yield np.array(rows, np.int32)

    def down_to_servers(self, tors: I4) -> I4:
        """Links from some ToRs to servers that answer."""
        return self._down[np.isin(self._elements.from_row[self._down], tors)]

    def down_to_probers(self, rows: list[int]) -> I4:
        """Links from some switches to the Probers that hang on them."""
        return self._prober_down[np.isin(self._elements.from_row[self._prober_down], rows)]

    def up_from_probers(self, rows: list[int]) -> I4:
        """Links from Probers into some switches."""
        return self._prober_up[np.isin(self._elements.to_row[self._prober_up], rows)]


def _probed(elements: Elements) -> Bools:
    """Which servers answer and have an address of a family that a Prober has too: bool[servers]."""
    fabric = elements.fabric
    families = {":" in prober.address for prober in fabric.probers}
    return np.array(
        [s.answers and any((":" in a) in families for a in s.addresses) for s in fabric.servers], np.bool_
    )


def _position(nodes: I4, wanted: I4) -> NDArray[np.intp]:
    order = np.argsort(nodes)
    return order[np.searchsorted(nodes, wanted, sorter=order)]

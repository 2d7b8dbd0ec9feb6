"""Flows and the ways they take, as learnt from mirrors: what each of them would cross if it were probed.

A flow is a Prober, a target, the decapsulating ToR it goes by if any, and a source port. Its ways come as
PATHS rows of the topic link-evidence, one per leg; of several for one flow and leg the last one holds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fabric.coverage import Elements
from schemas.partition import mix64
from schemas.rows import Leg

I4 = NDArray[np.int32]
I8 = NDArray[np.int64]
Bools = NDArray[np.bool_]

#: Switches that a PATHS row can name.
HOPS = 8
LEGS = len(Leg)

_ROWS_AT_ONCE = 100_000
_PORT_BITS = 16
_NODE_BITS = 30


@dataclass(frozen=True, slots=True)
class FlowPaths:
    """Flows, shape (n,), sorted by Prober, target, via and source port; nodes, via -1: none. `switches`:
    i4[n, LEGS, HOPS], nodes in order, -1 where a leg is shorter or not known."""

    prober: I4
    target: I4
    via: I4
    source_port: I4
    switches: I4

    def __len__(self) -> int:
        return len(self.prober)

    def take(self, rows: I8 | Bools) -> FlowPaths:
        """Some of the flows."""
        return FlowPaths(
            self.prober[rows], self.target[rows], self.via[rows], self.source_port[rows], self.switches[rows]
        )

    @property
    def complete(self) -> Bools:
        """Flows of which every leg that they have is known: bool[n]."""
        seen = self.switches[:, :, 0] >= 0
        return seen[:, Leg.PROBE] & seen[:, Leg.REPLY] & (seen[:, Leg.ENCAPSULATED] | (self.via < 0))


def gather_paths(rows: NDArray[np.void]) -> FlowPaths:
    """Rows of PATHS, in the order in which they were said, shape (m,), of any byte order -> flows."""
    prober, target, via, port = (
        rows[name].astype(np.int64) for name in ("prober", "target", "via", "source_port")
    )
    high, low = prober << _NODE_BITS | target, (via + 1) << _PORT_BITS | port
    order = np.lexsort((low, high))  # stable: later rows of a flow come later
    new = np.ones(len(rows), np.bool_)
    new[1:] = (high[order][1:] != high[order][:-1]) | (low[order][1:] != low[order][:-1])
    flow = np.cumsum(new) - 1
    first = order[new]
    switches = np.full((len(first), LEGS, HOPS), -1, np.int32)
    said = np.frombuffer(np.ascontiguousarray(rows["switches"]).tobytes(), ">i4").reshape(-1, HOPS)
    leg = rows["leg"][order].astype(np.int64)
    switches[flow, leg] = said[order]  # of repeats the last one stays
    return FlowPaths(
        prober[first].astype(np.int32),
        target[first].astype(np.int32),
        via[first].astype(np.int32),
        port[first].astype(np.int32),
        switches,
    )


def flow_keys(prober: I8, target: I8, via: I8, source_port: I8) -> NDArray[np.uint64]:
    """64 bits that stand for each flow: i8[n] -> u8[n]."""
    high, low = prober << _NODE_BITS | target, (via + 1) << _PORT_BITS | source_port
    return mix64(mix64(high.astype(np.uint64)) ^ low.astype(np.uint64))


@dataclass(frozen=True, slots=True)
class Crossings:
    """What each of n flows crosses: `element[start[i]:start[i + 1]]`, without repeats."""

    start: I8
    element: I4

    @property
    def flow(self) -> I8:
        """The flow that each entry of `element` belongs to."""
        return np.repeat(np.arange(len(self.start) - 1), np.diff(self.start))

    def of(self, flows: I8) -> I4:
        """Elements that some flows cross, with repeats."""
        return self.element[spans(self.start, flows)]


def spans(start: I8, rows: I8) -> I8:
    """Positions of the entries of some rows, one row after the other: i8[n + 1], i8[m] -> i8[k]."""
    size = start[rows + 1] - start[rows]
    before = np.cumsum(size) - size
    positions: I8 = np.repeat(start[rows] - before, size) + np.arange(int(size.sum()))
    return positions


def distinct(keys: I8) -> I8:
    """Sorted, without repeats. By sorting: for keys of this kind that is ten times as fast as np.unique."""
    ordered = np.sort(keys)
    return ordered[np.append(True, ordered[1:] != ordered[:-1])] if len(ordered) else ordered


def crossings(flows: FlowPaths, elements: Elements) -> Crossings:
    """Elements that each flow crosses, from end to end, as far as its ways are known."""
    parts = [
        _crossings(flows.take(np.arange(first, min(first + _ROWS_AT_ONCE, len(flows)))), elements, first)
        for first in range(0, len(flows), _ROWS_AT_ONCE)
    ]
    key = np.concatenate(parts) if parts else np.empty(0, np.int64)
    start = np.searchsorted(key >> 32, np.arange(len(flows) + 1))
    return Crossings(start.astype(np.int64), (key & 0xFFFFFFFF).astype(np.int32))


def _crossings(flows: FlowPaths, elements: Elements, first: int) -> I8:
    """flow << 32 | element, sorted and distinct."""
    index = elements.fabric.index
    found: list[I8] = []

    def add(flow: I8, element: I4) -> None:
        known = element >= 0
        found.append((flow[known] + first) << 32 | element[known])

    for leg, (near, far) in enumerate(_ends(flows)):
        rows = np.flatnonzero(flows.switches[:, leg, 0] >= 0)
        nodes = np.full((len(rows), HOPS + 2), -1, np.int32)
        nodes[:, 1:-1] = flows.switches[rows, leg]
        length = (nodes[:, 1:-1] >= 0).sum(axis=1)
        starts_there = nodes[:, 1] == near[rows]
        nodes[:, 0] = np.where(starts_there, -1, near[rows])
        nodes[np.arange(len(rows)), length + 1] = np.where(
            nodes[np.arange(len(rows)), length] == far[rows], -1, far[rows]
        )
        link = np.full((len(rows), HOPS + 1), -1, np.int32)
        for hop in range(HOPS + 1):
            link[:, hop] = index.link_index(nodes[:, hop], nodes[:, hop + 1])
            at = np.flatnonzero(link[:, hop] >= 0)
            for column in (elements.link, elements.from_port, elements.to_port):
                add(rows[at], column[link[at, hop]])
            if hop and elements.pairs:
                at = at[link[at, hop - 1] >= 0]
                add(rows[at], elements.between_links(link[at, hop - 1], link[at, hop]))
    return distinct(np.concatenate(found)) if found else np.empty(0, np.int64)


def _ends(flows: FlowPaths) -> list[tuple[I4, I4]]:
    """Where each leg comes from and goes to, by leg."""
    bare = np.where(flows.via < 0, flows.prober, flows.via)
    return [(flows.prober, flows.via), (bare, flows.target), (flows.target, flows.prober)]

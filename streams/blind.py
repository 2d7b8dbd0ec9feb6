"""Probes that no mirror saw, by flow: what is left to go by where nothing is mirrored, or mirrors fail."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from schemas.nodes import UNKNOWN_NODE
from schemas.rows import BLIND, Leg, rows_of
from streams.closing import Closed
from streams.groups import all_members

_PORT_BITS, _NODE_BITS = 32, 30


def blind_rows(closed: Closed, mirrors: bool) -> np.ndarray:
    """BLIND rows of a slot, sorted by Prober, target, via and source port: of the probes of which no copy
    at all was seen, or of all probes if the network does not mirror. Without targets that the inventory
    does not know."""
    probes, legs = closed.probes, closed.legs
    blind = probes.target_node != UNKNOWN_NODE
    if mirrors:
        blind &= legs.end[:, Leg.REPLY] == legs.start[:, Leg.ENCAPSULATED]
    rows = np.flatnonzero(blind)
    if not len(rows):
        return np.empty(0, BLIND.dtype)
    is_lost = probes.rtt_ns < 0
    is_group_lost = all_members(probes, is_lost)[rows]
    port = probes.rows["source_port"][rows].astype(np.int64)
    near = probes.prober_node[rows].astype(np.int64) << _NODE_BITS | probes.target_node[rows]
    far = (probes.via_node[rows].astype(np.int64) + 1) << _PORT_BITS | port & (1 << _PORT_BITS) - 1
    order = np.lexsort((far, near))
    near, far = near[order], far[order]
    is_first = np.ones(len(rows), np.bool_)
    is_first[1:] = (near[1:] != near[:-1]) | (far[1:] != far[:-1])
    first = np.flatnonzero(is_first)

    def count(hit: NDArray[np.bool_]) -> NDArray[np.int64]:
        return np.add.reduceat(hit[order].astype(np.int64), first)

    flow = rows[order[first]]
    return rows_of(
        BLIND,
        {
            "prober": probes.prober_node[flow],
            "target": probes.target_node[flow],
            "via": probes.via_node[flow],
            "source_port": port[order[first]],
            "sent": np.diff(first, append=len(rows)),
            "lost": count(is_lost[rows]),
            "group_lost": count(is_group_lost),
        },
        len(flow),
    )

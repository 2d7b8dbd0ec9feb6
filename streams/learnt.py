"""The ways of flows, said when they are new or have changed, and again now and then.

A switch sends all packets of a five-tuple the same way, so the way that a probe was seen to take is the
one that its flow takes. What was said earlier is known from the memory of flows alone, so it is said again
if the flow was away for longer than that reaches; and once in REFRESH_US, so that whoever begins to read
knows all ways after that time. When in that time is a function of the flow, so that not all are said at
once.
"""

from __future__ import annotations

import numpy as np

from schemas.rows import PATHS, rows_of
from streams.closing import Closed
from streams.flows import FlowMemory, Flows
from streams.places import LEGS

REFRESH_US = 300_000_000
#: Switches that a row can hold; longer legs are not said.
HOPS_MAX = 8
#: Rows of a slot; of more the first are said, and the others when their time comes again.
ROWS_MAX = 32_768


def path_rows(closed: Closed, flows: Flows, memory: FlowMemory, slot_us: int) -> np.ndarray:
    """PATHS rows of a slot, in the order of probes and legs; of a flow that was sent twice the last way.
    `slot_us`: length of a slot."""
    new = memory.is_new(flows, max(1, REFRESH_US // slot_us))
    probe, leg = np.nonzero(new)
    start, end = closed.legs.start[probe, leg], closed.legs.end[probe, leg]
    fits = np.flatnonzero(end - start <= HOPS_MAX)
    fits = fits[_last_of_each(flows.flow[probe[fits]], leg[fits])][:ROWS_MAX]
    if not len(fits):
        return np.empty(0, PATHS.dtype)
    probe, leg, start, end = probe[fits], leg[fits], start[fits], end[fits]
    hop = start[:, None] + np.arange(HOPS_MAX)
    inside = hop < end[:, None]
    switches = np.where(inside, closed.hops.switch[np.where(inside, hop, 0)], -1).astype(">i4")
    probes = closed.probes
    return rows_of(
        PATHS,
        {
            "prober": probes.prober_node[probe],
            "target": probes.target_node[probe],
            "via": probes.via_node[probe],
            "source_port": probes.rows["source_port"][probe],
            "leg": leg,
            "switches": np.ascontiguousarray(switches).view(PATHS.dtype["switches"]).reshape(-1),
        },
        len(probe),
    )


def _last_of_each(flow: np.ndarray, leg: np.ndarray) -> np.ndarray:
    """Places of the last row of each flow and leg, in order: [n], [n] -> [k]."""
    key = flow * LEGS + leg  # of hashes; where it wraps makes no difference
    order = np.argsort(key, kind="stable")
    is_last = np.ones(len(order), np.bool_)
    is_last[:-1] = key[order][1:] != key[order][:-1]
    return np.sort(order[is_last])

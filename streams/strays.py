"""Where packets went that should not have gone there.

Every switch sends a packet closer to its destination, over a cable, and not through a drained switch. The
first one on a leg that did not is the one that sent the packet astray, whatever followed: the switch that
sends a packet back into a loop, or the one whose route is wrong (the next switches send the packet on by
tables that are right, so it is they that climb again). Probes that got lost and replies that never came
are looked at like any others.

It is a loop if the packet goes round from there, and was sent to a switch that it had passed already. A
packet that goes round because the one that got it by a wrong route sent it back by a right one is no loop
but a wrong route. Where the copy before is missing, going round decides.

Where copies are missing in between, it is not known where the packet went after the last switch that was
right. Of a destination that the inventory does not know only cables and drained switches can be judged.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from schemas.nodes import UNKNOWN_NODE
from schemas.rows import STRAYS, Leg, rows_of
from streams.closing import Closed
from streams.distances import UNKNOWN, Distances
from streams.paths import LOOP_HOPS
from streams.places import Places
from streams.verdict import Verdict

I8 = NDArray[np.int64]

_LEG_BITS, _VERDICT_BITS, _NODE_BITS = 2, 4, 28


def stray_rows(closed: Closed, places: Places, distances: Distances) -> np.ndarray:
    """STRAYS rows of a slot, sorted by verdict, switch, where it went, and leg; a probe counts once a leg."""
    probes, legs, judgement = closed.probes, closed.legs, closed.judgement
    unanswered = (probes.rtt_ns < 0) & (legs.end[:, Leg.REPLY] > legs.start[:, Leg.ENCAPSULATED])
    if not (unanswered | legs.off_path).any():
        return np.empty(0, STRAYS.dtype)
    at = _first_wrong(closed, places, distances, unanswered)
    probe, leg = closed.hops.probe[at], closed.hops.leg[at].astype(np.int8)
    from_node = closed.hops.switch[at]
    is_next = (closed.hops.ttl[at] - closed.hops.ttl[at + 1] == 1) & (legs.row[at + 1] >= 0)
    to_node = np.where(is_next, closed.hops.switch[at + 1], UNKNOWN_NODE)

    in_loop = judgement.verdict == Verdict.LOOP
    rounds = legs.goes_round[probe, leg] | (in_loop[probe] & (judgement.leg[probe] == leg))
    loops = rounds & (~is_next | _goes_back(closed, places, at))

    # A loop of which no copy shows where it turns: the packet is known to have been there, no more.
    found = np.zeros(len(probes), np.bool_)
    found[probe[leg == judgement.leg[probe]]] = True
    rest = np.flatnonzero(in_loop & ~found & (judgement.place >= 0))
    loops = np.append(loops, np.ones(len(rest), np.bool_))
    leg = np.concatenate([leg, judgement.leg[rest]])
    from_node = np.concatenate([from_node, places.from_node[judgement.place[rest]]])
    to_node = np.concatenate([to_node, np.full(len(rest), UNKNOWN_NODE)]).astype(np.int64)

    verdict = np.where(loops, Verdict.LOOP, Verdict.UNEXPECTED_PATH).astype(np.int64)
    key = verdict << _NODE_BITS | from_node
    key = (key << _NODE_BITS | to_node + 1) << _LEG_BITS | leg
    key, count = np.unique(key, return_counts=True)
    return _rows(key, count)


def _goes_back(closed: Closed, places: Places, at: I8) -> NDArray[np.bool_]:
    """Whether the hop after each of some hops is at a switch that the leg has passed before, or it is not
    known because the copy just before is missing: i8[k] -> bool[k]."""
    hops, legs, probes = closed.hops, closed.legs, closed.probes
    probe, leg = hops.probe[at], hops.leg[at]
    start = legs.start[probe, leg]
    back = np.zeros(len(at), np.bool_)
    for lag in range(1, LOOP_HOPS):
        before = np.maximum(at - lag, start)
        back |= (before < at) & (hops.switch[before] == hops.switch[at + 1])
    entry = np.stack([probes.attached_node, probes.attached_node, probes.tor_node])[leg, probe]
    begins = (at == start) & (legs.row[at] == places.switch_row(entry))
    follows = (at > start) & (hops.ttl[np.maximum(at - 1, 0)] - hops.ttl[at] == 1)
    goes_back: NDArray[np.bool_] = back | ~(begins | follows)
    return goes_back


def _rows(key: I8, count: I8) -> np.ndarray:
    mask = (1 << _NODE_BITS) - 1
    return rows_of(
        STRAYS,
        {
            "verdict": key >> (2 * _NODE_BITS + _LEG_BITS),
            "from_node": key >> (_NODE_BITS + _LEG_BITS) & mask,
            "to_node": (key >> _LEG_BITS & mask) - 1,
            "leg": key & ((1 << _LEG_BITS) - 1),
            "probes": count,
        },
        len(key),
    )


def _first_wrong(closed: Closed, places: Places, distances: Distances, unanswered: NDArray[np.bool_]) -> I8:
    """Hop from which each leg first went wrong: i8[k]."""
    probes, hops, legs, crossings = closed.probes, closed.hops, closed.legs, closed.crossings
    pick = np.flatnonzero((unanswered | legs.off_path)[hops.probe[crossings.at]])
    at, gap = crossings.at[pick], crossings.ttl_gap[pick]
    probe, leg = hops.probe[at], hops.leg[at]
    near, far = legs.row[at], legs.row[at + 1]
    ends = np.stack([probes.via_node, probes.tor_node, probes.attached_node])
    destination = places.switch_row(ends[leg, probe])
    left_near = distances.hops(near, destination).astype(np.int16)
    left_far = distances.hops(far, destination).astype(np.int16)
    no_closer = (left_near != UNKNOWN) & (left_far != UNKNOWN) & (left_near - left_far != gap)
    # A copy that misnames its switch or its TTL must not make a stray of a probe that was merely lost.
    no_closer &= (gap == 1) | legs.off_path[probe]
    uncabled = (crossings.link[pick] < 0) & (gap == 1)
    through_drained = places.index.drained[far] & (far >= 0) & (far != destination)
    wrong = np.flatnonzero((no_closer | uncabled | through_drained) & (near >= 0))
    _, first = np.unique(probe[wrong].astype(np.int64) << _LEG_BITS | leg[wrong], return_index=True)
    first_at: I8 = at[wrong[first]]
    return first_at

"""Between which hops a packet's content changed.

On the way to the server a copy is compared with what the Prober says it sent. A reply has no such
reference: its first copy with a good TCP checksum is taken. A bad copy that a good one follows was a
bad mirror copy, not an altered packet; so the change lies between the last good copy and the first
bad one after it. Truncated copies say nothing about content.

One bad copy at the very end of the way can be either. It was the mirror if the server's kernel took a
packet whose checksum that copy has wrong, and it is taken for the mirror if the same switch is known to
have damaged other copies in the same slot.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from schemas.rows import DigestFlag, Leg
from streams.hops import Hops
from streams.paths import Legs
from streams.places import Places
from streams.probes import Probes

I1 = NDArray[np.int8]
I2 = NDArray[np.int16]
I4 = NDArray[np.int32]
I8 = NDArray[np.int64]
U8 = NDArray[np.uint64]
Bools = NDArray[np.bool_]

_WRONG = int(DigestFlag.BAD_CHECKSUM | DigestFlag.PAYLOAD_ALTERED)


@dataclass(frozen=True, slots=True)
class Alterations:
    """Per probe, shape (p,): whether its packet (or its reply) was altered, on which leg and at which
    place (-1: not known), and the hops `last_good` (-1: before the first copy) and `first_bad` between
    which it was. Per hop, shape (m,): `bad_copy`. `damaged`: rows of the hops whose copies were bad
    although the packet was not."""

    found: Bools
    place: I4
    leg: I1
    last_good: I8
    first_bad: I8
    bad_copy: Bools
    damaged: I8


def find(probes: Probes, hops: Hops, legs: Legs, content_hash: U8, flags: I2, places: Places) -> Alterations:
    """`content_hash`, `flags`: shape (m,), of each hop's copy."""
    count = len(probes)
    comparable = (flags & DigestFlag.TRUNCATED) == 0
    bad = comparable & _differs(probes, hops, legs, content_hash, flags)
    found = np.zeros(count, np.bool_)
    place = np.full(count, -1, np.int32)
    leg = np.full(count, -1, np.int8)
    good_hop, bad_hop = np.full(count, -1, np.int64), np.full(count, -1, np.int64)
    if not bad.any():
        return Alterations(found, place, leg, good_hop, bad_hop, bad, np.empty(0, np.int64))

    # Only probes with a bad copy are looked at from here on.
    hit = np.zeros(count, np.bool_)
    hit[hops.probe[bad]] = True
    mine = np.flatnonzero(hit[hops.probe])
    # The encapsulated and the plain stretch of the way out carry the same content: one sequence.
    way = hops.probe[mine].astype(np.int64) * 2 + (hops.leg[mine] == Leg.REPLY)
    begins = np.flatnonzero(np.append(True, way[1:] != way[:-1]))
    of = np.cumsum(np.append(True, way[1:] != way[:-1])) - 1
    position = np.arange(len(mine))
    good_here = comparable[mine] & ~bad[mine]
    last_good = np.maximum.reduceat(np.where(good_here, position, -1), begins)
    after = bad[mine] & (position > last_good[of])
    first_bad = np.minimum.reduceat(np.where(after, position, len(mine)), begins)
    is_damaged = _damaged(probes, hops, flags, mine, way, begins, of, bad, after)
    altered = np.logical_or.reduceat(after & ~is_damaged, begins)

    way_probe = hops.probe[mine[begins]]
    for is_reply in (True, False):  # an alteration on the way out explains one on the way back
        pick = np.flatnonzero(altered & ((way[begins] & 1) == is_reply))
        probe = way_probe[pick]
        at = mine[first_bad[pick]]
        good = last_good[pick]
        before = np.where(good >= 0, mine[good], -1)
        found[probe] = True
        leg[probe] = hops.leg[at]
        good_hop[probe], bad_hop[probe] = before, at
        place[probe] = _place(legs.row, before, at, probes, probe, hops.leg[at], places)
    return Alterations(found, place, leg, good_hop, bad_hop, bad, mine[is_damaged])


def _differs(probes: Probes, hops: Hops, legs: Legs, content_hash: U8, flags: I2) -> Bools:
    wrong = (flags & _WRONG) != 0
    reference = probes.content_hash[hops.probe]
    reply = hops.leg == Leg.REPLY
    start, end = legs.start[:, Leg.REPLY], legs.end[:, Leg.REPLY]
    has = end > start
    if has.any():
        usable = ~wrong & ((flags & DigestFlag.TRUNCATED) == 0)
        at = np.where(has, start, 0)
        if not usable[start[has]].all():
            # Rare: the first copy is no reference; take the first one that is.
            candidate = np.where(usable & reply, np.arange(len(hops)), len(hops) - 1)
            first = np.full(len(probes), len(hops) - 1)
            np.minimum.at(first, hops.probe, candidate)
            at = np.where(has, first, at)
        reference = np.where(reply, content_hash[at][hops.probe], reference)
    differs: Bools = wrong | (content_hash != reference)
    return differs


def _damaged(
    probes: Probes, hops: Hops, flags: I2, mine: I8, way: I8, begins: I8, of: I8, bad: Bools, after: Bools
) -> Bools:
    """Which of the hops `mine` hold a copy that is bad although the packet was not. `way`, `of`, `after`,
    shape (k,): of each hop, its way, the number of that way, and whether it is bad and no good one follows.
    `begins`: of each way, its first hop."""
    ends = np.append(begins[1:], len(mine)) - 1
    at_end = after[ends] & (np.bincount(of, weights=after, minlength=len(begins)) == 1)
    # The kernel drops what has a wrong checksum. Not so the Prober: it reads replies raw.
    taken = (way[ends] & 1 == 0) & (probes.rtt_ns[hops.probe[mine[ends]]] >= 0)
    mirror = at_end & taken & ((flags[mine[ends]] & DigestFlag.BAD_CHECKSUM) != 0)
    is_damaged: Bools = bad[mine] & ~after
    is_damaged[ends[mirror]] = True
    if is_damaged.any():
        known = np.unique(hops.switch[mine[is_damaged]])
        is_damaged[ends[at_end & np.isin(hops.switch[mine[ends]], known)]] = True
    return is_damaged


def _place(row: I4, before: I8, at: I8, probes: Probes, probe: I4, leg: I1, places: Places) -> I4:
    """The link between the last good and the first bad copy, or as near to it as was seen."""
    known = before >= 0
    link = places.between_switches(np.where(known, row[before], -1), row[at])
    near = np.where(known & (link < 0), places.beyond(row[before]), link)
    # Nothing good before: it happened on the link from the sender, if this is the first switch.
    node = places.index.switch_node[row[at]]
    sender = np.where(leg == Leg.REPLY, probes.target_node[probe], probes.prober_node[probe])
    return np.where(known, near, places.index.link_index(sender.astype(np.int32), node)).astype(np.int32)

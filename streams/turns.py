"""Inside switches of several chips: from which chip to which chip packets went, and what became of them.

A mirror names the switch; the cable that a packet came by names the chip that took it in, and the cable
that it left by the chip that sent it out. A packet that was lost inside, or behind it, was taken in by a
known chip; where the way out is not known it is counted all the same. Which fabric chip carried it from
one to the other no mirror tells.

A decapsulating switch takes packets apart on the way: what comes in there is not counted as turning.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fabric.index import FabricIndex
from schemas.rows import TURNS, Leg, rows_of
from streams.closing import Closed
from streams.places import Places
from streams.tally import tally
from streams.verdict import counts_as_lost

I1 = NDArray[np.int8]
I2 = NDArray[np.int16]
I4 = NDArray[np.int32]
I8 = NDArray[np.int64]
Bools = NDArray[np.bool_]

_NO_LINK = -1
# Bits of a key: switch node, chip in, chip out + 1, leg.
_LEG_BITS, _CHIP_BITS = 8, 16
_CHIP_MASK = (1 << _CHIP_BITS) - 1


class Chips:
    """Which switches have several chips, and the chips at the ends of links; immutable. `several`:
    bool[S + 1], `takes_in`, `sends_out`: i2[L + 1]; the last of each stands for row -1, which is none."""

    def __init__(self, index: FabricIndex) -> None:
        self.several: Bools = np.array([s.is_multi_chip for s in index.fabric.switches] + [False], np.bool_)
        self.takes_in: I2 = np.append(index.link_to_chip, np.int16(-1))
        self.sends_out: I2 = np.append(index.link_from_chip, np.int16(-1))
        self.any = bool(self.several.any())


def turn_rows(closed: Closed, places: Places, chips: Chips) -> np.ndarray:
    """TURNS rows of a slot, sorted by switch, chips and leg."""
    hops = np.flatnonzero(chips.several[closed.legs.row]) if chips.any else np.empty(0, np.int64)
    if not len(hops):
        return np.empty(0, TURNS.dtype)
    came, left = _links_before(closed, places, hops), _links_after(closed, places, hops)
    takes_in, sends_out = chips.takes_in[came], chips.sends_out[left]

    def keys(at: I8, to_chip: I2) -> I8:
        """Of the turns of `hops[at]`; those that came in by an unknown chip are left out."""
        known = np.flatnonzero(takes_in[at] >= 0)
        at, out = at[known], to_chip[known].astype(np.int64) + 1
        key = closed.hops.switch[hops[at]].astype(np.int64) << _CHIP_BITS | takes_in[at]
        return (key << _CHIP_BITS | out) << _LEG_BITS | closed.hops.leg[hops[at]]

    def ended(hop: I8, place: I4, leg: I1) -> I8:
        """Turns at hops, -1 none, after which packets came to harm at a place on a leg."""
        starts = places.switch_row(places.from_node[place])
        at = np.minimum(np.searchsorted(hops, hop), len(hops) - 1)
        here = (hops[at] == hop) & (closed.legs.row[hop] == starts) & (closed.hops.leg[hop] == leg)
        link = np.where(place < places.links, place, _NO_LINK)
        return keys(at[here], chips.sends_out[link[here]])

    through = np.flatnonzero(sends_out >= 0)
    judgement, altered = closed.judgement, closed.altered
    lost = np.flatnonzero(counts_as_lost(judgement, closed.probes))
    last = closed.legs.last_hop(judgement.leg[lost], lost)
    spoilt = np.flatnonzero(altered.place >= 0)
    key, (passed, was_lost, was_altered) = tally(
        keys(through, sends_out[through]),
        ended(last, judgement.place[lost], judgement.leg[lost]),
        ended(altered.last_good[spoilt], altered.place[spoilt], altered.leg[spoilt]),
    )
    turn = key >> _LEG_BITS
    return rows_of(
        TURNS,
        {
            "switch": turn >> (2 * _CHIP_BITS),
            "from_chip": turn >> _CHIP_BITS & _CHIP_MASK,
            "to_chip": (turn & _CHIP_MASK) - 1,
            "leg": key & ((1 << _LEG_BITS) - 1),
            "passed": passed,
            "lost": was_lost,
            "altered": was_altered,
        },
        len(key),
    )


def _links_before(closed: Closed, places: Places, hops: I8) -> I4:
    """Link by which the packet came to each of some hops: i8[k] -> i4[k], -1: not known."""
    before = np.full(len(closed.hops), _NO_LINK, np.int32)
    before[closed.crossings.at + 1] = closed.crossings.link
    before[closed.bridges.at + 1] = closed.bridges.out
    found = before[hops]
    open_ = np.flatnonzero(found < 0)
    at = hops[open_]
    probe, leg = closed.hops.probe[at], closed.hops.leg[at]
    first = at == closed.legs.start[probe, leg]
    open_, probe, leg, row = open_[first], probe[first], leg[first], closed.legs.row[at[first]]
    probes = closed.probes
    inner = (leg == Leg.PROBE) & (probes.via_node[probe] >= 0)
    sender = np.where(leg == Leg.REPLY, probes.target_node[probe], probes.prober_node[probe])
    entry = np.where(leg == Leg.REPLY, probes.tor_node[probe], probes.attached_node[probe])
    entry = np.where(inner, probes.via_node[probe], entry)
    found[open_] = _first_link(places, np.where(inner, -1, sender).astype(np.int32), entry, row)
    return found


def _first_link(places: Places, sender: I4, entry: I4, row: I4) -> I4:
    """Link to a switch from a sender that hangs on the switch `entry`: from the sender if it is that one,
    else from that one, whose copy is missing. i4[n] nodes, i4[n] nodes, i4[n] rows -> i4[n]."""
    entry_row = places.switch_row(entry)
    direct = places.index.link_index(sender, entry)
    return np.where(row == entry_row, direct, places.between_switches(entry_row, row))


def _links_after(closed: Closed, places: Places, hops: I8) -> I4:
    """Link by which the packet left each of some hops and arrived: i8[k] -> i4[k], -1: not known, or it
    did not arrive."""
    after = np.full(len(closed.hops), _NO_LINK, np.int32)
    after[closed.crossings.at] = closed.crossings.link
    after[closed.bridges.at] = closed.bridges.into
    found = after[hops]
    open_ = np.flatnonzero(found < 0)
    at = hops[open_]
    probe, leg = closed.hops.probe[at], closed.hops.leg[at]
    last = at + 1 == closed.legs.end[probe, leg]
    open_, probe, leg, row = open_[last], probe[last], leg[last], closed.legs.row[at[last]]
    probes, legs = closed.probes, closed.legs
    replied = probes.rtt_ns[probe] >= 0
    answered = replied | legs.seen(Leg.REPLY)[probe]
    arrived = np.choose(leg, [legs.seen(Leg.PROBE)[probe] | answered, answered, replied])
    receiver = np.choose(leg, [np.int32(-1), probes.target_node[probe], probes.prober_node[probe]])
    exit_ = np.choose(leg, [probes.via_node[probe], probes.tor_node[probe], probes.attached_node[probe]])
    exit_row = places.switch_row(exit_.astype(np.int32))
    direct = places.index.link_index(exit_.astype(np.int32), receiver.astype(np.int32))
    link = np.where(row == exit_row, direct, places.between_switches(row, exit_row))
    found[open_] = np.where(arrived, link, _NO_LINK)
    return found

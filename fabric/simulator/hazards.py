"""What the faults that are on do to packets: on cables, at switches that are down, on a wrong way, in chips.

Work is in proportion to the packets at the elements of faults: one look-up per packet and hop finds them, and
none is made where no fault of that sort is on.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fabric.index import FabricIndex
from fabric.simulator.active import ActiveFault, Chips
from fabric.simulator.content import packet_length, tunnel_length
from fabric.simulator.flips import bits_to_flip, not_yet_stuck, segment_bytes
from fabric.simulator.ledger import Alteration, Ledger, Place
from fabric.simulator.routes import Routes
from schemas.rows import Leg

if TYPE_CHECKING:
    from fabric.simulator.walk import Packets

I4 = NDArray[np.int32]
I8 = NDArray[np.int64]
Bools = NDArray[np.bool_]
Rows = NDArray[np.intp]


class Hazards:
    """The faults that are on while the probes of one slice are under way."""

    def __init__(
        self,
        faults: Sequence[ActiveFault],
        index: FabricIndex,
        routes: Routes,
        chips: Chips,
        ledger: Ledger,
        probes: NDArray[np.void],
        *,
        seed: int,
    ) -> None:
        self._index, self._routes, self._chips = index, routes, chips
        self._ledger, self._probes, self._seed = ledger, probes, seed
        self._on_cables = [f for f in faults if f.acts_on_packets and f.link_rows]
        self._inside = [f for f in faults if f.acts_on_packets and not f.link_rows]
        self._stopped = [f for f in faults if f.stops_switch]
        self._loops = [f for f in faults if f.kind == "loop"]
        self._wrong_routes = [f for f in faults if f.kind == "wrong_route"]
        links, switches = len(index.link_from), len(index.switch_node)
        self._cable_marked = _marks(links, (f.link_rows for f in self._on_cables))
        self._turn_marked = _marks(links, (f.link_rows for f in self._loops))
        self._inside_marked = _marks(switches, (f.switch_rows for f in self._inside))
        self._stopped_marked = _marks(switches, (f.switch_rows for f in self._stopped))

    def on_cable(self, packets: Packets, place: Place) -> Packets:
        """What is left of packets on the cable `link`."""
        if not self._on_cables:
            return packets
        near = np.flatnonzero(self._cable_marked[packets.link])
        if not len(near):
            return packets
        lost = np.zeros(len(packets), dtype=np.bool_)
        for fault in self._on_cables:
            at = near[_is_one_of(packets.link[near], fault.link_rows) & ~lost[near]]
            lost[self._strike(fault, packets, at, place)] = True
        return packets.take(~lost) if lost.any() else packets

    def at_switch(self, packets: Packets, place: Place) -> Packets:
        """What is left of packets that have come by `link`, before they are mirrored."""
        if not self._stopped:
            return packets
        switch = self._routes.to_row[packets.link]
        near = np.flatnonzero(self._stopped_marked[switch])
        if not len(near):
            return packets
        lost = np.zeros(len(packets), dtype=np.bool_)
        for fault in self._stopped:
            at = near[_is_one_of(switch[near], fault.switch_rows) & ~lost[near]]
            at = self._met(fault, packets, at)
            link = packets.link[at]
            self._ledger.lose(packets.probe[at], place, self._index.link_to[link], link, fault.number)
            lost[at] = True
        return packets.take(~lost) if lost.any() else packets

    def turned(self, packets: Packets, switch: I4, out: I4, place: Place, *, decapsulated: bool) -> I4:
        """The cables that packets really leave by: i4[n], switch rows; i4[n], link rows -> i4[n], link rows.

        `packets.link` is still the one that they came by. decapsulated: they are inner packets where they
        came out, which no neighbour has sent here as they are.
        """
        if self._loops and not decapsulated:
            near = np.flatnonzero(self._turn_marked[packets.link])
            for fault in self._loops if len(near) else ():
                at = self._met(fault, packets, near[_is_one_of(packets.link[near], fault.link_rows)])
                out = self._divert(fault, packets, at, out, fault.back_row, place)
        for fault in self._wrong_routes:
            link = fault.link_rows[0]
            at = np.flatnonzero((switch == self._routes.from_row[link]) & (switch != packets.destination))
            at = self._met(fault, packets, at)
            if len(at):
                at = at[~self._is_next_hop(link, packets.destination[at])]
                out = self._divert(fault, packets, at, out, link, place)
        return out

    def inside(self, packets: Packets, switch: I4, came: I4, place: Place) -> Packets:
        """What is left of packets within their switches, on the way from the cable `came` to `link`.

        switch: i4[n], switch rows. came: i4[n], link rows.
        """
        if not self._inside:
            return packets
        near = np.flatnonzero(self._inside_marked[switch])
        if not len(near):
            return packets
        here, link = switch[near], packets.link[near]
        crossed = self._chips.crossed(here, came[near], link, self._routes.hash(here, packets.flow[near]))
        lost = np.zeros(len(packets), dtype=np.bool_)
        for fault in self._inside:
            at = near[_is_inside(fault, here, *crossed) & ~lost[near]]
            lost[self._strike(fault, packets, at, place)] = True
        return packets.take(~lost) if lost.any() else packets

    def _met(self, fault: ActiveFault, packets: Packets, at: Rows) -> Rows:
        """Of packets at the element of a fault those that come while it is on; they are tallied."""
        at = at[fault.is_on(self._ledger.book.sent_at_us[packets.probe[at]])]
        if len(at):
            self._ledger.book.met(fault.number, packets.probe[at])
        return at

    def _strike(self, fault: ActiveFault, packets: Packets, at: Rows, place: Place) -> Rows:
        """Let a fault act on the packets at its element; returns those that it drops."""
        at = self._met(fault, packets, at)
        if not len(at):
            return at
        hit = fault.hits(packets.lot[at], self._seed, place.leg, place.hop)
        hit &= fault.hits_flow(packets.flow[at], self._seed)
        at = at[hit]
        at = at[self._has_length(fault, packets.probe[at], place.leg)]
        if not fault.drops:
            self._flip(fault, packets, at, place)
            return at[:0]
        link = packets.link[at]
        self._ledger.lose(packets.probe[at], place, self._index.link_from[link], link, fault.number)
        return at

    def _has_length(self, fault: ActiveFault, probe: Rows, leg: Leg) -> Bools:
        """Whether the IP packets, with their tunnels, are of a length that the fault hits."""
        least, most = (fault.spec.params.get(key) for key in ("min_bytes", "max_bytes"))
        right = np.ones(len(probe), dtype=np.bool_)
        if least is None and most is None:
            return right
        probes = self._probes[probe]
        length = packet_length(probes, reply=leg == Leg.REPLY)
        if leg == Leg.ENCAPSULATED:
            length = length + tunnel_length(probes)
        if least is not None:
            right &= length >= least
        if most is not None:
            right &= length <= most
        return right

    def _is_next_hop(self, link: int, destination: I4) -> Bools:
        """Whether a link is a shortest way to each destination from where it begins: i4[n] -> bool[n]."""
        switch = int(self._routes.from_row[link])
        usual = [to for to in np.unique(destination).tolist() if link in self._routes.next_links(switch, to)]
        return np.isin(destination, usual)

    def _divert(self, fault: ActiveFault, packets: Packets, at: Rows, out: I4, link: int, place: Place) -> I4:
        at = at[fault.hits_flow(packets.flow[at], self._seed)]
        if len(at):
            here = self._index.link_to[packets.link[at]]
            self._ledger.stray(fault.number, packets.probe[at], place, here, link)
            out[at] = link
        return out

    def _flip(self, fault: ActiveFault, packets: Packets, at: Rows, place: Place) -> None:
        reply = place.leg == Leg.REPLY
        offset, mask = bits_to_flip(fault, packets.lot[at], self._seed, reply, place.leg, place.hop)
        flip = Alteration(packets.probe[at], reply, packets.version[at] + np.int16(1), offset, mask)
        kept = offset < segment_bytes(reply)
        at, flip = at[kept], _some_of(flip, kept)
        stuck = fault.spec.params.get("stuck")
        if stuck is not None:
            earlier = self._ledger.alterations
            mask = not_yet_stuck(int(stuck), self._probes, flip, earlier, packets.version[at])
            flip = Alteration(flip.probe, reply, flip.version, flip.offset, mask)
            at, flip = at[mask != 0], _some_of(flip, mask != 0)
        if not len(at):
            return
        # Copies that were made before share the column.
        packets.version = packets.version.copy()
        packets.version[at] = flip.version
        link = packets.link[at]
        self._ledger.alter(fault.number, flip, place, self._index.link_from[link], link)


def _marks(count: int, rows: Iterable[tuple[int, ...]]) -> Bools:
    """bool[count + 1]: marked rows are True; the last one, which row -1 (none) reads, is not."""
    marked = np.zeros(count + 1, dtype=np.bool_)
    for some in rows:
        marked[list(some)] = True
    return marked


def _is_one_of(column: I4, rows: tuple[int, ...]) -> Bools:
    return column == rows[0] if len(rows) == 1 else np.isin(column, rows)


def _is_inside(fault: ActiveFault, switch: I4, ingress: I4, middle: I4, egress: I4) -> Bools:
    """Whether packets cross the switch, chip or pair of chips of a fault."""
    if fault.to_chip >= 0:
        return np.asarray((ingress == fault.chip) & (egress == fault.to_chip))
    if fault.chip >= 0:
        return np.asarray((ingress == fault.chip) | (middle == fault.chip) | (egress == fault.chip))
    return _is_one_of(switch, fault.switch_rows)


def _some_of(flip: Alteration, kept: Bools) -> Alteration:
    return Alteration(flip.probe[kept], flip.reply, flip.version[kept], flip.offset[kept], flip.mask[kept])

"""Packets of one leg, all moved one hop at a time: cross a cable, be mirrored, be forwarded.

At a switch the order is that of hardware: the ingress mirror copies the packet, then the chips forward it,
then it leaves by its port. So a packet that a switch or the cable behind it drops was last seen there.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from fabric.faults import FLIP_OFFSET_FIRST
from fabric.index import FabricIndex
from fabric.simulator.active import ActiveFault, Chips
from fabric.simulator.draws import draw_exponential_pair, draw_uniform
from fabric.simulator.routes import NO_LINK, Routes
from fabric.simulator.settings import SimulatorSettings
from fabric.simulator.truth import BACKGROUND, NO_ROUTE, Truth
from producers.wire import TCP_HEADER_LENGTH, TCP_LENGTH
from schemas.rows import Leg

I2 = NDArray[np.int16]
I4 = NDArray[np.int32]
I8 = NDArray[np.int64]
U8 = NDArray[np.uint64]
Bools = NDArray[np.bool_]

HOPS_MAX = 16

# What a draw decides; see fabric.simulator.draws.
_BACKGROUND, _DELAY = 1_000_001, 1_000_002


@dataclass(slots=True)
class Packets:
    """Packets on their way, one row each; rows leave as packets arrive or are lost."""

    probe: NDArray[np.intp]  # row of the slice's probes
    probe_id: I8
    sent_at_us: I8
    flow: U8  # hash of the five-tuple that switches see
    link: I4  # cable that it is about to cross
    destination: I4  # switch row that it is routed to
    last_link: I4  # cable from there to its end; NO_LINK: it ends at the switch (decapsulation)
    ttl: I2
    time_ns: I8
    version: I2  # alterations suffered so far, over all legs in this direction

    def take(self, rows: Bools | NDArray[np.intp]) -> Packets:
        return Packets(*(getattr(self, f.name)[rows] for f in fields(self)))

    def __len__(self) -> int:
        return len(self.probe)


def join_packets(first: Packets, second: Packets) -> Packets:
    """The rows of both."""
    return Packets(
        *(np.concatenate([getattr(first, f.name), getattr(second, f.name)]) for f in fields(Packets))
    )


@dataclass(frozen=True, slots=True)
class Copies:
    """What ingress mirrors saw, one row per copy."""

    probe: NDArray[np.intp]
    link: I4  # by which the packet had come in: names switch and port
    ttl: I2
    time_ns: I8  # at the mirror
    mirror_delay: NDArray[np.float64]  # exponential, mean 1
    version: I2
    leg: int
    hop: int


@dataclass(frozen=True, slots=True)
class Alteration:
    """Flips by one fault on one hop: row i alters `offset[i]` of probe `probe[i]`, as its `version[i]`-th."""

    probe: NDArray[np.intp]
    reply: bool
    version: I2
    offset: I4
    mask: NDArray[np.uint8]


class Walk:
    """One run of a set of probes through the fabric; collects copies, alterations and the truth."""

    def __init__(
        self,
        index: FabricIndex,
        routes: Routes,
        chips: Chips,
        faults: list[ActiveFault],
        truth: Truth,
        *,
        seed: int,
        settings: SimulatorSettings,
    ) -> None:
        self._index, self._routes, self._chips = index, routes, chips
        acting = [f for f in faults if f.acts_on_packets]
        self._link_faults = [f for f in acting if f.link_rows]
        self._switch_faults = [f for f in acting if not f.link_rows]
        self._truth = truth
        self._seed = seed
        self._settings = settings
        self.copies: list[Copies] = []
        self.alterations: list[Alteration] = []

    def encapsulated(self, packets: Packets) -> Packets:
        """Leg 0, from the Prober to the decapsulating switch. Returns what arrives, `link` as it came in."""
        arrived: list[Packets] = []
        for hop in range(HOPS_MAX):
            packets = self._cross(packets, Leg.ENCAPSULATED, hop)
            here = self._routes.to_row[packets.link] == packets.destination
            arrived.append(packets.take(here))
            packets = self._forward(packets.take(~here), Leg.ENCAPSULATED, hop)
            if not len(packets):
                break
        return _join_all(arrived) if arrived else packets

    def decapsulate(self, packets: Packets) -> Packets:
        """Forward the inner packets from where their outer headers were taken off: no second copy there."""
        return self._forward(packets, Leg.PROBE, HOPS_MAX)

    def deliver(self, packets: Packets, leg: Leg) -> Packets:
        """Legs 1 and 2, until a server or Prober receives them. Returns what arrives."""
        arrived: list[Packets] = []
        for hop in range(HOPS_MAX):
            packets = self._cross(packets, leg, hop)
            home = self._routes.to_row[packets.link] < 0
            if home.any():
                arrived.append(packets.take(home))
                packets = packets.take(~home)
            packets = self._forward(packets, leg, hop)
            if not len(packets):
                break
        return _join_all(arrived) if arrived else packets

    def _cross(self, packets: Packets, leg: Leg, hop: int) -> Packets:
        """Over the cable `link`; what survives is mirrored if a switch is there. The delay is the hop's."""
        place = _Place(leg, hop, on_cable=True)
        for fault in self._link_faults:
            packets = self._strike(fault, packets, np.isin(packets.link, fault.link_rows), place)
        if self._settings.loss_rate > 0:
            chance = draw_uniform(packets.probe_id, self._seed, _BACKGROUND, leg, hop)
            packets = self._lose(packets, chance < self._settings.loss_rate, place, BACKGROUND)
        jitter, mirror_delay = draw_exponential_pair(packets.probe_id, self._seed, _DELAY, leg, hop)
        hop_ns = self._settings.hop_base_ns + (jitter * self._settings.hop_jitter_ns).astype(np.int64)
        packets.time_ns = packets.time_ns + hop_ns
        mirrored = self._routes.to_row[packets.link] >= 0
        seen = packets if mirrored.all() else packets.take(mirrored)
        delay = mirror_delay if mirrored.all() else mirror_delay[mirrored]
        self.copies.append(
            Copies(seen.probe, seen.link, seen.ttl, seen.time_ns, delay, seen.version, int(leg), hop)
        )
        return packets

    def _forward(self, packets: Packets, leg: Leg, hop: int) -> Packets:
        """Through the switch at the end of `link`: choose the next, cross the chips, count down the TTL."""
        if not len(packets):
            return packets
        place = _Place(leg, hop, on_cable=False)
        switch = self._routes.to_row[packets.link]
        out = packets.last_link.copy()
        onward = np.flatnonzero(switch != packets.destination)
        out[onward] = self._routes.next_link(
            switch[onward], packets.destination[onward], packets.flow[onward]
        )
        stuck = (out == NO_LINK) | (packets.ttl <= 1)
        if stuck.any():
            packets = self._lose(packets, stuck, place, NO_ROUTE)
            switch, out = switch[~stuck], out[~stuck]
        came, packets.link = packets.link, out
        if self._switch_faults:
            crossed = self._chips.crossed(switch, came, out, self._routes.hash(switch, packets.flow))
            packets = self._strike_inside(packets, np.stack([*crossed, switch]), place)
        packets.ttl = packets.ttl - np.int16(1)
        return packets

    def _strike_inside(self, packets: Packets, where: I4, place: _Place) -> Packets:
        """where: i4[4, n], ingress, fabric and egress chip and the switch row of each packet."""
        for fault in self._switch_faults:
            at = (where[:3] == fault.chip).any(axis=0) if fault.chip >= 0 else where[3] == fault.switch_row
            kept = self._strike(fault, packets, at, place)
            if len(kept) < len(packets):
                where = where[:, np.isin(packets.probe, kept.probe, assume_unique=True)]
            packets = kept
        return packets

    def _strike(self, fault: ActiveFault, packets: Packets, at: Bools, place: _Place) -> Packets:
        """What a fault leaves of the packets at its element."""
        rows = np.flatnonzero(at)
        if not len(rows):
            return packets
        probe_id, sent_at_us = packets.probe_id[rows], packets.sent_at_us[rows]
        rows = rows[fault.hits(probe_id, sent_at_us, self._seed, place.leg, place.hop)]
        if not len(rows):
            return packets
        if not fault.drops:
            return self._alter(packets, rows, fault, place)
        lost = np.zeros(len(packets), dtype=np.bool_)
        lost[rows] = True
        return self._lose(packets, lost, place, fault.number)

    def _lose(self, packets: Packets, lost: Bools, place: _Place, cause: int) -> Packets:
        """Take lost packets out. `link` is the cable they are on or were about to take; if there is no way,
        it is still the one they came by."""
        if not lost.any():
            return packets
        probe, link = packets.probe[lost], packets.link[lost]
        self._truth.lost_leg[probe] = place.leg
        self._truth.lost_by[probe] = cause
        at = self._index.link_to if cause == NO_ROUTE else self._index.link_from
        self._truth.lost_at[probe] = at[link]
        if place.on_cable:
            self._truth.lost_link[probe] = link
        return packets.take(~lost)

    def _alter(self, packets: Packets, rows: NDArray[np.intp], fault: ActiveFault, place: _Place) -> Packets:
        # A RST is 20 bytes of TCP and nothing else; window, checksum and urgent pointer are what may change.
        reply = place.leg == Leg.REPLY
        segment_bytes = TCP_HEADER_LENGTH if reply else TCP_LENGTH
        choices = segment_bytes - FLIP_OFFSET_FIRST
        probe_id = packets.probe_id[rows]
        offset, mask = fault.alteration(probe_id, self._seed, choices, place.leg, place.hop)
        inside = offset < segment_bytes
        rows, offset, mask = rows[inside], offset[inside], mask[inside]
        packets.version = packets.version.copy()
        packets.version[rows] += 1
        probe, link = packets.probe[rows], packets.link[rows]
        self.alterations.append(Alteration(probe, reply, packets.version[rows], offset, mask))
        first = self._truth.altered_leg[probe] < 0
        probe, link = probe[first], link[first]
        self._truth.altered_leg[probe] = place.leg
        self._truth.altered_by[probe] = fault.number
        self._truth.altered_at[probe] = self._index.link_from[link]
        if place.on_cable:
            self._truth.altered_link[probe] = link
        return packets


@dataclass(frozen=True, slots=True)
class _Place:
    """Where on its leg a packet is: on the cable that `link` names, or in the switch before it."""

    leg: Leg
    hop: int
    on_cable: bool


def _join_all(parts: list[Packets]) -> Packets:
    joined = parts[0]
    for part in parts[1:]:
        joined = join_packets(joined, part)
    return joined

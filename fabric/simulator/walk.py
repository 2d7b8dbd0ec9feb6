"""Packets of one leg, all moved one hop at a time: cross a cable, be mirrored, be forwarded.

At a switch the order is that of hardware: the ingress mirror copies the packet, then the chips forward it,
then it leaves by its port. So a packet that a switch or the cable behind it drops was last seen there.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from fabric.index import FabricIndex
from fabric.simulator.draws import draw_exponential_pair, draw_uniform
from fabric.simulator.hazards import Hazards
from fabric.simulator.ledger import Ledger, Place
from fabric.simulator.routes import NO_LINK, Routes
from fabric.simulator.settings import SimulatorSettings
from fabric.simulator.truth import BACKGROUND, NO_ROUTE
from producers.wire import TTL
from schemas.rows import Leg

I2 = NDArray[np.int16]
I4 = NDArray[np.int32]
I8 = NDArray[np.int64]
U8 = NDArray[np.uint64]
Bools = NDArray[np.bool_]

#: A packet that goes in circles ends with its TTL.
HOPS_MAX = TTL

# What a draw decides; see fabric.simulator.draws.
_BACKGROUND, _DELAY = 1_000_001, 1_000_002


@dataclass(slots=True)
class Packets:
    """Packets on their way, one row each; rows leave as packets arrive or are lost."""

    probe: NDArray[np.intp]  # row of the slice's probes
    lot: U8  # of the probe; see fabric.simulator.draws
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


class Walk:
    """One run of a set of probes through the fabric; collects copies, and tells the ledger the rest."""

    def __init__(
        self,
        index: FabricIndex,
        routes: Routes,
        hazards: Hazards,
        ledger: Ledger,
        *,
        seed: int,
        settings: SimulatorSettings,
    ) -> None:
        self._index, self._routes = index, routes
        self._hazards, self._ledger = hazards, ledger
        self._seed = seed
        self._settings = settings
        self.copies: list[Copies] = []

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
        return self._forward(packets, Leg.PROBE, HOPS_MAX, decapsulated=True)

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
        packets = self._hazards.on_cable(packets, Place(leg, hop, on_cable=True))
        if self._settings.loss_rate > 0:
            packets = self._background_loss(packets, Place(leg, hop, on_cable=True))
        packets = self._hazards.at_switch(packets, Place(leg, hop, on_cable=False))
        jitter, mirror_delay = draw_exponential_pair(packets.lot, self._seed, _DELAY, leg, hop)
        hop_ns = self._settings.hop_base_ns + (jitter * self._settings.hop_jitter_ns).astype(np.int64)
        packets.time_ns = packets.time_ns + hop_ns
        mirrored = self._routes.to_row[packets.link] >= 0
        seen = packets if mirrored.all() else packets.take(mirrored)
        delay = mirror_delay if mirrored.all() else mirror_delay[mirrored]
        self.copies.append(
            Copies(seen.probe, seen.link, seen.ttl, seen.time_ns, delay, seen.version, int(leg), hop)
        )
        return packets

    def _forward(self, packets: Packets, leg: Leg, hop: int, *, decapsulated: bool = False) -> Packets:
        """Through the switch at the end of `link`: choose the next, cross the chips, count down the TTL."""
        if not len(packets):
            return packets
        place = Place(leg, hop, on_cable=False)
        switch = self._routes.to_row[packets.link]
        out = packets.last_link.copy()
        onward = np.flatnonzero(switch != packets.destination)
        out[onward] = self._routes.next_link(
            switch[onward], packets.destination[onward], packets.flow[onward]
        )
        out = self._hazards.turned(packets, switch, out, place, decapsulated=decapsulated)
        stuck = (out == NO_LINK) | (packets.ttl <= 1)
        if stuck.any():
            here = self._index.link_to[packets.link[stuck]]
            self._ledger.end_of_the_way(packets.probe[stuck], place, here, NO_ROUTE)
            packets, switch, out = packets.take(~stuck), switch[~stuck], out[~stuck]
        came, packets.link = packets.link, out
        packets = self._hazards.inside(packets, switch, came, place)
        packets.ttl = packets.ttl - np.int16(1)
        return packets

    def _background_loss(self, packets: Packets, place: Place) -> Packets:
        chance = draw_uniform(packets.lot, self._seed, _BACKGROUND, place.leg, place.hop)
        lost = chance < self._settings.loss_rate
        if not lost.any():
            return packets
        link = packets.link[lost]
        self._ledger.lose(packets.probe[lost], place, self._index.link_from[link], link, BACKGROUND)
        return packets.take(~lost)


def _join_all(parts: list[Packets]) -> Packets:
    joined = parts[0]
    for part in parts[1:]:
        joined = join_packets(joined, part)
    return joined

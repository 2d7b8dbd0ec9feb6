"""What probes say about the links on their way: crossed for certain, or a mirror copy missing there."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from schemas.rows import Leg
from streams.bridges import Bridges
from streams.hops import Hops
from streams.paths import Crossings, Legs
from streams.places import LEGS, Places
from streams.probes import Probes

I1 = NDArray[np.int8]
I4 = NDArray[np.int32]
I8 = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Sightings:
    """Cells (place * LEGS + leg) that probes passed or where a mirror copy is missing, each with the
    row of the probe that says so: i8[n] and i4[n]."""

    passed: I8
    passed_by: I4
    missing: I8
    missing_by: I4


def sightings(
    probes: Probes, hops: Hops, legs: Legs, crossings: Crossings, bridges: Bridges, places: Places
) -> Sightings:
    """Everything the probes crossed for certain, and which mirror copies should have been there."""
    passed: list[tuple[I8, I4]] = []
    missing: list[tuple[I8, I4]] = []

    def add(to: list[tuple[I8, I4]], link: I4, leg: I1 | int, probe: I4, where: Bools | None = None) -> None:
        keep = link >= 0 if where is None else (link >= 0) & where
        cell = link.astype(np.int64) * LEGS + leg
        to.append((cell[keep], probe[keep]))

    add(passed, crossings.link, hops.leg[crossings.at], hops.probe[crossings.at])
    leg, probe = hops.leg[bridges.at], hops.probe[bridges.at]
    add(passed, bridges.into, leg, probe)
    add(passed, bridges.out, leg, probe)
    add(missing, bridges.into, leg, probe)

    everyone = np.arange(len(probes), dtype=np.int32)
    tor, attached, via = (
        places.switch_row(n) for n in (probes.tor_node, probes.attached_node, probes.via_node)
    )
    first_enc, first_probe, first_reply = (legs.first_switch(leg) for leg in Leg)
    last_enc, last_probe, last_reply = (legs.last_switch(leg) for leg in Leg)
    answered = (probes.rtt_ns >= 0) | legs.seen(Leg.REPLY)
    link = places.index.link_index

    # From the Prober into the network, and from the decapsulating ToR on.
    uplink = link(probes.prober_node, probes.attached_node)
    add(passed, uplink, Leg.ENCAPSULATED, everyone, first_enc == attached)
    bare = ~legs.seen(Leg.ENCAPSULATED) & (first_probe == attached)
    add(passed, uplink, Leg.PROBE, everyone, bare)
    add(passed, places.between_switches(via, first_probe), Leg.PROBE, everyone, last_enc == via)

    # Into the server and out of it.
    to_host = link(probes.tor_node, probes.target_node)
    add(passed, to_host, Leg.PROBE, everyone, answered)
    add(passed, link(probes.target_node, probes.tor_node), Leg.REPLY, everyone, answered)
    short = answered & (last_probe >= 0) & (last_probe != tor)
    add(passed, places.between_switches(last_probe, tor), Leg.PROBE, everyone, short)
    add(missing, places.between_switches(last_probe, tor), Leg.PROBE, everyone, short)
    add(
        missing,
        link(probes.target_node, probes.tor_node),
        Leg.REPLY,
        everyone,
        legs.seen(Leg.REPLY) & (first_reply != tor),
    )

    # Back into the Prober.
    replied = probes.rtt_ns >= 0
    add(passed, link(probes.attached_node, probes.prober_node), Leg.REPLY, everyone, replied)
    short = replied & (last_reply >= 0) & (last_reply != attached)
    add(passed, places.between_switches(last_reply, attached), Leg.REPLY, everyone, short)
    add(missing, places.between_switches(last_reply, attached), Leg.REPLY, everyone, short)
    return Sightings(*_join(passed), *_join(missing))


def _join(parts: Iterable[tuple[I8, I4]]) -> tuple[I8, I4]:
    cells, probes = zip(*parts, strict=True)
    return np.concatenate(cells), np.concatenate(probes)

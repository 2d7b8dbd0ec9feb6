"""What probes say about the links on their way: crossed for certain, or a mirror copy missing there."""

from __future__ import annotations

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
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Sightings:
    """Cells (place * LEGS + leg) that probes passed, and where a mirror copy is missing: one entry each
    time, i4[n] and i4[m]."""

    passed: I4
    missing: I4


def sightings(
    probes: Probes, hops: Hops, legs: Legs, crossings: Crossings, bridges: Bridges, places: Places
) -> Sightings:
    """Everything the probes crossed for certain, and which mirror copies should have been there."""
    passed: list[I4] = []
    missing: list[I4] = []

    def add(to: list[I4], link: I4, leg: I1 | int, where: Bools | None = None) -> None:
        cell = link * np.int32(LEGS) + leg
        to.append(cell[link >= 0 if where is None else (link >= 0) & where])

    add(passed, crossings.link, hops.leg[crossings.at])
    leg = hops.leg[bridges.at]
    add(passed, bridges.into, leg)
    add(passed, bridges.out, leg)
    add(missing, bridges.into, leg)

    tor, attached, via = (
        places.switch_row(n) for n in (probes.tor_node, probes.attached_node, probes.via_node)
    )
    first_enc, first_probe, first_reply = (legs.first_switch(leg) for leg in Leg)
    last_enc, last_probe, last_reply = (legs.last_switch(leg) for leg in Leg)
    answered = (probes.rtt_ns >= 0) | legs.seen(Leg.REPLY)

    # From the Prober into the network, and from the decapsulating ToR on.
    add(passed, probes.uplink, Leg.ENCAPSULATED, first_enc == attached)
    bare = ~legs.seen(Leg.ENCAPSULATED) & (first_probe == attached)
    add(passed, probes.uplink, Leg.PROBE, bare)
    add(passed, places.between_switches(via, first_probe), Leg.PROBE, last_enc == via)

    # Into the server and out of it.
    add(passed, probes.to_target, Leg.PROBE, answered)
    add(passed, probes.from_target, Leg.REPLY, answered)
    short = answered & (last_probe >= 0) & (last_probe != tor)
    add(passed, places.between_switches(last_probe, tor), Leg.PROBE, short)
    add(missing, places.between_switches(last_probe, tor), Leg.PROBE, short)
    add(
        missing,
        probes.from_target,
        Leg.REPLY,
        legs.seen(Leg.REPLY) & (first_reply != tor),
    )

    # Back into the Prober.
    replied = probes.rtt_ns >= 0
    add(passed, probes.to_prober, Leg.REPLY, replied)
    short = replied & (last_reply >= 0) & (last_reply != attached)
    add(passed, places.between_switches(last_reply, attached), Leg.REPLY, short)
    add(missing, places.between_switches(last_reply, attached), Leg.REPLY, short)
    return Sightings(np.concatenate(passed), np.concatenate(missing))

"""What probes say about the links on their way: crossed for certain, or a mirror copy missing there."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from schemas.rows import Leg
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


def sightings(probes: Probes, hops: Hops, legs: Legs, crossings: Crossings, places: Places) -> Sightings:
    """Everything the probes crossed for certain, and which mirror copies should have been there."""
    passed: list[tuple[I8, I4]] = []
    missing: list[tuple[I8, I4]] = []

    def add(to: list[tuple[I8, I4]], link: I4, leg: I1 | int, probe: I4, where: Bools | None = None) -> None:
        keep = link >= 0 if where is None else (link >= 0) & where
        cell = link.astype(np.int64) * LEGS + leg
        to.append((cell[keep], probe[keep]))

    add(passed, crossings.link, hops.leg[crossings.at], hops.probe[crossings.at])
    _bridge_gaps(hops, legs, crossings, places, passed, missing)

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


def _bridge_gaps(
    hops: Hops,
    legs: Legs,
    crossings: Crossings,
    places: Places,
    passed: list[tuple[I8, I4]],
    missing: list[tuple[I8, I4]],
) -> None:
    """A copy missing in the middle: if one switch alone joins its neighbours, it was that one."""
    gaps = np.flatnonzero((crossings.link < 0) & (crossings.ttl_gap == 2))
    if not len(gaps):
        return
    at = crossings.at[gaps]
    pairs, where = np.unique(np.stack([legs.row[at], legs.row[at + 1]]), axis=1, return_inverse=True)
    middle = np.array([_only_middle(int(a), int(b), places) for a, b in pairs.T], np.int32)[where.reshape(-1)]
    known = middle >= 0
    at, middle = at[known], middle[known]
    into = places.between_switches(legs.row[at], middle)
    out = places.between_switches(middle, legs.row[at + 1])
    leg, probe = hops.leg[at], hops.probe[at]
    passed += [(into.astype(np.int64) * LEGS + leg, probe), (out.astype(np.int64) * LEGS + leg, probe)]
    missing.append((into.astype(np.int64) * LEGS + leg, probe))


def _only_middle(a: int, b: int, places: Places) -> int:
    every = np.arange(len(places.index.switch_node), dtype=np.int32)
    left = places.between_switches(np.full(len(every), a, np.int32), every) >= 0
    right = places.between_switches(every, np.full(len(every), b, np.int32)) >= 0
    found = np.flatnonzero(left & right)
    return int(found[0]) if len(found) == 1 and a >= 0 and b >= 0 else -1


def _join(parts: Iterable[tuple[I8, I4]]) -> tuple[I8, I4]:
    cells, probes = zip(*parts, strict=True)
    return np.concatenate(cells), np.concatenate(probes)

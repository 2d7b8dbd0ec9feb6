"""What the probes of a slot say about every place: passed, lost, altered, mirror copies missing.

Legs and directions are never merged: most real losses are one-directional.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from schemas.rows import EVIDENCE, Leg, rows_of
from streams.hops import Hops
from streams.pairs import PairCounts
from streams.paths import Crossings, Legs
from streams.places import Places
from streams.probes import Probes
from streams.verdict import LOST, Judgement, Verdict

I1 = NDArray[np.int8]
I4 = NDArray[np.int32]
I8 = NDArray[np.int64]
Bools = NDArray[np.bool_]

LEGS = len(Leg)
EXAMPLES_PER_PLACE = 3
EXAMPLES_MAX = 300


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


@dataclass(slots=True)
class Slot:
    """Evidence of one slot while its probes close. Counters are i4[places * LEGS]."""

    cells: int
    passed: I4 = field(init=False)
    lost: I4 = field(init=False)
    altered: I4 = field(init=False)
    missing: I4 = field(init=False)
    verdicts: I8 = field(default_factory=lambda: np.zeros(len(Verdict), np.int64))
    pairs: PairCounts = field(default_factory=PairCounts)
    digests: int = 0
    late_outcomes: int = 0
    late_digests: int = 0
    duplicates: int = 0
    mirrors: dict[int, list[int]] = field(default_factory=dict)
    examples: dict[tuple[int, int], list[tuple[int, int]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("passed", "lost", "altered", "missing"):
            setattr(self, name, np.zeros(self.cells, np.int32))

    def add(self, probes: Probes, judgement: Judgement, seen: Sightings, mine: Bools | None) -> None:
        """Count the probes selected by `mine` (bool[p]; None: all)."""
        for cells, by, counter in (
            (seen.passed, seen.passed_by, self.passed),
            (seen.missing, seen.missing_by, self.missing),
        ):
            chosen = cells if mine is None else cells[mine[by]]
            np.add(counter, np.bincount(chosen, minlength=self.cells), out=counter, casting="unsafe")
        verdict = judgement.verdict if mine is None else judgement.verdict[mine]
        self.verdicts += np.bincount(verdict, minlength=len(Verdict))
        self.pairs.add(probes, judgement, mine)
        wrong = (judgement.place >= 0) & (judgement.leg >= 0)
        if mine is not None:
            wrong &= mine
        if wrong.any():
            self._add_wrong(probes, judgement, np.flatnonzero(wrong))

    def _add_wrong(self, probes: Probes, judgement: Judgement, rows: I8) -> None:
        verdict = judgement.verdict[rows]
        cell = judgement.place[rows].astype(np.int64) * LEGS + judgement.leg[rows]
        # A host known never to answer is no fault, so it is no evidence either.
        lost = np.isin(verdict, LOST) & ((verdict != Verdict.HOST_SILENT) | probes.answers[rows])
        altered = (verdict == Verdict.ALTERED) | (verdict == Verdict.CORRUPTED)
        self.lost += np.bincount(cell[lost], minlength=self.cells).astype(np.int32)
        self.altered += np.bincount(cell[altered], minlength=self.cells).astype(np.int32)
        # Examples must not depend on how the closing was cut into steps: the smallest IDs win.
        for row, one_cell in zip(rows[lost | altered].tolist(), cell[lost | altered].tolist(), strict=True):
            kept = self.examples.setdefault((one_cell, int(judgement.verdict[row])), [])
            kept.append((int(probes.sent_at_us[row]), int(probes.probe_id[row])))
            if len(kept) > 4 * EXAMPLES_PER_PLACE:
                kept[:] = sorted(kept)[:EXAMPLES_PER_PLACE]

    def count_mirrors(self, switch: int, received: int, lost: int) -> None:
        """Add what a collector counted of one exporter."""
        counts = self.mirrors.setdefault(switch, [0, 0])
        counts[0] += received
        counts[1] += lost

    @property
    def is_empty(self) -> bool:
        return not (
            self.verdicts.any() or self.late_outcomes or self.late_digests or self.duplicates or self.mirrors
        )

    def rows(self, places: Places) -> np.ndarray:
        """EVIDENCE rows of all cells on which anything was counted, in the order of cells."""
        cell = np.flatnonzero(self.passed | self.lost | self.altered | self.missing)
        place = cell // LEGS
        return rows_of(
            EVIDENCE,
            {
                "from_node": places.from_node[place],
                "to_node": places.to_node[place],
                "leg": cell % LEGS,
                "passed": self.passed[cell],
                "lost": self.lost[cell],
                "altered": self.altered[cell],
                "mirror_missing": self.missing[cell],
            },
            len(cell),
        )

    def example_records(self, places: Places) -> list[dict[str, int | str]]:
        """The first few probes of every cell that lost or altered some."""
        records: list[dict[str, int | str]] = []
        for (cell, verdict), kept in sorted(self.examples.items()):
            place, leg = divmod(cell, LEGS)
            records += [
                {
                    "from_node": int(places.from_node[place]),
                    "to_node": int(places.to_node[place]),
                    "leg": leg,
                    "verdict": Verdict(verdict).label,
                    "probe_id": probe_id,
                    "sent_at_us": sent_at_us,
                }
                for sent_at_us, probe_id in sorted(kept)[:EXAMPLES_PER_PLACE]
            ]
        return records[:EXAMPLES_MAX]

"""What the probes of a slot say about every place: passed, lost, altered, mirror copies missing.

Legs and directions are never merged: most real losses are one-directional.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas.rows import EVIDENCE, rows_of
from streams.closing import Closed
from streams.pairs import PairCounts
from streams.places import LEGS, Places
from streams.tally import tally
from streams.verdict import Verdict, counts_as_lost

I1 = NDArray[np.int8]
I4 = NDArray[np.int32]
I8 = NDArray[np.int64]

EXAMPLES_PER_PLACE = 3
EXAMPLES_MAX = 300


@dataclass(slots=True)
class Slot:
    """Evidence of one slot until it goes out. `rows`: EVIDENCE rows, in the order of places and legs."""

    rows: np.ndarray = field(default_factory=lambda: np.empty(0, EVIDENCE.dtype))
    verdicts: I8 = field(default_factory=lambda: np.zeros(len(Verdict), np.int64))
    pairs: PairCounts = field(default_factory=PairCounts)
    #: Further mapped arrays of the message, by name (see streams.tables).
    tables: dict[str, bytes] = field(default_factory=dict)
    #: The first few probes of every place that lost or altered some.
    examples: list[dict[str, Any]] = field(default_factory=list)
    digests: int = 0
    late_outcomes: int = 0
    late_digests: int = 0
    duplicates: int = 0
    mirrors: dict[int, list[int]] = field(default_factory=dict)
    #: Of each exporter, copies that were found altered although the packet was not.
    damaged: Counter[int] = field(default_factory=Counter)

    def add(self, closed: Closed, places: Places) -> None:
        """Count the probes of this slot: they close together, so this is called once."""
        self.verdicts += np.bincount(closed.judgement.verdict, minlength=len(Verdict))
        self.pairs.add(closed.probes, closed.judgement)
        doubled = int(closed.hops.doubled.sum())
        self.duplicates += doubled
        self.digests += doubled + len(closed.hops)
        self.damaged.update(closed.hops.switch[closed.altered.damaged].tolist())
        lost, altered = _lost(closed), _altered(closed)
        self.rows = _rows(closed, lost, altered, places)
        self.examples = _examples(closed, lost, altered, places)

    def count_mirrors(self, switch: int, received: int, lost: int) -> None:
        """Add what a collector counted of one exporter."""
        counts = self.mirrors.setdefault(switch, [0, 0])
        counts[0] += received
        counts[1] += lost


@dataclass(frozen=True, slots=True)
class _Harmed:
    """Probes that came to harm, shape (h,): their rows, the cells where, and the verdicts they tell."""

    probe: I8
    cell: I4
    verdict: I1


def _lost(closed: Closed) -> _Harmed:
    judgement = closed.judgement
    probe = np.flatnonzero(counts_as_lost(judgement, closed.probes))
    return _Harmed(probe, judgement.place[probe] * LEGS + judgement.leg[probe], judgement.verdict[probe])


def _altered(closed: Closed) -> _Harmed:
    """A packet that was altered was so whatever became of it afterwards."""
    altered = closed.altered
    probe = np.flatnonzero(altered.place >= 0)
    verdict = closed.judgement.verdict[probe]
    known = (verdict == Verdict.ALTERED) | (verdict == Verdict.CORRUPTED)
    told = np.where(known, verdict, np.int8(Verdict.ALTERED))
    return _Harmed(probe, altered.place[probe] * LEGS + altered.leg[probe], told)


def _rows(closed: Closed, lost: _Harmed, altered: _Harmed, places: Places) -> np.ndarray:
    seen = closed.seen
    cell, (n_passed, n_missing, n_lost, n_altered) = tally(seen.passed, seen.missing, lost.cell, altered.cell)
    place, leg = np.divmod(cell, np.int32(LEGS))
    return rows_of(
        EVIDENCE,
        {
            "from_node": places.from_node[place],
            "to_node": places.to_node[place],
            "leg": leg,
            "passed": n_passed,
            "lost": n_lost,
            "altered": n_altered,
            "mirror_missing": n_missing,
        },
        len(cell),
    )


def _examples(closed: Closed, lost: _Harmed, altered: _Harmed, places: Places) -> list[dict[str, Any]]:
    probe = np.concatenate([lost.probe, altered.probe])
    cell = np.concatenate([lost.cell, altered.cell])
    verdict = np.concatenate([lost.verdict, altered.verdict])
    order = np.lexsort((probe, verdict, cell))  # probes stand in the order of sending
    probe, cell, verdict = probe[order], cell[order], verdict[order]
    n = EXAMPLES_PER_PLACE
    is_chosen = np.ones(len(order), np.bool_)
    is_chosen[n:] = (cell[n:] != cell[:-n]) | (verdict[n:] != verdict[:-n])
    records: list[dict[str, Any]] = []
    for i in np.flatnonzero(is_chosen)[:EXAMPLES_MAX].tolist():
        place, leg = divmod(int(cell[i]), LEGS)
        records.append(
            {
                "from_node": int(places.from_node[place]),
                "to_node": int(places.to_node[place]),
                "leg": leg,
                "verdict": Verdict(int(verdict[i])).label,
                "probe_id": int(closed.probes.probe_id[probe[i]]),
                "sent_at_us": int(closed.probes.sent_at_us[probe[i]]),
            }
        )
    return records

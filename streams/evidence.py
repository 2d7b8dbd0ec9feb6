"""What the probes of a slot say about every place: passed, lost, altered, mirror copies missing.

Legs and directions are never merged: most real losses are one-directional.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from schemas.rows import EVIDENCE, rows_of
from streams.closing import Closed
from streams.pairs import PairCounts
from streams.places import LEGS, Places
from streams.verdict import Verdict, counts_as_lost

I4 = NDArray[np.int32]
I8 = NDArray[np.int64]

EXAMPLES_PER_PLACE = 3
EXAMPLES_MAX = 300


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
    #: Further mapped arrays of the message, by name (see streams.tables).
    tables: dict[str, bytes] = field(default_factory=dict)
    digests: int = 0
    late_outcomes: int = 0
    late_digests: int = 0
    duplicates: int = 0
    mirrors: dict[int, list[int]] = field(default_factory=dict)
    examples: dict[tuple[int, int], list[tuple[int, int]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("passed", "lost", "altered", "missing"):
            setattr(self, name, np.zeros(self.cells, np.int32))

    def add(self, closed: Closed) -> None:
        """Count the probes of this slot: they close together, so this is called once."""
        probes, judgement = closed.probes, closed.judgement
        for cells, counter in ((closed.seen.passed, self.passed), (closed.seen.missing, self.missing)):
            np.add(counter, np.bincount(cells, minlength=self.cells), out=counter, casting="unsafe")
        self.verdicts += np.bincount(judgement.verdict, minlength=len(Verdict))
        self.pairs.add(probes, judgement)
        doubled = int(closed.hops.doubled.sum())
        self.duplicates += doubled
        self.digests += doubled + len(closed.hops)
        lost = np.flatnonzero(counts_as_lost(judgement, probes))
        self._add_wrong(self.lost, closed, lost, judgement.place, judgement.leg, judgement.verdict)
        # A packet that was altered was so whatever became of it afterwards.
        altered = np.flatnonzero(closed.altered.place >= 0)
        known = (judgement.verdict == Verdict.ALTERED) | (judgement.verdict == Verdict.CORRUPTED)
        verdict = np.where(known, judgement.verdict, np.int8(Verdict.ALTERED))
        self._add_wrong(self.altered, closed, altered, closed.altered.place, closed.altered.leg, verdict)

    def _add_wrong(
        self,
        counter: I4,
        closed: Closed,
        rows: I8,
        place: I4,
        leg: NDArray[np.int8],
        verdict: NDArray[np.int8],
    ) -> None:
        """Count the probes in `rows` where they came to harm; other columns of shape (p,)."""
        if not len(rows):
            return
        cell = place[rows].astype(np.int64) * LEGS + leg[rows]
        np.add(counter, np.bincount(cell, minlength=self.cells), out=counter, casting="unsafe")
        # Examples must not depend on how the closing was cut into steps: the smallest IDs win.
        for row, one_cell in zip(rows.tolist(), cell.tolist(), strict=True):
            kept = self.examples.setdefault((one_cell, int(verdict[row])), [])
            kept.append((int(closed.probes.sent_at_us[row]), int(closed.probes.probe_id[row])))
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

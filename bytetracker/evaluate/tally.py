"""What each injected fault really did: the simulator knows, and nobody else asks it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fabric.simulator.simulator import Simulator, Slice

#: So many first times are kept of each fault; none is asked for beyond.
FIRST_KEPT = 5


@dataclass(slots=True)
class Tally:
    """What became of probes through one fault. `first_us`: send times of the first FIRST_KEPT that it hit."""

    lost: int = 0
    altered: int = 0
    silenced: int = 0
    first_us: list[int] = field(default_factory=list)
    last_us: int = 0

    @property
    def hit(self) -> int:
        return self.lost + self.altered + self.silenced

    def nth_us(self, n: int) -> int | None:
        """Send time of the n-th probe that it hit, n from 1 to FIRST_KEPT; None if there were fewer."""
        return self.first_us[n - 1] if len(self.first_us) >= n else None

    def add(self, sent_at_us: NDArray[np.int64]) -> None:
        """Send times of further probes that it hit, not before those of earlier calls."""
        if len(self.first_us) < FIRST_KEPT:
            self.first_us = sorted([*self.first_us, *np.sort(sent_at_us)[:FIRST_KEPT].tolist()])[:FIRST_KEPT]
        self.last_us = max(self.last_us, int(sent_at_us.max()))


class WitnessedSimulator(Simulator):
    """A simulator that counts, fault by fault, what it does. `tallies`: by number of the fault."""

    tallies: dict[int, Tally]

    def run(self, probes: NDArray[np.void]) -> Slice:
        happened = super().run(probes)
        self._count(happened)
        return happened

    def tally(self, number: int) -> Tally:
        """That of one fault; an empty one if it hit nothing."""
        if not hasattr(self, "tallies"):
            self.tallies = {}
        return self.tallies.setdefault(number, Tally())

    def _count(self, happened: Slice) -> None:
        truth = happened.truth
        sent_at_us = happened.outcomes["sent_at_us"]
        for column, name in (
            (truth.lost_by, "lost"),
            (truth.altered_by, "altered"),
            (truth.silenced_by, "silenced"),
        ):
            rows = np.flatnonzero(column >= 0)
            for number in np.unique(column[rows]).tolist():
                mine = rows[column[rows] == number]
                tally = self.tally(number)
                setattr(tally, name, getattr(tally, name) + len(mine))
                tally.add(sent_at_us[mine].astype(np.int64))

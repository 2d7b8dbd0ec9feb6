"""What each injected fault really did: the simulator knows, and only the scoreboard asks it."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
from numpy.typing import NDArray

from fabric.model import Fabric
from fabric.simulator.settings import SimulatorSettings
from fabric.simulator.simulator import Simulator, Slice
from fabric.simulator.tally import FaultTally

__all__ = ["FaultTally", "WitnessedSimulator", "harmed", "nth_us"]


class WitnessedSimulator(Simulator):
    """A simulator that adds up what its faults do. `tallies`: by number of the fault."""

    def __init__(self, fabric: Fabric, seed: int, settings: SimulatorSettings) -> None:
        super().__init__(fabric, seed, settings)
        self.tallies: defaultdict[int, FaultTally] = defaultdict(FaultTally)

    def run(self, probes: NDArray[np.void]) -> Slice:
        happened = super().run(probes)
        for number, tally in happened.tallies.items():
            self.tallies[number] += tally
        return happened


def harmed(tally: FaultTally) -> int:
    """Probes that came to harm; one that is harmed in two ways counts twice."""
    return tally.lost + tally.altered + tally.strayed + tally.silenced + tally.delayed


def nth_us(tally: FaultTally, n: int) -> int | None:
    """Send time of the n-th probe harmed, n from 1 to 5; None if there were fewer."""
    return tally.harmed_at_us[n - 1] if len(tally.harmed_at_us) >= n else None

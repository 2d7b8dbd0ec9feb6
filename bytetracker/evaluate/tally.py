"""What each injected fault really did: the simulator knows, and only the scoreboard asks it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from fabric.model import Fabric
from fabric.simulator.settings import SimulatorSettings
from fabric.simulator.simulator import Simulator, Slice
from fabric.simulator.tally import FaultTally
from schemas.nodes import PROBER_BASE
from schemas.rows import gather

__all__ = ["FaultTally", "WitnessedSimulator", "harmed", "nth_us"]


class WitnessedSimulator(Simulator):
    """A simulator that adds up what its faults do, and shows what it ran.

    tallies: by number of the fault. pairs: by number of the fault, the pairs of switches (see
    streams.pairs) of which it harmed a probe. on_run: gets all probes of a slice, and which of them were
    not answered in time.
    """

    def __init__(
        self,
        fabric: Fabric,
        seed: int,
        settings: SimulatorSettings,
        on_run: Callable[[NDArray[np.void], NDArray[np.bool_]], None] | None,
    ) -> None:
        super().__init__(fabric, seed, settings)
        self.tallies: defaultdict[int, FaultTally] = defaultdict(FaultTally)
        self.pairs: defaultdict[int, set[tuple[int, int]]] = defaultdict(set)
        self._on_run = on_run
        ends = [(s.node, s.tor) for s in fabric.servers] + [(p.node, p.switch) for p in fabric.probers]
        self._end = np.array(sorted((node, fabric.node(switch)) for node, switch in ends), np.int32)

    def run(self, probes: NDArray[np.void]) -> Slice:
        happened = super().run(probes)
        for number, tally in happened.tallies.items():
            self.tallies[number] += tally
        self._note_pairs(happened)
        if self._on_run is not None:
            self._on_run(happened.probes, happened.outcomes["rtt_ns"] < 0)
        return happened

    def _note_pairs(self, happened: Slice) -> None:
        truth, probes = happened.truth, happened.probes
        for cause in (truth.lost_by, truth.altered_by, truth.strayed_by, truth.silenced_by, truth.delayed_by):
            rows = np.flatnonzero(cause >= 0)
            if not len(rows):
                continue
            mine = gather(probes, rows)
            prober = (PROBER_BASE + (mine["probe_id"].astype(np.int64) >> 32)).astype(np.int32)
            via, target = mine["via_node"].astype(np.int32), mine["target_node"].astype(np.int32)
            near = np.where(via >= 0, via, self._switch_of(prober))
            found = np.unique(np.stack([cause[rows], near, self._switch_of(target)]), axis=1)
            for number, from_node, to_node in found.T.tolist():
                self.pairs[number].add((from_node, to_node))

    def _switch_of(self, end: NDArray[np.int32]) -> NDArray[np.int32]:
        """Node of the switch that each server or Prober hangs on."""
        switch: NDArray[np.int32] = self._end[np.searchsorted(self._end[:, 0], end), 1]
        return switch


def harmed(tally: FaultTally) -> int:
    """Probes that came to harm, each once."""
    return tally.harmed


def nth_us(tally: FaultTally, n: int) -> int | None:
    """Send time of the n-th probe harmed, n from 1 to 5; None if there were fewer."""
    return tally.harmed_at_us[n - 1] if len(tally.harmed_at_us) >= n else None

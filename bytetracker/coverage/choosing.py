"""Choosing flows for a running system, once, or again whenever routes have changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bytetracker.coverage.learner import Learner
from bytetracker.coverage.live import NoCoverage
from fabric.coverage import Elements
from fabric.model import Fabric
from producers.flow_choice import ChoiceReport, choose, chosen_of, falls_short
from producers.flow_file import FlowChoice, write_flows
from producers.flow_paths import FlowPaths, flow_keys
from producers.plan import PlanSettings
from schemas.partition import mix64

#: How often it is looked whether the chosen flows still do.
LOOK_EVERY_S = 30.0
#: If a larger share of the chosen flows goes another way, others are chosen.
CHANGED_MAX = 0.1


@dataclass(slots=True)
class Chooser:
    """Keeps a flow file fit for what a learner knows."""

    fabric: Fabric
    settings: PlanSettings
    learner: Learner
    path: Path
    choice: FlowChoice | None = None
    report: ChoiceReport | None = None
    _ways: NDArray[np.uint64] = field(default_factory=lambda: np.empty(0, np.uint64))

    def choose(self, seed: int = 0) -> dict[str, Any]:
        """Choose, write the file, and say what it holds. Raises NoCoverage, OSError."""
        flows = self.learner.flows()
        if not flows.complete.any():
            raise NoCoverage("no ways of flows are known: are mirrors on, and did a worker run lately?")
        self.choice, self.report = choose(flows, Elements(self.fabric), self.settings, seed)
        write_flows(self.path, self.choice, self.fabric)
        self._ways = self._chosen_ways(flows)
        return document_of(self.choice, self.report)

    def is_stale(self) -> bool:
        """Whether routes have changed so that other flows should be chosen: chosen ones no longer cross what
        known ones do, or many of them go another way, so that groups may no longer lie apart."""
        if self.choice is None or self.report is None:
            return True
        flows = self.learner.flows()
        changed = np.count_nonzero(~np.isin(self._ways, self._chosen_ways(flows)))
        if changed > CHANGED_MAX * len(self._ways):
            return True
        if not changed and not self.report.missing:
            return False
        return falls_short(self.choice, flows, Elements(self.fabric))

    def _chosen_ways(self, flows: FlowPaths) -> NDArray[np.uint64]:
        """64 bits for each chosen flow and the way that it takes."""
        assert self.choice is not None
        mine = flows.take(chosen_of(self.choice, flows))
        columns = (mine.prober, mine.target, mine.via, mine.source_port)
        keys = flow_keys(*(column.astype(np.int64) for column in columns))
        for hop in mine.switches.reshape(len(mine), -1).T:
            keys = mix64(keys ^ hop.astype(np.uint64))
        return keys

    def follow(
        self,
        more: Callable[[float], int],
        stop: Event,
        tell: Callable[[dict[str, Any]], None],
        look_every_s: float = LOOK_EVERY_S,
    ) -> None:
        """Choose again whenever that is needed, until `stop` is set. more: takes in evidence for so long."""
        while not stop.is_set():
            more(look_every_s)
            if not stop.is_set() and self.is_stale():
                tell(self.choose())


def document_of(choice: FlowChoice, report: ChoiceReport) -> dict[str, Any]:
    """Plain values: what was chosen, and how good it is."""
    probers = choice.probers.values()
    return {
        "probers": len(choice.probers),
        "targets": sum(len(each.targets) for each in probers),
        "steps": sum(len(each.pairs) for each in probers),
        "flows": sum(
            len(ports) for each in probers for ports in [*each.targets.values(), *each.pairs.values()]
        ),
        "classes": [
            {
                "element_class": name,
                "total": report.total[name],
                "crossable": report.crossable[name],
                "crossed": report.crossed[name],
            }
            for name in report.total
        ],
        "fewest_probes": report.flows,
        "lower_bound": report.least,
        "groups_apart": round(report.apart, 4),
        "missing": list(report.missing),
    }

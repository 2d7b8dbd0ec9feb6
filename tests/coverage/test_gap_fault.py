"""From probes to the fault: a spine without routes is one coverage gap, and a healthy network has none."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from bytetracker.coverage.measure import plans_of
from bytetracker.coverage.simulated import START_US, simulate
from fabric.builtin import builtin_fabric
from fabric.model import Fabric
from fabric.simulator.settings import SimulatorSettings
from fabric.simulator.simulator import Simulator
from producers.plan import PlanSettings
from schemas import topics
from schemas.codec import encode
from streams.localise.localiser import Localiser

pytestmark = pytest.mark.slow  # five minutes of a network go by

SMALL = builtin_fabric("small")
#: The healthy network's usual: lost packets, lost copies, hosts that are busy.
NOISE = SimulatorSettings(loss_rate=1e-5, mirror_loss_rate=1e-3, host_silent_rate=5e-4, host_slow_rate=5e-4)


class Localised:
    """What the localiser of `SMALL` makes of a simulated network."""

    def __init__(self) -> None:
        self.localiser = Localiser(SMALL, 1)
        self.faults: list[dict[str, Any]] = []
        self.coverage: list[dict[str, Any]] = []
        self.offset = 0

    def read(self, head: dict[str, Any], rows: np.ndarray) -> bool:
        value = encode(topics.EVIDENCE, head, rows)
        located = self.localiser.step(self.offset, head["watermark_us"] // 1_000, value)
        assert not located.dead_letters
        self.offset += 1
        self.faults += located.faults
        self.coverage += located.coverage
        return False

    def run(self, network: Fabric, seconds: float) -> Localised:
        simulate(Simulator(network, 1, NOISE), plans_of(SMALL, PlanSettings()), seconds, self.read)
        return self


def test_a_spine_without_routes_is_a_gap() -> None:
    withdrawn = replace(
        SMALL, switches=tuple(replace(s, drained=s.name == "spine-1") for s in SMALL.switches)
    )
    run = Localised().run(withdrawn, 310)
    (gap,) = [fault for fault in run.faults if fault["kind"] == "coverage_gap" and fault["version"] == 1]
    assert gap["suspects"] == [{"element": "spine-1", "confidence": 1.0}]
    assert 300 <= (gap["detected_at_us"] - START_US) / 1e6 <= 304
    assert "spine-1" in gap["story"]
    assert {fault["kind"] for fault in run.faults} == {"coverage_gap"}
    last = run.coverage[-1]
    link = next(c for c in last["classes"] if c["element_class"] == "link")
    assert (link["total"], link["crossable"], link["seen"]) == (36, 36, 26)
    assert len(run.coverage) in (30, 31)


def test_a_healthy_network_has_no_gap() -> None:
    run = Localised().run(SMALL, 330)
    assert [fault for fault in run.faults if fault["kind"] == "coverage_gap"] == []
    for record in run.coverage[1:]:
        assert all(c["seen"] == c["crossable"] for c in record["classes"])

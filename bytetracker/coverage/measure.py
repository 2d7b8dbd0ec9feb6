"""How soon the probes of a plan cross everything in a simulated fabric, and how few would do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bytetracker.coverage.learner import Learner
from bytetracker.coverage.simulated import START_US, simulate
from fabric.coverage import Elements
from fabric.model import Fabric
from fabric.simulator.simulator import Simulator
from producers.flow_choice import ChoiceReport, choose
from producers.flow_file import FlowChoice
from producers.plan import Plan, PlanRefused, PlanSettings, build_plan
from streams.localise.align import WholeSlot
from streams.localise.counts import count
from streams.localise.coverage import CoverageMonitor
from streams.localise.terrain import Terrain

#: Source ports that are learnt for each target before a choice. With many targets fewer will do.
LEARN_FLOWS = 24
LEARN_FLOWS_OF_MANY = 9
MANY_SERVERS = 30_000

#: Is told what is being done.
Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Crossed:
    """A run: how long it took until everything that can be crossed was (None: it never was), the record of
    the topic coverage at its end, and how many probes a second were sent."""

    after_s: float | None
    record: dict[str, Any]
    probes_per_s: float


@dataclass(frozen=True, slots=True)
class Measured:
    """What was measured of one fabric. `plain`: the plan without a flow file; `chosen`: the plan with it."""

    fabric: Fabric
    settings: PlanSettings
    plain: Crossed
    chosen: Crossed
    report: ChoiceReport
    choice: FlowChoice

    @property
    def complete(self) -> bool:
        """Whether everything that can be crossed was, both ways."""
        return None not in (self.plain.after_s, self.chosen.after_s) and not self.report.missing

    def document(self) -> dict[str, Any]:
        """Plain values."""
        report = self.report
        return {
            "fabric": self.fabric.name,
            "servers": len(self.fabric.servers),
            "probers": len(self.fabric.probers),
            "probers_per_target": self.settings.probers_per_target or None,
            "classes": [
                {
                    "element_class": name,
                    "total": report.total[name],
                    "crossable": report.crossable[name],
                    "crossed": report.crossed[name],
                }
                for name in report.total
            ],
            "probes_per_s": round(self.plain.probes_per_s),
            "crossed_after_s": self.plain.after_s,
            "fewest_probes": report.flows,
            "lower_bound": report.least,
            "groups_apart": round(report.apart, 4),
            "chosen_crossed_after_s": self.chosen.after_s,
            "missing": list(report.missing),
        }


def measure(fabric: Fabric, seed: int, seconds: float, progress: Progress = lambda what: None) -> Measured:
    """Run the plan, learn ways from mirrors, choose flows, and run the plan again with these.

    seconds: of simulated time, at most, for each of the two plans.
    """
    settings = plan_settings(fabric)
    terrain = Terrain(fabric)

    def run(what: str, plans: dict[str, Plan], learner: Learner | None, at_least_s: float) -> Crossed:
        progress(what)
        return _crossed(Simulator(fabric, seed), terrain, plans, seconds, at_least_s, learner)

    plain = run("default plan", plans_of(fabric, settings), None, 0)
    flows = LEARN_FLOWS if len(fabric.servers) <= MANY_SERVERS else LEARN_FLOWS_OF_MANY
    # Wider windows, and ToRs and servers that turn faster: a minute of learning instead of an hour.
    wider = replace(settings, flows_per_target=flows, east_west_dwell_rounds=2, rate_max_pps=10**9)
    rounds_s = (flows / settings.group_size + 1) * settings.interval_us / 1e6
    learner = Learner()
    run("learning ways", plans_of(fabric, wider), learner, rounds_s)
    progress("choosing flows")
    choice, report = choose(learner.flows(), Elements(fabric), settings, seed)
    chosen = run("chosen flows", plans_of(fabric, settings, choice), None, 0)
    return Measured(fabric, settings, plain, chosen, report, choice)


def plan_settings(fabric: Fabric) -> PlanSettings:
    """The default settings; Probers share the targets where one would have too many."""
    settings = PlanSettings()
    try:
        plans_of(fabric, settings)
    except PlanRefused:
        return replace(settings, probers_per_target=1)
    return settings


def plans_of(fabric: Fabric, settings: PlanSettings, choice: FlowChoice | None = None) -> dict[str, Plan]:
    """Plans of all Probers by name. Raises PlanRefused."""
    return {prober.name: build_plan(fabric, prober, settings, choice) for prober in fabric.probers}


def _crossed(
    simulator: Simulator,
    terrain: Terrain,
    plans: dict[str, Plan],
    seconds: float,
    at_least_s: float,
    learner: Learner | None,
) -> Crossed:
    monitor = CoverageMonitor(terrain)
    crossable = monitor.elements.crossable
    done_us: int | None = None
    end_us = START_US

    def read(head: dict[str, Any], rows: np.ndarray) -> bool:
        nonlocal done_us, end_us
        slot = WholeSlot(head["slot_us"], head["slot_length_us"], head["watermark_us"], (head,), (rows,))
        monitor.add(count(slot, terrain))
        if learner is not None:
            learner.add(head)
        end_us = slot.slot_us + slot.slot_length_us
        if done_us is None and (monitor.last_seen_us()[crossable] >= 0).all():
            done_us = end_us
        return done_us is not None and end_us - START_US >= at_least_s * 1e6

    simulate(simulator, plans, max(seconds, at_least_s), read)
    return Crossed(
        None if done_us is None else (done_us - START_US) / 1e6,
        monitor.report(end_us),
        sum(plan.rate_pps for plan in plans.values()),
    )

"""When routes change, other flows are chosen, and again everything is crossed by chosen flows alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest

from bytetracker.coverage.choosing import Chooser
from bytetracker.coverage.learner import Learner
from bytetracker.coverage.live import NoCoverage
from bytetracker.coverage.measure import plans_of
from bytetracker.coverage.simulated import START_US, simulate
from fabric.builtin import builtin_fabric
from fabric.coverage import Elements
from fabric.simulator.simulator import Simulator
from producers.flow_choice import chosen_of, falls_short
from producers.flow_file import FlowChoice, read_flows
from producers.flow_paths import crossings
from producers.plan import PlanSettings
from schemas.rows import PATHS

SMALL = builtin_fabric("small")
#: Windows that move fast: what a running system learns in minutes is learnt in seconds.
SETTINGS = PlanSettings(rotation_us=1_000_000)


@dataclass
class Network:
    """A network whose routes change; what its mirrors tell is learnt."""

    learner: Learner
    now_us: int = START_US

    def run(self, simulator: Simulator, choice: FlowChoice | None, seconds: float) -> None:
        def read(head: dict[str, Any], rows: np.ndarray) -> bool:
            self.learner.add(head)
            return False

        plans = plans_of(SMALL, SETTINGS, choice)
        simulate(simulator, plans, seconds, read, self.now_us)
        self.now_us += round(seconds * 1e6) + 10_000_000


def missing(choice: FlowChoice, learner: Learner) -> int:
    """Elements that can be crossed and that chosen flows do not cross, by the ways last learnt."""
    elements, flows = Elements(SMALL), learner.flows()
    mine = np.flatnonzero(chosen_of(choice, flows))
    assert len(mine) > 50
    seen = np.zeros(elements.count, np.bool_)
    seen[crossings(flows, elements).of(mine)] = True
    return int(np.count_nonzero(elements.crossable & ~seen))


def test_other_hashes_make_other_flows(tmp_path: Path) -> None:
    learner = Learner(forget_after_us=40_000_000)
    network = Network(learner)
    chooser = Chooser(SMALL, SETTINGS, learner, tmp_path / "flows.json")
    before, after = Simulator(SMALL, 1), Simulator(SMALL, 2)
    network.run(before, None, 10)
    chooser.choose()
    first = chooser.choice
    assert first is not None
    network.run(before, first, 10)
    assert missing(first, learner) == 0
    assert not chooser.is_stale()  # more is known, but nothing has changed

    network.run(after, first, 40)
    assert chooser.is_stale()
    document = chooser.choose()
    assert document["missing"] == []
    second = read_flows(chooser.path, SMALL, SETTINGS)
    assert second.probers != first.probers
    network.run(after, second, 10)
    assert missing(second, learner) == 0
    assert not chooser.is_stale()


def test_a_spine_without_routes_is_missing_and_no_reason_to_choose_for_ever(tmp_path: Path) -> None:
    learner = Learner(forget_after_us=40_000_000)
    network = Network(learner)
    chooser = Chooser(SMALL, SETTINGS, learner, tmp_path / "flows.json")
    withdrawn = replace(
        SMALL, switches=tuple(replace(s, drained=s.name == "spine-1") for s in SMALL.switches)
    )
    network.run(Simulator(SMALL, 1), None, 10)
    chooser.choose()
    network.run(Simulator(withdrawn, 1), chooser.choice, 60)
    assert chooser.is_stale()
    document = chooser.choose()
    away = {link.name for link in SMALL.switch_links if "spine-1" in (link.from_name, link.to_name)}
    for switch in SMALL.switches:
        away |= {f"{switch.name}:{p.name}" for p in switch.ports if "spine-1" in (switch.name, p.peer)}
    assert set(document["missing"]) <= away
    assert len(document["missing"]) == 20  # as many as are named, of 25
    network.run(Simulator(withdrawn, 1), chooser.choice, 10)
    assert not chooser.is_stale()
    # The routes are back.
    network.run(Simulator(SMALL, 1), chooser.choice, 40)
    assert chooser.is_stale()
    assert chooser.choose()["missing"] == []


def test_falling_short_means_that_known_flows_could_do_more() -> None:
    learner = Learner()
    Network(learner).run(Simulator(SMALL, 1), None, 10)
    elements, flows = Elements(SMALL), learner.flows()
    everything = FlowChoice(3, {})
    assert falls_short(everything, flows, elements)
    nothing_known = flows.take(np.zeros(len(flows), np.bool_))
    assert not falls_short(everything, nothing_known, elements)


def test_ways_that_are_not_repeated_are_forgotten() -> None:
    learner = Learner(forget_after_us=1_000_000)
    rows = np.zeros(2, PATHS.dtype)
    rows["source_port"] = [1, 2]
    learner.add({"slot_us": 0, "paths": rows[:1].tobytes()})
    learner.add({"slot_us": 900_000, "paths": rows[1:].tobytes()})
    assert learner.flows().source_port.tolist() == [1, 2]
    learner.add({"slot_us": 1_100_000})  # evidence of before there were paths
    assert learner.flows().source_port.tolist() == [2]


@dataclass
class Follower:
    """Runs `follow` until it has looked so many times; what happens at a look is up to the test."""

    looks: int
    at: dict[int, Callable[[], None]] = field(default_factory=dict)
    stop: Event = field(default_factory=Event)
    waited: list[float] = field(default_factory=list)

    def more(self, wait_s: float) -> int:
        self.waited.append(wait_s)
        self.at.get(len(self.waited), lambda: None)()
        if len(self.waited) == self.looks:
            self.stop.set()
        return 0


def test_following_chooses_when_needed_and_only_then(tmp_path: Path) -> None:
    learner = Learner(forget_after_us=40_000_000)
    network = Network(learner)
    network.run(Simulator(SMALL, 1), None, 10)
    chooser = Chooser(SMALL, SETTINGS, learner, tmp_path / "flows.json")
    chooser.choose()
    told: list[dict[str, Any]] = []
    follower = Follower(5, {3: lambda: network.run(Simulator(SMALL, 2), chooser.choice, 40)})
    chooser.follow(follower.more, follower.stop, told.append, look_every_s=2.5)
    assert follower.waited == [2.5] * 5
    assert len(told) == 1
    assert told[0]["missing"] == []


def test_nothing_is_known_and_nothing_written(tmp_path: Path) -> None:
    chooser = Chooser(SMALL, SETTINGS, Learner(), tmp_path / "flows.json")
    with pytest.raises(NoCoverage, match="mirrors"):
        chooser.choose()
    assert list(tmp_path.iterdir()) == []

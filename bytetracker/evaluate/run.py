"""One scenario, from injected faults to scored ones, as fast as the machine can."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from bytetracker.evaluate.by_flows import NetBouncer, Pll, Votes
from bytetracker.evaluate.by_slots import MarksMethod, PingmeshMethod, pair_name
from bytetracker.evaluate.events import group_events
from bytetracker.evaluate.flows import FlowCounter
from bytetracker.evaluate.methods import OURS, EvidenceReader, Method, SlotMethod, WindowMethod
from bytetracker.evaluate.pipeline import LoggedEvent, SimulatedPipeline
from bytetracker.evaluate.scenario import Noise, Scenario
from bytetracker.evaluate.score import Score, score
from bytetracker.evaluate.tally import FaultTally, WitnessedSimulator
from bytetracker.evaluate.truth import Cause, cause_of, with_whole_pods
from bytetracker.evaluate.ways import Ways
from fabric.faults import FaultSpec, parse_spec
from fabric.inventory import load_fabric
from fabric.model import Fabric
from fabric.simulator.live import LiveSimulation
from fabric.simulator.settings import SimulatorSettings
from producers.plan import PlanSettings, build_plan
from producers.publish import BatchPublisher
from schemas import topics
from streams.settings import JoinSettings

#: Simulated runs begin at this time.
START_US = 1_763_840_000_000_000

#: Gets the simulated seconds done so far.
Progress = Callable[[float], None]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a scenario. `tallies`: of each cause. `scores`: by method, ours first."""

    scenario: Scenario
    causes: tuple[Cause, ...]
    tallies: tuple[FaultTally, ...]
    scores: dict[str, Score]
    events: tuple[LoggedEvent, ...]  # ours
    probes: int
    digests: int
    dead_letters: int
    late_rows: int
    start_us: int = START_US


def run_scenario(
    scenario: Scenario, on_progress: Progress = lambda seconds: None, *, others: bool = True
) -> Outcome:
    """others: run the methods to compare with, too. Raises what load_fabric, parse_spec and build_plan
    raise."""
    fabric = load_fabric(scenario.fabric)
    specs = [parse_spec(text, fabric) for text in scenario.faults]
    return _Run(scenario, fabric, specs, on_progress, others).outcome()


class _Run:
    """The moving parts of one run, and what they said."""

    def __init__(
        self,
        scenario: Scenario,
        fabric: Fabric,
        specs: list[FaultSpec],
        on_progress: Progress,
        others: bool,
    ) -> None:
        self.now_us = START_US
        self._scenario, self._fabric, self._specs, self._on_progress = scenario, fabric, specs, on_progress
        self._events: list[LoggedEvent] = []
        self._injected: list[tuple[FaultSpec, int]] = []
        window_us = round(scenario.window_s * 1e6)
        self._by_slot: list[SlotMethod] = []
        self._by_window: list[WindowMethod] = []
        self._flows: FlowCounter | None = None
        if others:
            self._by_slot = [MarksMethod(fabric), PingmeshMethod(fabric, window_us)]
            self._by_window = [each(fabric, window_us) for each in (NetBouncer, Votes, Pll)]
            self._flows = FlowCounter(Ways(fabric, scenario.seed), len(fabric.links), window_us)
        reader = EvidenceReader(scenario.partitions, self._by_slot).read if others else None
        self.pipeline = SimulatedPipeline(fabric, scenario.partitions, JoinSettings(), START_US, reader)
        settings = _settings(scenario.noise)
        on_run = self._flows.add if self._flows is not None else None
        self._simulator = WitnessedSimulator(fabric, scenario.seed, settings, on_run)

    def outcome(self) -> Outcome:
        counts = self._simulation().run(self._scenario.duration_s)
        run_end_us = START_US + round(self._scenario.duration_s * 1e6)
        causes = [
            cause_of(number, spec, start_us, run_end_us, self._fabric)
            for number, (spec, start_us) in enumerate(self._injected)
        ]
        causes = [replace(cause, pairs=self._pairs(cause.number)) for cause in causes]
        causes, tallies = with_whole_pods(
            causes, [self._simulator.tallies[cause.number] for cause in causes], self._fabric
        )
        methods: list[Method] = [*self._by_slot, *self._by_window]
        said = {OURS: self._events, **{method.name: method.events for method in methods}}
        # What is said once no probe is sent any more is about a network that was switched off.
        said = {name: [e for e in events if e.log_us <= run_end_us] for name, events in said.items()}
        return Outcome(
            scenario=self._scenario,
            causes=tuple(causes),
            tallies=tuple(tallies),
            scores={name: score(causes, tallies, group_events(events)) for name, events in said.items()},
            events=tuple(said[OURS]),
            probes=counts.probes_sent,
            digests=counts.digests_sent,
            dead_letters=self.pipeline.dead_letters,
            late_rows=self.pipeline.late_rows,
        )

    def _pairs(self, number: int) -> frozenset[str]:
        return frozenset(pair_name(self._fabric, *pair) for pair in self._simulator.pairs[number])

    def _simulation(self) -> LiveSimulation:
        fabric = self._fabric
        settings = PlanSettings(interval_us=self._scenario.interval_us)
        return LiveSimulation(
            self._simulator,
            {p.name: build_plan(fabric, p, settings) for p in fabric.probers},
            {p.name: self._publisher(0, topics.OUTCOMES, p.name) for p in fabric.probers},
            {c.name: self._publisher(1, topics.DIGESTS, c.name) for c in fabric.collectors},
            faults=self._specs,
            on_injected=lambda spec, started_ns: self._injected.append((spec, started_ns // 1_000)),
            tick_s=self._scenario.tick_ms / 1_000,
            now_us=lambda: self.now_us,
            wait=self._wait,
        )

    def _publisher(self, side: int, topic: str, source: str) -> BatchPublisher:
        return BatchPublisher(topic, source, START_US, self._scenario.partitions, _Log(side, self))

    def _wait(self, seconds: float) -> None:
        """Time passes; at the end of it what has been written is stepped through the pipeline. So a message
        waits a whole tick, the most that it would wait in a worker."""
        self.now_us += round(seconds * 1e6)
        self._events += self.pipeline.pump(self.now_us)
        window = self._flows.take(self.now_us) if self._flows is not None else None
        if window is not None:
            for method in self._by_window:
                method.add(window, self.now_us)
        self._on_progress((self.now_us - START_US) / 1e6)


@dataclass(slots=True)
class _Log:
    """One joined topic, as its producers see it."""

    side: int
    run: _Run
    fill: float = 0.0

    def produce(self, partition: int, message: bytes) -> None:
        self.run.pipeline.write(self.side, partition, message, self.run.now_us)

    def poll(self) -> None:
        pass

    def flush(self) -> None:
        pass


def _settings(noise: Noise) -> SimulatorSettings:
    """Half of the hosts' noise is silence, the other half are late replies."""
    return SimulatorSettings(
        loss_rate=noise.background,
        mirror_loss_rate=noise.mirror_loss,
        host_silent_rate=noise.host / 2,
        host_slow_rate=noise.host / 2,
    )

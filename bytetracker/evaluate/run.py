"""One scenario, from injected faults to scored ones, as fast as the machine can."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from bytetracker.evaluate.events import group_events
from bytetracker.evaluate.methods import OURS, MarksMethod, Method
from bytetracker.evaluate.pipeline import LoggedEvent, SimulatedPipeline
from bytetracker.evaluate.scenario import Noise, Scenario
from bytetracker.evaluate.score import Score, score
from bytetracker.evaluate.tally import FaultTally, WitnessedSimulator
from bytetracker.evaluate.truth import Cause, cause_of
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
#: Of the joined topics. Few, because small messages cost as much as large ones.
PARTITIONS = 2
#: The pipeline is stepped on after the sources have ended, until everything that is open has closed.
DRAIN_STEPS = 3

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


def run_scenario(scenario: Scenario, on_progress: Progress = lambda seconds: None) -> Outcome:
    """Raises what load_fabric, parse_spec and build_plan raise."""
    fabric = load_fabric(scenario.fabric)
    specs = [parse_spec(text, fabric) for text in scenario.faults]
    return _Run(scenario, fabric, specs, on_progress).outcome()


@dataclass(slots=True)
class _Run:
    scenario: Scenario
    fabric: Fabric
    specs: list[FaultSpec]
    on_progress: Progress
    now_us: int = START_US
    events: list[LoggedEvent] = field(default_factory=list)
    injected: list[tuple[FaultSpec, int]] = field(default_factory=list)
    methods: list[Method] = field(init=False)
    pipeline: SimulatedPipeline = field(init=False)

    def outcome(self) -> Outcome:
        self.methods = [MarksMethod(self.fabric, PARTITIONS)]
        self.pipeline = SimulatedPipeline(self.fabric, PARTITIONS, JoinSettings(), START_US, self._evidence)
        simulator = WitnessedSimulator(self.fabric, self.scenario.seed, _settings(self.scenario.noise))
        counts = self._simulation(simulator).run(self.scenario.duration_s)
        run_end_us = self.now_us
        for _ in range(DRAIN_STEPS):
            self._wait(self.scenario.tick_ms / 1_000)
        causes = [
            cause_of(number, spec, start_us, run_end_us, self.fabric)
            for number, (spec, start_us) in enumerate(self.injected)
        ]
        tallies = [simulator.tallies[cause.number] for cause in causes]
        said = {OURS: self.events, **{method.name: method.events for method in self.methods}}
        return Outcome(
            scenario=self.scenario,
            causes=tuple(causes),
            tallies=tuple(tallies),
            scores={name: score(causes, tallies, group_events(events)) for name, events in said.items()},
            events=tuple(self.events),
            probes=counts.probes_sent,
            digests=counts.digests_sent,
            dead_letters=self.pipeline.dead_letters,
            late_rows=self.pipeline.late_rows,
        )

    def _simulation(self, simulator: WitnessedSimulator) -> LiveSimulation:
        fabric = self.fabric
        settings = PlanSettings(interval_us=self.scenario.interval_us)
        return LiveSimulation(
            simulator,
            {p.name: build_plan(fabric, p, settings) for p in fabric.probers},
            {p.name: self._publisher(0, topics.OUTCOMES, p.name) for p in fabric.probers},
            {c.name: self._publisher(1, topics.DIGESTS, c.name) for c in fabric.collectors},
            faults=self.specs,
            on_injected=lambda spec, started_ns: self.injected.append((spec, started_ns // 1_000)),
            tick_s=self.scenario.tick_ms / 1_000,
            now_us=lambda: self.now_us,
            wait=self._wait,
        )

    def _publisher(self, side: int, topic: str, source: str) -> BatchPublisher:
        return BatchPublisher(topic, source, START_US, PARTITIONS, _Log(side, self))

    def _wait(self, seconds: float) -> None:
        """Time passes; at the end of it what has been written is stepped through the pipeline. So a message
        waits a whole tick, the most that it would wait in a worker."""
        self.now_us += round(seconds * 1e6)
        self.events += self.pipeline.pump(self.now_us)
        self.on_progress((self.now_us - START_US) / 1e6)

    def _evidence(self, offset: int, timestamp_ms: int, value: bytes) -> None:
        for method in self.methods:
            method.read(offset, timestamp_ms, value)


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

"""The messages of a simulated data centre, as Probers and collectors would have written them.

The live simulation runs on a clock of its own, as fast as it can; what it publishes is kept with the
time at which it was written.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from fabric.faults import parse_spec
from fabric.model import Fabric
from fabric.simulator import Simulator, SimulatorSettings
from fabric.simulator.live import LiveSimulation
from producers.plan import PlanSettings, build_plan
from producers.publish import BatchPublisher
from schemas import topics

START_US = 1_763_840_000_000_000
ROWS_PER_MESSAGE = 1_000

_TOPICS = (topics.OUTCOMES, topics.DIGESTS)
_ROW_BYTES = 56  # of a digest


@dataclass(frozen=True, slots=True)
class Written:
    """One message of a log. `side`: 0 outcomes, 1 digests; `offset`: its place in that log."""

    side: int
    offset: int
    timestamp_ms: int
    value: bytes


@dataclass(slots=True)
class Traffic:
    """`partitions`: the messages of both logs of each partition, in the order of writing."""

    fabric: Fabric
    partitions: list[list[Written]]
    seconds: float
    probes: int = 0
    digests: int = 0


@dataclass(slots=True)
class _Clock:
    now_us: int = START_US

    def __call__(self) -> int:
        return self.now_us

    def wait(self, seconds: float) -> None:
        self.now_us += round(seconds * 1e6)


@dataclass(slots=True)
class _Log:
    """A sink that keeps what is produced, with the time; several sources write to one log."""

    side: int
    clock: _Clock
    partitions: list[list[Written]]
    offsets: list[int]
    fill: float = field(default=0.0, init=False)

    def produce(self, partition: int, message: bytes) -> None:
        written = Written(self.side, self.offsets[partition], self.clock.now_us // 1_000, message)
        self.offsets[partition] += 1
        self.partitions[partition].append(written)

    def poll(self) -> None:
        pass

    def flush(self) -> None:
        pass


def simulate(
    fabric: Fabric,
    seconds: float,
    *,
    partitions: int,
    interval_us: int = 1_000_000,
    faults: Sequence[str] = (),
    tick_s: float = 0.1,
    rows_per_message: int = ROWS_PER_MESSAGE,
    noise: SimulatorSettings | None = None,
) -> Traffic:
    """Run all Probers and collectors of a fabric for so many simulated seconds, from START_US on.

    interval_us: time between probes of a target, sets the rate. faults: specifications as on the
    command line. noise: of the network, by default none. Raises what parse_spec and build_plan raise.
    """
    clock = _Clock()
    traffic = Traffic(fabric, [[] for _ in range(partitions)], seconds)
    logs = [_Log(side, clock, traffic.partitions, [0] * partitions) for side in (0, 1)]

    def publisher(side: int, source: str) -> BatchPublisher:
        bytes_max = rows_per_message * _ROW_BYTES
        return BatchPublisher(
            _TOPICS[side], source, START_US, partitions, logs[side], message_bytes_max=bytes_max
        )

    settings = PlanSettings(interval_us=interval_us)
    live = LiveSimulation(
        Simulator(fabric, 1, noise),
        {p.name: build_plan(fabric, p, settings) for p in fabric.probers},
        {p.name: publisher(0, p.name) for p in fabric.probers},
        {c.name: publisher(1, c.name) for c in fabric.collectors},
        faults=[parse_spec(text, fabric) for text in faults],
        tick_s=tick_s,
        now_us=clock,
        wait=clock.wait,
    )
    counts = live.run(seconds)
    traffic.probes, traffic.digests = counts.probes_sent, counts.digests_sent
    return traffic

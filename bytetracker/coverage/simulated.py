"""A simulated network on a clock of its own, with the live producers and the real join behind it.

Only Kafka is left out, and the localiser: each slot of evidence is handed to whoever asks. So what is known
of a flow's way was learnt from mirrored copies, and not from the simulator.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from fabric.simulator.live import LiveSimulation
from fabric.simulator.simulator import Simulator
from producers.plan import Plan
from producers.publish import BatchPublisher
from schemas import topics
from streams.intake import TOPICS
from streams.join import Network, PartitionJoin
from streams.settings import JoinSettings

START_US = 1_763_840_000_000_000
TICK_S = 0.25
#: Probes a second that one partition is given: all ways that are new in a slot must find room in its message.
PARTITION_PPS = 40_000

#: Gets the head and the EVIDENCE rows of a slot; says whether it has seen enough.
SlotReader = Callable[[dict[str, Any], np.ndarray], bool]


def simulate(
    simulator: Simulator,
    plans: Mapping[str, Plan],
    seconds: float,
    reader: SlotReader,
    start_us: int = START_US,
) -> int:
    """Probe for so long, or until `reader` has seen enough; returns the number of probes.

    plans: by name of the Prober. Slots come from one partition after the other. At the end all slots are
    closed and read.
    """
    rate_pps = sum(plan.rate_pps for plan in plans.values())
    network = Network(simulator.fabric)
    joins = [
        PartitionJoin(partition, network, JoinSettings())
        for partition in range(math.ceil(rate_pps / PARTITION_PPS))
    ]
    run = _Run(joins, reader, start_us)
    live = LiveSimulation(
        simulator,
        plans,
        {name: run.publisher(topics.OUTCOMES, name) for name in plans},
        {each.name: run.publisher(topics.DIGESTS, each.name) for each in simulator.fabric.collectors},
        tick_s=TICK_S,
        now_us=lambda: run.now_us,
        wait=lambda wait_s: run.wait(wait_s, live.stop),
    )
    counts = live.run(seconds)
    run.read()
    return counts.probes_sent


@dataclass(slots=True)
class _Run:
    joins: list[PartitionJoin]
    reader: SlotReader
    now_us: int
    enough: bool = False
    offset: int = 0

    def wait(self, seconds: float, stop: Callable[[], None]) -> None:
        self.now_us += round(seconds * 1e6)
        self.read()
        if self.enough:
            stop()

    def read(self) -> None:
        for join in self.joins:
            for head, rows in join.step().evidence:
                self.enough = self.reader(head, rows) or self.enough

    def publisher(self, topic: str, source: str) -> BatchPublisher:
        log = _Log(TOPICS.index(topic), self)
        return BatchPublisher(topic, source, self.now_us, len(self.joins), log)


@dataclass(slots=True)
class _Log:
    """One joined topic, as its producers see it."""

    side: int
    run: _Run
    fill: float = 0.0

    def produce(self, partition: int, message: bytes) -> None:
        # Of one partition later messages have larger offsets; nobody asks for more.
        self.run.offset += 1
        self.run.joins[partition].offer(self.side, self.run.offset, self.run.now_us // 1_000, message)

    def poll(self) -> None:
        pass

    def flush(self) -> None:
        pass

"""From the messages of Prober and collector to verdicts and faults, in memory."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fabric.model import Fabric
from schemas import topics
from schemas.batch import tick
from schemas.codec import encode
from schemas.framing import SingleObject
from streams.intake import TOPICS
from streams.join import Network, PartitionJoin
from streams.localise.localiser import Localiser
from streams.settings import JoinSettings

PARTITIONS = 2


@dataclass
class TimedSink:
    """A message sink that keeps the messages of a topic with the time at which a broker would stamp them."""

    messages: list[list[tuple[int, bytes]]] = field(default_factory=lambda: [[] for _ in range(PARTITIONS)])
    fill: float = 0.0

    def produce(self, partition: int, message: bytes) -> None:
        self.messages[partition].append((time.time_ns() // 1_000_000, message))

    def poll(self) -> None:
        pass

    def flush(self) -> None:
        pass


@dataclass
class Judged:
    """What the stream stages made of a run."""

    closed: int
    joined: int
    results: list[dict[str, Any]]
    faults: list[dict[str, Any]]
    dead_letters: list[dict[str, Any]]

    @property
    def verdicts(self) -> Counter[str]:
        return Counter(result["verdict"] for result in self.results)


def judge(fabric: Fabric, outcomes: TimedSink, digests: TimedSink) -> Judged:
    """Run the joining and the localising stage over two complete topics. Every result is kept."""
    network = Network(fabric)
    judged = Judged(0, 0, [], [], [])
    evidence: list[tuple[dict[str, Any], np.ndarray]] = []
    for partition in range(PARTITIONS):
        join = PartitionJoin(partition, network, JoinSettings(sample_one_in=1))
        for side, (topic, sink) in enumerate(zip(TOPICS, (outcomes, digests), strict=True)):
            # Nothing is consumed before the other log's next message is known: let both say more.
            end_ms = time.time_ns() // 1_000_000 + 1
            rest = [(end_ms + i, tick(topic, partition)) for i in range(2)]
            for offset, (timestamp_ms, message) in enumerate(sink.messages[partition] + rest):
                join.offer(side, offset, timestamp_ms, message)
        output = join.step()
        judged.closed += output.probes_closed
        judged.joined += output.digests_joined
        judged.results += output.results
        judged.dead_letters += output.dead_letters
        evidence += output.evidence
    localiser = Localiser(fabric, PARTITIONS)
    evidence.sort(key=lambda each: each[0]["slot_us"])
    for offset, (head, rows) in enumerate(evidence):
        message = encode(topics.EVIDENCE, head, rows, framing=SingleObject())
        judged.faults += localiser.step(offset, head["slot_us"] // 1000, message).faults
    return judged

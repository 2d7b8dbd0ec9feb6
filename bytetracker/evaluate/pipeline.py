"""The streams code on a clock of its own: messages of live producers in, fault events with log times out.

It stands where `streams.runtime` stands in a worker, and does what that does, in the same order: offer, step
ten times a second, put ticks into a log that has fallen silent, hand evidence to the localiser as the message
that it is. Only Kafka is left out: a log is a counter of offsets. Nothing is kept of a message once it is
consumed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from fabric.model import Fabric
from schemas import topics
from schemas.batch import tick
from schemas.codec import encode
from schemas.framing import Framing, SingleObject
from streams.intake import TOPICS
from streams.join import Network, PartitionJoin
from streams.localise.localiser import Localiser
from streams.runtime import TICK_AFTER_S
from streams.settings import JoinSettings

SIDES = tuple(range(len(TOPICS)))

#: Sees every message of `link-evidence`: offset, Kafka timestamp (ms), value.
EvidenceReader = Callable[[int, int, bytes], None]


@dataclass(frozen=True, slots=True)
class LoggedEvent:
    """A record of the topic `faults`, and when it was written."""

    log_us: int
    event: dict[str, Any]


@dataclass(slots=True)
class _Partition:
    join: PartitionJoin
    heard_us: list[int]
    offsets: list[int] = field(default_factory=lambda: [0 for _ in SIDES])


class SimulatedPipeline:
    """Joins of all partitions and the localiser. Time is what `write` and `pump` are told."""

    def __init__(
        self,
        fabric: Fabric,
        partitions: int,
        settings: JoinSettings,
        start_us: int,
        reader: EvidenceReader | None,
    ) -> None:
        network = Network(fabric)
        self._framing: Framing = SingleObject()
        self._partitions = [
            _Partition(PartitionJoin(p, network, settings, framing=self._framing), [start_us for _ in SIDES])
            for p in range(partitions)
        ]
        self._localiser = Localiser(fabric, partitions, framing=self._framing)
        self._evidence_offset = 0
        self._reader = reader
        self.dead_letters = 0
        self.late_rows = 0

    def write(self, side: int, partition: int, value: bytes, now_us: int) -> None:
        """A producer's message is stored."""
        mine = self._partitions[partition]
        mine.join.offer(side, mine.offsets[side], now_us // 1_000, value)
        mine.offsets[side] += 1
        mine.heard_us[side] = now_us

    def pump(self, now_us: int) -> list[LoggedEvent]:
        """Step every stage; what they say is stored now."""
        events: list[LoggedEvent] = []
        for number, mine in enumerate(self._partitions):
            self._tick(number, mine, now_us)
            output = mine.join.step()
            self.dead_letters += len(output.dead_letters)
            for head, rows in output.evidence:
                self.late_rows += head["late_outcomes"] + head["late_digests"]
                value = encode(topics.EVIDENCE, head, rows, framing=self._framing)
                events += self._localise(value, now_us)
        return events

    def _localise(self, value: bytes, now_us: int) -> list[LoggedEvent]:
        offset, timestamp_ms = self._evidence_offset, now_us // 1_000
        self._evidence_offset += 1
        if self._reader is not None:
            self._reader(offset, timestamp_ms, value)
        located = self._localiser.step(offset, timestamp_ms, value)
        self.dead_letters += len(located.dead_letters)
        return [LoggedEvent(now_us, event) for event in located.faults]

    def _tick(self, number: int, mine: _Partition, now_us: int) -> None:
        waiting = mine.join.waiting_for()
        sides = [waiting] if waiting is not None else list(SIDES) if mine.join.has_open_work else []
        for side in sides:
            if now_us - mine.heard_us[side] >= TICK_AFTER_S * 1e6:
                self.write(side, number, tick(TOPICS[side], number, framing=self._framing), now_us)

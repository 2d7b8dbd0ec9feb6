"""Looks at a running pipeline from outside, through its topics, as an alerting consumer would."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, TopicPartition

from schemas import topics
from schemas.codec import decode
from schemas.errors import BadMessage

_WATCHED = (topics.EVIDENCE, topics.FAULTS, topics.DEAD_LETTERS)


@dataclass(slots=True)
class SeenFault:
    """A fault as its last event shows it; `detected_ns` is when the broker got its first event."""

    event: dict[str, Any]
    detected_ns: int


@dataclass(slots=True)
class Seen:
    """What the topics say so far. Evidence that was published twice counts once."""

    probes: int = 0
    digests: int = 0
    late_rows: int = 0
    verdicts: Counter[str] = field(default_factory=Counter)
    faults: dict[str, SeenFault] = field(default_factory=dict)
    dead_letters: set[tuple[str, int, int]] = field(default_factory=set)
    #: Input partitions that have reported evidence: their workers are at work.
    partitions: set[int] = field(default_factory=set)
    _slots: set[tuple[int, int]] = field(default_factory=set)

    def take(self, topic: str, head: dict[str, Any], timestamp_ms: int) -> None:
        """Add one message."""
        if topic == topics.EVIDENCE and head["partition"] < 0:
            return  # operators' commands
        if topic == topics.EVIDENCE:
            slot = (head["partition"], head["slot_us"])
            if slot not in self._slots:
                self._slots.add(slot)
                self.partitions.add(head["partition"])
                self.probes += head["probes"]
                self.digests += head["digests"]
                self.late_rows += head["late_outcomes"] + head["late_digests"]
                self.verdicts.update(head["verdicts"])
        elif topic == topics.FAULTS:
            known = self.faults.get(head["fault_id"])
            if known is None:
                self.faults[head["fault_id"]] = SeenFault(head, timestamp_ms * 1_000_000)
            elif head["version"] > known.event["version"]:
                known.event = head
        else:
            self.dead_letters.add((head["topic"], head["partition"], head["offset"]))


class Watcher:
    """Reads the small topics from their beginning; owns a consumer that is in no group."""

    def __init__(self, config: Mapping[str, str]) -> None:
        self.seen = Seen()
        self._consumer = Consumer(
            {
                **config,
                "group.id": "bytetracker-watcher",
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
            }
        )
        self._consumer.assign([TopicPartition(topic, 0, OFFSET_BEGINNING) for topic in _WATCHED])

    def look(self, timeout_s: float) -> Seen:
        """Take in what there is, waiting at most `timeout_s` for something. Raises KafkaException."""
        for message in self._consumer.consume(num_messages=500, timeout=timeout_s):
            if message.error() is not None:
                raise KafkaException(message.error())
            try:
                head, _ = decode(message.topic(), message.value())
            except BadMessage:
                continue  # the sink reads it too, and writes the dead letter
            self.seen.take(message.topic(), head, message.timestamp()[1])
        return self.seen

    def close(self) -> None:
        self._consumer.close()

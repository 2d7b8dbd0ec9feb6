"""Topic definitions, read from `topics.yaml` beside this file."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml

OUTCOMES = "probe-outcomes"
DIGESTS = "mirror-digests"
RESULTS = "probe-results"
EVIDENCE = "link-evidence"
FAULTS = "faults"
COVERAGE = "coverage"
DEAD_LETTERS = "dead-letters"
STATE = "streams-state"
ALERTS_STATE = "alerts-state"

PARTITIONS_DEFAULT = 8


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic. `joined`: it has as many partitions as the two joined topics. `broker_time`: the broker,
    not the producer, says when a message was written."""

    name: str
    doc: str
    key: str
    joined: bool
    compacted: bool
    broker_time: bool
    retention_ms: int
    retention_bytes: int
    message_bytes_max: int
    producers: tuple[str, ...]
    consumers: tuple[str, ...]

    def partitions(self, join_partitions: int) -> int:
        return join_partitions if self.joined else 1

    def broker_config(self) -> dict[str, str]:
        """Configuration entries as Kafka names them."""
        return {
            "cleanup.policy": "compact,delete" if self.compacted else "delete",
            "retention.ms": str(self.retention_ms),
            "retention.bytes": str(self.retention_bytes),
            "max.message.bytes": str(self.message_bytes_max),
            "message.timestamp.type": "LogAppendTime" if self.broker_time else "CreateTime",
        }


@cache
def all_topics() -> tuple[Topic, ...]:
    """Every topic, in the order of the data flow."""
    text = (Path(__file__).parent / "topics.yaml").read_text()
    return tuple(
        Topic(
            name=name,
            doc=entry["doc"],
            key=entry["key"],
            joined=entry["partitions"] == "join",
            compacted=entry.get("compact", False),
            broker_time=entry.get("broker_time", False),
            retention_ms=entry["retention_ms"],
            retention_bytes=entry["retention_bytes"],
            message_bytes_max=entry["message_bytes_max"],
            producers=tuple(entry["producers"]),
            consumers=tuple(entry["consumers"]),
        )
        for name, entry in yaml.safe_load(text).items()
    )


def topic(name: str) -> Topic:
    """One topic by name; KeyError names the known ones."""
    for each in all_topics():
        if each.name == name:
            return each
    raise KeyError(f"no topic {name!r}; known: {', '.join(t.name for t in all_topics())}")

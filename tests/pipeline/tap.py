"""What the topics of a running pipeline hold, read by somebody who is in no group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Event, Thread
from typing import Any

import numpy as np
from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

from schemas import topics
from schemas.codec import decode
from schemas.errors import BadMessage

OUTPUTS = (topics.RESULTS, topics.EVIDENCE, topics.FAULTS, topics.DEAD_LETTERS)


@dataclass
class Outputs:
    """What workers have said, by natural key. What is said twice must be said in the same words."""

    results: dict[tuple[int, int], dict[str, Any]] = field(default_factory=dict)
    evidence: dict[tuple[int, int], dict[str, Any]] = field(default_factory=dict)
    faults: dict[tuple[str, int], dict[str, Any]] = field(default_factory=dict)
    dead_letters: dict[tuple[str, int, int], dict[str, Any]] = field(default_factory=dict)
    repeats: int = 0
    contradictions: list[str] = field(default_factory=list)

    def take(self, topic: str, value: bytes | None) -> None:
        """Add one message."""
        head, rows = decode(topic, value)
        match topic:
            case topics.RESULTS:
                for row in head["rows"]:
                    self.add_result(row, head["partition"])
            case topics.EVIDENCE:
                self.add_evidence(head, rows)
            case topics.FAULTS:
                self.add_fault(head)
            case topics.DEAD_LETTERS:
                self.add_dead_letter(head)

    def add_result(self, row: dict[str, Any], partition: int) -> None:
        self._put("results", (row["sent_at_us"], row["probe_id"]), {**row, "partition": partition})

    def add_evidence(self, head: dict[str, Any], rows: np.ndarray | None) -> None:
        assert rows is not None
        content = {**head, "rows": rows.tolist()}
        self._put("evidence", (head["partition"], head["slot_us"]), content)

    def add_fault(self, event: dict[str, Any]) -> None:
        self._put("faults", (event["fault_id"], event["version"]), event)

    def add_dead_letter(self, letter: dict[str, Any]) -> None:
        self._put("dead_letters", (letter["topic"], letter["partition"], letter["offset"]), letter)

    def _put(self, kind: str, key: Any, content: dict[str, Any]) -> None:
        known = getattr(self, kind).setdefault(key, content)
        if known is not content:
            self.repeats += 1
            if known != content:
                self.contradictions.append(f"{kind} {key}: {known} and {content}")

    @property
    def probes(self) -> int:
        return sum(head["probes"] for head in self.evidence.values())

    @property
    def late(self) -> int:
        """Rows that came after their probe was closed."""
        return sum(head["late_outcomes"] + head["late_digests"] for head in self.evidence.values())

    @property
    def closed(self) -> int:
        """Outcomes that are done with: joined, or counted as late."""
        return self.probes + sum(head["late_outcomes"] for head in self.evidence.values())

    @property
    def verdicts(self) -> set[str]:
        """Every verdict that was given."""
        return {verdict for head in self.evidence.values() for verdict in head["verdicts"]}


class Tap:
    """Collects `Outputs` in the background until closed; a context manager."""

    def __init__(self, config: Mapping[str, str], partitions: int, names: Sequence[str] = OUTPUTS) -> None:
        self._raw: list[tuple[str, bytes | None]] = []
        self._stop = Event()
        self._consumer = Consumer(
            {**config, "group.id": "test-tap", "enable.auto.commit": False, "log_level": 0}
        )
        where = [
            TopicPartition(name, partition, OFFSET_BEGINNING)
            for name in names
            for partition in range(partitions if name == topics.RESULTS else 1)
        ]
        self._consumer.assign(where)
        self._thread = Thread(target=self._run, name="tap", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.is_set():
            for message in self._consumer.consume(500, 0.1):
                if message.error() is None:
                    self._raw.append((message.topic(), message.value()))
        self._consumer.close()

    def outputs(self) -> Outputs:
        """Everything so far."""
        found = Outputs()
        for topic, value in self.raw():
            with suppress(BadMessage):  # tests write such, too
                found.take(topic, value)
        return found

    def raw(self) -> list[tuple[str, bytes | None]]:
        """Topic and value of every message so far."""
        return list(self._raw)

    def letters(self) -> list[dict[str, Any]]:
        """Every dead letter so far, repeats included."""
        found = []
        for topic, value in self.raw():
            if topic == topics.DEAD_LETTERS:
                with suppress(BadMessage):
                    found.append(decode(topic, value)[0])
        return found

    def close(self) -> None:
        self._stop.set()
        self._thread.join(10)

    def __enter__(self) -> Tap:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

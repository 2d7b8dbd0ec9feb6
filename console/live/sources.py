"""Who sends rows, how many, and how far behind: from a look at the ends of the joined topics now and then.

The console cannot read those topics whole. The last few messages of each partition carry the names,
promises and counters of their sources, which is all that is shown.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from threading import Event, Lock, Thread
from typing import Any

import structlog
from confluent_kafka import Consumer, KafkaException, TopicPartition

from console.models import Source
from schemas import topics
from schemas.codec import decode
from schemas.errors import BadMessage
from schemas.framing import Framing

_JOINED = {topics.OUTCOMES: "prober", topics.DIGESTS: "collector"}
LOOK_EVERY_S = 5.0
#: Messages at the end of each partition that are looked at; each source sends at least one a second.
_MESSAGES = 12
_TIMEOUT_S = 3.0
#: Sources that said nothing for so long are forgotten.
_FORGOTTEN_US = 3_600_000_000
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Batch:
    """What a message says of its source."""

    kind: str
    source: str
    partition: int
    offset: int
    rows: int
    low_watermark_us: int
    written_us: int


class SourcesNow:
    """What was seen of each source. Pure but for its lock."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._last: dict[tuple[str, str], Batch] = {}
        self._rates: dict[tuple[str, str], float] = {}

    def take(self, batches: list[Batch]) -> None:
        """The newest messages of all partitions, at one look."""
        by_source: dict[tuple[str, str], list[Batch]] = {}
        for batch in batches:
            by_source.setdefault((batch.kind, batch.source), []).append(batch)
        with self._lock:
            for key, found in by_source.items():
                newest = max(found, key=lambda batch: batch.written_us)
                known = self._last.get(key)
                if known is None or newest.written_us >= known.written_us:
                    self._last[key] = newest
                self._rates[key] = rows_per_s(found)

    def now(self, clock_us: int) -> list[Source]:
        """By kind and name."""
        with self._lock:
            return [
                Source(
                    source=batch.source,
                    kind=kind,
                    lag_us=max(0, clock_us - batch.low_watermark_us),
                    rows_per_s=self._rates[kind, source],
                    last_us=batch.written_us,
                )
                for (kind, source), batch in sorted(self._last.items())
                if clock_us - batch.written_us < _FORGOTTEN_US
            ]


def rows_per_s(batches: list[Batch]) -> float:
    """Of one source: in each partition the rows between its first and last message that were looked at,
    over their time. 0 where only one message was seen."""
    rate = 0.0
    for partition in {batch.partition for batch in batches}:
        found = sorted((b for b in batches if b.partition == partition), key=lambda b: b.offset)
        spanned_us = found[-1].written_us - found[0].written_us
        if spanned_us > 0:
            rate += sum(batch.rows for batch in found[1:]) / (spanned_us / 1e6)
    return rate


class SourceWatch:
    """A thread that looks every few seconds."""

    def __init__(self, config: Mapping[str, str], framing: Framing, sources: SourcesNow) -> None:
        self._config = dict(config)
        self._framing = framing
        self._sources = sources
        self._stop = Event()
        self._thread = Thread(target=self._run, name="live-sources", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(5.0)

    def _run(self) -> None:
        consumer = Consumer(
            {
                **self._config,
                "group.id": "bytetracker-console",
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "auto.offset.reset": "latest",
                "fetch.wait.max.ms": 50,
                "queued.max.messages.kbytes": 16_384,
                "log_level": 0,
            }
        )
        try:
            while not self._stop.wait(LOOK_EVERY_S):
                try:
                    self._sources.take(self._look(consumer))
                except KafkaException as error:
                    _log.info("sources_not_seen", error=str(error))
        finally:
            consumer.close()

    def _look(self, consumer: Consumer) -> list[Batch]:
        ends: dict[tuple[str, int], int] = {}
        begins: list[TopicPartition] = []
        known = consumer.list_topics(timeout=_TIMEOUT_S).topics
        for topic in _JOINED:
            for partition in known[topic].partitions if topic in known else ():
                place = TopicPartition(topic, partition)
                low, high = consumer.get_watermark_offsets(place, timeout=_TIMEOUT_S)
                if high > low:
                    ends[topic, partition] = high
                    begins.append(TopicPartition(topic, partition, max(low, high - _MESSAGES)))
        found: list[Batch] = []
        try:
            consumer.assign(begins)
            until = time.monotonic() + _TIMEOUT_S
            while ends and time.monotonic() < until and not self._stop.is_set():
                for message in consumer.consume(100, 0.2):
                    if message.error() is None:
                        found += self._read(message)
                        place = (str(message.topic()), int(message.partition()))
                        if message.offset() + 1 >= ends.get(place, 0):
                            ends.pop(place, None)
        finally:
            consumer.unassign()
        return found

    def _read(self, message: Any) -> list[Batch]:
        topic = str(message.topic())
        try:
            head, rows = decode(topic, message.value(), framing=self._framing)
        except BadMessage:
            return []
        if head["source"] == "clock":
            return []  # ticks of a worker
        return [
            Batch(
                kind=_JOINED[topic],
                source=str(head["source"]),
                partition=int(message.partition()),
                offset=int(message.offset()),
                rows=len(rows) if rows is not None else 0,
                low_watermark_us=int(head["low_watermark_us"]),
                written_us=int(message.timestamp()[1]) * 1_000,
            )
        ]

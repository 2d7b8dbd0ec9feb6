"""The sink's side of Kafka: what is assigned, how far it has been read, stored and committed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import structlog
from confluent_kafka import OFFSET_INVALID, Consumer, KafkaError, KafkaException, Message, TopicPartition

from sinks.metrics import SinkMetrics
from sinks.rows import SOURCE_TOPICS
from sinks.settings import SinkSettings

_log = structlog.get_logger(__name__)
_METADATA_TIMEOUT_S = 5.0

Place = tuple[str, int]


class SourceFailed(RuntimeError):
    """Kafka's client cannot go on."""


def client_settings(settings: SinkSettings) -> dict[str, Any]:
    """What consumer and producer share."""
    return {**settings.kafka, "bootstrap.servers": settings.bootstrap_servers}


class Source:
    """A consumer that never commits what was not reported as stored."""

    def __init__(self, settings: SinkSettings, metrics: SinkMetrics) -> None:
        self._metrics = metrics
        self._assigned: set[Place] = set()
        self._reached: dict[Place, int] = {}
        self._stored: dict[Place, int] = {}  # stored and not yet committed
        self._paused = False
        self._consumer = Consumer(
            {
                **client_settings(settings),
                "group.id": settings.group_id,
                "auto.offset.reset": "earliest",
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                # The end of a partition is an event: compaction leaves gaps that offsets alone do not show.
                "enable.partition.eof": True,
                "session.timeout.ms": settings.session_timeout_ms,
                "heartbeat.interval.ms": settings.heartbeat_interval_ms,
                "queued.max.messages.kbytes": settings.queue_kib,
                "max.partition.fetch.bytes": settings.fetch_bytes_max,
                "topic.metadata.refresh.interval.ms": 10_000,
            }
        )
        self._consumer.subscribe(
            list(SOURCE_TOPICS), on_assign=self._assign, on_revoke=self._revoke, on_lost=self._revoke
        )

    def read(self, messages_max: int, timeout_s: float) -> list[Message]:
        """At most that many messages of partitions that are ours; blocks at most `timeout_s`.

        Raises SourceFailed when the client cannot go on; other errors it gets over by itself are counted.
        """
        found: list[Message] = []
        for message in self._consumer.consume(messages_max, timeout_s):
            error = message.error()
            place = (message.topic(), message.partition())
            if error is None:
                if place in self._assigned:
                    found.append(message)
                    self._reached[place] = message.offset() + 1
            elif error.code() == KafkaError._PARTITION_EOF:
                self._reached[place] = message.offset()
            elif error.fatal():
                raise SourceFailed(str(error))
            else:
                self._metrics.kafka_errors.labels(error.name()).inc()
        return found

    def pause(self) -> None:
        """Fetch nothing until `resume`; keep reading meanwhile, or the group takes us for dead."""
        if not self._paused:
            self._paused = True
            self._metrics.paused.set(1)
            self._consumer.pause(_partitions(dict.fromkeys(self._assigned, OFFSET_INVALID)))

    def resume(self) -> None:
        if self._paused:
            self._paused = False
            self._metrics.paused.set(0)
            self._consumer.resume(_partitions(dict.fromkeys(self._assigned, OFFSET_INVALID)))

    def stored(self, next_offsets: Mapping[Place, int]) -> None:
        """Everything before these offsets is stored; commit it. A commit that fails is made good by the
        next."""
        self._stored |= {place: offset for place, offset in next_offsets.items() if place in self._assigned}
        self.commit()

    def commit(self) -> None:
        """Commit what is stored and not committed yet; blocks as long as the client's own timeouts."""
        if not self._stored:
            return
        wanted = dict(self._stored)
        try:
            with self._metrics.timed(self._metrics.commit_seconds):
                answers = self._consumer.commit(offsets=_partitions(wanted), asynchronous=False) or []
        except KafkaException as error:
            # A rebalance, or a coordinator that moved: rows that are read again replace themselves.
            _log.warning("commit_failed", error=str(error.args[0]))
            return
        for answer in answers:
            place = (answer.topic, answer.partition)
            if answer.error is None and self._stored.get(place) == wanted.get(place):
                self._stored.pop(place, None)

    def end_offsets(self) -> dict[Place, int] | None:
        """Where the partitions that are ours end now; None while none are, or if the broker does not say.
        Partitions without messages are left out."""
        ends: dict[Place, int] = {}
        for topic, partition in sorted(self._assigned):
            try:
                low, high = self._consumer.get_watermark_offsets(
                    TopicPartition(topic, partition), timeout=_METADATA_TIMEOUT_S
                )
            except KafkaException:
                return None
            if high > low:
                ends[topic, partition] = high
        return ends if self._assigned else None

    def has_reached(self, ends: Mapping[Place, int]) -> bool:
        """Whether everything before `ends` that is ours has been read, and what was stored is committed."""
        ours = {place: end for place, end in ends.items() if place in self._assigned}
        return not self._stored and all(self._reached.get(place, -1) >= end for place, end in ours.items())

    def note_lag(self) -> None:
        """Set the gauge of messages behind, from what the client knows already."""
        for place in self._assigned:
            _, high = self._consumer.get_watermark_offsets(TopicPartition(*place), cached=True)
            if high >= 0 and place in self._reached:
                self._metrics.lag.labels(place[0], str(place[1])).set(max(0, high - self._reached[place]))

    def close(self) -> None:
        """Leave the group."""
        self._consumer.close()

    def _assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._assigned = {(p.topic, p.partition) for p in partitions}
        if self._paused:
            # The assignment takes effect after this callback; a pause must come after it.
            consumer.assign(partitions)
            consumer.pause(partitions)
        _log.info("assigned", partitions=len(partitions))

    def _revoke(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        for p in partitions:
            place = (p.topic, p.partition)
            self._assigned.discard(place)
            self._stored.pop(place, None)
            self._reached.pop(place, None)


def _partitions(offsets: Mapping[Place, int]) -> list[TopicPartition]:
    return [TopicPartition(topic, partition, offset) for (topic, partition), offset in offsets.items()]

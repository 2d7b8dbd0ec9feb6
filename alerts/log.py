"""The topic `faults` as the member of a group reads it: from its beginning, whenever the partition is ours.

The topic is compacted, so its beginning is never far. What is committed is for people who look at the lag of
the group: how far every receiver has got.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import structlog
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

from alerts.fault import Fault, fault_of
from alerts.memory import SETTLE_S
from alerts.metrics import AlertsMetrics
from alerts.newest import NewestVersions
from schemas import topics
from schemas.codec import decode
from schemas.errors import BadMessage
from schemas.framing import Framing

_log = structlog.get_logger(__name__)
_MESSAGES_MAX = 500


@dataclass(frozen=True, slots=True)
class Assigned:
    """The partition is ours: everything follows from its beginning."""


@dataclass(frozen=True, slots=True)
class Revoked:
    """The partition is another's."""


@dataclass(frozen=True, slots=True)
class Event:
    """A message; `fault` is None if it says nothing new or cannot be read."""

    fault: Fault | None
    offset: int


@dataclass(frozen=True, slots=True)
class CaughtUp:
    """The end has been reached for the first time since Assigned. `next_offset`: that of the next message."""

    next_offset: int


News = Assigned | Revoked | Event | CaughtUp


class LogFailed(RuntimeError):
    """Kafka's client cannot go on."""


class FaultLog:
    """A consumer of the topic, alone or with others that stand by."""

    def __init__(
        self,
        config: Mapping[str, str],
        framing: Framing,
        metrics: AlertsMetrics,
        *,
        group_id: str,
        session_timeout_ms: int,
        heartbeat_interval_ms: int,
    ) -> None:
        self._framing, self._metrics = framing, metrics
        self._pending: list[News] = []  # of callbacks, in order
        self._newest = NewestVersions()
        self._is_ours = False
        self._is_caught_up = False
        self._next_offset = 0
        self._ended_s: float | None = None
        self._committed: int | None = None
        self._consumer = Consumer(
            {
                **config,
                "group.id": group_id,
                "auto.offset.reset": "earliest",
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "enable.partition.eof": True,
                "session.timeout.ms": session_timeout_ms,
                "heartbeat.interval.ms": heartbeat_interval_ms,
                "fetch.wait.max.ms": 100,
                "topic.metadata.refresh.interval.ms": 10_000,
            }
        )
        self._consumer.subscribe(
            [topics.FAULTS], on_assign=self._assign, on_revoke=self._revoke, on_lost=self._lost
        )

    def read(self, timeout_s: float) -> Iterator[News]:
        """What has happened, in order; blocks at most `timeout_s`. Raises LogFailed."""
        messages = self._consumer.consume(_MESSAGES_MAX, timeout_s)
        # An assignment comes before the first of its messages.
        pending, self._pending = self._pending, []
        yield from pending
        for message in messages:
            error = message.error()
            if error is None:
                if self._is_ours:
                    yield self._event(message.offset(), message.value())
            elif error.code() == KafkaError._PARTITION_EOF:
                self._ended_s = time.monotonic()
                self._next_offset = max(self._next_offset, message.offset())
            elif error.fatal():
                raise LogFailed(str(error))
            else:
                self._metrics.kafka_errors.labels(error.name()).inc()
        if self._is_ours and not self._is_caught_up and self._has_settled():
            self._is_caught_up = True
            yield CaughtUp(self._next_offset)

    def commit(self, position: int) -> None:
        """Tell the group how far every receiver has got; what fails is made good by the next."""
        if not self._is_ours or position == self._committed:
            return
        try:
            self._consumer.commit(offsets=[TopicPartition(topics.FAULTS, 0, position)], asynchronous=True)
            self._committed = position
        except KafkaException as error:
            _log.warning("commit_failed", error=str(error.args[0]))

    def close(self) -> None:
        """Leave the group."""
        self._consumer.close()

    def _event(self, offset: int, value: bytes | None) -> Event:
        self._next_offset, self._ended_s = offset + 1, None
        self._metrics.messages.inc()
        if value is None:
            return Event(None, offset)
        try:
            event, _ = decode(topics.FAULTS, value, framing=self._framing)
        except BadMessage as error:
            # The sink reads it too, and writes the dead letter.
            self._metrics.bad_messages.labels(error.reason).inc()
            _log.warning("bad_message", offset=offset, reason=error.reason)
            return Event(None, offset)
        fault = fault_of(event)
        return Event(fault if self._newest.is_news(fault) else None, offset)

    def _has_settled(self) -> bool:
        return self._ended_s is not None and time.monotonic() - self._ended_s >= SETTLE_S

    def _assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        ours = [p for p in partitions if p.partition == 0]
        self._pending.append(Revoked())
        self._is_ours = bool(ours)
        self._newest, self._next_offset, self._ended_s = NewestVersions(), 0, None
        self._is_caught_up, self._committed = False, None
        consumer.assign([TopicPartition(topics.FAULTS, 0, OFFSET_BEGINNING)] if ours else [])
        if ours:
            self._pending.append(Assigned())

    def _revoke(self, _: Consumer, __: list[TopicPartition]) -> None:
        self._is_ours = False
        self._pending.append(Revoked())

    def _lost(self, _: Consumer, __: list[TopicPartition]) -> None:
        """The group has not heard from us for too long, as when the broker is away. Receivers are told what
        is open until it says who goes on: an alert that expires looks like a fault that is over."""
        self._is_ours = False
        _log.warning("partition_lost")

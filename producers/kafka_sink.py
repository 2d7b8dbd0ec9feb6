"""The `MessageSink` of production: an idempotent librdkafka producer with acks from all replicas.

A full queue is back-pressure: `produce` waits, up to a deadline, and then fails loudly. A message that
the broker never acknowledges (after librdkafka's own retries within `delivery_timeout_ms`) is an error
that every later call raises, so the process ends instead of going on with a hole in its sequence.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from producers.publish import DeliveryError

_WAIT_S = 0.05


@dataclass(frozen=True, slots=True)
class KafkaSinkSettings:
    """How messages reach the broker."""

    bootstrap_servers: str
    #: bytes held for the broker; above one half of it the Prober pauses
    queue_bytes_max: int = 64 * 1024 * 1024
    #: messages held for the broker
    queue_messages_max: int = 20_000
    #: ms that `produce` waits for room before it gives up
    queue_wait_ms: int = 30_000
    #: ms within which a message must be acknowledged, retries included
    delivery_timeout_ms: int = 120_000
    #: ms that `flush` waits at the end
    flush_timeout_ms: int = 30_000
    #: ms that librdkafka may hold a message to fill a request
    linger_ms: int = 20
    #: lz4 costs a tenth of zstd's CPU on packed rows; both are read by every consumer of ours
    compression: str = "lz4"


@dataclass(slots=True)
class KafkaSinkCounts:
    """Since the start of the sink."""

    queue_full_waits: int = 0  # times that `produce` found no room
    queue_full_failures: int = 0  # times that it gave up
    delivery_failures: int = 0  # messages that the broker never acknowledged
    delivered: int = 0


class KafkaSink:
    """One topic of a Kafka cluster as a `MessageSink`.

    extra: further librdkafka settings (TLS, SASL); they may not weaken delivery. Not thread-safe.
    """

    def __init__(
        self, topic: str, settings: KafkaSinkSettings, extra: Mapping[str, str] | None = None
    ) -> None:
        config: dict[str, str | int | bool] = {
            "linger.ms": settings.linger_ms,
            "compression.type": settings.compression,
            "queue.buffering.max.messages": settings.queue_messages_max,
            # Ours is the limit that is enforced and counted; librdkafka's stands behind it.
            "queue.buffering.max.kbytes": 2 * settings.queue_bytes_max // 1024,
            "message.max.bytes": 1_048_576,
            "delivery.timeout.ms": settings.delivery_timeout_ms,
            "socket.keepalive.enable": True,
        }
        delivery = {
            "bootstrap.servers": settings.bootstrap_servers,
            "enable.idempotence": True,
            "acks": "all",
        }
        forbidden = sorted(set(extra or {}) & set(delivery))
        if forbidden:
            raise ValueError(f"extra Kafka settings must not set {', '.join(forbidden)}")
        self._producer = Producer(
            config | dict(extra or {}) | delivery, error_cb=self._on_error, logger=logging.getLogger(__name__)
        )
        self._topic = topic
        self._settings = settings
        self._bytes = 0
        self._failure: str | None = None
        self.counts = KafkaSinkCounts()

    @property
    def fill(self) -> float:
        messages = len(self._producer) / self._settings.queue_messages_max
        return min(1.0, max(messages, self._bytes / self._settings.queue_bytes_max))

    def produce(self, partition: int, message: bytes) -> None:
        deadline_s = time.monotonic() + self._settings.queue_wait_ms / 1000
        while not self._take(partition, message):
            self.counts.queue_full_waits += 1
            if time.monotonic() >= deadline_s:
                self.counts.queue_full_failures += 1
                raise DeliveryError(
                    f"{self._topic}: no room for {len(message)} bytes after "
                    f"{self._settings.queue_wait_ms} ms; {self._bytes} bytes wait for the broker "
                    f"at {self._settings.bootstrap_servers}"
                )
            self._producer.poll(_WAIT_S)
            self._check()

    def poll(self) -> None:
        self._producer.poll(0)
        self._check()

    def flush(self) -> None:
        left = self._producer.flush(self._settings.flush_timeout_ms / 1000)
        self._check()
        if left:
            raise DeliveryError(
                f"{self._topic}: {left} messages not stored after {self._settings.flush_timeout_ms} ms"
            )

    def _take(self, partition: int, message: bytes) -> bool:
        self._check()
        if self._bytes and self._bytes + len(message) > self._settings.queue_bytes_max:
            return False
        try:
            self._producer.produce(
                self._topic, value=message, partition=partition, on_delivery=self._on_delivery
            )
        except BufferError:
            return False
        except KafkaException as error:
            raise DeliveryError(f"{self._topic}: {error}") from error
        self._bytes += len(message)
        return True

    def _on_delivery(self, error: KafkaError | None, message: Message) -> None:
        value = message.value()
        self._bytes -= len(value) if value is not None else 0
        if error is None:
            self.counts.delivered += 1
            return
        self.counts.delivery_failures += 1
        # Not raised here: librdkafka calls back from within poll, where an exception would be odd to place.
        self._failure = self._failure or f"{self._topic}[{message.partition()}] not delivered: {error.str()}"

    def _on_error(self, error: KafkaError) -> None:
        # Other errors (a broker down) are news, not failures: librdkafka reconnects by itself.
        if error.fatal():
            self._failure = self._failure or f"{self._topic}: fatal: {error.str()}"

    def _check(self) -> None:
        if self._failure is not None:
            raise DeliveryError(self._failure)

"""What the sink could not read goes to the dead letters, with the reason."""

from __future__ import annotations

from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from schemas import topics
from schemas.codec import encode
from schemas.errors import BadMessage
from schemas.framing import Framing

PAYLOAD_BYTES_MAX = 65_536
_FLUSH_TIMEOUT_S = 30.0


class DeadLetterError(RuntimeError):
    """A dead letter could not be delivered. The sink must stop, or the message would vanish."""


class DeadLetters:
    """Writes dead letters; connects when there is a first one."""

    def __init__(self, kafka: dict[str, Any], framing: Framing) -> None:
        self._kafka = kafka
        self._framing = framing
        self._producer: Producer | None = None
        self._failed: KafkaError | None = None
        self.count = 0

    def add(self, message: Message, bad: BadMessage) -> None:
        """Send one; it is delivered when `flush` has returned. Raises DeadLetterError if the queue stays
        full."""
        payload: bytes = message.value() or b""
        letter = {
            "topic": message.topic(),
            "partition": message.partition(),
            "offset": message.offset(),
            "timestamp_ms": message.timestamp()[1],
            "reason": bad.reason,
            "detail": bad.detail[:1000],
            "payload": payload[:PAYLOAD_BYTES_MAX],
            "payload_bytes": len(payload),
        }
        producer = self._connected()
        value = encode(topics.DEAD_LETTERS, letter, framing=self._framing)
        for attempt in range(2):
            try:
                producer.produce(
                    topics.DEAD_LETTERS, value, key=str(message.topic()), on_delivery=self._delivered
                )
                break
            except BufferError:
                if attempt:
                    raise DeadLetterError("the queue of dead letters stays full") from None
                self.flush()
            except KafkaException as error:
                raise DeadLetterError(str(error)) from error
        producer.poll(0)
        self.count += 1

    def flush(self) -> None:
        """Block until all are stored, at most 30 s. Raises DeadLetterError if one is not."""
        if self._producer is None:
            return
        left = self._producer.flush(_FLUSH_TIMEOUT_S)
        if self._failed is not None or left:
            raise DeadLetterError(f"{left} dead letters not delivered: {self._failed or 'timed out'}")

    def _delivered(self, error: KafkaError | None, _: Message) -> None:
        if error is not None:
            self._failed = error

    def _connected(self) -> Producer:
        if self._producer is None:
            self._producer = Producer(
                {
                    **self._kafka,
                    "enable.idempotence": True,
                    "acks": "all",
                    "delivery.timeout.ms": int(_FLUSH_TIMEOUT_S * 1000),
                }
            )
        return self._producer

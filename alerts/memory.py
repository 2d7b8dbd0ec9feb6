"""The topic `alerts-state`: what each receiver was told, so that the next run goes on where this one ends."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    Producer,
    TopicPartition,
)

from alerts.message import Told
from schemas import topics
from schemas.codec import decode, encode
from schemas.errors import BadMessage
from schemas.framing import Framing

READ_TIMEOUT_S = 60.0
#: The end of a partition is believed when nothing has come for so long after it: the embedded broker tells it
#: up to a record batch too low (docs/decisions/0010).
SETTLE_S = 0.3


class MemoryFailed(RuntimeError):
    """What receivers were told cannot be read or stored."""


@dataclass(slots=True)
class Remembered:
    """What is stored of one receiver. `position`: None if it is new."""

    told: dict[str, Told] = field(default_factory=dict)
    position: int | None = None


def read_memory(config: Mapping[str, str], framing: Framing) -> dict[str, Remembered]:
    """All that is stored, by receiver; blocks at most READ_TIMEOUT_S. Raises MemoryFailed, KafkaException.

    `config`: how librdkafka reaches the broker."""
    found: dict[str, Remembered] = {}
    consumer = Consumer(
        {
            **config,
            "group.id": "bytetracker-alerts-memory",  # asked for by librdkafka; never joined
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "enable.partition.eof": True,
            "fetch.wait.max.ms": 50,
        }
    )
    deadline_s, ended_s = time.monotonic() + READ_TIMEOUT_S, None
    try:
        consumer.assign([TopicPartition(topics.ALERTS_STATE, 0, OFFSET_BEGINNING)])
        while time.monotonic() < deadline_s:
            messages = consumer.consume(500, 0.1)
            for message in messages:
                problem = message.error()
                if problem is None:
                    ended_s = None
                    _take(found, message, framing)
                elif problem.code() == KafkaError._PARTITION_EOF:
                    ended_s = time.monotonic()
                elif not problem.retriable():
                    raise KafkaException(problem)
            if ended_s is not None and time.monotonic() - ended_s >= SETTLE_S:
                return found
    finally:
        consumer.close()
    raise MemoryFailed(f"no end of {topics.ALERTS_STATE} within {READ_TIMEOUT_S:.0f} s")


def _take(found: dict[str, Remembered], message: Message, framing: Framing) -> None:
    receiver, _, fault_id = (message.key() or b"").decode(errors="replace").partition("/")
    remembered = found.setdefault(receiver, Remembered())
    if message.value() is None:
        remembered.told.pop(fault_id, None)
        return
    try:
        record, _ = decode(topics.ALERTS_STATE, message.value(), framing=framing)
    except BadMessage as error:
        # Going on without it would tell people the wrong thing, or nothing.
        raise MemoryFailed(
            f"{topics.ALERTS_STATE} holds what cannot be read at offset {message.offset()}: {error}; "
            "delete the topic and create it again: every open fault is then told anew"
        ) from error
    if not record["fault_id"]:
        remembered.position = record["offset"]
        return
    remembered.told[fault_id] = Told(
        record["fault_id"],
        record["version"],
        record["offset"],
        record["firing"],
        record["identity"],
        record["starts_at_us"],
        record["sure"],
    )


class Memory:
    """Stores what receivers were told. Safe for several threads.

    Messages are stored in the order of the calls; those that are not stored when this process dies are told
    again by the next one.
    """

    def __init__(self, config: Mapping[str, str], framing: Framing) -> None:
        self._framing = framing
        self._failure = ""
        self._producer = Producer(
            {
                **config,
                "enable.idempotence": True,
                "acks": "all",
                # A broker that is away is waited for; receivers are told what is open meanwhile.
                "delivery.timeout.ms": 2_147_483_647,
                "linger.ms": 1,
                "queue.buffering.max.messages": 100_000,
            }
        )

    def told(self, receiver: str, told: Iterable[Told]) -> None:
        """Remember. Raises MemoryFailed."""
        for each in told:
            self._store(
                receiver,
                each.fault_id,
                {
                    "offset": each.offset,
                    "version": each.version,
                    "firing": each.firing,
                    "sure": each.sure,
                    "identity": dict(each.identity),
                    "starts_at_us": each.starts_at_us,
                },
            )

    def position(self, receiver: str, position: int) -> None:
        """Everything before is dealt with. Raises MemoryFailed."""
        self._store(
            receiver,
            "",
            {
                "offset": position,
                "version": 0,
                "firing": False,
                "sure": True,
                "identity": {},
                "starts_at_us": 0,
            },
        )

    def forget(self, receiver: str, told: Iterable[Told]) -> None:
        """Remember no longer. Raises MemoryFailed."""
        for each in told:
            self._produce(receiver, each.fault_id, None)

    def flush(self, timeout_s: float) -> bool:
        """Wait until all is stored; False if it is not in time. Raises MemoryFailed."""
        left = self._producer.flush(timeout_s)
        self._check()
        return not left

    def _store(self, receiver: str, fault_id: str, record: dict[str, Any]) -> None:
        value = encode(
            topics.ALERTS_STATE,
            {"receiver": receiver, "fault_id": fault_id, **record},
            framing=self._framing,
        )
        self._produce(receiver, fault_id, value)

    def _produce(self, receiver: str, fault_id: str, value: bytes | None) -> None:
        self._check()
        key = f"{receiver}/{fault_id}" if fault_id else receiver
        try:
            self._producer.produce(
                topics.ALERTS_STATE, value, key.encode(), partition=0, on_delivery=self._delivered
            )
        except BufferError as error:
            raise MemoryFailed(f"{topics.ALERTS_STATE}: no room for more, the broker is away") from error
        except KafkaException as error:
            raise MemoryFailed(f"{topics.ALERTS_STATE}: {error}") from error
        self._producer.poll(0)

    def _delivered(self, error: KafkaError | None, _: Message) -> None:
        if error is not None:
            self._failure = (
                self._failure or f"{topics.ALERTS_STATE} does not take what was told: {error.str()}"
            )

    def _check(self) -> None:
        if self._failure:
            raise MemoryFailed(self._failure)

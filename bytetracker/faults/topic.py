"""Faults as the topic tells of them: what it holds, and what comes."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from types import TracebackType

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from bytetracker.faults.fault import Fault, fault_of_event
from bytetracker.topics_admin import KNOCK_TIMEOUT_S, BrokerUnreachable
from schemas import topics
from schemas.codec import decode
from schemas.errors import BadMessage
from schemas.framing import Framing

READ_TIMEOUT_S = 30.0
_MESSAGES = 500


class FaultsTopic:
    """Reads the topic `faults` from its beginning; belongs to no consumer group. `config`: how librdkafka
    reaches the broker. Raises BrokerUnreachable, KafkaException, TimeoutError."""

    def __init__(self, config: Mapping[str, str], framing: Framing) -> None:
        self._framing = framing
        self._newest: dict[str, int] = {}
        _knock(config)
        self._consumer = Consumer(
            {
                **config,
                "group.id": "bytetracker-faults",  # asked for by librdkafka; never joined
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "enable.partition.eof": True,
                "fetch.wait.max.ms": 100,
                "log_level": 0,  # while the broker is away librdkafka would say so 20 times a second
            }
        )
        self._consumer.assign([TopicPartition(topics.FAULTS, 0, OFFSET_BEGINNING)])

    def __enter__(self) -> FaultsTopic:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._consumer.close()

    def held(self) -> list[Fault]:
        """Every event up to where the topic ends now. It is compacted: of old faults only the last one."""
        found: list[Fault] = []
        deadline = time.monotonic() + READ_TIMEOUT_S
        while time.monotonic() < deadline:
            for message in self._consumer.consume(_MESSAGES, 0.5):
                if message.error() is None:
                    found += self._event(message.value())
                elif message.error().code() == KafkaError._PARTITION_EOF:
                    return found
                else:
                    raise KafkaException(message.error())
        raise TimeoutError(f"no end of {topics.FAULTS} within {READ_TIMEOUT_S:.0f} s")

    def next(self, wait_s: float) -> Iterator[Fault]:
        """What comes within that time, ended with the first messages. A broker that is away is waited for."""
        for message in self._consumer.consume(_MESSAGES, wait_s):
            problem = message.error()
            if problem is None:
                yield from self._event(message.value())
            elif problem.fatal():
                raise KafkaException(problem)

    def _event(self, value: bytes | None) -> Iterator[Fault]:
        """None or one: an event may be in the log twice, and what cannot be read is the sink's to report."""
        try:
            fault = fault_of_event(decode(topics.FAULTS, value, framing=self._framing)[0])
        except BadMessage:
            return
        if fault.version > self._newest.get(fault.fault_id, 0):
            self._newest[fault.fault_id] = fault.version
            yield fault


def newest_of_each(events: list[Fault]) -> list[Fault]:
    """Of each fault its newest event, newest faults first."""
    newest = {event.fault_id: event for event in events}
    return sorted(newest.values(), key=lambda fault: (-fault.first_seen_us, fault.fault_id))


def _knock(config: Mapping[str, str]) -> None:
    """Some brokers make a topic that somebody asks for; then the settings of ours would be lost."""
    address = config["bootstrap.servers"]
    try:
        found = AdminClient({**config, "log_level": 0}).list_topics(timeout=KNOCK_TIMEOUT_S).topics
    except KafkaException as error:
        raise BrokerUnreachable(f"no Kafka broker answers at {address}: {error.args[0].str()}") from error
    if topics.FAULTS not in found:
        raise BrokerUnreachable(
            f"the broker at {address} has no topic {topics.FAULTS}; run `bytetracker topics create`"
        )

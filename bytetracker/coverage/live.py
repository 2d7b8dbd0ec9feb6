"""Coverage of a running system, by way of its broker: the newest report, and the ways of its flows."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

from confluent_kafka import OFFSET_END, Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from bytetracker.coverage.learner import Learner
from bytetracker.topics_admin import KNOCK_TIMEOUT_S, BrokerUnreachable
from schemas import topics
from schemas.codec import decode
from schemas.errors import BadMessage
from schemas.framing import Framing

READ_TIMEOUT_S = 30.0
#: Of evidence at a time; they may be large.
_MESSAGES = 200


class NoCoverage(RuntimeError):
    """The running system has not said what is asked for."""


class CoverageTopics:
    """Reads the topics coverage and link-evidence; belongs to no consumer group. `config`: how librdkafka
    reaches the broker. Raises BrokerUnreachable and KafkaException."""

    def __init__(self, config: dict[str, str], framing: Framing) -> None:
        self._config, self._framing = config, framing
        self._knock()

    def newest(self) -> dict[str, Any]:
        """The newest record of the topic coverage. Raises NoCoverage if there is none."""
        consumer = self._consumer()
        try:
            place = TopicPartition(topics.COVERAGE, 0)
            low, high = consumer.get_watermark_offsets(place, timeout=READ_TIMEOUT_S)
            # Markers of transactions and what cannot be read take offsets too: look at the last few.
            consumer.assign([TopicPartition(topics.COVERAGE, 0, max(low, high - 10))])
            found = None
            for _, value in _until_end(consumer, time.monotonic() + READ_TIMEOUT_S):
                found = self._head(topics.COVERAGE, value) or found
        finally:
            consumer.close()
        if found is None:
            raise NoCoverage("no coverage has been reported yet: a worker does so every 10 s")
        return found

    def learn(self, learner: Learner, back_s: float) -> Callable[[float], int]:
        """Take in the evidence of the last `back_s` seconds; returns what takes in the rest.

        That function waits so many seconds for new messages, and returns how many there were.
        """
        consumer = self._consumer()
        since_ms = int((time.time() - back_s) * 1_000)
        (start,) = consumer.offsets_for_times(
            [TopicPartition(topics.EVIDENCE, 0, since_ms)], timeout=READ_TIMEOUT_S
        )
        consumer.assign([start if start.offset >= 0 else TopicPartition(topics.EVIDENCE, 0, OFFSET_END)])
        for key, value in _until_end(consumer, time.monotonic() + READ_TIMEOUT_S + back_s):
            self._take(learner, key, value)

        def more(wait_s: float) -> int:
            deadline, number = time.monotonic() + wait_s, 0
            while (left_s := deadline - time.monotonic()) > 0:
                for message in consumer.consume(_MESSAGES, min(left_s, 0.5)):
                    if message.error() is None:
                        self._take(learner, message.key(), message.value())
                        number += 1
                    elif message.error().code() != KafkaError._PARTITION_EOF:
                        raise KafkaException(message.error())
            return number

        return more

    def _take(self, learner: Learner, key: bytes | None, value: bytes | None) -> None:
        head = self._head(topics.EVIDENCE, value)
        if head is not None and head["partition"] >= 0:  # else operators' commands
            learner.add(head)

    def _head(self, topic: str, value: bytes | None) -> dict[str, Any] | None:
        try:
            return decode(topic, value, framing=self._framing)[0]
        except BadMessage:
            return None  # the worker or the sink reads it too, and writes the dead letter

    def _consumer(self) -> Consumer:
        return Consumer(
            {
                **self._config,
                "group.id": "bytetracker-coverage",  # asked for by librdkafka; never joined
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "enable.partition.eof": True,
                "fetch.wait.max.ms": 10,
            }
        )

    def _knock(self) -> None:
        address = self._config["bootstrap.servers"]
        try:
            found = AdminClient({**self._config, "log_level": 0}).list_topics(timeout=KNOCK_TIMEOUT_S).topics
        except KafkaException as error:
            raise BrokerUnreachable(f"no Kafka broker answers at {address}: {error.args[0].str()}") from error
        for topic in (topics.EVIDENCE, topics.COVERAGE):
            if topic not in found:
                raise BrokerUnreachable(
                    f"the broker at {address} has no topic {topic}; run `bytetracker topics create`"
                )


def _until_end(consumer: Consumer, deadline: float) -> Iterator[tuple[bytes | None, bytes | None]]:
    """Keys and values up to where the log ends now. Raises KafkaException, TimeoutError."""
    while time.monotonic() < deadline:
        for message in consumer.consume(_MESSAGES, 0.5):
            problem = message.error()
            if problem is None:
                yield message.key(), message.value()
            elif problem.code() == KafkaError._PARTITION_EOF:
                return
            else:
                raise KafkaException(problem)
    raise TimeoutError("the end of a topic was not reached in time")

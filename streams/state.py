"""Reads back the state that a stage stored in `streams-state`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping

import structlog
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

from schemas import topics
from schemas.codec import decode
from schemas.errors import BadMessage
from schemas.framing import Framing, SingleObject

READ_TIMEOUT_S = 30.0
#: Only the end of the partition is read: several stages share it, and the newest state is what counts.
TAIL_MESSAGES = 500

log = structlog.get_logger(__name__)


class KafkaStateReader:
    """The newest state per key: the one with the greatest positions, because a worker that lost its
    partition a moment ago may still have stored an older one after it."""

    def __init__(self, config: Mapping[str, str], framing: Framing | None = None) -> None:
        """`config`: how librdkafka reaches the broker."""
        self._config = {
            **config,
            "group.id": "bytetracker-state-reader",  # asked for by librdkafka; never joined
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            # The end of a partition is told in an answer to a fetch; do not let that wait for more.
            "fetch.wait.max.ms": 10,
        }
        self._framing: Framing = framing or SingleObject()

    async def read(self, key: str, partition: int) -> bytes | None:
        """State of a stage, or None. Raises KafkaException, or TimeoutError after READ_TIMEOUT_S."""
        return await asyncio.get_running_loop().run_in_executor(None, self._read, key, partition)

    def _read(self, key: str, partition: int) -> bytes | None:
        consumer = Consumer(dict(self._config))
        try:
            return self._newest(consumer, key, partition)
        finally:
            consumer.close()

    def _newest(self, consumer: Consumer, key: str, partition: int) -> bytes | None:
        where = TopicPartition(topics.STATE, partition)
        try:
            low, high = consumer.get_watermark_offsets(where, timeout=READ_TIMEOUT_S)
        except KafkaException as error:
            if error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                return None
            raise
        start = max(low, high - TAIL_MESSAGES)
        consumer.assign([TopicPartition(topics.STATE, partition, start if start > low else OFFSET_BEGINNING)])
        best: tuple[int, bytes] | None = None
        deadline = time.monotonic() + READ_TIMEOUT_S
        while time.monotonic() < deadline:
            message = consumer.poll(0.5)
            if message is None:
                continue
            problem = message.error()
            if problem is not None:
                if problem.code() == KafkaError._PARTITION_EOF:
                    return best[1] if best else None
                raise KafkaException(problem)
            if message.key() == key.encode():
                try:
                    head, _ = decode(topics.STATE, message.value(), framing=self._framing)
                except BadMessage as error:
                    # Not ours, or damaged: an older state only means that more is read again.
                    log.warning("state skipped", key=key, offset=message.offset(), reason=error.reason)
                    continue
                reached = sum(head["positions"].values())
                if best is None or reached >= best[0]:
                    best = (reached, head["state"])
        raise TimeoutError(f"no end of {topics.STATE}/{partition} within {READ_TIMEOUT_S:.0f} s")

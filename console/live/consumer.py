"""The one thread that reads topics for all pages: no group, nothing committed, from where the present
begins."""

from __future__ import annotations

import time
from collections.abc import Mapping
from threading import Event, Thread

import structlog
from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient

from console.live.state import LiveState
from schemas import topics
from schemas.codec import decode
from schemas.errors import BadMessage
from schemas.framing import Framing

#: Faults from the beginning (the topic is compacted), the others from a little before now.
TOPICS = (topics.FAULTS, topics.EVIDENCE, topics.COVERAGE)
_POLL_S = 0.05
_KNOCK_EVERY_S = 5.0
_KNOCK_TIMEOUT_S = 3.0
_START_TIMEOUT_S = 10.0
#: Messages of coverage to look back at: one every few seconds.
_REPORTS = 2
#: What was there at the beginning is taken for read after that, whatever the broker says of its ends.
_COMPLETE_S = 15.0
_log = structlog.get_logger(__name__)


class LiveConsumer:
    """Runs from `start` to `stop`; the broker may be away at first, and come and go."""

    def __init__(
        self, config: Mapping[str, str], framing: Framing, state: LiveState, look_back_us: int
    ) -> None:
        """`config`: librdkafka's, with the addresses. `look_back_us`: how much evidence to begin with."""
        self._config = dict(config)
        self._framing = framing
        self._state = state
        self._look_back_us = look_back_us
        self._stop = Event()
        self._threads = [
            Thread(target=self._run, name="live", daemon=True),
            Thread(target=self._watch, name="live-broker", daemon=True),
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(5.0)

    def _watch(self) -> None:
        """Whether the broker answers, asked on a connection of its own."""
        admin = AdminClient({**self._config, "log_level": 0})
        while not self._stop.is_set():
            self._state.advice = self._knock(admin)
            self._stop.wait(_KNOCK_EVERY_S if self._state.broker else 1.0)

    def _knock(self, admin: AdminClient) -> str:
        address = self._config["bootstrap.servers"]
        try:
            found = admin.list_topics(timeout=_KNOCK_TIMEOUT_S).topics
        except KafkaException as error:
            return (
                f"no Kafka broker answers at {address} ({error.args[0].str()}): start it, or set "
                "kafka.bootstrap_servers"
            )
        missing = [name for name in TOPICS if name not in found]
        if missing:
            return f"the broker at {address} has no topic {missing[0]}: run `bytetracker topics create`"
        return ""

    def _run(self) -> None:
        while not self._stop.is_set():
            # Some brokers make a topic that somebody asks for; so it is not asked for before it is there.
            if not self._state.broker:
                self._state.tell(time.monotonic())
                self._stop.wait(0.2)
                continue
            try:
                self._consume()
            except KafkaException as error:
                _log.warning("live_interrupted", error=str(error))
                self._stop.wait(1.0)

    def _consume(self) -> None:
        consumer = Consumer(
            {
                **self._config,
                "group.id": "bytetracker-console",  # asked for by librdkafka; never joined
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "enable.partition.eof": True,
                # Where what is asked for has expired, or the broker has begun anew.
                "auto.offset.reset": "earliest",
                "fetch.wait.max.ms": 50,
                "queued.max.messages.kbytes": 32_768,
                "log_level": 3,
            }
        )
        try:
            waiting = self._assign(consumer)
            complete_at = time.monotonic() + _COMPLETE_S
            while not self._stop.is_set():
                for message in consumer.consume(200, _POLL_S):
                    if message.error() is None:
                        self._take(message)
                    elif message.error().code() == KafkaError._PARTITION_EOF:
                        waiting.discard(message.topic())
                    elif message.error().fatal():
                        raise KafkaException(message.error())
                if not self._state.complete and (not waiting or time.monotonic() > complete_at):
                    self._state.complete = True
                self._state.tell(time.monotonic())
        finally:
            consumer.close()

    def _assign(self, consumer: Consumer) -> set[str]:
        """Begin; returns the topics whose end has to be seen before the present is complete."""
        consumer.assign([TopicPartition(name, 0, self._from(consumer, name)) for name in TOPICS])
        return {topics.FAULTS, topics.EVIDENCE}

    def _from(self, consumer: Consumer, name: str) -> int:
        if name == topics.FAULTS:
            return int(OFFSET_BEGINNING)
        low, high = consumer.get_watermark_offsets(TopicPartition(name, 0), timeout=_START_TIMEOUT_S)
        if name == topics.COVERAGE:
            return int(max(low, high - _REPORTS))
        since_ms = (time.time_ns() // 1_000 - self._look_back_us) // 1_000
        (found,) = consumer.offsets_for_times([TopicPartition(name, 0, since_ms)], timeout=_START_TIMEOUT_S)
        return int(found.offset) if found.offset >= 0 else int(high)

    def _take(self, message: Message) -> None:
        try:
            head, rows = decode(str(message.topic()), message.value(), framing=self._framing)
            self._state.take(str(message.topic()), head, rows)
        except BadMessage:
            return  # the sink reads it too, and writes the dead letter
        except (KeyError, ValueError, TypeError) as error:
            _log.warning(
                "message_not_shown", topic=message.topic(), offset=message.offset(), error=repr(error)
            )

"""What `bytetracker silence` does: commands to the localiser, and which silences hold.

Commands are written into the log of evidence, so that every restart and replay of the localiser meets them at
the same place. What holds is told by the state that the localiser stored last and the commands after it: a
broker is all that is asked.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from bytetracker.moments import told
from bytetracker.refusals import SilenceRefused
from bytetracker.settings import Settings
from bytetracker.topics_admin import KNOCK_TIMEOUT_S, BrokerUnreachable
from fabric.inventory import load_fabric
from fabric.model import Fabric
from fabric.within import check_element
from schemas import topics
from schemas.codec import decode
from schemas.errors import BadMessage
from schemas.registry import framing_for
from streams.localise.commands import check_commands, command_message
from streams.localise.localiser import unpack_state
from streams.localise.silences import Silences
from streams.runtime import LOCALISER_KEY
from streams.state import KafkaStateReader

#: Kafka key of commands; evidence has its input partition there.
COMMAND_KEY = b"commands"
DELIVERY_TIMEOUT_S = 20.0
READ_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class Held:
    """A silence or planned maintenance that holds or is to come. Times are us since 1970."""

    what: str  # silence, maintenance
    element: str
    from_us: int
    until_us: int
    why: str
    by: str


class Silencing:
    """The silences of one deployment, by way of its broker. Raises BrokerUnreachable if that does not answer
    or has no topic for evidence, SilenceRefused, UnknownElement, KafkaException, TimeoutError."""

    def __init__(self, settings: Settings) -> None:
        kafka = settings.kafka_settings()
        self._fabric: Fabric = load_fabric(settings.inventory)
        self._config = kafka.librdkafka()
        self._framing = framing_for(kafka.schema_registry_url)

    def silence(self, element: str, until_us: int, why: str, by: str, now_us: int) -> None:
        """Silence an element from now on; of two silences of one element the later counts."""
        check_element(self._fabric, element)
        if until_us <= now_us:
            raise SilenceRefused(f"{told(until_us)} is over already")
        self._send(
            {"action": "silence", "element": element, "until_us": until_us, "why": why, "by": by}, now_us
        )

    def end(self, element: str, by: str, now_us: int) -> None:
        """End the silence of an element."""
        silenced = sorted(h.element for h in self.held(now_us) if h.what == "silence")
        if element not in silenced:
            raise SilenceRefused(f"{element} is not silenced; silenced: {', '.join(silenced) or 'nothing'}")
        self._send(
            {"action": "unsilence", "element": element, "until_us": now_us, "why": "", "by": by}, now_us
        )

    def held(self, now_us: int) -> list[Held]:
        """All silences and planned maintenance that are not over, by their beginning."""
        self._knock()
        state = asyncio.run(KafkaStateReader(self._config, self._framing).read(LOCALISER_KEY, 0))
        position, known = OFFSET_BEGINNING, Silences(self._fabric)
        if state is not None:
            values = unpack_state(state)
            position, known = (
                max(0, values["position"]),
                Silences.restore(self._fabric, values["lives"]["silences"]),
            )
        for command in self._commands_from(position):
            with suppress(BadMessage):  # as the localiser does: there are too many
                known.apply(command)
        held = [
            *(
                Held("silence", s.element, s.from_us, s.until_us, s.why, s.by)
                for s in known.by_element.values()
            ),
            *(
                Held("maintenance", m.element, m.from_us, m.until_us, m.why, "")
                for m in self._fabric.maintenance
            ),
        ]
        return sorted((h for h in held if h.until_us > now_us), key=lambda h: (h.from_us, h.element, h.what))

    def _send(self, command: dict[str, Any], now_us: int) -> None:
        try:
            value = command_message([{**command, "from_us": now_us}], now_us, self._framing)
        except BadMessage as error:
            raise SilenceRefused(error.detail) from error
        self._knock()
        failures: list[KafkaError] = []
        producer = Producer(
            {
                **self._config,
                "enable.idempotence": True,
                "acks": "all",
                "delivery.timeout.ms": int(DELIVERY_TIMEOUT_S * 1_000),
            }
        )
        producer.produce(
            topics.EVIDENCE,
            value,
            COMMAND_KEY,
            partition=0,
            on_delivery=lambda error, _: failures.append(error) if error is not None else None,
        )
        if producer.flush(DELIVERY_TIMEOUT_S + 1) or failures:
            raise KafkaException(failures[0] if failures else KafkaError(KafkaError._MSG_TIMED_OUT))

    def _knock(self) -> None:
        """Some brokers make a topic that somebody writes to; then the settings of ours would be lost."""
        address = self._config["bootstrap.servers"]
        try:
            found = AdminClient({**self._config, "log_level": 0}).list_topics(timeout=KNOCK_TIMEOUT_S).topics
        except KafkaException as error:
            raise BrokerUnreachable(f"no Kafka broker answers at {address}: {error.args[0].str()}") from error
        if topics.EVIDENCE not in found:
            raise BrokerUnreachable(
                f"the broker at {address} has no topic {topics.EVIDENCE}; run `bytetracker topics create`"
            )

    def _commands_from(self, position: int) -> Sequence[dict[str, Any]]:
        """All commands from an offset of the evidence to its end, in order."""
        consumer = Consumer(
            {
                **self._config,
                "group.id": "bytetracker-silence",  # asked for by librdkafka; never joined
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",  # where what is asked for has expired
                "enable.partition.eof": True,
                "fetch.wait.max.ms": 10,
            }
        )
        found: list[dict[str, Any]] = []
        deadline = time.monotonic() + READ_TIMEOUT_S
        try:
            consumer.assign([TopicPartition(topics.EVIDENCE, 0, position)])
            while time.monotonic() < deadline:
                for message in consumer.consume(500, 0.5):
                    problem = message.error()
                    if problem is None:
                        found += self._commands_in(message.key(), message.value())
                    elif problem.code() == KafkaError._PARTITION_EOF:
                        return found
                    else:
                        raise KafkaException(problem)
        finally:
            consumer.close()
        raise TimeoutError(f"no end of {topics.EVIDENCE} within {READ_TIMEOUT_S:.0f} s")

    def _commands_in(self, key: bytes | None, value: bytes | None) -> list[dict[str, Any]]:
        if key != COMMAND_KEY:
            return []
        try:
            head, _ = decode(topics.EVIDENCE, value, framing=self._framing)
            check_commands(head)
        except BadMessage:
            return []  # the localiser does not obey it either, and writes the dead letter
        commands: list[dict[str, Any]] = head["commands"]
        return commands

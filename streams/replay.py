"""The pipeline without Faust: what the joined topics hold, judged again from the start at full speed.

For questions about the past ("what would other settings have said?") and for the proof that a run's
results are a function of its logs: see tests/pipeline/test_replay_equality.py.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

from fabric.model import Fabric
from schemas import topics
from schemas.codec import encode
from schemas.framing import Framing, SingleObject
from streams.intake import TOPICS
from streams.join import Network, PartitionJoin
from streams.localise.localiser import Localiser
from streams.merge import LogMessage
from streams.settings import JoinSettings

#: A broker that says nothing for so long, although the end has not come, has failed.
READ_TIMEOUT_S = 30.0


@dataclass(slots=True)
class Replayed:
    """What the workers would have said: results, evidence and dead letters by partition, then faults."""

    results: list[dict[str, Any]] = field(default_factory=list)
    evidence: list[tuple[dict[str, Any], np.ndarray]] = field(default_factory=list)
    dead_letters: list[dict[str, Any]] = field(default_factory=list)
    faults: list[dict[str, Any]] = field(default_factory=list)


def replay_topics(
    config: Mapping[str, str],
    fabric: Fabric,
    partitions: int,
    settings: JoinSettings,
    *,
    step_messages: int = 64,
    framing: Framing | None = None,
) -> Replayed:
    """Judge everything that the two joined topics hold now. `config`: how librdkafka reaches the broker.

    Blocks until their ends are reached. Raises KafkaException, TimeoutError if the broker falls silent.
    """
    logs = (read_to_end(config, partition) for partition in range(partitions))
    return replay_logs(logs, fabric, settings, step_messages=step_messages, framing=framing)


def replay_logs(
    logs: Iterable[Iterable[LogMessage]],
    fabric: Fabric,
    settings: JoinSettings,
    *,
    step_messages: int = 64,
    framing: Framing | None = None,
) -> Replayed:
    """The same for logs at hand: one for each partition, both sides in any interleaving, offsets in order.

    A step of the join takes in `step_messages` messages; the results do not depend on it.
    """
    network, replayed = Network(fabric), Replayed()
    partitions = 0
    for partition, messages in enumerate(logs):
        partitions += 1
        join = PartitionJoin(partition, network, settings, framing=framing)
        for count, message in enumerate(messages, 1):
            join.offer(message.side, message.offset, message.timestamp_ms, message.value)
            if count % step_messages == 0:
                _collect(join, replayed)
        _collect(join, replayed)
    replayed.faults = _localise(replayed.evidence, fabric, partitions, framing or SingleObject())
    return replayed


def read_to_end(config: Mapping[str, str], partition: int) -> Iterator[LogMessage]:
    """Messages of one partition of both joined topics, up to their ends, as they come.

    The end is learnt from fetching: a broker's answer about its last offset may fall short of it.
    """
    consumer = Consumer(
        {
            **config,
            "group.id": "bytetracker-replay",  # asked for by librdkafka; never joined
            "enable.auto.commit": False,
            "enable.partition.eof": True,
        }
    )
    try:
        consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for topic in TOPICS])
        open_topics = set(TOPICS)
        heard_s = time.monotonic()
        while open_topics:
            for message in consumer.consume(500, 1.0):
                heard_s = time.monotonic()
                problem = message.error()
                if problem is None:
                    if message.topic() in open_topics:  # else it was written after we saw the end
                        side = TOPICS.index(message.topic())
                        yield LogMessage(side, message.offset(), message.timestamp()[1], message.value())
                elif problem.code() == KafkaError._PARTITION_EOF:
                    open_topics.discard(message.topic())
                else:
                    raise KafkaException(problem)
            if time.monotonic() - heard_s > READ_TIMEOUT_S:
                raise TimeoutError(f"no end of partition {partition} within {READ_TIMEOUT_S:.0f} s")
    finally:
        consumer.close()


def _collect(join: PartitionJoin, replayed: Replayed) -> None:
    output = join.step()
    replayed.results += output.results
    replayed.evidence += output.evidence
    replayed.dead_letters += output.dead_letters


def _localise(
    evidence: list[tuple[dict[str, Any], np.ndarray]], fabric: Fabric, partitions: int, framing: Framing
) -> list[dict[str, Any]]:
    """Fault events, with the partitions abreast: nobody is left behind by the speed of a reader."""
    localiser = Localiser(fabric, partitions, framing=framing)
    faults: list[dict[str, Any]] = []
    in_order = sorted(evidence, key=lambda each: (each[0]["slot_us"], each[0]["partition"]))
    for offset, (head, rows) in enumerate(in_order):
        value = encode(topics.EVIDENCE, head, rows, framing=framing)
        faults += localiser.step(offset, head["watermark_us"] // 1_000, value).faults
    return faults

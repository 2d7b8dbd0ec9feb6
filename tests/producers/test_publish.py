"""Batches: what they promise, where they go, that nothing is lost silently. One contract over all sinks."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np
import pytest
from confluent_kafka import Consumer, KafkaError, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from producers.kafka_sink import KafkaSink, KafkaSinkSettings
from producers.publish import HEARTBEAT_US, BatchPublisher, DeliveryError, MemorySink, MessageSink
from schemas import topics
from schemas.batch import AlteredPacket, Batch, ExporterCount, decode_batch
from schemas.partition import group_of, partition_of
from schemas.rows import DIGEST, END_OF_SOURCE_US, OUTCOME
from tests.servers.proxy import CuttableProxy, Mode

PARTITIONS = 4
EPOCH = 1_700_000_000_000_000
_names = itertools.count()


def outcomes(groups: list[int], size: int = 3, sent_at_us: int = EPOCH) -> NDArray[np.void]:
    rows = np.zeros(len(groups) * size, OUTCOME.dtype)
    rows["probe_id"] = np.repeat(np.array(groups, np.int64) << 3, size) + np.tile(
        np.arange(size), len(groups)
    )
    rows["sent_at_us"] = sent_at_us
    rows["group_size"] = size
    return rows


def decoded(messages: list[list[bytes]], topic: str = topics.OUTCOMES) -> list[list[Batch]]:
    return [[decode_batch(topic, message) for message in partition] for partition in messages]


def memory_publisher(topic: str = topics.OUTCOMES, **options: int) -> tuple[BatchPublisher, MemorySink]:
    sink = MemorySink(PARTITIONS)
    return BatchPublisher(topic, "prober-1", EPOCH, PARTITIONS, sink, **options), sink


@dataclass
class Harness:
    """A sink and a way to read what it stored."""

    sink: MessageSink
    read: Callable[[], list[list[bytes]]]


def kafka_harness(bootstrap: str, topic: str) -> Harness:
    admin = AdminClient({"bootstrap.servers": bootstrap})
    for created in admin.create_topics([NewTopic(topic, num_partitions=PARTITIONS)]).values():
        created.result(20)
    sink = KafkaSink(topic, KafkaSinkSettings(bootstrap))

    def read() -> list[list[bytes]]:
        consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": "unused",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
            }
        )
        found: list[list[bytes]] = [[] for _ in range(PARTITIONS)]
        consumer.assign([TopicPartition(topic, p, 0) for p in range(PARTITIONS)])
        open_, deadline_s = set(range(PARTITIONS)), time.monotonic() + 30
        while open_ and time.monotonic() < deadline_s:
            for message in consumer.consume(1000, 0.2):
                if message.error() is None:
                    found[message.partition()].append(message.value())
                else:
                    assert message.error().code() == KafkaError._PARTITION_EOF
                    open_.discard(message.partition())
        assert not open_
        consumer.close()
        return found

    return Harness(sink, read)


@pytest.fixture(
    params=[
        "memory",
        pytest.param("embedded_broker", marks=pytest.mark.servers),
        pytest.param("apache_kafka", marks=pytest.mark.servers),
    ]
)
def harness(request: pytest.FixtureRequest) -> Harness:
    if request.param == "memory":
        sink = MemorySink(PARTITIONS)
        return Harness(sink, lambda: sink.messages)
    broker = request.getfixturevalue(request.param)
    return kafka_harness(broker.bootstrap, f"publish-contract-{next(_names)}")


def test_contract_every_row_once_in_order_and_the_source_ends(harness: Harness) -> None:
    publisher = BatchPublisher(topics.OUTCOMES, "prober-1", EPOCH, PARTITIONS, harness.sink)
    sent = []
    for call in range(30):
        rows = outcomes(list(range(call * 40, call * 40 + 40)), sent_at_us=EPOCH + call)
        publisher.publish(rows, EPOCH + call + 1, now_us=call * 100_000)
        sent.append(rows)
    publisher.close()
    publisher.close()
    assert 0 <= publisher.fill <= 1
    for number, batches in enumerate(decoded(harness.read())):
        envelopes = [batch.envelope for batch in batches]
        assert [e.sequence for e in envelopes] == list(range(len(batches)))
        assert {(e.source, e.epoch, e.partition) for e in envelopes} == {("prober-1", EPOCH, number)}
        watermarks = [e.low_watermark_us for e in envelopes]
        assert watermarks == sorted(watermarks)
        assert watermarks[-1] == END_OF_SOURCE_US
        got = np.concatenate([batch.rows for batch in batches])
        every = np.concatenate(sent)
        mine = partition_of(group_of(every["probe_id"].astype(np.int64)), PARTITIONS) == number
        assert got.tobytes() == every[mine].tobytes()
    with pytest.raises(ValueError, match="closed"):
        publisher.publish(outcomes([]), 0, 0)


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.lists(st.integers(0, 2**45), max_size=60, unique=True), st.integers(1, 8)), max_size=6
    ),
    st.integers(700, 5_000),
)
def test_limits_split_messages_between_groups_and_keep_promises(
    calls: list[tuple[list[int], int]], bytes_max: int
) -> None:
    publisher, sink = memory_publisher(message_bytes_max=bytes_max)
    total = 0
    for number, (groups, size) in enumerate(calls):
        publisher.publish(outcomes(groups, size, EPOCH + number), EPOCH + number + 1, now_us=0)
        total += len(groups) * size
    for batches in decoded(sink.messages):
        promised = 0
        for batch in batches:
            assert len(batch.rows) * OUTCOME.dtype.itemsize <= bytes_max
            total -= len(batch.rows)
            # No row is older than what the messages before it promised.
            assert not len(batch.rows) or batch.rows["sent_at_us"].min() >= promised
            promised = batch.envelope.low_watermark_us
            sizes = np.unique(group_of(batch.rows["probe_id"].astype(np.int64)), return_counts=True)[1]
            if len(batch.rows):
                assert sorted(sizes) == sorted(batch.rows["group_size"][::1][_first_of_group(batch.rows)])
    assert total == 0
    assert publisher.counts.rows_behind_watermark == 0


def _first_of_group(rows: NDArray[np.void]) -> NDArray[np.intp]:
    return np.unique(group_of(rows["probe_id"].astype(np.int64)), return_index=True)[1]


def test_idle_partitions_get_heartbeats() -> None:
    publisher, sink = memory_publisher()
    group = 5
    mine = int(partition_of(np.array([group]), PARTITIONS)[0])
    for tick in range(31):  # ten of them make a heartbeat
        now_us = EPOCH + tick * HEARTBEAT_US // 10
        publisher.publish(outcomes([group], sent_at_us=now_us), now_us, now_us)
    for number, batches in enumerate(decoded(sink.messages)):
        if number == mine:
            assert len(batches) == 31
        else:
            assert [len(b.rows) for b in batches] == [0] * 4
            assert [b.envelope.low_watermark_us for b in batches] == [
                EPOCH + s * HEARTBEAT_US for s in range(4)
            ]
    assert publisher.counts.heartbeats == 4 * (PARTITIONS - 1)


def test_watermarks_never_go_back_and_older_rows_are_counted() -> None:
    publisher, sink = memory_publisher()
    publisher.publish(outcomes([1], sent_at_us=EPOCH), EPOCH + 10, 0)
    publisher.publish(outcomes([1], sent_at_us=EPOCH + 5), EPOCH + 3, HEARTBEAT_US)
    assert publisher.counts.rows_behind_watermark == 3
    for batches in decoded(sink.messages):
        assert {b.envelope.low_watermark_us for b in batches} == {EPOCH + 10}


def test_altered_packets_stay_with_their_rows() -> None:
    publisher, sink = memory_publisher(topics.DIGESTS, message_bytes_max=4_000)
    rows = np.zeros(60, DIGEST.dtype)
    rows["probe_id"] = np.arange(60) << 3
    altered = [AlteredPacket(row, bytes([row]) * 552) for row in range(0, 60, 4)]
    exporters = [ExporterCount(switch, 1, 10, 0) for switch in (1, 2, 5)]
    publisher.publish(rows, EPOCH, 0, altered=altered, exporters=exporters)
    found, counts = {}, []
    for number, batches in enumerate(decoded(sink.messages, topics.DIGESTS)):
        for batch in batches:
            assert len(batch.rows) * DIGEST.dtype.itemsize + 552 * len(batch.altered) <= 4_000
            for each in batch.altered:
                found[int(batch.rows["probe_id"][each.row]) >> 3] = each.packet
            counts += list(batch.exporters)
            assert all(count.switch % PARTITIONS == number for count in batch.exporters)
    assert found == {each.row: each.packet for each in altered}
    assert sorted(count.switch for count in counts) == [1, 2, 5]


def test_a_failed_source_does_not_say_that_it_ended() -> None:
    publisher, sink = memory_publisher()
    with suppress(KeyError), publisher:
        raise KeyError
    assert not any(sink.messages)
    with publisher:
        pass
    assert all(batches[-1].envelope.ends for batches in decoded(sink.messages))
    assert sink.flushed


def test_wrong_rows_are_refused() -> None:
    publisher, _ = memory_publisher()
    with pytest.raises(ValueError, match="rows must be"):
        publisher.publish(np.zeros(1, DIGEST.dtype), 0, 0)
    with pytest.raises(ValueError, match="carries no batches"):
        memory_publisher("faults")


@dataclass
class FailingSink(MemorySink):
    error: DeliveryError = field(default_factory=lambda: DeliveryError("broker gone"))

    def poll(self) -> None:
        raise self.error


def test_a_sinks_failure_reaches_the_caller() -> None:
    publisher = BatchPublisher(topics.OUTCOMES, "p", EPOCH, PARTITIONS, FailingSink(PARTITIONS))
    with pytest.raises(DeliveryError, match="broker gone"):
        publisher.publish(outcomes([1]), 0, 0)


@pytest.mark.servers
@pytest.mark.parametrize("mode", ["refuse", "black_hole"])
def test_an_outage_of_the_broker_loses_and_doubles_nothing(proxied_broker: CuttableProxy, mode: Mode) -> None:
    harness = kafka_harness(proxied_broker.address, f"publish-outage-{next(_names)}")
    publisher = BatchPublisher(topics.OUTCOMES, "prober-1", EPOCH, PARTITIONS, harness.sink)
    sent = []
    for call in range(60):
        if call == 20:
            proxied_broker.cut(mode)
        if call == 40:
            proxied_broker.cut("pass")
        rows = outcomes(list(range(call * 40, call * 40 + 40)), sent_at_us=EPOCH + call)
        publisher.publish(rows, EPOCH + call + 1, now_us=call * 100_000)
        sent.append(rows)
        time.sleep(0.05)
    publisher.close()
    for number, batches in enumerate(decoded(harness.read())):
        assert [batch.envelope.sequence for batch in batches] == list(range(len(batches)))
        got = np.concatenate([batch.rows for batch in batches])
        every = np.concatenate(sent)
        mine = partition_of(group_of(every["probe_id"].astype(np.int64)), PARTITIONS) == number
        assert got.tobytes() == every[mine].tobytes()


def test_no_broker_is_back_pressure_then_a_loud_failure() -> None:
    # Port 1 of loopback: nothing listens there.
    limits = KafkaSinkSettings(
        "127.0.0.1:1", queue_bytes_max=5_000, queue_wait_ms=300, delivery_timeout_ms=60_000
    )
    sink = KafkaSink(topics.OUTCOMES, limits)
    assert sink.fill < 0.1
    with pytest.raises(DeliveryError, match="no room for 2000 bytes after 300 ms"):
        for _ in range(5):
            sink.produce(0, b"x" * 2_000)
    assert sink.fill > 0.5
    assert sink.counts.queue_full_failures == 1
    assert sink.counts.queue_full_waits > 1


def test_messages_that_are_never_acknowledged_fail_loudly() -> None:
    limits = KafkaSinkSettings("127.0.0.1:1", delivery_timeout_ms=400, linger_ms=0, flush_timeout_ms=5_000)
    sink = KafkaSink(topics.OUTCOMES, limits)
    sink.produce(0, b"x")
    with pytest.raises(DeliveryError, match="not delivered"):
        sink.flush()
    assert sink.counts.delivery_failures == 1
    with pytest.raises(DeliveryError):
        sink.produce(0, b"y")


def test_flush_does_not_claim_what_is_not_stored() -> None:
    limits = KafkaSinkSettings("127.0.0.1:1", flush_timeout_ms=300)
    sink = KafkaSink(topics.OUTCOMES, limits)
    sink.produce(0, b"x")
    with pytest.raises(DeliveryError, match="1 messages not stored"):
        sink.flush()


def test_settings_may_not_weaken_delivery() -> None:
    with pytest.raises(ValueError, match="acks"):
        KafkaSink(topics.OUTCOMES, KafkaSinkSettings("127.0.0.1:1"), {"acks": "1"})

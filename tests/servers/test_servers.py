"""Each server that the tests stand on does what they take for granted."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import psutil
import pytest
from aiokafka import AIOKafkaConsumer
from clickhouse_driver.errors import NetworkError, ServerException, SocketTimeoutError
from confluent_kafka import Consumer, KafkaError, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient
from confluent_kafka.schema_registry.error import SchemaRegistryError

from bytetracker.embedded.broker import EmbeddedBroker, EmbeddedBrokerFull, EmbeddedBrokerOptions
from bytetracker.embedded.process import ServerFailed
from tests.servers.clickhouse_server import ClickHouseNative
from tests.servers.fixtures import Broker
from tests.servers.kafka_server import ApacheKafka
from tests.servers.proxy import CuttableProxy
from tests.servers.registry_server import SchemaRegistry

pytestmark = pytest.mark.servers


def create_topic(bootstrap: str, partitions: int = 1, **config: str) -> str:
    """Create a topic with a name of its own and return it."""
    topic = f"topic-{uuid4().hex[:12]}"
    settings = {key.replace("_", "."): value for key, value in config.items()}
    admin = AdminClient({"bootstrap.servers": bootstrap})
    admin.create_topics([NewTopic(topic, partitions, 1, config=settings)], operation_timeout=10)[
        topic
    ].result(20)
    return topic


class Deliveries:
    """Collects what went wrong with messages; its ``report`` is a delivery callback."""

    def __init__(self) -> None:
        self.errors: list[KafkaError] = []

    def report(self, error: KafkaError | None, message: Message) -> None:
        del message
        if error is not None:
            self.errors.append(error)


def produce(bootstrap: str, topic: str, values: list[bytes]) -> None:
    """Produce to partition 0, idempotently, and see that every message was acknowledged."""
    deliveries = Deliveries()
    producer = Producer(
        {"bootstrap.servers": bootstrap, "enable.idempotence": True, "message.timeout.ms": 20000}
    )
    for value in values:
        producer.produce(topic, value, partition=0, on_delivery=deliveries.report)
        producer.poll(0)
    assert producer.flush(30) == 0
    assert deliveries.errors == []


def consume(bootstrap: str, topic: str, count: int, timeout_s: float = 20) -> list[bytes]:
    """Return up to ``count`` values of partition 0, from the start."""
    consumer = Consumer(
        {"bootstrap.servers": bootstrap, "group.id": uuid4().hex, "enable.auto.commit": False}
    )
    consumer.assign([TopicPartition(topic, 0, 0)])
    values: list[bytes] = []
    deadline_s = time.monotonic() + timeout_s
    while len(values) < count and time.monotonic() < deadline_s:
        message = consumer.poll(0.2)
        if message is not None and message.error() is None:
            values.append(message.value())
    consumer.close()
    return values


def test_broker_keeps_order_and_loses_nothing(broker: Broker) -> None:
    topic = create_topic(broker.bootstrap)
    values = [b"%d" % number for number in range(5000)]
    produce(broker.bootstrap, topic, values)
    assert consume(broker.bootstrap, topic, len(values)) == values


def test_broker_keeps_the_settings_of_a_topic(broker: Broker) -> None:
    topic = create_topic(broker.bootstrap, 3, cleanup_policy="compact", retention_ms="60000")
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    assert len(admin.list_topics(topic, timeout=10).topics[topic].partitions) == 3
    (described,) = admin.describe_configs([ConfigResource("topic", topic)]).values()
    settings = described.result(10)
    assert settings["cleanup.policy"].value == "compact"
    assert settings["retention.ms"].value == "60000"


def test_broker_tells_where_a_partition_ends(broker: Broker) -> None:
    topic = create_topic(broker.bootstrap)
    # Several messages in one record batch: asked for its latest offset, the embedded broker answers with
    # the first of the batch, so the end must be learnt from fetching (docs/decisions/0010).
    produce(broker.bootstrap, topic, [b"%d" % number for number in range(100)])
    settings = {
        "bootstrap.servers": broker.bootstrap,
        "group.id": uuid4().hex,
        "enable.auto.commit": False,
        "enable.partition.eof": True,
    }
    consumer = Consumer(settings)
    consumer.assign([TopicPartition(topic, 0, 0)])
    deadline_s = time.monotonic() + 20
    while time.monotonic() < deadline_s:
        message = consumer.poll(0.2)
        if message is not None and message.error() is not None:
            break
    consumer.close()
    assert message is not None
    assert message.error().code() == KafkaError._PARTITION_EOF
    assert message.offset() == 100


def test_broker_serves_a_group_through_aiokafka(broker: Broker) -> None:
    topic = create_topic(broker.bootstrap)
    produce(broker.bootstrap, topic, [b"first", b"second"])

    async def read_committed(group: str, count: int) -> list[bytes]:
        consumer = AIOKafkaConsumer(
            topic,
            bootstrap_servers=broker.bootstrap,
            group_id=group,
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            session_timeout_ms=3000,
            heartbeat_interval_ms=500,
        )
        await consumer.start()
        try:
            values = []
            for _ in range(count):
                values.append((await asyncio.wait_for(consumer.getone(), 20)).value)
                await consumer.commit()
            return values
        finally:
            await consumer.stop()

    group = uuid4().hex
    assert asyncio.run(read_committed(group, 1)) == [b"first"]
    # A later member of the group goes on where the first one committed.
    assert asyncio.run(read_committed(group, 1)) == [b"second"]


def test_apache_kafka_keeps_messages_over_a_crash(apache_kafka: ApacheKafka) -> None:
    topic = create_topic(apache_kafka.bootstrap)
    produce(apache_kafka.bootstrap, topic, [b"kept"])
    apache_kafka.kill()
    assert not apache_kafka.running
    apache_kafka.start()
    assert consume(apache_kafka.bootstrap, topic, 1) == [b"kept"]


def test_embedded_broker_says_that_it_is_full(tmp_path: Path) -> None:
    options = EmbeddedBrokerOptions(log_path=tmp_path / "broker.log", memory_bytes_max=64 * 1024**2)
    with EmbeddedBroker(options) as broker:
        broker.check()
        topic = create_topic(broker.bootstrap)
        produce(broker.bootstrap, topic, [os.urandom(500_000) for _ in range(150)])
        with pytest.raises(EmbeddedBrokerFull, match="its limit is 64 MiB"):
            broker.check()
        broker.kill()
        with pytest.raises(ServerFailed, match="ended"):
            broker.check()


def test_embedded_broker_dies_with_a_parent_that_was_killed(tmp_path: Path) -> None:
    script = (
        "import pathlib, sys, time\n"
        "from bytetracker.embedded.broker import EmbeddedBroker, EmbeddedBrokerOptions\n"
        "broker = EmbeddedBroker(EmbeddedBrokerOptions(log_path=pathlib.Path(sys.argv[1])))\n"
        "broker.start(); print(broker.pid, flush=True); time.sleep(60)\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "broker.log")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        broker = psutil.Process(int(parent.stdout.readline()))
        assert broker.is_running()
        parent.send_signal(signal.SIGKILL)
    broker.wait(timeout=5)
    assert not broker.is_running()


def test_broker_behind_a_proxy_is_out_of_reach_and_back(proxied_broker: CuttableProxy) -> None:
    topic = create_topic(proxied_broker.address)
    deliveries = Deliveries()
    producer = Producer(
        {
            "bootstrap.servers": proxied_broker.address,
            "enable.idempotence": True,
            "reconnect.backoff.max.ms": 200,
            "socket.timeout.ms": 2000,
            "log_level": 0,
        }
    )
    for value in (b"before", b"refused", b"swallowed", b"after"):
        if value in {b"refused", b"swallowed"}:
            proxied_broker.cut("refuse" if value == b"refused" else "black_hole")
        producer.produce(topic, value, partition=0, on_delivery=deliveries.report)
        still_queued = producer.flush(1.5)
        assert still_queued == (0 if value in {b"before", b"after"} else 1)
        proxied_broker.cut("pass")
        assert producer.flush(20) == 0
    assert deliveries.errors == []
    assert consume(proxied_broker.address, topic, 5, timeout_s=3) == [
        b"before",
        b"refused",
        b"swallowed",
        b"after",
    ]


def test_clickhouse_serves_both_ports(clickhouse_native: ClickHouseNative) -> None:
    client = clickhouse_native.client()
    client.execute("CREATE DATABASE both_ports")
    client.execute("CREATE TABLE both_ports.t (n UInt64, s String) ENGINE = MergeTree ORDER BY n")
    numbers = list(range(10_000))
    client.execute("INSERT INTO both_ports.t VALUES", [numbers, [str(n) for n in numbers]], columnar=True)
    assert client.execute("SELECT sum(n), uniqExact(s) FROM both_ports.t") == [(sum(numbers), 10_000)]
    client.disconnect()
    query = urllib.request.Request(clickhouse_native.http_url, data=b"SELECT count() FROM both_ports.t")
    with urllib.request.urlopen(query, timeout=10) as answer:
        assert answer.read() == b"10000\n"


def test_clickhouse_reader_may_only_read(clickhouse_native: ClickHouseNative) -> None:
    owner = clickhouse_native.client("writer", "writer-password")
    owner.execute("CREATE DATABASE read_only")
    owner.execute("CREATE TABLE read_only.t (n UInt64) ENGINE = MergeTree ORDER BY n")
    owner.execute("INSERT INTO read_only.t VALUES", [(1,)])
    owner.disconnect()
    reader = clickhouse_native.client("reader", "reader-password")
    assert reader.execute("SELECT n FROM read_only.t", settings={"max_threads": 1}) == [(1,)]
    for statement in ("INSERT INTO read_only.t SELECT 2", "DROP TABLE read_only.t"):
        with pytest.raises(ServerException, match="readonly mode"):
            reader.execute(statement)
    reader.disconnect()


def test_clickhouse_keeps_rows_over_stop_and_crash(start_clickhouse: Callable[[], ClickHouseNative]) -> None:
    server = start_clickhouse()
    client = server.client()
    client.execute("CREATE DATABASE kept")
    client.execute("CREATE TABLE kept.t (n UInt64) ENGINE = MergeTree ORDER BY n")
    for number, end in enumerate([server.kill, server.stop]):
        # Without a wait for the flush an acknowledged row may still be in a queue of the server.
        client.execute("INSERT INTO kept.t VALUES", [(number,)], settings={"async_insert": 0})
        end()
        assert not server.running
        with pytest.raises(NetworkError):
            server.client().execute("SELECT 1")
        server.start()
        client.disconnect()
        client = server.client()
        assert client.execute("SELECT n FROM kept.t ORDER BY n") == [(n,) for n in range(number + 1)]
    client.disconnect()


def test_clickhouse_behind_a_proxy_times_out_and_comes_back(
    clickhouse_native: ClickHouseNative, cuttable_proxy: Callable[[int], CuttableProxy]
) -> None:
    proxy = cuttable_proxy(clickhouse_native.native_port)
    client = clickhouse_native.client(port=proxy.port, send_receive_timeout=1)
    assert client.execute("SELECT 1") == [(1,)]
    proxy.cut("black_hole")
    started_s = time.monotonic()
    with pytest.raises(SocketTimeoutError):
        client.execute("SELECT 2")
    assert 0.8 < time.monotonic() - started_s < 10
    proxy.cut("refuse")
    with pytest.raises(NetworkError):
        client.execute("SELECT 3")
    proxy.cut("pass")
    client.disconnect()
    assert client.execute("SELECT 4") == [(4,)]
    client.disconnect()


def test_schema_registry_numbers_schemas_and_refuses_incompatible_ones(
    schema_registry: SchemaRegistry,
) -> None:
    client = SchemaRegistryClient({"url": schema_registry.url})
    subject = f"subject-{uuid4().hex[:12]}"

    def record(*names: str) -> Schema:
        fields = [{"name": name, "type": "int"} for name in names]
        return Schema(json.dumps({"type": "record", "name": "R", "fields": fields}), "AVRO")

    number = client.register_schema(subject, record("a"))
    assert client.register_schema(subject, record("a")) == number
    assert json.loads(client.get_schema(number).schema_str)["fields"] == [{"name": "a", "type": "int"}]
    client.set_compatibility(subject, "BACKWARD")
    with pytest.raises(SchemaRegistryError):
        client.register_schema(subject, record("a", "without_default"))

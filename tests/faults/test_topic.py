"""The topic `faults`, when the broker comes and goes."""

from __future__ import annotations

import time

import pytest
from confluent_kafka import Producer

from bytetracker.faults.fault import Fault
from bytetracker.faults.topic import FaultsTopic
from bytetracker.topics_admin import BrokerUnreachable, create_topics
from schemas import topics
from schemas.framing import SingleObject
from tests.faults.examples import LINK, LINK_LATER, SERVER
from tests.pipeline.brokers import delete_topics
from tests.servers.proxy import CuttableProxy, Mode
from tests.sinks.examples import as_message

pytestmark = pytest.mark.servers
MODES: tuple[Mode, ...] = ("refuse", "black_hole")


def _produce(bootstrap: str, *events: dict[str, object]) -> None:
    producer = Producer({"bootstrap.servers": bootstrap})
    for event in events:
        key = str(event["fault_id"])  # Apache Kafka refuses messages without one in a compacted topic
        producer.produce(topics.FAULTS, as_message(topics.FAULTS, event), key, partition=0)
    producer.produce(topics.FAULTS, b"no message of ours", "x", partition=0)  # the sink reports it
    assert producer.flush(30) == 0


def _collect(topic: FaultsTopic, number: int) -> list[Fault]:
    found: list[Fault] = []
    deadline = time.monotonic() + 60
    while len(found) < number and time.monotonic() < deadline:
        found += topic.next(0.5)
    return found


@pytest.mark.parametrize("mode", MODES)
def test_a_broker_that_is_away_is_waited_for(proxied_broker: CuttableProxy, mode: Mode) -> None:
    address = proxied_broker.address
    delete_topics({"bootstrap.servers": address})  # Apache Kafka is one for all tests
    create_topics({"bootstrap.servers": address}, 2)
    first = {"fault_id": f"first-{mode}-{time.time_ns()}"}
    second = {"fault_id": f"second-{mode}-{time.time_ns()}"}
    _produce(address, LINK | first)
    with FaultsTopic({"bootstrap.servers": address}, SingleObject()) as topic:
        assert topic.held()[-1].fault_id == first["fault_id"]
        proxied_broker.cut(mode)
        for _ in range(6):
            assert list(topic.next(0.5)) == []
        proxied_broker.cut("pass")
        _produce(address, LINK | first, LINK_LATER | first, SERVER | second)
        found = _collect(topic, 2)
    assert [(fault.fault_id, fault.version) for fault in found] == [
        (first["fault_id"], 2),
        (second["fault_id"], 1),
    ]


def test_a_broker_without_the_topic_is_told_apart_from_none(proxied_broker: CuttableProxy) -> None:
    proxied_broker.cut("refuse")
    with pytest.raises(BrokerUnreachable, match="no Kafka broker answers"):
        FaultsTopic({"bootstrap.servers": proxied_broker.address}, SingleObject())
    proxied_broker.cut("pass")

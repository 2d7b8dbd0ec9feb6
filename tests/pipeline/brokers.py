"""A broker with our topics and nothing in them, for one test."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from bytetracker.embedded.broker import EmbeddedBroker, EmbeddedBrokerOptions
from bytetracker.topics_admin import create_topics
from schemas.topics import all_topics
from tests.servers.kafka_server import ApacheKafka

KINDS = ("embedded", "apache_kafka")


@contextmanager
def fresh_topics(kind: str, partitions: int, folder: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """Bootstrap address of a broker of that kind. The embedded one is the test's own; on Apache Kafka,
    which the tests share, the topics are made anew and taken away again."""
    if kind == "embedded":
        with EmbeddedBroker(EmbeddedBrokerOptions(log_path=folder / "broker.log")) as broker:
            create_topics({"bootstrap.servers": broker.bootstrap}, partitions)
            yield broker.bootstrap
            broker.kill()
        return
    kafka: ApacheKafka = request.getfixturevalue("apache_kafka")
    config = {"bootstrap.servers": kafka.bootstrap}
    delete_topics(config)
    try:
        create_topics(config, partitions)
        yield kafka.bootstrap
    finally:
        delete_topics(config)


def delete_topics(config: dict[str, str]) -> None:
    """Take away ours, whoever made them, with what is in them."""
    admin = AdminClient(config)
    ours = {topic.name for topic in all_topics()}
    deadline_s = time.monotonic() + 20
    while there := sorted(ours & set(admin.list_topics(timeout=10).topics)):
        assert time.monotonic() < deadline_s, f"{there} are not deleted"
        for deleted in admin.delete_topics(there, operation_timeout=10).values():
            try:
                deleted.result(10)
            except KafkaException:
                continue  # looked at again
        time.sleep(0.1)

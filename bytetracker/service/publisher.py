"""How every process of ours opens a publisher of batches."""

from __future__ import annotations

import time

from prometheus_client import CollectorRegistry

from producers.kafka_sink import KafkaSink, KafkaSinkSettings
from producers.metrics import count_publisher
from producers.publish import BatchPublisher
from schemas.kafka import KafkaSettings
from schemas.registry import framing_for


def open_publisher(
    kafka: KafkaSettings,
    partitions: int,
    topic: str,
    source: str,
    registry: CollectorRegistry | None = None,
) -> BatchPublisher:
    """A publisher of one source to one of the joined topics. Its epoch is now; it connects by itself.

    `registry`: where its metrics go; one publisher a registry."""
    sink = KafkaSink(topic, KafkaSinkSettings(kafka.bootstrap_servers), kafka.librdkafka_security())
    publisher = BatchPublisher(
        topic,
        source,
        time.time_ns() // 1_000,
        partitions,
        sink,
        framing=framing_for(kafka.schema_registry_url),
    )
    if registry is not None:
        count_publisher(publisher, sink, registry)
    return publisher

"""How every process of ours opens a publisher of batches."""

from __future__ import annotations

import time

from producers.kafka_sink import KafkaSink, KafkaSinkSettings
from producers.publish import BatchPublisher
from schemas.kafka import KafkaSettings
from schemas.registry import framing_for


def open_publisher(kafka: KafkaSettings, partitions: int, topic: str, source: str) -> BatchPublisher:
    """A publisher of one source to one of the joined topics. Its epoch is now; it connects by itself."""
    return BatchPublisher(
        topic,
        source,
        time.time_ns() // 1_000,
        partitions,
        KafkaSink(topic, KafkaSinkSettings(kafka.bootstrap_servers), kafka.librdkafka_security()),
        framing=framing_for(kafka.schema_registry_url),
    )

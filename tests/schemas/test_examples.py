"""Every example is a message: written by the codec and by fastavro alike, and read back equal."""

from __future__ import annotations

import pytest

from schemas import catalog, topics
from schemas.batch import decode_batch, encode_batch
from schemas.codec import decode
from tests.schemas.traffic import (
    EVERY_EXAMPLE,
    MAPPED,
    by_codec,
    by_fastavro,
    head_of,
    load,
    read_by_fastavro,
    rows_of,
)

IDS = [f"{topic}/{path.stem}" for topic, path in EVERY_EXAMPLE]


def test_every_topic_has_an_example_and_every_example_a_topic():
    assert {topic for topic, _ in EVERY_EXAMPLE} == set(catalog.topics())


@pytest.mark.parametrize(("topic", "path"), EVERY_EXAMPLE, ids=IDS)
def test_codec_and_fastavro_write_the_same_bytes(topic, path):
    schema = catalog.latest(topic)
    value = load(schema, path)
    message = by_codec(schema, value)
    assert message == by_fastavro(schema, value)
    assert read_by_fastavro(schema, message) == value


@pytest.mark.parametrize(("topic", "path"), EVERY_EXAMPLE, ids=IDS)
def test_codec_reads_back_what_was_written(topic, path):
    schema = catalog.latest(topic)
    value = load(schema, path)
    head, rows = decode(topic, by_fastavro(schema, value))
    if topic in MAPPED:
        assert rows is not None
        assert rows.tobytes() == rows_of(schema, value["rows"]).tobytes()
        assert rows.dtype == schema.row_dtype
    else:
        assert rows is None
    assert head == head_of(schema, value)


@pytest.mark.parametrize(("topic", "path"), [e for e in EVERY_EXAMPLE if e[0] in MAPPED[:2]], ids=str)
def test_batches_round_trip(topic, path):
    schema = catalog.latest(topic)
    message = by_codec(schema, load(schema, path))
    batch = decode_batch(topic, message)
    assert encode_batch(topic, batch) == message
    assert batch.envelope.is_tick == (path.stem == "tick")
    assert batch.envelope.ends == (path.stem == "end-of-source")


def test_topics_and_schemas_are_the_same_set():
    assert {t.name for t in topics.all_topics()} == set(catalog.topics())
    for each in topics.all_topics():
        assert each.producers
        assert each.consumers
        assert each.retention_ms > 0
        assert each.retention_bytes > 0
        assert each.message_bytes_max >= 1 << 20
        assert each.partitions(5) == (5 if each.joined else 1)
        assert topics.topic(each.name) is each
    with pytest.raises(KeyError, match="known: probe-outcomes"):
        topics.topic("probes")


def test_the_joined_topics_share_their_partitions():
    joined = {t.name for t in topics.all_topics() if t.joined}
    assert joined >= {topics.OUTCOMES, topics.DIGESTS, topics.RESULTS}
    compacted = {t.name for t in topics.all_topics() if t.compacted}
    assert compacted == {topics.FAULTS, topics.STATE, topics.ALERTS_STATE}
    assert topics.topic(topics.FAULTS).broker_config()["cleanup.policy"] == "compact,delete"

"""Both framings, and any bytes at all: a message or BadMessage, never anything else."""

from __future__ import annotations

import numpy as np
import pytest
from confluent_kafka.schema_registry import Schema as RegistrySchema
from confluent_kafka.schema_registry import SchemaRegistryClient
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import catalog, topics
from schemas.batch import Batch, Envelope, decode_batch, encode_batch, tick
from schemas.codec import ROWS_MAX, decode, encode
from schemas.errors import BadMessage
from schemas.framing import Confluent, SingleObject
from schemas.registry import ConfluentRegistry, framing_for
from schemas.rows import DIGEST, OUTCOME
from tests.schemas.traffic import EVERY_EXAMPLE, by_codec, load

REASONS = {
    "empty",
    "bad_framing",
    "no_registry",
    "truncated",
    "unknown_schema",
    "undecodable",
    "trailing_bytes",
}
MESSAGES = [
    (topic, by_codec(catalog.latest(topic), load(catalog.latest(topic), p))) for topic, p in EVERY_EXAMPLE
]
IDS = [f"{topic}/{path.stem}" for topic, path in EVERY_EXAMPLE]


def registry_of_memory() -> Confluent:
    return Confluent(ConfluentRegistry(SchemaRegistryClient.new_client({"url": "mock://schemas"})))


@pytest.mark.parametrize(("topic", "message"), MESSAGES, ids=IDS)
def test_truncated_anywhere(topic, message):
    for cut in [*range(min(len(message), 400)), *range(400, len(message), 997), len(message) - 1]:
        with pytest.raises(BadMessage) as caught:
            decode(topic, message[:cut])
        assert caught.value.reason in REASONS - {"trailing_bytes"}


@pytest.mark.parametrize(("topic", "message"), MESSAGES, ids=IDS)
def test_prolonged(topic, message):
    with pytest.raises(BadMessage) as caught:
        decode(topic, message + b"\x00")
    assert caught.value.reason == "trailing_bytes"


@given(st.sampled_from(MESSAGES), st.data())
@settings(max_examples=300, deadline=None)
def test_damaged_messages(case, data):
    topic, message = case
    damaged = bytearray(message)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, min(len(message), 300) - 1))] = data.draw(st.integers(0, 255))
    try:
        decode(topic, bytes(damaged))
    except BadMessage as error:
        assert error.reason in REASONS
        assert error.detail


@given(
    st.sampled_from(catalog.topics()), st.binary(max_size=120), st.sampled_from(["", "mark", "fingerprint"])
)
@settings(max_examples=400, deadline=None)
def test_random_bytes(topic, body, prefix):
    start = {"": b"", "mark": b"\xc3\x01", "fingerprint": b"\xc3\x01" + catalog.latest(topic).fingerprint}[
        prefix
    ]
    try:
        decode(topic, start + body)
    except BadMessage as error:
        assert error.reason in REASONS


@given(st.sampled_from(catalog.topics()), st.binary(max_size=60))
@settings(max_examples=40, deadline=None)
def test_random_bytes_with_a_registry(topic, body):
    framing = registry_of_memory()
    for start in (b"", b"\x00", b"\x00\x00\x00\x00\x01"):
        try:
            decode(topic, start + body, framing=framing)
        except BadMessage as error:
            assert error.reason in REASONS


def test_a_damaged_count_reserves_nothing():
    head = catalog.latest(topics.OUTCOMES)
    message = by_codec(head, load(head, EVERY_EXAMPLE[IDS.index("probe-outcomes/nothing-to-say")][1]))[:-1]
    for count in (ROWS_MAX + 1, 2**40, 2**62, 2**63 - 1):
        zigzag, rest = b"", count << 1
        while rest > 0x7F:
            zigzag, rest = zigzag + bytes([rest & 0x7F | 0x80]), rest >> 7
        with pytest.raises(BadMessage) as caught:
            decode(topics.OUTCOMES, message + zigzag + bytes([rest]) + bytes(100))
        assert caught.value.reason == "truncated"


def test_messages_of_another_topic_are_unknown():
    for topic, message in MESSAGES:
        for other in set(catalog.topics()) - {topic}:
            with pytest.raises(BadMessage) as caught:
                decode(other, message)
            assert caught.value.reason == "unknown_schema"


def test_no_value():
    with pytest.raises(BadMessage) as caught:
        decode(topics.OUTCOMES, None)
    assert caught.value.reason == "empty"


def test_rows_of_another_layout_are_refused_before_they_are_written():
    envelope = Envelope("x", 1, 0, 0, 0)
    with pytest.raises(ValueError, match="rows must be"):
        encode_batch(topics.OUTCOMES, Batch(envelope, np.zeros(1, DIGEST.dtype)))
    with pytest.raises(ValueError, match="rows must be"):
        encode_batch(topics.OUTCOMES, Batch(envelope, np.zeros(1, OUTCOME.dtype.newbyteorder("="))))
    with pytest.raises(ValueError, match="no mapped rows"):
        encode(topics.RESULTS, {"partition": 0, "rows": []}, np.zeros(1, OUTCOME.dtype))
    with pytest.raises(Exception, match="epoch"):
        encode(topics.OUTCOMES, {"source": "x"}, np.zeros(0, OUTCOME.dtype))


@pytest.mark.parametrize("topic", [topics.OUTCOMES, topics.DIGESTS])
def test_a_tick(topic):
    batch = decode_batch(topic, tick(topic, 5))
    assert batch.envelope.is_tick
    assert batch.envelope.partition == 5
    assert not batch.envelope.ends
    assert len(batch.rows) == 0


# -- Confluent's wire format ----------------------------------------------------------------------


@pytest.mark.parametrize(("topic", "message"), MESSAGES, ids=IDS)
def test_confluent_framing_carries_the_same_body(topic, message):
    framing = registry_of_memory()
    head, rows = decode(topic, message)
    framed = encode(topic, head, rows, framing=framing)
    assert framed[:1] == b"\x00"
    assert framed[5:] == message[10:]
    again, mapped = decode(topic, framed, framing=framing)
    assert again == head
    assert (mapped is None and rows is None) or mapped.tobytes() == rows.tobytes()
    # Another process, which has to ask the registry, and which reads the old framing too.
    reader = Confluent(framing.registry)
    assert decode(topic, framed, framing=reader)[0] == head
    assert decode(topic, message, framing=reader)[0] == head
    with pytest.raises(BadMessage) as caught:
        decode(topic, framed, framing=SingleObject())
    assert caught.value.reason == "no_registry"


def test_schema_ids_that_mean_nothing_here():
    framing = registry_of_memory()
    foreign = '{"type": "record", "name": "Other", "fields": []}'
    client = SchemaRegistryClient.new_client({"url": "mock://schemas"})
    number = client.register_schema("foreign", RegistrySchema(foreign, "AVRO"))
    assert number
    framing = Confluent(ConfluentRegistry(client))
    for schema_id in (number, 123_456):
        with pytest.raises(BadMessage) as caught:
            decode(topics.OUTCOMES, b"\x00" + schema_id.to_bytes(4, "big") + b"abc", framing=framing)
        assert caught.value.reason == "unknown_schema"


def test_framing_by_configuration():
    assert isinstance(framing_for(None), SingleObject)
    assert isinstance(framing_for(""), SingleObject)
    assert isinstance(framing_for("http://127.0.0.1:1"), Confluent)


@pytest.mark.servers
def test_a_real_registry(schema_registry):
    framing = framing_for(schema_registry.url)
    for topic, message in MESSAGES:
        head, rows = decode(topic, message)
        framed = encode(topic, head, rows, framing=framing)
        assert decode(topic, framed, framing=framing_for(schema_registry.url))[0] == head
    with pytest.raises(BadMessage) as caught:
        decode(topics.OUTCOMES, b"\x00\x00\x0f\x42\x3fabc", framing=framing)
    assert caught.value.reason == "unknown_schema"

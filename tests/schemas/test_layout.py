"""A row as NumPy maps it, as the `.avsc` has it, and as fastavro reads it: the same bytes."""

from __future__ import annotations

import io
from decimal import Decimal

import fastavro
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import catalog, topics
from schemas.codec import decode
from schemas.layout import DIGITS_BY_BYTES, Field, Layout
from schemas.rows import DIGEST, EVIDENCE, EVIDENCE_TABLES, OUTCOME, PAIRS, rows_of
from tests.schemas.traffic import EVERY_EXAMPLE, EXAMPLES, MAPPED, by_codec, load, read_by_fastavro
from tests.schemas.traffic import rows_of as rows_from_records

LAYOUT = dict(zip(MAPPED, (OUTCOME, DIGEST, EVIDENCE), strict=True))


@pytest.mark.parametrize("topic", MAPPED)
def test_the_avsc_is_the_layout(topic):
    schema = catalog.latest(topic)
    tables = EVIDENCE_TABLES if topic == topics.EVIDENCE else {}
    assert schema.tables == {name: layout.dtype for name, layout in tables.items()}
    layouts = [*tables.values(), LAYOUT[topic]]
    written = [field["type"]["items"] for field in schema.definition["fields"][-len(layouts) :]]
    assert written == [layout.avro(layouts[:i]) for i, layout in enumerate(layouts)]
    assert schema.row_dtype == LAYOUT[topic].dtype
    assert LAYOUT[topic].dtype.itemsize == sum(f.size_bytes for f in LAYOUT[topic].fields)


def records(layout: Layout) -> st.SearchStrategy:
    def column(field: Field) -> st.SearchStrategy:
        if field.kind == "int":
            # fastavro's decimal carries what the precision promises, which is less than the bytes do.
            most = min(10 ** DIGITS_BY_BYTES[field.size_bytes], 2 ** (8 * field.size_bytes - 1)) - 1
            return st.integers(-most, most).map(Decimal)
        return st.binary(min_size=field.size_bytes, max_size=field.size_bytes)

    row = st.tuples(*(column(f) for f in layout.fields))
    names = [f.name for f in layout.fields]
    return st.lists(row.map(lambda values: dict(zip(names, values, strict=True))), max_size=5)


def head_of(topic: str) -> dict:
    path = next(p for t, p in EVERY_EXAMPLE if t == topic)
    return load(catalog.latest(topic), path)


@pytest.mark.parametrize("topic", MAPPED)
@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_fastavro_reads_the_spliced_rows(topic, data):
    schema = catalog.latest(topic)
    value = {**head_of(topic), "rows": data.draw(records(LAYOUT[topic]))}
    if topic == topics.EVIDENCE:
        value["pairs"] = data.draw(records(PAIRS))
    message = by_codec(schema, value)
    assert read_by_fastavro(schema, message) == value
    out = io.BytesIO()
    fastavro.schemaless_writer(out, schema.parsed, value)
    assert message[10:] == out.getvalue()


def long(value: int) -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, "long", value)
    return out.getvalue()


@pytest.mark.parametrize("topic", MAPPED)
@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_several_blocks_and_counts_with_sizes_are_mapped(topic, data):
    """Avro lets a writer cut an array into blocks, and say each block's size after a negative count."""
    schema = catalog.latest(topic)
    blocks = data.draw(st.lists(records(LAYOUT[topic]).filter(len), min_size=2, max_size=4))
    value = {**head_of(topic), "rows": []}
    message = by_codec(schema, value)[:-1]
    for block in blocks:
        packed = rows_from_records(schema, block).tobytes()
        sized = data.draw(st.booleans())
        message += long(-len(block)) + long(len(packed)) if sized else long(len(block))
        message += packed
    message += b"\x00"
    everything = [row for block in blocks for row in block]
    assert read_by_fastavro(schema, message)["rows"] == everything
    _, rows = decode(topic, message)
    assert rows is not None
    assert rows.tobytes() == rows_from_records(schema, everything).tobytes()


def test_mapped_rows_are_a_view():
    schema = catalog.latest(topics.EVIDENCE)
    message = by_codec(schema, load(schema, EXAMPLES / topics.EVIDENCE / "a-slot-with-losses.json"))
    _, rows = decode(topics.EVIDENCE, message)
    assert rows is not None
    assert not rows.flags.owndata
    assert not rows.flags.writeable


def test_rows_of_wants_every_column():
    columns = {f.name: 0 for f in EVIDENCE.fields}
    assert rows_of(EVIDENCE, dict(columns), 3).tolist() == [(0,) * 7] * 3
    with pytest.raises(ValueError, match="missing \\['leg'\\]"):
        rows_of(EVIDENCE, {k: v for k, v in columns.items() if k != "leg"}, 1)
    with pytest.raises(ValueError, match="unknown \\['legs'\\]"):
        rows_of(EVIDENCE, {**columns, "legs": 0}, 1)


@pytest.mark.parametrize(("kind", "size"), [("int", 3), ("int", 16), ("hash", 4)])
def test_fields_of_impossible_sizes(kind, size):
    with pytest.raises(ValueError, match=" bytes, not "):
        Field("x", kind, size, "")


def test_points_in_time_fit_the_digits_of_a_column():
    """Microseconds fit into 18 digits until the year 33658; nanoseconds would not fit today."""
    assert 4_102_444_800_000_000 < 10 ** DIGITS_BY_BYTES[8] < 1_760_000_000_000_000_000
    assert np.dtype(">i8") == OUTCOME.dtype["sent_at_us"]

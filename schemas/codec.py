"""Messages to bytes and back.

A message with mapped rows is its head, written by fastavro, with the packed rows spliced in as the
one block of the array that ends every such message. Reading does the reverse: fastavro reads the
head, NumPy maps the rest. Any Avro reader reads the same bytes.

A message may have further mapped arrays just before its rows. They stand in the head, under their
names, as the bytes of the packed table: to be made with `tobytes`, and read with `numpy.frombuffer`.
"""

from __future__ import annotations

import io
from typing import Any

import fastavro
import numpy as np

from schemas import catalog
from schemas.errors import BadMessage
from schemas.framing import Framing, SingleObject

#: No message may claim more rows than this; a damaged count must not reserve gigabytes.
ROWS_MAX = 1_000_000

_SINGLE_OBJECT = SingleObject()


def encode(
    topic: str, head: dict[str, Any], rows: np.ndarray | None = None, *, framing: Framing = _SINGLE_OBJECT
) -> bytes:
    """Write one message of `topic` with the newest schema.

    `head`: all fields but the mapped rows, or all fields where rows are ordinary records. `rows`:
    shape (n,) of exactly the layout's dtype. Further mapped arrays that the head lacks are empty.
    Raises ValueError on another dtype, and what fastavro raises on a head that does not fit the schema.
    """
    schema = catalog.latest(topic)
    out = io.BytesIO()
    out.write(framing.prefix(schema))
    if schema.tables:
        head = dict(head)
    packed = [(head.pop(name, b""), dtype) for name, dtype in schema.tables.items()]
    fastavro.schemaless_writer(out, schema.head, head, strict_allow_default=True)
    for table, dtype in packed:
        _write_packed(out, np.frombuffer(table, dtype))
    if schema.row_dtype is not None:
        if rows is None or rows.dtype != schema.row_dtype:
            raise ValueError(
                f"{topic}: rows must be {schema.row_dtype}, not {None if rows is None else rows.dtype}"
            )
        _write_packed(out, rows)
    elif rows is not None:
        raise ValueError(f"{topic} has no mapped rows; put records into the head")
    return out.getvalue()


def decode(
    topic: str, message: bytes | None, *, framing: Framing = _SINGLE_OBJECT
) -> tuple[dict[str, Any], np.ndarray | None]:
    """Read one message of `topic`, whichever known version wrote it.

    Returns the head with today's fields, and the rows with today's dtype: a read-only view of
    `message` where it was written with today's layout, else a copy with defaults (zeros) for
    columns that did not exist. Raises BadMessage for anything that cannot be read.
    """
    if message is None:
        raise BadMessage("empty", "the message has no value")
    writer, prefix_bytes = framing.schema_of(topic, message)
    reader = catalog.latest(topic)
    stream = io.BytesIO(message)
    stream.seek(prefix_bytes)
    try:
        head = fastavro.schemaless_reader(stream, writer.head, reader.head if reader is not writer else None)
    except Exception as error:
        raise BadMessage("undecodable", f"{type(error).__name__}: {error}") from error
    if not isinstance(head, dict):  # pragma: no cover - all our schemas are records
        raise BadMessage("undecodable", "not a record")
    end = stream.tell()
    head |= dict.fromkeys(reader.tables, b"")
    for name, dtype in writer.tables.items():
        table, end = _map_rows(message, end, dtype)
        if name in reader.tables:
            head[name] = _as_of_today(table, reader.tables[name]).tobytes()
    rows = None
    if writer.row_dtype is not None:
        rows, end = _map_rows(message, end, writer.row_dtype)
        assert reader.row_dtype is not None
        rows = _as_of_today(rows, reader.row_dtype)
    if end != len(message):
        raise BadMessage("trailing_bytes", f"{len(message) - end} bytes after the end of the message")
    return head, rows


def _write_packed(out: io.BytesIO, rows: np.ndarray) -> None:
    """An Avro array of one block."""
    if len(rows):
        out.write(_zigzag(len(rows)))
        out.write(np.ascontiguousarray(rows).data)
    out.write(b"\x00")


def _map_rows(message: bytes, start: int, dtype: np.dtype[np.void]) -> tuple[np.ndarray, int]:
    """The rows that begin at `start`, and where they end. Other writers may use several blocks, and
    the negative counts that carry a size."""
    blocks: list[np.ndarray] = []
    total = 0
    at = start
    while True:
        count, at = _read_zigzag(message, at)
        if count == 0:
            break
        if count < 0:
            count = -count
            _, at = _read_zigzag(message, at)
        total += count
        end = at + count * dtype.itemsize
        if total > ROWS_MAX or end > len(message):
            raise BadMessage("truncated", f"claims {total} rows, {len(message) - at} bytes are left for them")
        blocks.append(np.frombuffer(message, dtype, count, at))
        at = end
    if len(blocks) == 1:
        return blocks[0], at
    return (np.concatenate(blocks) if blocks else np.empty(0, dtype)), at


def _as_of_today(rows: np.ndarray, today: np.dtype[np.void]) -> np.ndarray:
    if rows.dtype == today:
        return rows
    out = np.zeros(len(rows), today)
    for name in set(today.names or ()) & set(rows.dtype.names or ()):
        out[name] = rows[name]
    return out


def _zigzag(value: int) -> bytes:
    """Avro's variable-length zig-zag integer."""
    rest = (value << 1) ^ (value >> 63)
    out = bytearray()
    while rest > 0x7F:
        out.append(rest & 0x7F | 0x80)
        rest >>= 7
    out.append(rest)
    return bytes(out)


def _read_zigzag(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(message) or shift > 63:
            raise BadMessage("truncated", "the message ends inside a number")
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return (value >> 1) ^ -(value & 1), at
        shift += 7

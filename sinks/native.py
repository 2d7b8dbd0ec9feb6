"""Columns to ClickHouse's Native format and back, with the codecs of clickhouse-driver.

The driver writes this format to the server by itself; chDB is handed the same bytes, so that a column
means the same in both stores. Source of the format: ClickHouse documentation, "Native" under input and
output formats.
"""

from __future__ import annotations

import io
import logging
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from clickhouse_driver.bufferedreader import BufferedSocketReader
from clickhouse_driver.bufferedwriter import BufferedSocketWriter
from clickhouse_driver.context import Context
from clickhouse_driver.errors import Error as DriverError
from clickhouse_driver.numpy.block import NumpyColumnOrientedBlock
from clickhouse_driver.streams.native import BlockInputStream, BlockOutputStream

from sinks.store import Columns, QueryResult, StoreError

# It says at each insert that arrays and maps take the ordinary path; we know.
logging.getLogger("clickhouse_driver.columns.service").setLevel(logging.ERROR)

_BUFFER_BYTES = 1 << 20

#: A file of revision 0 says `DateTime` of every DateTime, whatever its zone; what it carries is UTC.
_WITHOUT_ZONE = re.compile(r"DateTime(?![\w(])")


class _ServerInfo:
    """Revision 0 is the format of files: no block info, no sparse columns."""

    used_revision = 0
    session_timezone = None

    def get_timezone(self) -> str:
        return "UTC"


class _Collected:
    """Stands for the socket of the driver's writer."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []

    def sendall(self, data: Any) -> None:
        self.parts.append(bytes(data))


class _Given:
    """Stands for the socket of the driver's reader."""

    def __init__(self, data: bytes) -> None:
        self.stream = io.BytesIO(data)
        self.size = len(data)

    def recv_into(self, buffer: Any) -> int:
        return self.stream.readinto(buffer)


def encode_block(types: Sequence[tuple[str, str]], columns: Columns) -> bytes:
    """One block. `types`: (name, type) of each column, in order; `columns` as Store.insert takes them."""
    out = _Collected()
    block = NumpyColumnOrientedBlock(list(types), [columns[name] for name, _ in types])
    BlockOutputStream(BufferedSocketWriter(out, _BUFFER_BYTES), _context(use_numpy=True)).write(block)
    return b"".join(out.parts)


def decode_blocks(data: bytes) -> QueryResult:
    """All blocks of a result."""
    source = _Given(data)
    reader = BufferedSocketReader(source, _BUFFER_BYTES)
    stream = BlockInputStream(reader, _context(use_numpy=False))
    names: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    rows: list[tuple[Any, ...]] = []
    while not _at_end(source, reader):
        try:
            block = stream.read()
        except (DriverError, EOFError, NotImplementedError) as error:
            raise StoreError(f"the answer cannot be read: {error}") from error
        names = tuple(name for name, _ in block.columns_with_types)
        types = tuple(kind for _, kind in block.columns_with_types)
        rows.extend(block.get_rows())
    zoneless = {at for at, kind in enumerate(types) if _WITHOUT_ZONE.search(kind)}
    if zoneless:
        rows = [tuple(_in_utc(v) if at in zoneless else v for at, v in enumerate(row)) for row in rows]
    return QueryResult(names, types, rows)


def _in_utc(value: Any) -> Any:
    """Points in time with their zone, also within arrays, tuples and maps."""
    match value:
        case datetime() if value.tzinfo is None:
            return value.replace(tzinfo=UTC)
        case list() | tuple():
            return type(value)(_in_utc(each) for each in value)
        case dict():
            return {_in_utc(key): _in_utc(each) for key, each in value.items()}
    return value


def _at_end(source: _Given, reader: BufferedSocketReader) -> bool:
    """Whether every byte has been consumed; the end inside a block must not pass for the end."""
    return source.stream.tell() == source.size and reader.position == reader.current_buffer_size


def _context(*, use_numpy: bool) -> Context:
    context = Context()
    context.server_info = _ServerInfo()
    context.settings = {}
    context.client_settings = {
        "use_numpy": use_numpy,
        "strings_as_bytes": False,
        "strings_encoding": "utf-8",
        "namedtuple_as_json": True,
    }
    return context

"""The store inside this process: ClickHouse's engine as a library, with a folder of its own.

One process at a time may have a folder open, and one process may have one folder open. There is no
read-only way in beside a running sink: the engine locks the folder whole. So a sink answers others'
questions itself (sinks.chdb_service).
"""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sinks.chdb_session import Session, escaped, open_session, run, set_statement, use
from sinks.native import decode_blocks, encode_block
from sinks.settings import ChdbSettings, checked_name
from sinks.store import (
    INSERT_SETTINGS,
    QUERY_SETTINGS,
    Columns,
    QueryResult,
    StoreError,
    insert_statement,
)


class ChdbStore:
    """Store over chDB. Unlike the contract demands, calls from several threads are fine: they take turns for
    writing, and reading has a session of its own.

    A call ends by the server's own limit (`max_execution_time`); nothing can end a library call from outside.
    """

    def __init__(self, settings: ChdbSettings) -> None:
        """Open the folder, making it if need be. Raises StoreError if another process has it, or if this
        process has another one open."""
        self._settings = settings
        self._database = checked_name(settings.database)
        self._types: dict[str, dict[str, str]] = {}
        self._write_lock = threading.Lock()
        self._read_lock = threading.Lock()
        self._writer: Session | None = open_session(Path(settings.path))
        self._reader: Session | None = None
        limits = {**INSERT_SETTINGS, **QUERY_SETTINGS, "max_execution_time": settings.insert_deadline_s}
        run(self._writer, set_statement(limits))
        use(self._writer, self._database)

    def prepare(self) -> None:
        with self._write_lock:
            run(self._writing(), f"CREATE DATABASE IF NOT EXISTS {self._database}")
            use(self._writing(), self._database)

    def insert(self, table: str, columns: Columns) -> int:
        if not columns or not len(next(iter(columns.values()))):
            return 0
        statement = insert_statement(table, columns)
        with self._write_lock:
            writer = self._writing()
            types = self._table_types(writer, table)
            missing = set(columns) - set(types)
            if missing:
                raise StoreError(f"table {table} has no column {', '.join(sorted(missing))}")
            block = encode_block([(name, types[name]) for name in columns], columns)
            # Not by the library's streaming insert (Connection.send_insert): it reports success even if the
            # engine refused the rows, for too many partitions or a violated constraint, say.
            with _as_file(block) as path:
                run(writer, f"{statement} SELECT * FROM file('{path}', 'Native')")
            return len(next(iter(columns.values())))

    def query(self, sql: str, parameters: Mapping[str, Any] | None = None) -> QueryResult:
        with self._read_lock:
            given = {name: escaped(value) for name, value in (parameters or {}).items()} or None
            result = decode_blocks(run(self._reading(), sql, given))
            return result if result.names else self._header(sql, given)

    def _header(self, sql: str, given: dict[str, Any] | None) -> QueryResult:
        """Names and types of a result without rows, of which the engine says nothing; empty for what
        is no SELECT."""
        try:
            described = decode_blocks(run(self._reading(), f"DESCRIBE TABLE ({sql}\n)", given))
        except StoreError:
            return QueryResult((), (), [])
        return QueryResult(
            tuple(str(row[0]) for row in described.rows), tuple(str(row[1]) for row in described.rows), []
        )

    def execute(self, sql: str) -> None:
        with self._write_lock:
            self._types.clear()  # it may be DDL
            run(self._writing(), sql)

    def close(self) -> None:
        with self._write_lock, self._read_lock:
            for session in (self._reader, self._writer):
                if session is not None:
                    session.close()
            self._reader = self._writer = None

    def _writing(self) -> Session:
        if self._writer is None:
            raise StoreError("the store is closed")
        return self._writer

    def _reading(self) -> Session:
        self._writing()
        if self._reader is None:
            self._reader = open_session(Path(self._settings.path))
            use(self._reader, self._database)
            limits = {**QUERY_SETTINGS, "max_execution_time": self._settings.query_deadline_s, "readonly": 2}
            run(self._reader, set_statement(limits))
        return self._reader

    def _table_types(self, session: Session, table: str) -> dict[str, str]:
        if table not in self._types:
            described = decode_blocks(run(session, f"DESCRIBE TABLE {checked_name(table)}"))
            self._types[table] = {str(row[0]): str(row[1]) for row in described.rows}
        return self._types[table]


@contextmanager
def _as_file(block: bytes) -> Iterator[str]:
    """Path of a file in memory, or of a temporary one where the system has no such thing."""
    if hasattr(os, "memfd_create"):
        with os.fdopen(os.memfd_create("block"), "wb") as file:
            file.write(block)
            file.flush()
            yield f"/proc/self/fd/{file.fileno()}"
    else:  # pragma: no cover - not Linux
        with tempfile.NamedTemporaryFile(suffix=".native") as file:
            file.write(block)
            file.flush()
            yield file.name

"""The store inside this process: ClickHouse's engine as a library, with a folder of its own.

One process at a time may have a folder open, and one process may have one folder open; so a demo's store
is read by the demo itself, and `bytetracker sql` opens the folder when no sink has it. There is no
read-only way in beside a running sink: the engine locks the folder whole.
"""

from __future__ import annotations

import os
import re
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from sinks.native import decode_blocks, encode_block
from sinks.settings import ChdbSettings, checked_name
from sinks.store import (
    INSERT_SETTINGS,
    QUERY_SETTINGS,
    Columns,
    QueryResult,
    StoreError,
    insert_statement,
    store_error,
)

_CODE = re.compile(r"Code: (\d+)\.")


class _Session(Protocol):
    def query(self, sql: str, fmt: str = ..., *, params: Any = ...) -> Any: ...
    def close(self) -> None: ...


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
        self._writer: _Session | None = _open(Path(settings.path))
        self._reader: _Session | None = None
        limits = {**INSERT_SETTINGS, **QUERY_SETTINGS, "max_execution_time": settings.insert_deadline_s}
        self._run(self._writer, _set(limits))
        self._use(self._writer)

    def prepare(self) -> None:
        with self._write_lock:
            self._run(self._writing(), f"CREATE DATABASE IF NOT EXISTS {self._database}")
            self._use(self._writing())

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
                self._run(writer, f"{statement} SELECT * FROM file('{path}', 'Native')")
            return len(next(iter(columns.values())))

    def query(self, sql: str, parameters: Mapping[str, Any] | None = None) -> QueryResult:
        with self._read_lock:
            given = {name: _escaped(value) for name, value in (parameters or {}).items()} or None
            result = decode_blocks(self._run(self._reading(), sql, given))
            return result if result.names else self._header(sql, given)

    def _header(self, sql: str, given: dict[str, Any] | None) -> QueryResult:
        """Names and types of a result without rows, of which the engine says nothing; empty for what
        is no SELECT."""
        try:
            described = decode_blocks(self._run(self._reading(), f"DESCRIBE TABLE ({sql}\n)", given))
        except StoreError:
            return QueryResult((), (), [])
        return QueryResult(
            tuple(str(row[0]) for row in described.rows), tuple(str(row[1]) for row in described.rows), []
        )

    def execute(self, sql: str) -> None:
        with self._write_lock:
            self._types.clear()  # it may be DDL
            self._run(self._writing(), sql)

    def close(self) -> None:
        with self._write_lock, self._read_lock:
            for session in (self._reader, self._writer):
                if session is not None:
                    session.close()
            self._reader = self._writer = None

    def _writing(self) -> _Session:
        if self._writer is None:
            raise StoreError("the store is closed")
        return self._writer

    def _reading(self) -> _Session:
        self._writing()
        if self._reader is None:
            self._reader = _open(Path(self._settings.path))
            self._use(self._reader)
            limits = {**QUERY_SETTINGS, "max_execution_time": self._settings.query_deadline_s, "readonly": 2}
            self._run(self._reader, _set(limits))
        return self._reader

    def _use(self, session: _Session) -> None:
        """Make our database the one that names without a database mean, if it is there."""
        there = f"SELECT name FROM system.databases WHERE name = '{self._database}'"
        if decode_blocks(self._run(session, there)).rows:
            self._run(session, f"USE {self._database}")

    def _table_types(self, session: _Session, table: str) -> dict[str, str]:
        if table not in self._types:
            described = decode_blocks(self._run(session, f"DESCRIBE TABLE {checked_name(table)}"))
            self._types[table] = {str(row[0]): str(row[1]) for row in described.rows}
        return self._types[table]

    def _run(self, session: _Session, sql: str, parameters: dict[str, Any] | None = None) -> bytes:
        from chdb import ChdbError  # noqa: PLC0415 - half a gigabyte that only this store needs

        try:
            return bytes(session.query(sql, "Native", params=parameters).bytes())
        except (ChdbError, RuntimeError) as error:
            raise _translated(error) from error


def _open(path: Path) -> _Session:
    from chdb.session import Session  # noqa: PLC0415

    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        session: _Session = Session(str(path))
    except RuntimeError as error:
        if "already initialized" in str(error):
            raise StoreError(f"this process has another chDB store open, and cannot open {path}") from error
        raise StoreError(
            f"cannot open the chDB store {path}: another process has it open (a running sink or demo), "
            f"or it is not a folder of chDB's ({error})"
        ) from error
    return session


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


def _translated(error: Exception) -> StoreError:
    found = _CODE.search(str(error))
    return store_error(str(error), int(found.group(1)) if found else 0)


def _escaped(value: Any) -> Any:
    """Parameters are read as fields of tab-separated text."""
    if not isinstance(value, str):
        return value
    return value.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n")


def _set(settings: Mapping[str, float]) -> str:
    return "SET " + ", ".join(f"{name} = {value}" for name, value in settings.items())

"""The store over ClickHouse's native protocol, with clickhouse-driver."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from clickhouse_driver import Client
from clickhouse_driver.errors import Error, ServerException, TypeMismatchError, UnknownTypeError

from sinks.settings import ClickHouseSettings, checked_name
from sinks.store import (
    INSERT_SETTINGS,
    QUERY_SETTINGS,
    Columns,
    QueryResult,
    StoreError,
    TransientStoreError,
    insert_statement,
    store_error,
)

_T = TypeVar("_T")

# It says at each insert that arrays and maps take the ordinary path (we know), and at each failed
# connection a stack trace (we raise, and the caller says so in a line).
for _noisy in ("clickhouse_driver.columns.service", "clickhouse_driver.connection"):
    logging.getLogger(_noisy).setLevel(logging.ERROR)

#: The client waits this much longer than the server may work, so that it is the server that gives up
#: first and says why; otherwise a statement could go on unseen after we believed it dead.
_GRACE_S = 5.0


class ClickHouseStore:
    """Store over one server. Connections are made at the first call that needs them and again after any
    error."""

    def __init__(self, settings: ClickHouseSettings) -> None:
        self._settings = settings
        self._database = checked_name(settings.database)
        # Two connections: the driver's NumPy codecs are for writing, Python values for reading.
        self._writer = connection(settings, settings.insert_deadline_s, {"use_numpy": True})
        self._reader = connection(settings, settings.query_deadline_s, {})

    def prepare(self) -> None:
        client = connection(self._settings, self._settings.query_deadline_s, {}, database="default")
        try:
            call(client, lambda: client.execute(f"CREATE DATABASE IF NOT EXISTS {self._database}"))
        finally:
            client.disconnect()

    def insert(self, table: str, columns: Columns) -> int:
        if not columns or not len(next(iter(columns.values()))):
            return 0
        sql = f"{insert_statement(table, columns)} VALUES"
        settings = {**INSERT_SETTINGS, "max_execution_time": self._settings.insert_deadline_s}
        data = list(columns.values())
        return int(
            call(self._writer, lambda: self._writer.execute(sql, data, columnar=True, settings=settings))
        )

    def query(self, sql: str, parameters: Mapping[str, Any] | None = None) -> QueryResult:
        settings: dict[str, Any] = {
            **QUERY_SETTINGS,
            "max_execution_time": self._settings.query_deadline_s,
            "readonly": 2,
        }
        rows, header = call(
            self._reader,
            lambda: self._reader.execute(
                sql, dict(parameters) if parameters else None, with_column_types=True, settings=settings
            ),
        )
        return QueryResult(tuple(n for n, _ in header), tuple(t for _, t in header), list(rows))

    def execute(self, sql: str) -> None:
        settings = {
            **INSERT_SETTINGS,
            **QUERY_SETTINGS,
            "max_execution_time": self._settings.query_deadline_s,
        }
        call(self._reader, lambda: self._reader.execute(sql, settings=settings))

    def close(self) -> None:
        self._writer.disconnect()
        self._reader.disconnect()


def connection(
    s: ClickHouseSettings, deadline_s: float, own: dict[str, Any], database: str | None = None
) -> Client:
    """A client whose statements the server gives up after `deadline_s`; it connects at the first call.

    `own` are settings of the driver. Not for several threads at a time.
    """
    tls: dict[str, Any] = {}
    if s.secure:
        tls = {"secure": True, "verify": s.verify}
        tls |= {"ca_certs": s.ca_file} if s.ca_file else {}
        tls |= {"certfile": s.certificate_file} if s.certificate_file else {}
        tls |= {"keyfile": s.key_file} if s.key_file else {}
    return Client(
        s.host,
        port=s.port,
        database=database or checked_name(s.database),
        user=s.user,
        password=s.password,
        client_name="bytetracker",
        connect_timeout=s.connect_timeout_s,
        send_receive_timeout=deadline_s + _GRACE_S,
        # A connection that was idle is asked for a sign of life before it is used.
        sync_request_timeout=s.connect_timeout_s,
        compression=s.compression,
        tcp_keepalive=True,
        settings={**own, "server_side_params": True},
        **tls,
    )


def call(client: Client, action: Callable[[], _T]) -> _T:
    """Run it; on any error drop the connection and raise one of the two errors of a store."""
    try:
        return action()
    except ServerException as error:
        client.disconnect()
        raise store_error(f"ClickHouse: Code {error.code}: {_first_line(error)}", int(error.code)) from error
    except (UnknownTypeError, TypeMismatchError, NotImplementedError) as error:
        client.disconnect()
        raise StoreError(f"ClickHouse: {_first_line(error)}") from error
    except (Error, OSError, EOFError) as error:
        client.disconnect()
        if "CERTIFICATE_VERIFY_FAILED" in str(error):  # the driver keeps no more of it than its text
            raise StoreError(f"ClickHouse's certificate is not trusted: {_first_line(error)}") from error
        raise TransientStoreError(f"ClickHouse: {type(error).__name__}: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    """What the server said, without its stack trace."""
    text = getattr(error, "message", None) or str(error)
    return str(text).split("Stack trace:")[0].strip().partition("\n")[0] or "no message"

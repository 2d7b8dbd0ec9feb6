"""Reading from a ClickHouse server: as many connections as there are questions at a time, up to a limit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from threading import Lock, Semaphore
from typing import Any

from clickhouse_driver import Client

from sinks.clickhouse import call, connection
from sinks.settings import ClickHouseSettings
from sinks.store import QUERY_SETTINGS, QueryResult, StoreError, TransientStoreError
from sinks.typed import Limits, as_subquery, check_explained, explained

CONNECTIONS_MAX = 8
_READONLY = 164


class ClickHouseReader:
    """Reader over one server."""

    def __init__(self, settings: ClickHouseSettings) -> None:
        self._settings = settings
        self._free = Semaphore(CONNECTIONS_MAX)
        self._lock = Lock()
        self._idle: list[Client] = []
        self._closed = False

    def query(
        self, sql: str, parameters: Mapping[str, Any] | None = None, limits: Limits | None = None
    ) -> QueryResult:
        if limits is None:
            own: Mapping[str, float | str] = {
                "max_execution_time": self._settings.query_deadline_s,
                "readonly": 2,
            }
            return self._ask(sql, parameters, own)
        try:
            question = as_subquery(sql, limits.rows)
            tree = self._ask(explained(question), None, limits.settings()).rows
            check_explained([str(line) for (line,) in tree])
            result = self._ask(question, parameters, limits.settings())
        except StoreError as error:
            if error.code == _READONLY:
                self._check_that_limits_hold(limits)
            raise
        cut = len(result.rows) > limits.rows
        return QueryResult(result.names, result.types, result.rows[: limits.rows], truncated=cut)

    def close(self) -> None:
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for client in idle:
            client.disconnect()

    def _check_that_limits_hold(self, limits: Limits) -> None:
        """A user whose profile sets `readonly` may not be limited further, whatever is asked."""
        try:
            self._ask("SELECT 1", None, limits.settings())
        except StoreError as error:
            if error.code != _READONLY:
                raise
            raise StoreError(
                f"the store does not let its user {self._settings.user!r} be limited: give that user rights "
                f"(GRANT SELECT ON {self._settings.database}.*) instead of a read-only profile ({error})",
                error.code,
            ) from error

    def _ask(
        self, sql: str, parameters: Mapping[str, Any] | None, own: Mapping[str, float | str]
    ) -> QueryResult:
        settings = {**QUERY_SETTINGS, **own}
        given = dict(parameters) if parameters else None
        with self._client() as client:
            rows, header = call(
                client, lambda: client.execute(sql, given, with_column_types=True, settings=settings)
            )
        return QueryResult(tuple(n for n, _ in header), tuple(t for _, t in header), list(rows))

    @contextmanager
    def _client(self) -> Iterator[Client]:
        """A connection of one's own, for a while."""
        if not self._free.acquire(timeout=self._settings.query_deadline_s):
            raise TransientStoreError(
                f"{CONNECTIONS_MAX} questions are being answered already; try again later"
            )
        try:
            with self._lock:
                if self._closed:
                    raise StoreError("the reader is closed")
                client = self._idle.pop() if self._idle else None
            if client is None:
                client = connection(self._settings, self._settings.query_deadline_s, {})
            yield client  # where a question fails, `call` drops the connection, and we the client
            with self._lock:
                closed = self._closed
                if not closed:
                    self._idle.append(client)
            if closed:
                client.disconnect()
        finally:
            self._free.release()

"""Questions to the engine of the process that has a chDB folder: several at a time, beside its writer."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Condition
from typing import Any

from sinks.chdb_session import Session, escaped, open_session, run, set_statement, use
from sinks.native import decode_blocks
from sinks.settings import ChdbSettings, checked_name
from sinks.store import QUERY_SETTINGS, QueryResult, StoreError, TransientStoreError
from sinks.typed import PARSE, Limits, as_subquery, check_parsed

#: Answered side by side; others wait for their turn.
AT_ONCE_MAX = 4
#: Marks our queries in the engine, so that those still running at the end can be ended.
_MARK = "bytetracker-reading"


@dataclass(frozen=True, slots=True)
class RawAnswer:
    """All blocks in Native format; where there are none, names and types of the columns."""

    blocks: bytes
    names: tuple[str, ...] = ()
    types: tuple[str, ...] = ()

    def result(self, rows_max: int | None = None) -> QueryResult:
        """Decoded; of more rows than `rows_max` so many."""
        if not self.blocks:
            return QueryResult(self.names, self.types, [])
        found = decode_blocks(self.blocks)
        rows = found.rows if rows_max is None else found.rows[:rows_max]
        return QueryResult(found.names, found.types, rows, truncated=len(rows) < len(found.rows))


class ChdbQuestions:
    """Asks by sessions of its own. For any number of threads."""

    def __init__(self, settings: ChdbSettings) -> None:
        """Open the folder. Raises FolderTaken, StoreError."""
        self._path = Path(settings.path)
        self._database = checked_name(settings.database)
        self._deadline_s = settings.query_deadline_s
        self._turn = Condition()
        self._running = 0
        self._closed = False
        self._there = False
        self._idle: list[Session] = []
        # Keeps the engine while nothing is asked.
        self._holder = open_session(self._path)

    def ask(
        self, sql: str, parameters: Mapping[str, Any] | None = None, limits: Limits | None = None
    ) -> RawAnswer:
        """As Reader.query, undecoded: of a limited question there may be one row more than its limit."""
        given = {name: escaped(value) for name, value in (parameters or {}).items()} or None
        if limits is None:
            with self._session() as session:
                return _answer(session, sql, given)
        question = as_subquery(sql, limits.rows)
        with self._session() as session:
            tree = decode_blocks(run(session, PARSE, {"sql": escaped(question)})).rows[0][0]
            check_parsed(tree if isinstance(tree, str) else tree.decode("utf-8", "replace"))
            # In a session of its own, which nobody else gets.
            typed = self._open(limits.settings())
            try:
                return _answer(typed, question, given)
            finally:
                typed.close()

    def close(self, wait_s: float = 2.0) -> None:
        """Answer nothing more; end what runs, and wait for it so long at most."""
        with self._turn:
            if self._closed:
                return
            self._closed = True
            running = self._running
        if running:
            self._end_running()
        deadline = time.monotonic() + wait_s
        with self._turn:
            while self._running and time.monotonic() < deadline:
                self._turn.wait(0.05)
            for session in [*self._idle, self._holder]:
                session.close()
            self._idle = []

    def _end_running(self) -> None:
        session = open_session(self._path)
        try:
            run(session, f"KILL QUERY WHERE Settings['log_comment'] = '{_MARK}' ASYNC")
        except StoreError:
            pass  # they end by their deadline
        finally:
            session.close()

    @contextmanager
    def _session(self) -> Iterator[Session]:
        """A session for trusted SQL of one's own, when it is one's turn."""
        deadline = time.monotonic() + self._deadline_s
        with self._turn:
            while self._running >= AT_ONCE_MAX and not self._closed:
                if not self._turn.wait(max(0.0, deadline - time.monotonic())):
                    raise TransientStoreError(f"{AT_ONCE_MAX} questions are being answered; try again later")
            if self._closed:
                raise TransientStoreError("the store is being closed; try again")
            self._running += 1
            session = self._idle.pop() if self._idle else None
        try:
            if session is None:
                session = self._open({"max_execution_time": self._deadline_s, "readonly": 2})
            yield session
        finally:
            with self._turn:
                self._running -= 1
                if session is not None and not self._closed and self._there:
                    self._idle.append(session)
                    session = None
                self._turn.notify_all()
            if session is not None:
                session.close()

    def _open(self, settings: Mapping[str, float | str]) -> Session:
        session = open_session(self._path)
        try:
            # Until the database is there, each session looks for it anew.
            self._there = use(session, self._database)
            run(session, set_statement({**QUERY_SETTINGS, "log_comment": _MARK, **settings}))
        except StoreError:
            session.close()
            raise
        return session


def _answer(session: Session, sql: str, given: dict[str, Any] | None) -> RawAnswer:
    blocks = run(session, sql, given)
    if blocks:
        return RawAnswer(blocks)
    # The engine says nothing of a result without rows; and nothing comes back of what is no SELECT.
    try:
        described = decode_blocks(run(session, f"DESCRIBE TABLE ({sql}\n)", given)).rows
    except StoreError:
        described = []
    return RawAnswer(b"", tuple(str(row[0]) for row in described), tuple(str(row[1]) for row in described))

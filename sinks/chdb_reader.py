"""Reading a chDB folder, whoever has it.

If nobody has it, this process opens it, answers others' questions too, and gives it up when a process that
wants to write asks for it. Else it asks the process that has it. Who has it may change at any time: a
question that finds its answerer gone looks for the next one.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from threading import Lock
from typing import Any

from sinks import chdb_wire as wire
from sinks.chdb_questions import ChdbQuestions, RawAnswer
from sinks.chdb_service import ChdbService
from sinks.chdb_session import FolderTaken
from sinks.settings import ChdbSettings
from sinks.store import QueryResult, StoreError, TransientStoreError
from sinks.typed import Limits

#: A process that has just opened the folder serves it within that time; one that does not answers nobody.
SEARCH_S = 10.0
_LOOK_AGAIN_S = 0.1
#: After giving the folder up it is left to who wanted it.
_LEFT_TO_OTHERS_S = 15.0
#: The answering process gives a question up by itself; it is waited for a little longer.
_GRACE_S = 10.0
_IDLE_MAX = 8


class _Gone(Exception):
    """Nobody answers here (any more)."""


class ChdbReader:
    """Reader over a chDB folder."""

    def __init__(self, settings: ChdbSettings) -> None:
        self._settings = settings
        self._path = wire.socket_path(Path(settings.path))
        self._lock = Lock()
        self._own: ChdbQuestions | None = None
        self._service: ChdbService | None = None
        self._idle: list[socket.socket] = []
        self._left_until = 0.0
        self._closed = False

    def query(
        self, sql: str, parameters: Mapping[str, Any] | None = None, limits: Limits | None = None
    ) -> QueryResult:
        rows_max = None if limits is None else limits.rows
        search_until = time.monotonic() + SEARCH_S
        while True:
            if self._closed:
                raise StoreError("the reader is closed")
            try:
                return self._ask(sql, parameters, limits).result(rows_max)
            except (_Gone, FolderTaken) as error:
                if time.monotonic() > search_until:
                    raise TransientStoreError(
                        f"the process that has the chDB store {self._settings.path} open does not "
                        f"answer: {error}"
                    ) from error
                time.sleep(_LOOK_AGAIN_S)

    def close(self) -> None:
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()
        self._let_go()

    def _ask(self, sql: str, parameters: Mapping[str, Any] | None, limits: Limits | None) -> RawAnswer:
        own = self._own
        if own is not None:
            return own.ask(sql, parameters, limits)
        try:
            return self._ask_other(sql, parameters, limits)
        except _Gone:
            if time.monotonic() < self._left_until:
                raise
            return self._opened().ask(sql, parameters, limits)

    def _opened(self) -> ChdbQuestions:
        with self._lock:
            if self._closed:
                raise StoreError("the reader is closed")
            if self._own is None:
                if not Path(self._settings.path).is_dir():
                    raise StoreError(
                        f"there is no chDB store in {self._settings.path}; a sink or a demo makes one"
                    )
                questions = ChdbQuestions(self._settings)
                try:
                    self._service = ChdbService(self._settings, questions, self._give_up)
                except OSError:
                    self._service = (
                        None  # a folder of which we may not write beside; then nobody else reads it
                    )
                self._own = questions
            return self._own

    def _give_up(self) -> None:
        self._left_until = time.monotonic() + _LEFT_TO_OTHERS_S
        self._let_go()

    def _let_go(self) -> None:
        with self._lock:
            own, self._own = self._own, None
            service, self._service = self._service, None
        if service is not None:
            service.close()
        if own is not None:
            own.close()

    def _ask_other(self, sql: str, parameters: Mapping[str, Any] | None, limits: Limits | None) -> RawAnswer:
        deadline_s = (self._settings.query_deadline_s if limits is None else limits.seconds) + _GRACE_S
        question = {
            "sql": sql,
            "parameters": dict(parameters) if parameters else None,
            "limits": None if limits is None else asdict(limits),
        }
        with self._lock:
            connection = self._idle.pop() if self._idle else None
        if connection is not None:
            try:
                return self._exchange(connection, question, deadline_s)
            except _Gone:
                pass  # it was closed while idle, or its process is gone: both show on a new connection
        return self._exchange(self._connect(), question, deadline_s)

    def _connect(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(5.0)
        try:
            with wire.address(self._path) as address:
                connection.connect(address)
        except OSError as error:
            connection.close()
            raise _Gone(f"{self._path}: {error.strerror or error}") from error
        return connection

    def _exchange(self, connection: socket.socket, question: dict[str, Any], deadline_s: float) -> RawAnswer:
        try:
            connection.settimeout(20.0)
            wire.send(connection, question)
            head = wire.receive(connection, deadline_s, wire.HEAD_BYTES_MAX)
            if head is None:
                raise _Gone("it closed the connection")
            if "error" in head:
                kind = TransientStoreError if head.get("transient") else StoreError
                failure: StoreError | None = kind(str(head["error"]), int(head.get("code", 0)))
                body = b""
            else:
                failure = None
                until = time.monotonic() + deadline_s
                body = wire.receive_bytes(connection, int(head["bytes"]), until) or b""
        except wire.WireSlow as error:
            connection.close()
            raise TransientStoreError(f"no answer within {deadline_s:.0f} s") from error
        except wire.WireError as error:
            connection.close()
            raise _Gone(str(error)) from error
        except BaseException:
            connection.close()
            raise
        self._keep(connection)
        if failure is not None:
            raise failure
        return RawAnswer(body, tuple(head["names"]), tuple(head["types"]))

    def _keep(self, connection: socket.socket) -> None:
        with self._lock:
            if not self._closed and len(self._idle) < _IDLE_MAX:
                self._idle.append(connection)
                return
        connection.close()


def ask_to_give_up(settings: ChdbSettings) -> bool:
    """Ask whoever has the folder to let go of it. Returns whether it makes sense to wait: False if it is a
    sink, which keeps it; True if it will let go, or if nobody answers (any more, or yet)."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(2.0)
    try:
        with wire.address(wire.socket_path(Path(settings.path))) as address:
            connection.connect(address)
        wire.send(connection, {"give_up": True})
        head = wire.receive(connection, 2.0, wire.HEAD_BYTES_MAX)
    except (OSError, wire.WireError):
        return True
    finally:
        connection.close()
    return head is None or bool(head.get("gives_up"))

"""The process that has a chDB folder answers the questions of others.

Over a Unix socket beside the folder that only the same user can open. Each client is a thread, which mostly
waits: for the client, or for the engine, which answers side by side with inserts. A client that sends
garbage, or takes its time, loses its connection and nobody else notices.
"""

from __future__ import annotations

import os
import socket
import struct
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from typing import Any

import structlog

from sinks import chdb_wire as wire
from sinks.chdb_questions import ChdbQuestions
from sinks.settings import ChdbSettings
from sinks.store import StoreError, TransientStoreError
from sinks.typed import Limits

CLIENTS_MAX = 32
#: A client that says nothing for so long is forgotten; readers connect again by themselves.
IDLE_S = 300.0
#: A question once begun, and the taking of an answer, may last so long.
TRANSFER_S = 20.0
_LIMITS = frozenset(field.name for field in fields(Limits))
_log = structlog.get_logger(__name__)


class ChdbService:
    """Serves from its making until `close`."""

    def __init__(
        self, settings: ChdbSettings, questions: ChdbQuestions, give_up: Callable[[], None] | None = None
    ) -> None:
        """`give_up`: called, in a thread of its own, when a process that wants to write asks for the
        folder; None: it is not given up. Raises OSError if the socket cannot be made."""
        self._questions = questions
        self._give_up = give_up
        self._path = wire.socket_path(Path(settings.path))
        self._lock = threading.Lock()
        self._clients: set[socket.socket] = set()
        self._closed = False
        self._listener = _listen(self._path)
        self._inode = self._path.stat().st_ino
        threading.Thread(target=self._accept, name="chdb-service", daemon=True).start()

    def close(self) -> None:
        """Take no more questions. Those that run are the business of ChdbQuestions.close."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            clients = list(self._clients)
        with suppress(OSError):
            # Not the socket of a successor.
            if self._path.stat().st_ino == self._inode:
                self._path.unlink()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for client in clients:
            with suppress(OSError):
                client.shutdown(socket.SHUT_RD)  # an answer that is under way still arrives

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                if self._closed:
                    return
                time.sleep(0.1)  # too many files are open, say
                continue
            with self._lock:
                full = len(self._clients) >= CLIENTS_MAX
                if not full and not self._closed:
                    self._clients.add(client)
            if full or self._closed:
                self._turn_away(client)
                continue
            threading.Thread(target=self._serve, args=(client,), name="chdb-client", daemon=True).start()

    def _turn_away(self, client: socket.socket) -> None:
        client.settimeout(1.0)
        with suppress(wire.WireError):
            wire.send(client, _error(TransientStoreError(f"{CLIENTS_MAX} others are connected already")))
        client.close()

    def _serve(self, client: socket.socket) -> None:
        try:
            if _is_ours(client):
                while self._answer_one(client):
                    pass
        except wire.WireError as error:
            _log.info("reader_dropped", why=str(error))
        except Exception:
            _log.exception("reader_failed")
        finally:
            with self._lock:
                self._clients.discard(client)
            client.close()

    def _answer_one(self, client: socket.socket) -> bool:
        client.settimeout(IDLE_S)
        try:
            if not client.recv(1, socket.MSG_PEEK):
                return False
        except OSError:
            return False
        question = wire.receive(client, TRANSFER_S, wire.QUESTION_BYTES_MAX)
        if question is None:
            return False
        head, body = self._handle(question)
        client.settimeout(TRANSFER_S)
        wire.send(client, head, body)
        return not self._closed

    def _handle(self, question: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
        if "give_up" in question:
            if self._give_up is not None:
                threading.Thread(target=self._give_up, name="chdb-give-up", daemon=True).start()
            return {"names": [], "types": [], "bytes": 0, "gives_up": self._give_up is not None}, b""
        try:
            answer = self._questions.ask(*_checked(question))
        except StoreError as error:
            return _error(error), b""
        return {
            "names": answer.names,
            "types": answer.types,
            "bytes": len(answer.blocks),
        }, answer.blocks


def _checked(question: dict[str, Any]) -> tuple[str, dict[str, Any] | None, Limits | None]:
    sql, parameters, limits = (question.get(name) for name in ("sql", "parameters", "limits"))
    if not isinstance(sql, str):
        raise wire.WireError("no SQL in the question")
    if parameters is not None and not (
        isinstance(parameters, dict) and all(isinstance(v, str | int | float) for v in parameters.values())
    ):
        raise wire.WireError("parameters are no map of values")
    if limits is None:
        return sql, parameters, None
    if not isinstance(limits, dict) or not set(limits) <= _LIMITS:
        raise wire.WireError("limits that are not known")
    try:
        return sql, parameters, Limits(**limits)
    except (TypeError, ValueError) as error:
        raise wire.WireError(f"limits: {error}") from error


def _error(error: StoreError) -> dict[str, Any]:
    return {"error": str(error), "code": error.code, "transient": isinstance(error, TransientStoreError)}


def _listen(path: Path) -> socket.socket:
    """A socket that only this user can connect to. One that is there is left over: its process had the
    folder, and we have it now."""
    with suppress(FileNotFoundError):
        path.unlink()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        # On Linux the file takes over the mode of the socket, so there is no moment at which others could
        # connect.
        os.fchmod(listener.fileno(), 0o600)
        with wire.address(path) as address:
            listener.bind(address)
        path.chmod(0o600)
        listener.listen(CLIENTS_MAX)
    except OSError:
        listener.close()
        raise
    return listener


def _is_ours(client: socket.socket) -> bool:
    """Whether the process at the other end is of our user, or root's. Where the system does not tell, the
    mode of the socket's file has to do."""
    if not hasattr(socket, "SO_PEERCRED"):  # pragma: no cover - not Linux
        return True
    credentials = client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return struct.unpack("3i", credentials)[1] in (0, os.geteuid())

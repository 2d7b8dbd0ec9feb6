"""What goes over the socket beside a chDB folder: a length and JSON, both ways; after an answer its blocks.

    question   u32 n | n bytes of JSON: {"sql": ..., "parameters": {...} or null, "limits": {...} or null}
               or {"give_up": true}, see sinks.chdb_service
    answer     u32 n | n bytes of JSON: {"names": [...], "types": [...], "bytes": b} | b bytes, Native format
               or {"error": ..., "code": ..., "transient": ...}

Lengths are big-endian. Both ends are of the same user and version; what is not understood ends the
connection.
"""

from __future__ import annotations

import json
import os
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

QUESTION_BYTES_MAX = 4 * 1024**2
HEAD_BYTES_MAX = 1024**2
_LENGTH = struct.Struct(">I")
#: sun_path has 108 bytes, with the zero at its end.
_PATH_BYTES_MAX = 107


class WireError(Exception):
    """The other end is gone, too slow, or says what is none of this."""


class WireSlow(WireError):
    """It takes longer than it may."""


def socket_path(folder: Path) -> Path:
    """Beside the folder, because the engine regards all that is in it as its own."""
    return folder.absolute().with_name(f"{folder.name}.sock")


@contextmanager
def address(path: Path) -> Iterator[str]:
    """An address of the socket that fits into one, however long its path is; valid inside the block."""
    if len(os.fsencode(path)) <= _PATH_BYTES_MAX:
        yield str(path)
        return
    parent = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{parent}/{path.name}"
    finally:
        os.close(parent)


def send(connection: socket.socket, head: dict[str, Any], body: bytes = b"") -> None:
    """Raises WireError when it is not taken within the socket's timeout."""
    text = json.dumps(head).encode()
    try:
        connection.sendall(_LENGTH.pack(len(text)) + text)
        if body:
            connection.sendall(body)
    except OSError as error:
        raise WireError(f"cannot send: {error}") from error


def receive(connection: socket.socket, deadline_s: float, bytes_max: int) -> dict[str, Any] | None:
    """One JSON object, which must be complete in so many seconds; None when the other end has closed before
    its first byte. Raises WireError."""
    until = time.monotonic() + deadline_s
    size = receive_bytes(connection, _LENGTH.size, until, may_end=True)
    if size is None:
        return None
    (length,) = _LENGTH.unpack(size)
    if not 0 < length <= bytes_max:
        raise WireError(f"{length} bytes are announced, {bytes_max} are allowed")
    text = receive_bytes(connection, length, until)
    try:
        value = json.loads(text or b"")
    except ValueError as error:
        raise WireError(f"no JSON: {error}") from error
    if not isinstance(value, dict):
        raise WireError("no JSON object")
    return value


def receive_bytes(
    connection: socket.socket, count: int, until: float, *, may_end: bool = False
) -> bytes | None:
    """So many bytes before `until` (time.monotonic); None if none came and `may_end`. Raises WireError."""
    buffer = bytearray(count)
    view, got = memoryview(buffer), 0
    while got < count:
        left = until - time.monotonic()
        if left <= 0:
            raise WireSlow("too slow")
        connection.settimeout(left)
        try:
            more = connection.recv_into(view[got:])
        except TimeoutError as error:
            raise WireSlow("too slow") from error
        except OSError as error:
            raise WireError(f"cannot receive: {error}") from error
        if not more:
            if may_end and not got:
                return None
            raise WireError("the other end has closed")
        got += more
    return bytes(buffer)

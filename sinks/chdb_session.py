"""One session with chDB's engine: opened, asked, and its errors told apart."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from sinks.native import decode_blocks
from sinks.settings import checked_name
from sinks.store import StoreError, store_error

_CODE = re.compile(r"Code: (\d+)\.")


class Session(Protocol):
    """What chDB's sessions do. Those of one process share one engine and run side by side."""

    def query(self, sql: str, fmt: str = ..., *, params: Any = ...) -> Any: ...
    def close(self) -> None: ...


class FolderTaken(StoreError):
    """Another process has the folder open."""


def open_session(path: Path) -> Session:
    """A session on a folder, which is made if need be. The first of a process takes the folder's lock, the
    last to be closed lets go of it. Raises FolderTaken, StoreError."""
    from chdb.session import Session as ChdbSession  # noqa: PLC0415 - half a gigabyte that only this store needs

    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        session: Session = ChdbSession(str(path))
    except RuntimeError as error:
        if "already initialized" in str(error):
            raise StoreError(f"this process has another chDB store open, and cannot open {path}") from error
        raise FolderTaken(
            f"cannot open the chDB store {path}: another process has it open (a running sink or demo), "
            f"or it is not a folder of chDB's ({error})"
        ) from error
    return session


def run(session: Session, sql: str, parameters: dict[str, Any] | None = None) -> bytes:
    """The answer in Native format. Raises StoreError, TransientStoreError."""
    from chdb import ChdbError  # noqa: PLC0415

    try:
        return bytes(session.query(sql, "Native", params=parameters).bytes())
    except (ChdbError, RuntimeError) as error:
        found = _CODE.search(str(error))
        raise store_error(str(error), int(found.group(1)) if found else 0) from error


def use(session: Session, database: str) -> bool:
    """Make it the database that names without one mean, if it is there; returns whether it is."""
    there = f"SELECT name FROM system.databases WHERE name = '{checked_name(database)}'"
    found = bool(decode_blocks(run(session, there)).rows)
    if found:
        run(session, f"USE {database}")
    return found


def escaped(value: Any) -> Any:
    """A parameter: they are read as fields of tab-separated text."""
    if not isinstance(value, str):
        return value
    return value.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n")


def set_statement(settings: Mapping[str, float | str]) -> str:
    """`SET` of settings of ours: numbers and words."""
    return "SET " + ", ".join(
        f"{name} = {value!r}" if isinstance(value, str) else f"{name} = {value}"
        for name, value in settings.items()
    )

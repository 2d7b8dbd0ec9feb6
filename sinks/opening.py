"""From settings to a store."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from sinks.settings import ChdbSettings, ClickHouseSettings, StoreSettings
from sinks.store import Store

_log = structlog.get_logger(__name__)

#: Readers let go of a folder well within that time.
_GIVE_UP_S = 10.0


def open_store(settings: StoreSettings) -> Store:
    """The store that the settings name. chDB opens its folder now (StoreError if it is taken), ClickHouse
    connects at the first call."""
    match settings:
        case ChdbSettings():
            from sinks.chdb_store import ChdbStore  # noqa: PLC0415 - loads half a gigabyte

            return ChdbStore(settings)
        case ClickHouseSettings():
            from sinks.clickhouse import ClickHouseStore  # noqa: PLC0415

            return ClickHouseStore(settings)


def open_to_write(settings: StoreSettings) -> Store:
    """The same for who writes: a reader that has the chDB folder gives it up, and a sink that is just
    ending is waited for."""
    if isinstance(settings, ChdbSettings):
        from sinks.chdb_reader import ask_to_give_up  # noqa: PLC0415
        from sinks.chdb_session import FolderTaken  # noqa: PLC0415

        until = time.monotonic() + _GIVE_UP_S
        while time.monotonic() < until:
            try:
                return open_store(settings)
            except FolderTaken:
                if not ask_to_give_up(settings):
                    raise
                time.sleep(0.2)
    return open_store(settings)


@contextmanager
def answering_readers(settings: StoreSettings) -> Iterator[None]:
    """While the block runs, this process, which has the chDB folder open, answers readers of other
    processes. A server does that by itself."""
    if not isinstance(settings, ChdbSettings):
        yield
        return
    from sinks.chdb_questions import ChdbQuestions  # noqa: PLC0415
    from sinks.chdb_service import ChdbService  # noqa: PLC0415

    questions = ChdbQuestions(settings)
    try:
        service = ChdbService(settings, questions)
    except OSError as error:
        # The rows matter more than those who look at them.
        _log.warning("store_not_readable_by_others", path=settings.path, error=str(error))
        questions.close()
        yield
        return
    try:
        yield
    finally:
        service.close()
        questions.close()

"""Reading a store beside whoever writes it.

    with closing(open_reader(settings)) as reader:
        reader.query("SELECT * FROM fault_history")

Of ClickHouse a reader is a few connections. Of chDB it is the folder itself if nobody has it, else the
process that has it, over a socket beside the folder (sinks.chdb_service).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from sinks.settings import ChdbSettings, ClickHouseSettings, StoreSettings
from sinks.store import QueryResult
from sinks.typed import Limits

__all__ = ["Limits", "Reader", "open_reader"]


class Reader(Protocol):
    """Any number of threads may ask at a time. Nothing can be written through it."""

    def query(
        self, sql: str, parameters: Mapping[str, Any] | None = None, limits: Limits | None = None
    ) -> QueryResult:
        """Ask. `parameters` fill `{name:Type}`; values are str, int or float.

        With `limits` the text is taken for one that a person typed (see sinks.typed): at most `limits.rows`
        rows come back, and `truncated` says whether there were more. Blocks at most the store's deadline,
        or that of the limits, and some seconds. Raises StoreError if the store refuses, TransientStoreError
        if it is away or busy.
        """
        ...

    def close(self) -> None:
        """Let go of connections and locks. Idempotent; the reader is not used afterwards."""
        ...


def open_reader(settings: StoreSettings) -> Reader:
    """A reader of the store that the settings name. Connects at the first question."""
    match settings:
        case ChdbSettings():
            from sinks.chdb_reader import ChdbReader  # noqa: PLC0415

            return ChdbReader(settings)
        case ClickHouseSettings():
            from sinks.clickhouse_reader import ClickHouseReader  # noqa: PLC0415

            return ClickHouseReader(settings)

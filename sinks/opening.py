"""From settings to a store."""

from __future__ import annotations

from sinks.settings import ChdbSettings, ClickHouseSettings, StoreSettings
from sinks.store import Store


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

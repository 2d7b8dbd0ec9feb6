"""Either store, with the planted story in it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sinks.opening import open_store
from sinks.reading import Reader, open_reader
from sinks.settings import ChdbSettings, ClickHouseSettings, StoreSettings
from sinks.store import Store
from tests.sinks.conftest import STORES
from tests.sinks.cookbook.plants import planted
from tests.sinks.cookbook.seed import fill

DATABASE = "cookbook"


@pytest.fixture(scope="package", params=STORES)
def seeded_settings(request: pytest.FixtureRequest, chdb_path: Path) -> StoreSettings:
    if request.param == "chdb":
        return ChdbSettings(str(chdb_path), DATABASE)
    server = request.getfixturevalue("clickhouse_native")
    return ClickHouseSettings(server.host, server.native_port, DATABASE)


@pytest.fixture(scope="package")
def seeded(seeded_settings: StoreSettings) -> Iterator[Store]:
    store = open_store(seeded_settings)
    try:
        fill(store, planted())
        yield store
    finally:
        store.close()


@pytest.fixture(scope="package")
def seeded_reader(seeded: Store, seeded_settings: StoreSettings) -> Iterator[Reader]:
    """The same store, as the console reads it."""
    reader = open_reader(seeded_settings)
    yield reader
    reader.close()

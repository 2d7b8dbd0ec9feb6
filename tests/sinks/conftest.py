"""Stores for tests: each test has a database of its own in a store that all tests share.

The servers come from tests/servers/fixtures.py. This process may have one chDB folder open, hence one for
all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from fabric.builtin import builtin_fabric
from fabric.model import Fabric
from sinks.migrate import migrate
from sinks.names import NodeNames
from sinks.opening import open_store
from sinks.settings import ChdbSettings, ClickHouseSettings, StoreSettings
from sinks.store import Store

#: Both are a database engine: what runs on them is no test of the pure core.
STORES = tuple(pytest.param(name, marks=pytest.mark.servers) for name in ("chdb", "clickhouse"))


@pytest.fixture(scope="session")
def chdb_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("chdb") / "store"


@pytest.fixture(params=STORES)
def store_settings(request: pytest.FixtureRequest, chdb_path: Path) -> StoreSettings:
    """Settings of either store in turn, with a database that does not exist yet."""
    database = f"test_{uuid4().hex[:12]}"
    if request.param == "chdb":
        return ChdbSettings(str(chdb_path), database, insert_deadline_s=10, query_deadline_s=20)
    server = request.getfixturevalue("clickhouse_native")
    return ClickHouseSettings(
        server.host,
        server.native_port,
        database,
        connect_timeout_s=2,
        insert_deadline_s=10,
        query_deadline_s=20,
    )


@pytest.fixture
def opened() -> Iterator[Callable[[StoreSettings], Store]]:
    """Open stores that are closed after the test."""
    stores: list[Store] = []

    def open_one(settings: StoreSettings) -> Store:
        stores.append(open_store(settings))
        return stores[-1]

    yield open_one
    for store in stores:
        store.close()


@pytest.fixture
def empty_store(store_settings: StoreSettings, opened: Callable[[StoreSettings], Store]) -> Store:
    """A database without tables."""
    store = opened(store_settings)
    store.prepare()
    return store


@pytest.fixture
def store(empty_store: Store) -> Store:
    """A database with all tables and views."""
    migrate(empty_store)
    return empty_store


@pytest.fixture(scope="session")
def lab() -> Fabric:
    return builtin_fabric("lab")


@pytest.fixture(scope="session")
def names(lab: Fabric) -> NodeNames:
    return NodeNames(lab)

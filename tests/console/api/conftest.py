"""Consoles over either store with the cookbook's story in it, and over nothing at all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from console.app import create_app
from console.context import Console
from console.settings import ConsoleSettings
from fabric.builtin import builtin_fabric
from sinks.opening import open_store
from sinks.reading import open_reader
from sinks.settings import ChdbSettings, ClickHouseSettings, StoreSettings
from tests.sinks.conftest import STORES
from tests.sinks.cookbook.plants import planted
from tests.sinks.cookbook.seed import fill

MakeClient = Callable[[Console], TestClient]


@pytest.fixture
def client_of() -> Iterator[MakeClient]:
    """A client of an application over a console, as a browser on this machine."""
    with ExitStack() as stack:

        def made(console: Console) -> TestClient:
            client = TestClient(
                create_app(console), base_url="http://127.0.0.1:8080", client=("127.0.0.1", 50_000)
            )
            return stack.enter_context(client)

        yield made


@pytest.fixture
def bare() -> Console:
    """Without a store and a broker."""
    return Console(ConsoleSettings(), builtin_fabric("lab"))


@pytest.fixture(scope="package", params=STORES)
def seeded_settings(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[StoreSettings]:
    settings: StoreSettings
    if request.param == "chdb":
        folder: Path = tmp_path_factory.mktemp("console") / "store"
        settings = ChdbSettings(str(folder), "console_api")
    else:
        server = request.getfixturevalue("clickhouse_native")
        settings = ClickHouseSettings(server.host, server.native_port, "console_api")
    with closing(open_store(settings)) as store:
        fill(store, planted())
        yield settings


@pytest.fixture
def seeded(seeded_settings: StoreSettings) -> Iterator[Console]:
    """Over a store with the story, without a broker."""
    with closing(open_reader(seeded_settings)) as reader:
        yield Console(ConsoleSettings(), planted().fabric, reader=reader)


@pytest.fixture
def client(seeded: Console, client_of: MakeClient) -> TestClient:
    return client_of(seeded)

"""Fixtures that start the servers; `tests/conftest.py` names this module in `pytest_plugins`.

Servers that only serve live for the whole run; those that a test breaks are the test's own.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from bytetracker.embedded.broker import EmbeddedBroker, EmbeddedBrokerOptions
from tests.servers.alertmanager_server import Alertmanager
from tests.servers.clickhouse_server import ClickHouseNative
from tests.servers.kafka_server import ApacheKafka
from tests.servers.provisioned import (
    clickhouse_library,
    java_command,
    kafka_libraries,
    missing_server,
    monitoring_tool,
    registry_folder,
)
from tests.servers.proxy import CuttableProxy
from tests.servers.registry_server import SchemaRegistry

Broker = EmbeddedBroker | ApacheKafka
_BROKERS = ("embedded", "apache_kafka")
_SHARED: list[ClickHouseNative] = []


@pytest.fixture(scope="session")
def embedded_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedBroker]:
    """The embedded broker, shared by all tests: use topic names of your own."""
    log_path = tmp_path_factory.mktemp("embedded-broker") / "broker.log"
    with EmbeddedBroker(EmbeddedBrokerOptions(log_path=log_path)) as broker:
        yield broker


@pytest.fixture(scope="session")
def apache_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApacheKafka]:
    """Apache Kafka, shared by all tests: use topic names of your own."""
    libraries = kafka_libraries()
    if libraries is None:
        missing_server("the jars of Apache Kafka are not in .cache/kafka")
    kafka = ApacheKafka(_java(), libraries, tmp_path_factory.mktemp("kafka"))
    kafka.start()
    yield kafka
    kafka.stop()


@pytest.fixture(scope="session")
def schema_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SchemaRegistry]:
    """A schema registry in memory, shared by all tests: has ``url``; use subjects of your own."""
    folder = registry_folder()
    if folder is None:
        missing_server("the schema registry is not in .cache/registry")
    registry = SchemaRegistry(_java(), folder, tmp_path_factory.mktemp("registry"))
    registry.start()
    yield registry
    registry.stop()


def _java() -> str:
    java = java_command()
    if java is None:
        missing_server("no Java runtime of version 17 or newer")
    return java


@pytest.fixture(params=_BROKERS)
def broker(request: pytest.FixtureRequest) -> Broker:
    """Either broker in turn: has ``bootstrap``."""
    found: Broker = request.getfixturevalue(
        "embedded_broker" if request.param == "embedded" else "apache_kafka"
    )
    return found


@pytest.fixture
def start_clickhouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], ClickHouseNative]]:
    """Start ClickHouse servers that the test may stop, kill and restart; ended after the test."""
    with ExitStack() as started:
        yield lambda: started.enter_context(clickhouse_server(tmp_path_factory.mktemp("clickhouse")))


@pytest.fixture(scope="session")
def clickhouse_native(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouseNative]:
    """ClickHouse over its native port, shared by all tests: use a database of your own."""
    with clickhouse_server(tmp_path_factory.mktemp("clickhouse")) as server:
        _SHARED.append(server)
        yield server
        _SHARED.remove(server)


@pytest.fixture(autouse=True)
def shared_servers_live_on() -> Iterator[None]:
    """A test that ends a server which all tests share fails itself, and not those after it."""
    yield
    for server in _SHARED:
        if not server.running:
            server.start()
            pytest.fail(f"this test ended ClickHouse, which all tests share:\n{server.log_tail()}")


@contextmanager
def clickhouse_server(
    folder: Path, prepare: Callable[[Path], object] = lambda folder: None
) -> Iterator[ClickHouseNative]:
    """A running ClickHouse on a folder of its own; `prepare` may change its users before it starts."""
    library = clickhouse_library()
    if library is None:
        missing_server("the ClickHouse library is not in .cache/clickhouse")
    server = ClickHouseNative(library, folder)
    prepare(folder)
    server.start()
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture
def alertmanager(tmp_path: Path) -> Iterator[Alertmanager]:
    """An Alertmanager of the test's own, running; the test may stop, kill and start it."""
    program = monitoring_tool("prometheus-alertmanager")
    if program is None:
        missing_server("no prometheus-alertmanager")
    server = Alertmanager(program, tmp_path / "alertmanager")
    server.start()
    yield server
    server.kill()


@pytest.fixture
def cuttable_proxy() -> Iterator[Callable[[int], CuttableProxy]]:
    """Put a proxy in front of a loopback port: ``cuttable_proxy(port)``; closed after the test."""
    proxies: list[CuttableProxy] = []

    def open_proxy(upstream_port: int, port: int = 0) -> CuttableProxy:
        proxies.append(CuttableProxy(upstream_port, port))
        return proxies[-1]

    yield open_proxy
    for proxy in proxies:
        proxy.close()


@pytest.fixture(params=_BROKERS)
def proxied_broker(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[CuttableProxy]:
    """A proxy in front of either broker, which sends its clients back to the proxy.

    ``address`` is the value for ``bootstrap.servers``. A broker tells its clients where to connect, so
    a proxy that it does not know of would be left aside after the first request.
    """
    if request.param == "apache_kafka":
        kafka: ApacheKafka = request.getfixturevalue("apache_kafka")
        proxy = CuttableProxy(kafka.behind_proxy_port, kafka.proxy_port)
        yield proxy
        proxy.close()
        return
    proxy = CuttableProxy(upstream_port=0)
    log_path = tmp_path_factory.mktemp("proxied-broker") / "broker.log"
    with EmbeddedBroker(EmbeddedBrokerOptions(log_path=log_path, advertised=proxy.address)) as embedded:
        proxy.upstream_port = embedded.port
        yield proxy
    proxy.close()

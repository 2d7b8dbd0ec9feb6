"""The user of console and Grafana in docker-compose.yml, on a ClickHouse server: may read, and no more."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import yaml
from clickhouse_driver.errors import ServerException

from sinks.migrate import migrate
from sinks.opening import open_store
from sinks.reading import Limits, open_reader
from sinks.settings import ClickHouseSettings
from tests.servers.clickhouse_server import ClickHouseNative
from tests.servers.fixtures import clickhouse_server

pytestmark = pytest.mark.servers

ROOT = Path(__file__).resolve().parents[2]
SERVICES = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
FILE = "deploy/clickhouse/reader.xml"
PASSWORD = "of-this-test"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouseNative]:
    """A server that has the file where the container has it."""

    def add_reader(folder: Path) -> None:
        (folder / "users.d").mkdir()
        (folder / "users.d" / "reader.xml").write_text((ROOT / FILE).read_text())

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("READER_PASSWORD", PASSWORD)
        with clickhouse_server(tmp_path_factory.mktemp("clickhouse"), add_reader) as found:
            yield found


def test_it_may_read_the_database_and_do_nothing_else(server: ClickHouseNative) -> None:
    settings = ClickHouseSettings(server.host, server.native_port, "bytetracker")
    with closing(open_store(settings)) as store:
        migrate(store)
        store.execute("CREATE TABLE default.secret (n UInt8) ENGINE = MergeTree ORDER BY n")
    reader = ClickHouseSettings(
        server.host, server.native_port, "bytetracker", user="reader", password=PASSWORD
    )
    with closing(open_reader(reader)) as asking:
        assert asking.query("SELECT count() FROM fault_events").rows == [(0,)]
        assert asking.query("SELECT count() FROM fault_history", limits=Limits(seconds=5)).rows == [(0,)]
    client = server.client("reader", PASSWORD, database="bytetracker")
    for refused in (
        "INSERT INTO fault_events (fault_id) VALUES ('x')",
        "DROP TABLE fault_events",
        "SELECT * FROM default.secret",
        "SELECT * FROM file('/etc/hostname', 'LineAsString')",
        "CREATE TABLE bytetracker.t (n UInt8) ENGINE = MergeTree ORDER BY n",
    ):
        with pytest.raises(ServerException) as caught:
            client.execute(refused)
        assert caught.value.code == 497, refused
    client.disconnect()


def test_the_console_and_grafana_are_that_user() -> None:
    assert f"./{FILE}:/etc/clickhouse-server/users.d/reader.xml:ro" in SERVICES["clickhouse"]["volumes"]
    password = SERVICES["clickhouse"]["environment"]["READER_PASSWORD"]
    console = SERVICES["console"]["environment"]
    assert console["BYTETRACKER_STORE__USER"] == "reader"
    assert console["BYTETRACKER_STORE__PASSWORD"] == password
    assert SERVICES["grafana"]["environment"]["READER_PASSWORD"] == password
    provisioned = (ROOT / "deploy/grafana/provisioning/datasources/bytetracker.yaml").read_text()
    source = yaml.safe_load(provisioned)["datasources"][0]
    assert source["jsonData"]["username"] == "reader"
    assert source["secureJsonData"] == {"password": "$READER_PASSWORD"}

"""The rights in ClickHouse that the security page shows are enough, and no more than that."""

import re
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sinks.clickhouse import ClickHouseStore
from sinks.migrate import migrate, migrations
from sinks.reading import Limits, open_reader
from sinks.rollup import roll_up
from sinks.settings import ClickHouseSettings, Retention
from sinks.store import StoreError
from tests.docs.pages import page
from tests.servers.clickhouse_server import ClickHouseNative
from tests.servers.fixtures import clickhouse_server

pytestmark = pytest.mark.servers

_PASSWORD = "chosen-for-this-test"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouseNative]:
    """A ClickHouse with the users of the page. Its build takes users from a file only, with their grants."""
    ours = "".join(_user(f"page-{name}", grants) for name, grants in _grants().items())

    def add_users(folder: Path) -> None:
        users = folder / "users.xml"
        users.write_text(users.read_text().replace("</users>", f"{ours}</users>"))

    with clickhouse_server(tmp_path_factory.mktemp("clickhouse"), add_users) as server:
        yield server


def _grants() -> dict[str, list[str]]:
    """The grants that the page shows, by user."""
    section = page("docs/security.md").text.partition("## ClickHouse")[2].partition("\n## ")[0]
    block = section.partition("```text\n")[2].partition("```")[0]
    made = re.findall(r"CREATE USER (\w+) IDENTIFIED", block)
    grants = re.findall(r"^(GRANT .+) TO (\w+);$", block, re.MULTILINE)
    assert made == ["migrator", "bytetracker", "reader"]
    return {name: [grant for grant, user in grants if user == name] for name in made}


def _user(name: str, grants: list[str]) -> str:
    queries = "".join(f"<query>{grant}</query>" for grant in grants)
    return (
        f"<{name}><password>{_PASSWORD}</password><profile>default</profile><quota>default</quota>"
        f"<networks><ip>127.0.0.1</ip></networks><grants>{queries}</grants></{name}>"
    )


def _settings(server: ClickHouseNative, user: str) -> ClickHouseSettings:
    return ClickHouseSettings(port=server.native_port, user=user, password=_PASSWORD)


def test_the_migrator_makes_tables_and_sets_how_long_rows_are_kept(server: ClickHouseNative) -> None:
    with closing(ClickHouseStore(_settings(server, "page-migrator"))) as store:
        assert len(migrate(store, Retention(link_evidence_days=3))) == len(migrations())
        assert not migrate(store, Retention(link_evidence_days=5))


def test_the_sink_inserts_and_rolls_up(server: ClickHouseNative) -> None:
    with closing(ClickHouseStore(_settings(server, "page-bytetracker"))) as store:
        rows = {"topic": np.array(["t"], object), "partition": np.array([1]), "offset": np.array([2])}
        assert store.insert("dead_letters", rows) == 1
        assert store.query("SELECT count() FROM dead_letters").rows == [(1,)]
        # Older rows would be gone at once: see Retention above.
        slot_us = np.array([int(time.time() * 1e6)])
        evidence = {
            "slot": slot_us,
            "from_node": np.array(["a"], object),
            "to_node": np.array(["b"], object),
            "passed": np.array([7]),
        }
        store.insert("link_evidence", evidence)
        store.insert("slots", {"slot": slot_us})
        assert roll_up(store, 10, with_open=True) == 1
        with pytest.raises(StoreError, match="privileges"):
            store.execute("DROP TABLE dead_letters")


def test_the_reader_reads_and_does_nothing_else(server: ClickHouseNative) -> None:
    with closing(open_reader(_settings(server, "page-reader"))) as reader:
        assert reader.query("SELECT count() FROM dead_letters").rows == [(1,)]
        limited = reader.query("SELECT topic FROM dead_letters", limits=Limits())
        assert limited.rows == [("t",)]
        assert reader.query("SELECT count() FROM fault_history", limits=Limits()).rows == [(0,)]
    client = server.client("page-reader", _PASSWORD)
    try:
        for statement in (
            "INSERT INTO bytetracker.dead_letters (topic) VALUES ('x')",
            "DROP TABLE bytetracker.dead_letters",
            "ALTER TABLE bytetracker.dead_letters DELETE WHERE 1",
            "CREATE TABLE bytetracker.x (n UInt8) ENGINE = Memory",
            "SELECT * FROM url('http://127.0.0.1:1/', 'CSV', 'a String')",
            "SELECT * FROM system.users",
        ):
            with pytest.raises(Exception, match=r"Not enough privileges|ACCESS_DENIED"):
                client.execute(statement)
    finally:
        client.disconnect()


@pytest.mark.parametrize("user", ["page-migrator", "page-bytetracker"])
def test_nobody_has_rights_elsewhere(server: ClickHouseNative, user: str) -> None:
    elsewhere = replace(_settings(server, user), database="elsewhere")
    with closing(ClickHouseStore(elsewhere)) as store, pytest.raises(StoreError, match="privileges"):
        migrate(store)

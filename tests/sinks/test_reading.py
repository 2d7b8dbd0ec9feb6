"""What every reader must do, over both stores; what people type is refused by the store."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from time import monotonic

import pytest

from sinks.reading import Limits, Reader, open_reader
from sinks.settings import ChdbSettings, ClickHouseSettings, StoreSettings
from sinks.store import Store, StoreError, TransientStoreError
from tests.servers.clickhouse_server import ClickHouseNative

_LIMITS = Limits(seconds=5, rows=100)


@pytest.fixture
def table(empty_store: Store) -> Store:
    empty_store.execute("CREATE TABLE t (n UInt64, name String) ENGINE = MergeTree ORDER BY n")
    empty_store.execute("INSERT INTO t SELECT number, concat('n', toString(number)) FROM numbers(1000)")
    return empty_store


@pytest.fixture
def reader(store_settings: StoreSettings, table: Store) -> Iterator[Reader]:
    with closing(open_reader(store_settings)) as found:
        yield found


def test_questions_are_answered(reader: Reader) -> None:
    result = reader.query("SELECT n, name FROM t WHERE name = {name:String}", {"name": "n7"})
    assert (result.names, result.types, result.rows) == (("n", "name"), ("UInt64", "String"), [(7, "n7")])
    empty = reader.query("SELECT n AS a, name AS b FROM t WHERE 0")
    assert (empty.names, empty.types, empty.rows) == (("a", "b"), ("UInt64", "String"), [])


def test_what_was_inserted_is_seen_at_once(reader: Reader, table: Store) -> None:
    for number in range(3):
        table.execute(f"INSERT INTO t VALUES ({2000 + number}, 'new')")
        assert reader.query("SELECT count() FROM t WHERE name = 'new'").rows == [(number + 1,)]


def test_typed_questions_are_cut_at_their_limit_and_keep_their_order(reader: Reader) -> None:
    result = reader.query("SELECT n FROM t ORDER BY n DESC -- the last ones", limits=Limits(rows=3))
    assert (result.names, result.rows, result.truncated) == (("n",), [(999,), (998,), (997,)], True)
    result = reader.query("SELECT n FROM t ORDER BY n LIMIT 3;\n", limits=Limits(rows=3))
    assert (result.rows, result.truncated) == ([(0,), (1,), (2,)], False)
    result = reader.query("SELECT n FROM t WHERE 0", limits=_LIMITS)
    assert (result.names, result.rows, result.truncated) == (("n",), [], False)


@pytest.mark.parametrize(
    "sql",
    [
        "WITH a AS (SELECT n FROM t) SELECT count() FROM a",
        "SELECT name, row_number() OVER (ORDER BY n) FROM t WHERE name LIKE '%9' LIMIT 5",
        "SELECT arrayJoin([1, 2]) AS file_count, 'SELECT file(1) INTO OUTFILE' AS text",
        "SELECT toStartOfHour(now()) AS hour, quantile(0.9)(n) FROM t GROUP BY hour",
        "SELECT a.n FROM t AS a JOIN t AS b ON a.n = b.n WHERE b.n IN (SELECT number FROM numbers(3))",
    ],
)
def test_typed_questions_of_all_kinds(reader: Reader, sql: str) -> None:
    assert reader.query(sql, limits=_LIMITS).rows


#: What must not be possible, and the numbers of the store's refusals: 62 it is no question, 164 read-only.
_REFUSED = [
    ("INSERT INTO t VALUES (1, 'x')", {62}),
    ("INSERT INTO t SELECT 1, 'x'", {62}),
    ("DROP TABLE t", {62}),
    ("TRUNCATE TABLE t", {62}),
    ("ALTER TABLE t DELETE WHERE 1", {62}),
    ("RENAME TABLE t TO u", {62}),
    ("CREATE TABLE u (n UInt8) ENGINE = Memory", {62}),
    ("CREATE TEMPORARY TABLE u (n UInt8)", {62}),
    ("CREATE FUNCTION f AS (x) -> x", {62}),
    ("SET readonly = 0", {62}),
    ("SET max_memory_usage = 0", {62}),
    ("USE system", {62}),
    ("SYSTEM FLUSH LOGS", {62}),
    ("KILL QUERY WHERE 1", {62}),
    ("GRANT ALL ON *.* TO default", {62}),
    ("BACKUP TABLE t TO File('/tmp/bytetracker-backup')", {62}),
    ("SELECT 1; DROP TABLE t", {62}),
    ("SELECT 1) AS a; DROP TABLE t; SELECT * FROM (SELECT 1", {62}),
    ("SELECT 1) PARALLEL WITH DROP TABLE t PARALLEL WITH SELECT * FROM (SELECT 1", {36, 62, 80, 164}),
    ("SELECT 1) PARALLEL WITH KILL QUERY WHERE 1 PARALLEL WITH SELECT * FROM (SELECT 1", {36, 62, 80, 164}),
    ("SELECT * FROM file('/etc/hostname', 'LineAsString')", {164, 497}),
    ("SELECT 1 WHERE 'a' IN (SELECT * FROM file('/etc/hostname', 'LineAsString'))", {164, 497}),
    ("DESCRIBE file('/etc/passwd', 'CSV')", {62}),
    ("SELECT * FROM (DESCRIBE file('/etc/passwd', 'CSV'))", {62}),
    ("SELECT * FROM url('http://127.0.0.1:1/', 'CSV', 'a String')", {164, 497}),
    ("SELECT * FROM s3('http://127.0.0.1:1/bucket/x', 'CSV', 'a String')", {164, 497}),
    ("SELECT * FROM remote('127.0.0.1', system.one)", {164, 497}),
    ("SELECT * FROM mysql('127.0.0.1:1', 'b', 'c', 'd', 'e')", {164, 497}),
    ("SELECT * FROM executable('ls', 'CSV', 'a String')", {164, 497}),
    ("SELECT 1 INTO OUTFILE '/tmp/bytetracker-outfile'", {62}),
    ("SELECT 1) INTO OUTFILE '/tmp/bytetracker-outfile' --", {62}),
    ("SELECT 1) INTO OUTFILE '/tmp/bytetracker-outfile'; SELECT * FROM (SELECT 1", {62}),
    ("EXPLAIN SELECT 1 INTO OUTFILE '/tmp/bytetracker-outfile'", {36, 62}),
    ("EXPLAIN SELECT n FROM t", {164, 497}),
    ("SELECT 1 SETTINGS readonly = 0", {164}),
    ("SELECT 1 SETTINGS max_execution_time = 0, max_memory_usage = 0", {164}),
    ("SELECT * FROM (SELECT 1 SETTINGS readonly = 0)", {164}),
    ("WITH a AS (SELECT 1 SETTINGS readonly = 0) SELECT * FROM a", {164}),
    ("SELECT 1 WHERE 1 IN (SELECT 1 SETTINGS readonly = 0)", {164}),
    ("SELECT 1 UNION ALL (SELECT 1 SETTINGS readonly = 0)", {164}),
    ("SELECT * FROM file('/etc/hostname', 'LineAsString') SETTINGS readonly = 0", {164}),
    ("SELECT 1 /*", {62}),
    ("", {62}),
]


@pytest.mark.parametrize(("sql", "codes"), _REFUSED)
def test_typed_text_can_only_ask(reader: Reader, table: Store, sql: str, codes: set[int]) -> None:
    with pytest.raises(StoreError) as caught:
        reader.query(sql, limits=_LIMITS)
    assert caught.value.code in codes, caught.value
    assert not isinstance(caught.value, TransientStoreError)
    assert not Path("/tmp/bytetracker-outfile").exists()
    # All is as it was, for the reader and for who writes.
    assert reader.query("SELECT count() FROM t", limits=_LIMITS).rows == [(1000,)]
    table.execute("INSERT INTO t VALUES (5000, 'x')")


def test_typed_text_cannot_end_what_others_run(reader: Reader, table: Store) -> None:
    """Under readonly = 1 alone a user could: KILL of one's own queries is allowed."""
    ended: list[object] = []

    def long() -> None:
        ended.append(reader.query("SELECT count() FROM numbers(40000000) WHERE sipHash64(number) = 1").rows)

    thread = threading.Thread(target=long)
    thread.start()
    with pytest.raises(StoreError):
        reader.query("KILL QUERY WHERE query LIKE '%sipHash64%' SYNC", limits=_LIMITS)
    thread.join(60)
    assert ended == [[(0,)]]


def test_typed_questions_are_limited(reader: Reader) -> None:
    started = monotonic()
    with pytest.raises(TransientStoreError, match=r"(?i)time|estimated"):
        reader.query(
            "SELECT count() FROM numbers(1000000000000) WHERE sipHash64(number) = 1", limits=Limits(seconds=1)
        )
    assert monotonic() - started < 10
    with pytest.raises(StoreError, match="memory limit"):
        reader.query(
            "SELECT groupArray(number) FROM numbers(100000000)", limits=Limits(memory_bytes=50_000_000)
        )
    with pytest.raises(StoreError, match=r"(?i)limit for result"):
        reader.query(
            "SELECT repeat('x', 1000 + number % 3) FROM numbers(5000)", limits=Limits(result_bytes=1_000_000)
        )
    assert reader.query("SELECT 1", limits=_LIMITS).rows == [(1,)]


def test_questions_that_are_trusted_cannot_write_either(reader: Reader) -> None:
    for sql in ("DROP TABLE t", "INSERT INTO t VALUES (1, 'x')", "SET readonly = 0"):
        with pytest.raises(StoreError) as caught:
            reader.query(sql)
        assert caught.value.code == 164


def test_long_questions_hold_up_neither_others_nor_inserts(reader: Reader, table: Store) -> None:
    sleeping = "SELECT sum(sleepEachRow(1)) FROM numbers(12) SETTINGS max_block_size = 1, max_threads = 1"
    threads = [threading.Thread(target=reader.query, args=(sleeping,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for number in range(3):
        table.execute(f"INSERT INTO t VALUES ({9000 + number}, 'beside')")
        assert reader.query("SELECT count() FROM t WHERE name = 'beside'").rows == [(number + 1,)]
    assert all(thread.is_alive() for thread in threads)
    for thread in threads:
        thread.join(60)


def test_a_closed_reader_says_so(store_settings: StoreSettings, table: Store) -> None:
    reader = open_reader(store_settings)
    assert reader.query("SELECT 1").rows == [(1,)]
    reader.close()
    reader.close()
    with pytest.raises(StoreError, match="closed"):
        reader.query("SELECT 1")


@pytest.mark.servers
@pytest.mark.parametrize(
    "sql",
    [
        "SELECT file('/etc/hostname')",
        "SELECT `file`('/etc/hostname')",
        "SELECT \"file\"('/etc/hostname')",
        "SELECT `fi\\x6ce`('/etc/hostname')",
        "SELECT arrayMap(file, ['/etc/hostname'])",
        "SELECT arrayMap(x -> file(x), ['/etc/hostname'])",
        "SELECT * APPLY(file) FROM (SELECT '/etc/hostname')",
        "SELECT COLUMNS('p') APPLY file FROM (SELECT '/etc/hostname' AS p)",
        "WITH f AS (SELECT file('/etc/hostname') AS x) SELECT x FROM f",
        "SELECT 1 ORDER BY file('/etc/hostname')",
        "SELECT 1 LIMIT length(file('/etc/hostname'))",
        "SELECT * FROM view(SELECT file('/etc/hostname'))",
        "SELECT {p:String} || file('/etc/hostname')",
        "SELECT * FROM eval('SELECT 1')",
        "SELECT * FROM Python(sys)",
        "SELECT * FROM sqlite('/tmp/bytetracker.sqlite', 't')",
        "SELECT * FROM filesystem('/etc')",
        "SELECT aiGenerate('x', 'y')",
    ],
)
def test_the_embedded_store_reads_no_files_for_typed_text(chdb_path: Path, sql: str) -> None:
    """It has no users whose rights would forbid it."""
    with closing(open_reader(ChdbSettings(str(chdb_path)))) as reader:
        chdb_path.mkdir(exist_ok=True)
        with pytest.raises(StoreError, match="reaches outside") as caught:
            reader.query(sql, {"p": "x"}, _LIMITS)
    assert caught.value.code == 497
    assert not Path("/tmp/bytetracker.sqlite").exists()


@pytest.mark.servers
def test_every_table_function_that_is_not_known_to_be_harmless_is_refused(chdb_path: Path) -> None:
    chdb_path.mkdir(exist_ok=True)
    with closing(open_reader(ChdbSettings(str(chdb_path)))) as reader:
        names = [str(row[0]) for row in reader.query("SELECT name FROM system.table_functions").rows]
        allowed = []
        for name in names:
            try:
                reader.query(f"SELECT * FROM {name}('a', 'b', 'c') LIMIT 1", limits=_LIMITS)
            except StoreError as error:
                if "reaches outside" not in str(error):
                    allowed.append(name)
            else:
                allowed.append(name)
    assert len(names) > 50
    assert not {"file", "url", "python", "remote", "s3", "merge", "dictionary", "input"} & set(allowed)
    assert len(allowed) < 20


@pytest.mark.servers
def test_a_user_that_cannot_be_limited_is_told_what_to_change(clickhouse_native: ClickHouseNative) -> None:
    settings = ClickHouseSettings(
        port=clickhouse_native.native_port, database="default", user="reader", password="reader-password"
    )
    with closing(open_reader(settings)) as reader:
        assert reader.query("SELECT 1").rows == [(1,)]
        with pytest.raises(StoreError, match="GRANT SELECT"):
            reader.query("SELECT 1", limits=_LIMITS)


@pytest.mark.servers
def test_a_user_with_rights_to_read_one_database_can_do_no_more(
    opened: Callable[[StoreSettings], Store], clickhouse_native: ClickHouseNative
) -> None:
    owner = ClickHouseSettings(
        "127.0.0.1",
        clickhouse_native.native_port,
        "rights",
        connect_timeout_s=2,
    )
    store = opened(owner)
    store.prepare()
    store.execute("CREATE TABLE t (n UInt8) ENGINE = MergeTree ORDER BY n")
    store.execute("CREATE TABLE default.secret (n UInt8) ENGINE = MergeTree ORDER BY n")
    settings = dataclasses.replace(owner, user="console", password="console-password")
    with closing(open_reader(settings)) as reader:
        assert reader.query("SELECT count() FROM t", limits=_LIMITS).rows == [(0,)]
        for sql in ("SELECT * FROM default.secret", "SELECT * FROM file('/etc/hostname', 'LineAsString')"):
            with pytest.raises(StoreError) as caught:
                reader.query(sql, limits=_LIMITS)
            assert caught.value.code in {164, 497}

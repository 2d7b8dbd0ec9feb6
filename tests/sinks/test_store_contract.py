"""What every store must do: one suite over chDB and ClickHouse."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import UTC, datetime
from time import monotonic

import numpy as np
import pytest

from sinks.settings import StoreSettings
from sinks.store import Store, StoreError, TransientStoreError

_TABLE = """
CREATE TABLE everything
(
    at DateTime64(6, 'UTC'), n UInt64, small Int32, flag Bool, rate Float64, maybe Nullable(Int64),
    maybe_rate Nullable(Float64), label LowCardinality(String), text String, missing String DEFAULT 'default',
    `nested.label` Array(LowCardinality(String)), `nested.at` Array(DateTime64(6, 'UTC')),
    `nested.flag` Array(Bool),
    counts Map(LowCardinality(String), UInt64)
)
ENGINE = MergeTree ORDER BY at
"""


def objects(*values: object) -> np.ndarray:
    column = np.empty(len(values), dtype=object)
    for row, value in enumerate(values):
        column[row] = value
    return column


def everything() -> dict[str, np.ndarray]:
    return {
        "at": np.array([1_760_000_000_123_456, 0], dtype=np.int64),
        "n": np.array([2**64 - 1, 0], dtype=np.uint64),
        "small": np.array([-(2**31), 7], dtype=">i4"),
        "flag": np.array([True, False]),
        "rate": np.array([0.25, 1e300]),
        "maybe": objects(None, 2**40),
        "maybe_rate": objects(0.5, None),
        "label": objects("spine-1", ""),
        "text": objects("naïve \\ 'quoted'\n\t", b"\xff\x00"),
        "nested.label": objects(["a", "b", "a"], []),
        "nested.at": objects([1_760_000_000_000_001, 0, 1], []),
        "nested.flag": objects([True, False, True], []),
        "counts": objects({"ok": 6, "network_loss": 1}, {}),
    }


def test_points_in_time_have_their_zone_whatever_their_resolution(empty_store: Store) -> None:
    at = "toDateTime64('2026-03-09 10:42:17.5', 6, 'UTC')"
    (row,) = empty_store.query(
        f"SELECT toStartOfMinute({at}), [toStartOfHour({at})], tuple(toDateTime({at}, 'UTC'), 1), "
        f"CAST(NULL AS Nullable(DateTime('UTC')))"
    ).rows
    minute = datetime(2026, 3, 9, 10, 42, tzinfo=UTC)
    assert row == (minute, [minute.replace(minute=0)], (minute.replace(second=17), 1), None)


def test_values_come_back_as_they_went_in(empty_store: Store) -> None:
    empty_store.execute(_TABLE)
    assert empty_store.insert("everything", everything()) == 2
    result = empty_store.query("SELECT * FROM everything ORDER BY at DESC")
    assert result.names[0] == "at"
    assert result.types[0] == "DateTime64(6, 'UTC')"
    first, second = (dict(zip(result.names, row, strict=True)) for row in result.rows)
    assert first == {
        "at": datetime(2025, 10, 9, 8, 53, 20, 123456, tzinfo=UTC),
        "n": 2**64 - 1,
        "small": -(2**31),
        "flag": True,
        "rate": 0.25,
        "maybe": None,
        "maybe_rate": 0.5,
        "label": "spine-1",
        "text": "naïve \\ 'quoted'\n\t",
        "missing": "default",
        "nested.label": ["a", "b", "a"],
        "nested.at": [
            datetime(2025, 10, 9, 8, 53, 20, 1, tzinfo=UTC),
            datetime(1970, 1, 1, tzinfo=UTC),
            datetime(1970, 1, 1, 0, 0, 0, 1, tzinfo=UTC),
        ],
        "nested.flag": [True, False, True],
        "counts": {"ok": 6, "network_loss": 1},
    }
    assert second["maybe"] == 2**40
    assert second["maybe_rate"] is None
    assert second["text"] == b"\xff\x00"
    assert second["nested.flag"] == []


def test_nothing_to_insert_is_nothing(empty_store: Store) -> None:
    empty_store.execute(_TABLE)
    assert empty_store.insert("everything", {}) == 0
    assert empty_store.insert("everything", {"n": np.empty(0, np.uint64)}) == 0


def test_a_large_insert_is_visible_at_once(empty_store: Store) -> None:
    empty_store.execute(
        "CREATE TABLE numbers_in (n UInt64, label LowCardinality(String)) ENGINE = MergeTree ORDER BY n"
    )
    n = 200_000
    labels = np.array([f"node-{i}" for i in range(500)], dtype=object)[np.arange(n) % 500]
    assert empty_store.insert("numbers_in", {"n": np.arange(n, dtype=np.uint64), "label": labels}) == n
    assert empty_store.query("SELECT count(), sum(n), uniqExact(label) FROM numbers_in").rows == [
        (n, n * (n - 1) // 2, 500)
    ]


def test_parameters_are_values_not_sql(empty_store: Store) -> None:
    nasty = "it's \\ a\ttab\nand a ' -- quote"
    result = empty_store.query("SELECT {text:String} AS t, {n:UInt64} AS n", {"text": nasty, "n": 2**63})
    assert result.rows == [(nasty, 2**63)]


def test_a_result_without_rows_has_its_columns(empty_store: Store) -> None:
    result = empty_store.query("SELECT 1 AS a, 'x' AS b WHERE 0")
    assert (result.names, result.rows) == (("a", "b"), [])


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TABLE t (n UInt8) ENGINE = Memory",
        "INSERT INTO everything (n) VALUES (1)",
        "TRUNCATE TABLE everything",
        "DROP TABLE everything",
        "SET readonly = 0",
        "SELECT 1 SETTINGS readonly = 0",
    ],
)
def test_queries_only_read(empty_store: Store, sql: str) -> None:
    empty_store.execute(_TABLE)
    with pytest.raises(StoreError) as caught:
        empty_store.query(sql)
    assert not isinstance(caught.value, TransientStoreError)
    assert caught.value.code == 164
    # And what the store itself does is not affected.
    empty_store.insert("everything", everything())
    assert empty_store.query("SELECT count() FROM everything").rows == [(2,)]


def test_mistakes_are_permanent_errors_and_do_no_harm(empty_store: Store) -> None:
    empty_store.execute(_TABLE)
    for mistake in (
        lambda: empty_store.query("SELEC 1"),
        lambda: empty_store.query("SELECT * FROM nowhere"),
        lambda: empty_store.execute("CREATE TABLE broken"),
        # Of a type that clickhouse-driver does not know.
        lambda: empty_store.query("SELECT uniqState(number) FROM numbers(3)"),
        lambda: empty_store.insert("nowhere", everything()),
        lambda: empty_store.insert("everything", {"no_such": np.arange(3)}),
    ):
        with pytest.raises(StoreError) as caught:
            mistake()
        assert not isinstance(caught.value, TransientStoreError)
    assert empty_store.insert("everything", everything()) == 2


@pytest.mark.parametrize("rows", [1, 100_000])
def test_rows_that_the_server_refuses_are_an_error(empty_store: Store, rows: int) -> None:
    """Nothing may report success for rows that are not there."""
    empty_store.execute(
        "CREATE TABLE small (n UInt64, CONSTRAINT low CHECK n < 10) ENGINE = MergeTree ORDER BY n"
    )
    with pytest.raises(StoreError):
        empty_store.insert("small", {"n": np.arange(10, 10 + rows, dtype=np.uint64)})
    empty_store.execute("CREATE TABLE days (n UInt64) ENGINE = MergeTree ORDER BY n PARTITION BY n")
    with pytest.raises(StoreError):
        empty_store.insert("days", {"n": np.arange(101, dtype=np.uint64)})
    assert empty_store.query("SELECT (SELECT count() FROM small), (SELECT count() FROM days)").rows == [
        (0, 0)
    ]


def test_names_that_are_no_names_are_refused(empty_store: Store) -> None:
    with pytest.raises(ValueError, match="no name"):
        empty_store.insert("everything; DROP TABLE x", everything())
    with pytest.raises(ValueError, match="no name"):
        empty_store.insert("everything", {"n`) VALUES (1); --": np.arange(3)})


def test_a_call_ends_at_its_deadline(
    store_settings: StoreSettings, opened: Callable[[StoreSettings], Store]
) -> None:
    hasty = opened(dataclasses.replace(store_settings, query_deadline_s=1.0))
    hasty.prepare()
    started = monotonic()
    with pytest.raises(TransientStoreError):
        hasty.query("SELECT count() FROM numbers(1000000000000) WHERE sipHash64(number) % 7 = 8")
    assert monotonic() - started < 5
    assert hasty.query("SELECT 1").rows == [(1,)]


def test_two_stores_of_one_database_see_the_same(
    empty_store: Store, store_settings: StoreSettings, opened: Callable[[StoreSettings], Store]
) -> None:
    empty_store.execute(_TABLE)
    empty_store.insert("everything", everything())
    assert opened(store_settings).query("SELECT count() FROM everything").rows == [(2,)]


def test_close_twice(store_settings: StoreSettings, opened: Callable[[StoreSettings], Store]) -> None:
    store = opened(store_settings)
    store.prepare()
    store.query("SELECT 1")
    store.close()
    store.close()

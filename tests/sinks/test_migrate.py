"""Migrations: once each, in order, safe to repeat after a crash."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from sinks.migrate import MigrationError, migrate, migrations, retention_statements, statements
from sinks.rows import DAY_COLUMN, INSERT_ORDER
from sinks.settings import Retention
from sinks.store import Columns, QueryResult, Store, StoreError


class Failing:
    """A store whose n-th statement fails, as if the process had died there."""

    def __init__(self, store: Store, fail_at: int) -> None:
        self._store = store
        self._left = fail_at

    def prepare(self) -> None:
        self._store.prepare()

    def insert(self, table: str, columns: Columns) -> int:
        return self._store.insert(table, columns)

    def query(self, sql: str, parameters: object = None) -> QueryResult:
        return self._store.query(sql)

    def execute(self, sql: str) -> None:
        self._left -= 1
        if self._left == 0:
            raise StoreError("killed here")
        self._store.execute(sql)

    def close(self) -> None:
        self._store.close()


def test_applied_once_and_recorded(empty_store: Store) -> None:
    names = ["tables", "rollups", "views", "culprits", "common_questions"]
    assert migrate(empty_store)[: len(names)] == tuple(f"{n:04}_{name}" for n, name in enumerate(names, 1))
    assert migrate(empty_store) == ()
    rows = empty_store.query("SELECT number, name FROM schema_migrations FINAL ORDER BY number").rows
    assert rows[: len(names)] == list(enumerate(names, 1))


def test_a_crash_anywhere_is_made_good(empty_store: Store) -> None:
    count = 1 + sum(len(m.statements) + 1 for m in migrations())
    for fail_at in range(1, count + 1):
        with pytest.raises(StoreError, match="killed here"):
            migrate(Failing(empty_store, fail_at))
        if fail_at < count:
            empty_store.execute("DROP TABLE IF EXISTS schema_migrations")
    last = migrations()[-1]
    assert migrate(empty_store) == (f"{last.number:04}_{last.name}",)


def test_a_changed_file_is_refused(empty_store: Store) -> None:
    migrate(empty_store)
    changed = tuple(dataclasses.replace(m, checksum="other") for m in migrations())
    with pytest.raises(MigrationError, match="0001_tables was changed after it was applied"):
        migrate(empty_store, known=changed)


def test_a_newer_store_is_refused(empty_store: Store) -> None:
    migrate(empty_store)
    *older, last = migrations()
    with pytest.raises(MigrationError, match=rf"\[{last.number}\] that this version does not know"):
        migrate(empty_store, known=tuple(older))


def test_faults_of_an_older_store_are_kept(empty_store: Store) -> None:
    """They gain columns that say nothing."""
    migrate(empty_store, known=migrations()[:3])
    empty_store.execute(
        "INSERT INTO fault_events (fault_id, version, state, kind, story) "
        "VALUES ('f1', 1, 'open', 'network_loss', 'Lost.')"
    )
    migrate(empty_store)
    result = empty_store.query("SELECT state, silenced, part_of, flaps, legs FROM fault_history")
    assert result.rows == [("open", "", "", 0, [])]
    assert empty_store.query("SELECT bits.bit, story FROM fault_events FINAL").rows == [([], "Lost.")]


def test_retention_is_set_and_stays(store: Store) -> None:
    migrate(store, Retention(link_evidence_days=14, fault_events_days=365))
    engines = dict(
        store.query("SELECT name, engine_full FROM system.tables WHERE database = currentDatabase()").rows
    )
    assert "toIntervalDay(14)" in engines["slots"]
    assert "toIntervalDay(14)" in engines["link_evidence"]
    assert "toIntervalDay(365)" in engines["fault_events"]
    assert "TTL" not in engines["probe_results"]
    migrate(store)
    again = dict(
        store.query("SELECT name, engine_full FROM system.tables WHERE database = currentDatabase()").rows
    )
    assert again == engines, "without a retention what is set stays"


def test_retention_names_only_tables_that_are_there() -> None:
    everything = Retention(1, 1, 1, 1, 1)
    tables = {statement.split()[2] for statement in retention_statements(everything)}
    assert tables == {*INSERT_ORDER, "link_minutes_rolled"}
    assert retention_statements(Retention()) == ()
    with pytest.raises(ValueError, match="at least 1 day"):
        Retention(probe_results_days=0)


def test_every_partition_follows_from_the_sorting_key(store: Store) -> None:
    rows = store.query(
        "SELECT name, partition_key, sorting_key, engine FROM system.tables "
        "WHERE database = currentDatabase() AND engine LIKE '%MergeTree'"
    ).rows
    assert {name for name, *_ in rows} >= set(INSERT_ORDER)
    for name, partition, sorting, engine in rows:
        assert engine == "ReplacingMergeTree", name
        if partition:
            column = partition.partition("(")[2].rstrip(")")
            assert column in sorting.split(", "), name
        if name in DAY_COLUMN:
            assert partition == f"toDate({DAY_COLUMN[name]})"


def test_files_are_numbered_without_gaps(tmp_path: Path) -> None:
    (tmp_path / "0001_a.sql").write_text("SELECT 1;\n")
    (tmp_path / "0003_b.sql").write_text("SELECT 1;\n")
    with pytest.raises(MigrationError, match="without gaps"):
        migrations(tmp_path)
    (tmp_path / "b.sql").write_text("")
    with pytest.raises(MigrationError, match="0001_what_it_does"):
        migrations(tmp_path)


def test_statements_end_at_a_semicolon_that_ends_a_line() -> None:
    assert statements("-- a; comment\nSELECT ';' AS a,\n 1;\n\nSELECT 2\n;\n") == (
        "SELECT ';' AS a,\n 1",
        "SELECT 2",
    )

"""Numbered SQL files, applied once each, in order, and recorded."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from sinks.settings import Retention
from sinks.store import Store, StoreError

FOLDER = Path(__file__).parent / "migrations"

_FILE_NAME = re.compile(r"(\d{4})_([a-z0-9_]+)\.sql")
_RECORDS = """
CREATE TABLE IF NOT EXISTS schema_migrations
(
    number UInt32,
    name String,
    checksum String COMMENT 'SHA-256 of the file',
    applied_at DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = ReplacingMergeTree ORDER BY number
"""


@dataclass(frozen=True, slots=True)
class Migration:
    number: int
    name: str
    checksum: str
    statements: tuple[str, ...]


class MigrationError(Exception):
    """The store and the files do not agree; the message says what to do."""


def migrations(folder: Path = FOLDER) -> tuple[Migration, ...]:
    """All files, in order. Raises MigrationError on a bad name, a gap or a number used twice."""
    found: list[Migration] = []
    for path in sorted(folder.glob("*.sql")):
        match = _FILE_NAME.fullmatch(path.name)
        if match is None:
            raise MigrationError(f"{path.name}: migrations are called 0001_what_it_does.sql")
        text = path.read_text()
        checksum = hashlib.sha256(text.encode()).hexdigest()
        found.append(Migration(int(match[1]), match[2], checksum, statements(text)))
    numbers = [m.number for m in found]
    if numbers != list(range(1, len(found) + 1)):
        raise MigrationError(f"migrations must be numbered 1, 2, 3, ... without gaps, not {numbers}")
    return tuple(found)


def statements(text: str) -> tuple[str, ...]:
    """The statements of a file: separated by a semicolon that ends a line; comments are whole lines."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("--")]
    parts = re.split(r";[ \t]*\n", "\n".join(lines) + "\n")
    return tuple(part.strip() for part in parts if part.strip())


def migrate(
    store: Store, retention: Retention | None = None, *, known: tuple[Migration, ...] | None = None
) -> tuple[str, ...]:
    """Bring the store's tables and views up to date and set how long rows are kept; returns what was applied.

    Idempotent, and safe to run again after a crash half-way: every statement may be repeated. `retention`
    None leaves what is set. Raises MigrationError if an applied file was changed since, or if the store
    has migrations that this version does not know; StoreError and TransientStoreError as the store does.
    """
    known = migrations() if known is None else known
    store.prepare()
    store.execute(_RECORDS)
    rows = store.query("SELECT number, checksum FROM schema_migrations FINAL ORDER BY number").rows
    applied = {int(number): str(checksum) for number, checksum in rows}
    unknown = set(applied) - {m.number for m in known}
    if unknown:
        raise MigrationError(
            f"the store has migrations {sorted(unknown)} that this version does not know; it was "
            f"migrated by a newer version: use that one"
        )
    done: list[str] = []
    for migration in known:
        if migration.number in applied:
            if applied[migration.number] != migration.checksum:
                raise MigrationError(
                    f"migration {migration.number:04}_{migration.name} was changed after it was applied; "
                    f"restore it and put the change into a new file"
                )
            continue
        _apply(store, migration)
        done.append(f"{migration.number:04}_{migration.name}")
    if retention is not None:
        for statement in retention_statements(retention):
            store.execute(statement)
    return tuple(done)


def _apply(store: Store, migration: Migration) -> None:
    for statement in migration.statements:
        try:
            store.execute(statement)
        except StoreError as error:
            where = f"migration {migration.number:04}_{migration.name}, at `{statement.splitlines()[0]}`"
            raise type(error)(f"{where}: {error}", error.code) from error
    store.execute(
        "INSERT INTO schema_migrations (number, name, checksum) "
        f"VALUES ({migration.number}, '{migration.name}', '{migration.checksum}')"
    )


def retention_statements(retention: Retention) -> tuple[str, ...]:
    """ALTER statements for what is set; a table whose setting is None is left as it is.

    Rows go by the event time in them, whole parts at a time where a table is partitioned by it.
    """
    ages = (
        ("probe_results", "sent_at", retention.probe_results_days),
        ("link_evidence", "slot", retention.link_evidence_days),
        ("slots", "slot", retention.link_evidence_days),
        ("mirror_counts", "slot", retention.link_evidence_days),
        ("pair_counts", "slot", retention.link_evidence_days),
        ("chip_evidence", "slot", retention.link_evidence_days),
        ("strays", "slot", retention.link_evidence_days),
        ("altered_bits", "slot", retention.link_evidence_days),
        ("flow_fates", "slot", retention.link_evidence_days),
        ("flow_paths", "slot", retention.link_evidence_days),
        ("coverage_reports", "slot", retention.link_minutes_days),
        ("coverage_unseen", "slot", retention.link_minutes_days),
        ("link_minutes_rolled", "minute", retention.link_minutes_days),
        ("fault_events", "detected_at", retention.fault_events_days),
        ("silences", "ends_at", retention.fault_events_days),
        ("dead_letters", "written_at", retention.dead_letters_days),
    )
    return tuple(
        f"ALTER TABLE {table} MODIFY TTL toDateTime({column}) + INTERVAL {days} DAY"
        for table, column, days in ages
        if days is not None
    )

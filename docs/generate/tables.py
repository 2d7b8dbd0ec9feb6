"""Blocks of docs/schema.md about the store: an empty one is migrated and asked what it has.

Columns of views have no comments there. Those that are called like a column of a table mean the same; what
the others mean is in view_columns.yaml.
"""

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import yaml

from docs.generate.markdown import Block, code, table
from sinks.chdb_store import ChdbStore
from sinks.migrate import FOLDER, migrate
from sinks.settings import ChdbSettings

_VIEW = re.compile(r"((?:^--.*\n)*)CREATE OR REPLACE VIEW (\w+)", re.MULTILINE)
_SHARED = {
    "kafka_topic": "Topic of the message that the row came from",
    "kafka_partition": "Its partition",
    "kafka_offset": "Its offset",
    "loaded_at": "When a sink loaded the inventory",
}
#: Kept by `bytetracker migrate` for itself.
_OWN_BOOKS = "schema_migrations"


@dataclass(frozen=True, slots=True)
class Column:
    name: str
    type: str
    comment: str


@dataclass(frozen=True, slots=True)
class Relation:
    """A table or a view as the store describes it."""

    name: str
    is_view: bool
    comment: str
    sorting_key: str
    partition_key: str
    columns: tuple[Column, ...]


def blocks() -> dict[str, Block]:
    return {"tables": partial(_all, False), "views": partial(_all, True)}


@cache
def relations() -> tuple[Relation, ...]:
    """Everything that the migrations make, in the order in which they do."""
    with tempfile.TemporaryDirectory() as folder:
        store = ChdbStore(ChdbSettings(path=folder))
        try:
            migrate(store)
            columns: dict[str, list[Column]] = {}
            for name, *column in store.query(
                "SELECT table, name, type, comment FROM system.columns "
                "WHERE database = currentDatabase() ORDER BY table, position"
            ).rows:
                columns.setdefault(name, []).append(Column(*column))
            found = [
                Relation(name, engine == "View", comment, key, partition, tuple(columns[name]))
                for name, engine, comment, key, partition in store.query(
                    "SELECT name, engine, comment, sorting_key, partition_key FROM system.tables "
                    "WHERE database = currentDatabase()"
                ).rows
                if name != _OWN_BOOKS
            ]
        finally:
            store.close()
    order = re.findall(r"^CREATE .*?(?:TABLE IF NOT EXISTS|VIEW) (\w+)", _migrations_text(), re.MULTILINE)
    return tuple(sorted(found, key=lambda relation: order.index(relation.name)))


def _all(views: bool) -> str:
    return "\n\n".join(_section(each) for each in relations() if each.is_view == views)


def _section(relation: Relation) -> str:
    lines = [f"### {relation.name}"]
    if relation.is_view:
        lines.append(_comments_of_views()[relation.name])
    else:
        key = ", ".join(code(part) for part in relation.sorting_key.split(", "))
        partition = f"; partitioned by {code(relation.partition_key)}" if relation.partition_key else ""
        lines.append(f"{relation.comment}. Identity of a row: {key}{partition}.")
    rows = [[code(c.name), code(c.type), _meaning(relation, c)] for c in relation.columns]
    return "\n\n".join([*lines, table(["Column", "Type", "Meaning"], rows)])


def _meaning(relation: Relation, column: Column) -> str:
    known = view_columns()
    found = (
        column.comment
        or known.get(f"{relation.name}.{column.name}")
        or known.get(column.name)
        or _SHARED.get(column.name)
        or (_comment_in_tables(column.name) if relation.is_view else None)
    )
    if not found:
        raise ValueError(f"nothing says what {relation.name}.{column.name} is; add it to view_columns.yaml")
    return found


def _comment_in_tables(name: str) -> str | None:
    for relation in relations():
        for column in relation.columns:
            if not relation.is_view and column.name == name and column.comment:
                return column.comment
    return None


@cache
def view_columns() -> dict[str, str]:
    """`column` or `view.column` -> meaning."""
    text = (Path(__file__).parent / "view_columns.yaml").read_text(encoding="utf-8")
    return dict(yaml.safe_load(text))


def _comments_of_views() -> dict[str, str]:
    """The comment above each view in the migrations; of several definitions the last."""
    return {
        found[2]: " ".join(line.removeprefix("--").strip() for line in found[1].splitlines())
        for found in _VIEW.finditer(_migrations_text())
    }


def _migrations_text() -> str:
    return "\n".join(path.read_text(encoding="utf-8") for path in sorted(FOLDER.glob("*.sql")))

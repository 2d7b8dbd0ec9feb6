"""Blocks of docs/schema.md about the store: an empty one is migrated and asked what it has.

What columns of views mean, which have no comments there, is told by sinks.meanings.
"""

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass
from functools import cache, partial

from docs.generate.markdown import Block, code, table
from sinks.chdb_store import ChdbStore
from sinks.meanings import column_meaning, migrations_text, view_meaning
from sinks.migrate import migrate
from sinks.settings import ChdbSettings

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
    order = re.findall(r"^CREATE .*?(?:TABLE IF NOT EXISTS|VIEW) (\w+)", migrations_text(), re.MULTILINE)
    return tuple(sorted(found, key=lambda relation: order.index(relation.name)))


def _all(views: bool) -> str:
    return "\n\n".join(_section(each) for each in relations() if each.is_view == views)


def _section(relation: Relation) -> str:
    lines = [f"### {relation.name}"]
    if relation.is_view:
        lines.append(view_meaning(relation.name))
    else:
        key = ", ".join(code(part) for part in relation.sorting_key.split(", "))
        partition = f"; partitioned by {code(relation.partition_key)}" if relation.partition_key else ""
        lines.append(f"{relation.comment}. Identity of a row: {key}{partition}.")
    rows = [[code(c.name), code(c.type), _meaning(relation, c)] for c in relation.columns]
    return "\n\n".join([*lines, table(["Column", "Type", "Meaning"], rows)])


def _meaning(relation: Relation, column: Column) -> str:
    found = (
        column.comment
        or column_meaning(relation.name, column.name)
        or (_comment_in_tables(column.name) if relation.is_view else None)
    )
    if not found:
        raise ValueError(
            f"nothing says what {relation.name}.{column.name} is; add it to sinks/view_columns.yaml"
        )
    return found


def _comment_in_tables(name: str) -> str | None:
    for relation in relations():
        for column in relation.columns:
            if not relation.is_view and column.name == name and column.comment:
                return column.comment
    return None

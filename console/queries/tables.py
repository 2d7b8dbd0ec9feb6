"""Views and tables for those who write SQL."""

from __future__ import annotations

from console.models import Column, Table
from console.queries.asking import Ask, rows_of
from sinks.meanings import column_meaning, view_meaning

_TABLES = """
SELECT name, engine = 'View' AS is_view, comment FROM system.tables
WHERE database = currentDatabase() AND name != 'schema_migrations'
ORDER BY is_view DESC, name
"""
_COLUMNS = """
SELECT table, name, type, comment FROM system.columns
WHERE database = currentDatabase() ORDER BY table, position
"""


def ask_tables(ask: Ask) -> list[Table]:
    """Views first, which are made for people."""
    columns: dict[str, list[tuple[str, str, str]]] = {}
    comments: dict[str, str] = {}
    rows = list(rows_of(ask(_COLUMNS, {})))
    for row in rows:
        columns.setdefault(row["table"], []).append((row["name"], row["type"], row["comment"]))
        if row["comment"]:
            comments.setdefault(row["name"], row["comment"])
    return [
        Table(
            name=row["name"],
            kind="view" if row["is_view"] else "table",
            meaning=row["comment"] or view_meaning(row["name"]),
            columns=[
                Column(
                    name=name,
                    type=kind,
                    meaning=comment or column_meaning(row["name"], name) or comments.get(name, ""),
                )
                for name, kind, comment in columns.get(row["name"], [])
            ],
        )
        for row in rows_of(ask(_TABLES, {}))
    ]

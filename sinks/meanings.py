"""What views and their columns mean, for docs/schema.md and the console's SQL page.

Columns of views have no comments in the store. Those that are called like a column of a table mean the
same; what the others mean is in view_columns.yaml beside this file. What a view shows stands above it in
the migrations.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import yaml

from sinks.migrate import FOLDER

_VIEW = re.compile(r"((?:^--.*\n)*)CREATE OR REPLACE VIEW (\w+)", re.MULTILINE)
_SHARED = {
    "kafka_topic": "Topic of the message that the row came from",
    "kafka_partition": "Its partition",
    "kafka_offset": "Its offset",
    "loaded_at": "When a sink loaded the inventory",
}
#: Views that have no comment of their own.
_VIEWS = {
    "nodes": "Switches, servers and Probers of the inventory that was loaded last",
    "links": "Directed links of the inventory that was loaded last",
}


def column_meaning(relation: str, column: str) -> str | None:
    """What a column means that has no comment of its own; None: as in whichever table has a column of that
    name."""
    known = view_columns()
    return known.get(f"{relation}.{column}") or known.get(column) or _SHARED.get(column)


def view_meaning(view: str) -> str:
    """What a view shows; empty if no migration makes it."""
    return _comments_of_views().get(view) or _VIEWS.get(view, "")


@cache
def view_columns() -> dict[str, str]:
    """`column` or `view.column` -> meaning."""
    text = Path(__file__).with_name("view_columns.yaml").read_text(encoding="utf-8")
    return dict(yaml.safe_load(text))


def migrations_text() -> str:
    return "\n".join(path.read_text(encoding="utf-8") for path in sorted(FOLDER.glob("*.sql")))


@cache
def _comments_of_views() -> dict[str, str]:
    """The comment above each view in the migrations; of several definitions the last."""
    return {
        found[2]: " ".join(line.removeprefix("--").strip() for line in found[1].splitlines())
        for found in _VIEW.finditer(migrations_text())
    }

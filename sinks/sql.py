"""The core of `bytetracker sql`: a question to the store, and its answer as a table, JSON or CSV."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any, Literal, Protocol

from sinks.store import QueryResult

Format = Literal["table", "json", "csv"]
FORMATS: tuple[Format, ...] = ("table", "json", "csv")

_CELL_WIDTH_MAX = 100


class Asked(Protocol):
    """A Store or a Reader."""

    def query(self, sql: str, parameters: Mapping[str, Any] | None = None) -> QueryResult: ...


def run_sql(
    store: Asked, sql: str, form: Format = "table", parameters: Mapping[str, Any] | None = None
) -> str:
    """Ask, and render the answer. The store refuses everything but reading. Raises StoreError,
    TransientStoreError."""
    return render(store.query(sql.strip().rstrip(";"), parameters), form)


def render(result: QueryResult, form: Format) -> str:
    """A result as text that ends with a newline. `table`: for people, long values are cut; `csv`: a
    header line, then RFC 4180; `json`: a list of objects."""
    match form:
        case "table":
            return _table(result)
        case "csv":
            return _csv(result)
        case "json":
            rows = [
                {name: plain(value) for name, value in zip(result.names, row, strict=True)}
                for row in result.rows
            ]
            return json.dumps(rows, ensure_ascii=False, indent=1) + "\n"


def _table(result: QueryResult) -> str:
    if not result.names:
        return ""
    cells = [[_cell(_text(value)) for value in row] for row in result.rows]
    widths = [max(map(len, column)) for column in zip(result.names, *cells, strict=True)]
    numeric = [all(isinstance(row[at], int | float) for row in result.rows) for at in range(len(widths))]

    def line(values: list[str]) -> str:
        padded = (
            value.rjust(width) if right and result.rows else value.ljust(width)
            for value, width, right in zip(values, widths, numeric, strict=True)
        )
        return "  ".join(padded).rstrip()

    head = [line(list(result.names)), line(["-" * width for width in widths])]
    return "\n".join([*head, *(line(row) for row in cells)]) + "\n"


def _cell(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= _CELL_WIDTH_MAX else flat[: _CELL_WIDTH_MAX - 1] + "…"


def _csv(result: QueryResult) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(result.names)
    writer.writerows([["" if value is None else _text(value) for value in row] for row in result.rows])
    return out.getvalue()


def _text(value: Any) -> str:
    shown = plain(value)
    if shown is None:
        return "NULL"
    if isinstance(shown, bool):
        return "true" if shown else "false"
    return shown if isinstance(shown, str) else json.dumps(shown, ensure_ascii=False)


def plain(value: Any) -> Any:
    """As JSON can carry it."""
    match value:
        case Mapping():
            shown: Any = {str(plain(key)): plain(each) for key, each in value.items()}
        case list() | tuple():
            shown = [plain(each) for each in value]
        case float():
            shown = value if math.isfinite(value) else None
        case None | str() | int():
            shown = value
        case datetime():
            shown = value.isoformat(sep=" ").removesuffix("+00:00")
        case date():
            shown = value.isoformat()
        case bytes():
            shown = value.decode("utf-8", "backslashreplace")
        case _:
            shown = str(value)
    return shown

"""How a query is put: SQL with parameters, and rows by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from sinks.store import QueryResult

#: Asks the store: SQL and parameters (str, int, float) to the answer.
Ask = Callable[[str, Mapping[str, Any]], QueryResult]


def rows_of(result: QueryResult) -> Iterator[dict[str, Any]]:
    """Each row by the names of its columns."""
    for row in result.rows:
        yield {name: text(value) for name, value in zip(result.names, row, strict=True)}


def text(value: Any) -> Any:
    """The store gives bytes for a string that is no UTF-8."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    if isinstance(value, list | tuple):
        return [text(each) for each in value]
    return value

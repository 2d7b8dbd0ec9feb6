"""Values of the store as JSON and as CSV can carry them. Pure."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

from sinks import sql
from sinks.store import QueryResult

#: JavaScript rounds integers beyond that.
_SAFE_MAX = 2**53 - 1
#: What spreadsheets take for the beginning of a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def plain(value: Any) -> Any:
    """As JSON for JavaScript: integers that it would round are text, times are ISO 8601 in UTC, numbers
    that JSON does not have are null."""
    return _safe(sql.plain(value))


def csv_text(result: QueryResult) -> str:
    """RFC 4180 with a line of names. Texts that a spreadsheet would run begin with an apostrophe."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow([harmless(name) for name in result.names])
    writer.writerows([[_cell(value) for value in row] for row in result.rows])
    return out.getvalue()


def harmless(text: str) -> str:
    """Source: OWASP, CSV injection."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def _safe(value: Any) -> Any:
    match value:
        case bool() | None | float() | str():
            return value
        case int():
            return value if abs(value) <= _SAFE_MAX else str(value)
        case list():
            return [_safe(each) for each in value]
        case dict():
            return {key: _safe(each) for key, each in value.items()}
    return str(value)


def _cell(value: Any) -> str:
    found = sql.plain(value)
    match found:
        case None:
            return ""
        case bool():
            return "true" if found else "false"
        case int() | float():
            return str(found)
        case str():
            return harmless(found)
    return harmless(json.dumps(found, ensure_ascii=False))

"""`bytetracker sql`: what an answer looks like."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime

import pytest

from sinks.sql import render, run_sql
from sinks.store import QueryResult, Store, StoreError

_RESULT = QueryResult(
    ("name", "n", "at", "list", "maybe"),
    ("String", "UInt64", "DateTime64(6, 'UTC')", "Array(String)", "Nullable(Float64)"),
    [
        ('a "quoted", name', 2**63, datetime(2025, 10, 9, 8, 53, 20, 123456, tzinfo=UTC), ["x", "ß"], None),
        ("b", 7, datetime(2025, 10, 9, tzinfo=UTC), [], float("nan")),
    ],
)


def test_table() -> None:
    assert render(_RESULT, "table").splitlines() == [
        "name                                n  at                          list        maybe",
        "----------------  -------------------  --------------------------  ----------  -----",
        'a "quoted", name  9223372036854775808  2025-10-09 08:53:20.123456  ["x", "ß"]  NULL',
        "b                                   7  2025-10-09 00:00:00         []          NULL",
    ]


def test_json() -> None:
    assert json.loads(render(_RESULT, "json")) == [
        {
            "name": 'a "quoted", name',
            "n": 2**63,
            "at": "2025-10-09 08:53:20.123456",
            "list": ["x", "ß"],
            "maybe": None,
        },
        {"name": "b", "n": 7, "at": "2025-10-09 00:00:00", "list": [], "maybe": None},
    ]


def test_csv() -> None:
    lines = list(csv.reader(io.StringIO(render(_RESULT, "csv"))))
    assert lines[0] == list(_RESULT.names)
    assert lines[1] == ['a "quoted", name', str(2**63), "2025-10-09 08:53:20.123456", '["x", "ß"]', ""]


def test_long_cells_are_cut_in_tables_only() -> None:
    long = QueryResult(("text",), ("String",), [("x" * 500 + "\ny",)])
    assert max(map(len, render(long, "table").splitlines())) == 100
    assert "x" * 500 in render(long, "json")


@pytest.mark.parametrize("form", ["table", "json", "csv"])
def test_no_rows(form: str) -> None:
    text = render(QueryResult(("a",), ("UInt8",), []), form)  # type: ignore[arg-type]
    assert text == {"table": "a\n-\n", "json": "[]\n", "csv": "a\n"}[form]


def test_asks_the_store_which_only_reads(store: Store) -> None:
    assert run_sql(store, "SELECT 1 AS one, 'x' AS two; ", "csv") == "one,two\n1,x\n"
    assert json.loads(run_sql(store, "SELECT count() AS n FROM fault_history", "json")) == [{"n": 0}]
    with pytest.raises(StoreError):
        run_sql(store, "DROP TABLE slots", "csv")

"""SQL that people type: tables, examples, answers, downloads."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from fastapi import APIRouter
from fastapi.responses import Response

from console.context import Console
from console.models import Answer, AskSql, Example, Table
from console.queries.tables import ask_tables
from console.values import csv_text, plain
from sinks.cookbook import recipes


def sql_routes(console: Console) -> APIRouter:
    router = APIRouter(prefix="/sql", tags=["sql"])
    settings = console.settings

    @router.post("")
    def ask(asked: AskSql) -> Answer:
        """One SELECT. The store itself refuses everything else, and limits time, rows and memory."""
        started_ns = time.perf_counter_ns()
        rows = min(asked.limit or settings.sql_rows_max, settings.sql_rows_max)
        result = console.ask_typed(asked.sql, rows)
        return Answer(
            names=list(result.names),
            types=list(result.types),
            rows=[[plain(value) for value in row] for row in result.rows],
            truncated=result.truncated,
            elapsed_ms=round((time.perf_counter_ns() - started_ns) / 1e6, 1),
        )

    @router.post("/csv", response_class=Response, responses={200: {"content": {"text/csv": {}}}})
    def csv(asked: AskSql) -> Response:
        """The same as a file. Texts that a spreadsheet would take for a formula begin with an apostrophe."""
        rows = min(asked.limit or settings.csv_rows_max, settings.csv_rows_max)
        result = console.ask_typed(asked.sql, rows)
        name = f"bytetracker-{datetime.now(UTC):%Y%m%d-%H%M%S}.csv"
        headers = {"Content-Disposition": f'attachment; filename="{name}"'}
        if result.truncated:
            headers["X-Truncated"] = "true"
        return Response(csv_text(result), headers=headers, media_type="text/csv; charset=utf-8")

    @router.get("/tables")
    def tables() -> list[Table]:
        """Views and tables with what their columns mean; views first."""
        return console.moments.get("tables", 300.0, lambda: ask_tables(console.ask))

    @router.get("/examples")
    def examples() -> list[Example]:
        """The questions of the cookbook."""
        return [
            Example(
                name=recipe.name,
                section=recipe.section,
                question=recipe.question,
                meaning=recipe.meaning,
                sql=recipe.sql,
            )
            for recipe in recipes()
        ]

    return router

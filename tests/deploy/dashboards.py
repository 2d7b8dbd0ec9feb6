"""The Grafana dashboards, read once, and what Grafana does to their queries before it sends them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

GRAFANA = Path(__file__).resolve().parents[2] / "deploy" / "grafana"
CLICKHOUSE = "grafana-clickhouse-datasource"


@dataclass(frozen=True)
class Query:
    """One query of a dashboard. `columns_named`: those that the panel formats by name."""

    board: str
    where: str
    text: str
    is_series: bool = False
    kind: str = ""  # type of the panel, `variable` or `annotation`
    columns_named: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.board}: {self.where}"


@cache
def boards() -> dict[str, dict[str, Any]]:
    """Name of the file -> dashboard."""
    return {
        path.stem: json.loads(path.read_text()) for path in sorted((GRAFANA / "dashboards").glob("*.json"))
    }


def sql_queries() -> list[Query]:
    """Every query that goes to ClickHouse."""
    return [each for name, board in boards().items() for each in _sql_of(name, board)]


def promql() -> list[Query]:
    """Every query that goes to Prometheus."""
    return [
        Query(name, panel["title"], target["expr"], True, panel["type"])
        for name, board in boards().items()
        for panel in board["panels"]
        for target in panel["targets"]
        if target["datasource"]["type"] == "prometheus"
    ]


def _sql_of(name: str, board: dict[str, Any]) -> Iterator[Query]:
    for panel in board["panels"]:
        for target in panel["targets"]:
            if target["datasource"]["type"] == CLICKHOUSE:
                named = tuple(
                    override["matcher"]["options"]
                    for override in panel["fieldConfig"]["overrides"]
                    if override["matcher"]["id"] == "byName"
                )
                yield Query(
                    name, panel["title"], target["rawSql"], target["format"] == 0, panel["type"], named
                )
    for variable in board["templating"]["list"]:
        if variable["type"] == "query":
            yield Query(name, f"variable {variable['name']}", variable["query"], kind="variable")
    for annotation in board["annotations"]["list"]:
        yield Query(name, annotation["name"], annotation["target"]["rawSql"], kind="annotation")


def as_sent(
    text: str, begin: datetime, end: datetime, interval_s: int, variables: Mapping[str, list[str]]
) -> str:
    """A query as the data source gets it: its macros and the dashboard's variables put in.

    Macros as the plugin's documentation has them; `:singlequote` as Grafana's. Anything that is left over
    is a mistake.
    """
    seconds = f"toDateTime({int(begin.timestamp())})", f"toDateTime({int(end.timestamp())})"
    millis = tuple(f"fromUnixTimestamp64Milli({int(each.timestamp() * 1000)})" for each in (begin, end))
    text = re.sub(r"\$__timeFilter\((.+?)\)", rf"\1 >= {seconds[0]} AND \1 <= {seconds[1]}", text)
    text = re.sub(r"\$__timeFilter_ms\((.+?)\)", rf"\1 >= {millis[0]} AND \1 <= {millis[1]}", text)
    text = re.sub(
        r"\$__timeInterval\((.+?)\)",
        rf"toStartOfInterval(toDateTime(\1), INTERVAL {interval_s} second)",
        text,
    )
    text = re.sub(r"\$\{(\w+):singlequote\}", lambda found: _quoted(variables[found[1]]), text)
    left = re.findall(r"\$\{?\w+", text)
    assert not left, f"Grafana does not know {left}"
    return text


def _quoted(values: list[str]) -> str:
    return ",".join("'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'" for value in values)

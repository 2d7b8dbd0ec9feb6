"""Blocks of docs/metrics.md: every metric of every part, from the objects themselves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.metrics import MetricWrapperBase

from alerts.metrics import AlertsMetrics
from bytetracker.service.metrics import build_info
from console.metrics import ConsoleMetrics
from docs.generate.markdown import Block, code, table
from producers.metrics import COLLECTOR, PROBER, PUBLISHER, Read
from sinks.metrics import SinkMetrics
from streams import metrics as worker_metrics


@dataclass(frozen=True, slots=True)
class Documented:
    """A metric as the page shows it. `name`: as queries have it, a counter's with `_total`."""

    name: str
    kind: str
    labels: tuple[str, ...]
    meaning: str

    @property
    def series(self) -> tuple[str, ...]:
        """Names of its samples."""
        if self.kind != "histogram":
            return (self.name,)
        return tuple(f"{self.name}_{each}" for each in ("bucket", "sum", "count"))


def metrics() -> Mapping[str, tuple[Documented, ...]]:
    """Part -> its metrics."""
    fresh = CollectorRegistry
    return {
        "every part": _of_objects([build_info("worker", fresh())]),
        "prober": _of_reads(PROBER),
        "collector": _of_reads(COLLECTOR),
        "publisher": _of_reads(PUBLISHER),
        "worker": _of_objects(vars(worker_metrics).values()),
        "sink": _of_objects(vars(SinkMetrics(fresh())).values()),
        "alerts": _of_objects(vars(AlertsMetrics(fresh())).values()),
        "console": _of_objects(vars(ConsoleMetrics(fresh())).values()),
    }


def blocks() -> dict[str, Block]:
    def block(part: str) -> Block:
        return lambda: _table(metrics()[part])

    return {f"{part} metrics": block(part) for part in metrics()}


def _of_objects(objects: Iterable[Any]) -> tuple[Documented, ...]:
    suffixes = {"counter": "_total", "info": "_info"}
    return tuple(
        Documented(
            metric._name + suffixes.get(metric._type, ""),
            "gauge" if metric._type == "info" else metric._type,
            ("part", "version") if metric._type == "info" else tuple(metric._labelnames),
            metric._documentation,
        )
        for metric in objects
        if isinstance(metric, MetricWrapperBase)
    )


def _of_reads(reads: Iterable[Read[Any]]) -> tuple[Documented, ...]:
    return tuple(
        Documented(
            read.name if read.is_gauge else f"{read.name}_total",
            "gauge" if read.is_gauge else "counter",
            (read.label,) if read.label else (),
            read.meaning,
        )
        for read in reads
    )


def _table(documented: Iterable[Documented]) -> str:
    rows = [
        [code(each.name), each.kind, ", ".join(code(label) for label in each.labels), each.meaning]
        for each in documented
    ]
    return table(["Metric", "Type", "Labels", "Meaning"], rows)

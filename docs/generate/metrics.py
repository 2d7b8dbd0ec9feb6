"""Blocks of docs/metrics.md: every metric of worker and sink, from the objects themselves."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.metrics import MetricWrapperBase

from docs.generate.markdown import Block, code, table
from sinks.metrics import SinkMetrics
from streams import metrics as worker_metrics


def blocks() -> dict[str, Block]:
    return {
        "worker metrics": lambda: _table(vars(worker_metrics).values()),
        "sink metrics": lambda: _table(vars(SinkMetrics(CollectorRegistry())).values()),
    }


def _table(objects: Iterable[Any]) -> str:
    rows = []
    for metric in objects:
        if not isinstance(metric, MetricWrapperBase):
            continue
        kind = str(metric._type)
        name = str(metric._name) + ("_total" if kind == "counter" else "")
        labels = ", ".join(code(label) for label in metric._labelnames)
        rows.append([code(name), kind, labels, str(metric._documentation)])
    return table(["Metric", "Type", "Labels", "Meaning"], rows)

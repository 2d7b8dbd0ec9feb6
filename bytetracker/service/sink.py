"""The sink process."""

from __future__ import annotations

import json
from dataclasses import asdict

import click
from prometheus_client import REGISTRY

from bytetracker.run.stopping import stop_on_signals
from bytetracker.service.metrics import serve_metrics
from bytetracker.settings import Settings
from fabric.inventory import load_fabric
from sinks.metrics import SinkMetrics
from sinks.migrate import migrate
from sinks.opening import answering_readers, open_to_write
from sinks.settings import ChdbSettings
from sinks.sink import run_sink
from sinks.store import Store


def serve_sink(settings: Settings, *, drain: bool) -> None:
    """Run a sink until a signal. The embedded store is migrated first, since nobody else can open it;
    a server is migrated once for all sinks by `bytetracker migrate`."""
    stop = stop_on_signals()
    sink_settings, store_settings = settings.sink_settings(), settings.store_settings()
    fabric = load_fabric(settings.inventory)
    metrics = SinkMetrics(REGISTRY)
    serve_metrics("sink", settings.metrics_address, sink_settings.metrics_port)
    store = open_to_write(store_settings)
    try:
        if isinstance(store_settings, ChdbSettings):
            migrate(store, settings.retention_settings())
        with answering_readers(store_settings):
            report = run_sink(sink_settings, fabric, store, stop, drain=drain, metrics=metrics)
        document = {**asdict(report), "tables": rows_by_table(store)}
    finally:
        store.close()
    # The last line of the output, for whoever started this process.
    click.echo(json.dumps(document))


def rows_by_table(store: Store) -> dict[str, int]:
    """Rows of every table, repeated inserts counted once."""
    tables = store.query(
        "SELECT name FROM system.tables "
        "WHERE database = currentDatabase() AND engine LIKE '%MergeTree' ORDER BY name"
    )
    return {name: int(store.query(f"SELECT count() FROM {name} FINAL").rows[0][0]) for (name,) in tables.rows}

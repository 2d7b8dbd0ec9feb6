"""The sink process."""

from __future__ import annotations

import structlog

from bytetracker.run.stopping import stop_on_signals
from bytetracker.settings import Settings
from fabric.inventory import load_fabric
from sinks.migrate import migrate
from sinks.opening import open_store
from sinks.settings import ChdbSettings
from sinks.sink import run_sink

log = structlog.get_logger(__name__)


def serve_sink(settings: Settings, *, drain: bool) -> None:
    """Run a sink until a signal. The embedded store is migrated first, since nobody else can open it;
    a server is migrated once for all sinks by `bytetracker migrate`."""
    stop = stop_on_signals()
    sink_settings, store_settings = settings.sink_settings(), settings.store_settings()
    fabric = load_fabric(settings.inventory)
    store = open_store(store_settings)
    try:
        if isinstance(store_settings, ChdbSettings):
            migrate(store, settings.retention_settings())
        report = run_sink(sink_settings, fabric, store, stop, drain=drain)
    finally:
        store.close()
    log.info("sink ended", messages=report.messages, rows=report.rows, drained=report.drained)

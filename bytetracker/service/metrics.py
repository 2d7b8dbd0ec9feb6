"""How every process serves its Prometheus metrics: one small HTTP server, off unless it has a port."""

from __future__ import annotations

from prometheus_client import (
    REGISTRY,
    CollectorRegistry,
    GCCollector,
    Info,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
    start_http_server,
)

import bytetracker
from bytetracker.settings import SettingsError

PORT_MAX = 65_535


def serve_metrics(part: str, address: str, port: int, registry: CollectorRegistry = REGISTRY) -> None:
    """Serve what `registry` holds at http://ADDRESS:PORT/metrics until the process ends; port 0: do nothing.

    `part`: prober, collector, worker, sink, alerts or console; also the section of the file that holds
    `metrics_port`. Raises SettingsError if nothing can listen there.
    """
    if not port:
        return
    if not 0 < port <= PORT_MAX:
        raise SettingsError(f"{part}.metrics_port is {port}; it must be 1 to {PORT_MAX}, or 0 for none")
    # A second series for each counter, only to say when it began: nobody asks for it.
    disable_created_metrics()  # type: ignore[no-untyped-call]
    try:
        start_http_server(port, address, registry)
    except OSError as error:
        raise SettingsError(
            f"metrics cannot be served at {address}:{port} ({error.strerror or error}); "
            f"change metrics_address or {part}.metrics_port"
        ) from error
    build_info(part, registry)


def own_registry() -> CollectorRegistry:
    """A registry for a part that imports another one, whose metrics would show as its own."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return registry


def build_info(part: str, registry: CollectorRegistry) -> Info:
    """The metric that says which part in which version answers here."""
    info = Info("bytetracker_build", "Which part this is, and its version", registry=registry)
    info.info({"part": part, "version": bytetracker.__version__})
    return info

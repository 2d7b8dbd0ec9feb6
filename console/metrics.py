"""Every metric of the console, in one place; and how requests are counted."""

from __future__ import annotations

import time
from collections.abc import Callable

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_SECONDS = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)


class ConsoleMetrics:
    """Counters, gauges and histograms of one console; a registry takes them once."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        # Refusals and failures count too. Live events are left out: they last as long as the page is open.
        self.request_seconds = Histogram(
            "bytetracker_console_request_seconds",
            "Time of a request",
            ["route", "status"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.typed_queries = Counter(
            "bytetracker_console_typed_queries",
            "SQL queries that people typed, by outcome: answered, refused, busy, away",
            ["outcome"],
            registry=registry,
        )
        self.listeners = Gauge(
            "bytetracker_console_listeners", "Pages that listen to live events", registry=registry
        )

    def count_listeners(self, listeners: Callable[[], int]) -> None:
        self.listeners.set_function(listeners)


class Counted:
    """Plain ASGI: the time of each request by the route that answered it."""

    def __init__(self, app: ASGIApp, metrics: ConsoleMetrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        status = 500

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = int(message["status"])
            await send(message)

        try:
            await self._app(scope, receive, noting)
        finally:
            # The route's own path, so that there are as many series as routes, whatever is asked for.
            route = getattr(scope.get("route"), "path", "other")
            if not route.endswith("/events"):
                self._metrics.request_seconds.labels(route, str(status)).observe(time.perf_counter() - began)

"""Calls of the store, repeated until they succeed or nobody wants them any more."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

import structlog

from sinks.metrics import SinkMetrics
from sinks.store import TransientStoreError

_T = TypeVar("_T")
_log = structlog.get_logger(__name__)


class GivenUp(Exception):
    """The sink was told to stop while the store could not be reached. Nothing is lost: it is not
    committed."""


@dataclass(slots=True)
class Patience:
    """Waits between attempts: twice as long each time, up to a ceiling."""

    min_s: float
    max_s: float
    waits: int = field(default=0)

    def next_s(self) -> float:
        self.waits += 1
        return float(min(self.max_s, self.min_s * 2 ** min(self.waits - 1, 30)))


def call_store(
    name: str,
    action: Callable[[], _T],
    *,
    patience: Patience,
    wait: Callable[[float], None],
    wanted: Callable[[], bool],
    metrics: SinkMetrics,
) -> _T:
    """Run `action` until it does not raise TransientStoreError; between attempts `wait(seconds)`.

    Raises GivenUp when it failed and `wanted()` is false; StoreError at once, as trying again would not help.
    """
    while True:
        try:
            with metrics.timed(metrics.store_seconds, name):
                return action()
        except TransientStoreError as error:
            if not wanted():
                raise GivenUp(str(error)) from error
            pause_s = patience.next_s()
            metrics.retries.inc()
            _log.warning(
                "store_unavailable", call=name, error=str(error), attempt=patience.waits, wait_s=pause_s
            )
            wait(pause_s)

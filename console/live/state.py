"""All that is known of now. Written by the thread that reads topics, read by those that answer."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from typing import Any

from numpy.typing import NDArray

from console.layout import Layout
from console.live.faults import FaultsNow
from console.live.hub import Hub
from console.live.window import LinksWindow
from console.models import Fault, LinksNow
from schemas import topics

_EMITTED_EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class Pace:
    """What went on in the window."""

    now_us: int
    lag_us: int
    probes_per_s: float
    loss_rate: float
    silent_rate: float


class LiveState:
    """Takes messages, tells the hub what is new, and answers what is so now."""

    def __init__(
        self, layout: Layout, hub: Hub, window_us: int, clock_us: Callable[[], int] | None = None
    ) -> None:
        self._lock = Lock()
        self._hub = hub
        self._window = LinksWindow(layout, window_us)
        self._faults = FaultsNow()
        self._coverage: dict[str, Any] | None = None
        self._clock_us = clock_us or (lambda: time.time_ns() // 1_000)
        self._changed = False
        self._links: LinksNow = self._window.now()
        self._told_s = 0.0
        #: Whether everything that the topics held at the beginning has been taken.
        self.complete = False
        #: What to do when the broker does not answer; empty: it does.
        self.advice = "the console has not reached the broker yet"

    @property
    def broker(self) -> bool:
        return not self.advice

    def take(self, topic: str, head: dict[str, Any], rows: NDArray[Any] | None) -> None:
        """One message."""
        with self._lock:
            if topic == topics.FAULTS:
                news = self._faults.take(head)
            elif topic == topics.EVIDENCE:
                news = None
                if rows is not None and self._window.take(head, rows):
                    self._changed = True
            else:
                news, self._coverage = None, head
        # What happened before the console looked is no news.
        if news is not None and self.complete:
            self._hub.fault(news)

    def tell(self, now_s: float) -> None:
        """Once a second: the clock, and the links if they changed. `now_s`: time.monotonic."""
        if now_s - self._told_s < _EMITTED_EVERY_S:
            return
        self._told_s = now_s
        with self._lock:
            changed, self._changed = self._changed, False
            if changed:
                self._links = self._window.now()
            links, pace = self._links, self._pace()
        if changed:
            self._hub.links(links)
        self._hub.clock(pace.now_us, pace.lag_us)

    def links(self) -> LinksNow:
        return self._links

    def pace(self) -> Pace:
        with self._lock:
            return self._pace()

    def open_faults(self) -> list[Fault]:
        with self._lock:
            return self._faults.open()

    def faults(self) -> dict[str, Fault]:
        """The newest event of each fault that the topic still holds."""
        with self._lock:
            return dict(self._faults.by_id)

    def fault(self, fault_id: str) -> Fault | None:
        with self._lock:
            return self._faults.by_id.get(fault_id)

    def coverage(self) -> dict[str, Any] | None:
        """The newest report, as the topic has it."""
        with self._lock:
            return self._coverage

    def _pace(self) -> Pace:
        window = self._window
        spanned_s = window.spanned_us / 1e6
        lost = window.verdicts["network_loss"] + window.verdicts["loop"]
        probes = max(window.probes, 1)
        lag_us = max(0, self._clock_us() - window.at_us) if window.at_us else 0
        return Pace(
            now_us=window.at_us,
            lag_us=lag_us,
            probes_per_s=window.probes / spanned_s if spanned_s else 0.0,
            loss_rate=lost / probes,
            silent_rate=window.verdicts["host_silent"] / probes,
        )

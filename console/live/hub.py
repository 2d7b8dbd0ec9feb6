"""From one thread that reads topics to many pages that listen. A slow page gets less, and slows nobody.

What a page has not taken yet is kept once: the newest event of each fault, the newest state of links, the
newest clock. So it is bounded by what there is, not by how long the page sleeps.
"""

from __future__ import annotations

import asyncio
import json
from collections import OrderedDict, deque
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Lock

from console.models import Fault, LinksNow

#: Events of faults that a page which was away for a moment can be told again.
REMEMBERED = 512


@dataclass(slots=True, eq=False)
class Listener:
    """One page. Belongs to the event loop."""

    faults: OrderedDict[str, tuple[int, str]] = field(default_factory=OrderedDict)
    links: str | None = None
    clock: str | None = None
    news: asyncio.Event = field(default_factory=asyncio.Event)
    closed: bool = False

    def take(self) -> list[tuple[str, int | None, str]]:
        """(event, id, data) of all that is new; faults first."""
        self.news.clear()
        found: list[tuple[str, int | None, str]] = [
            ("fault", number, data) for number, data in self.faults.values()
        ]
        self.faults.clear()
        if self.links is not None:
            found.append(("links", None, self.links))
        if self.clock is not None:
            found.append(("clock", None, self.clock))
        self.links = self.clock = None
        return found


class Hub:
    """Told by any thread; listened to in the event loop that `open` was called in."""

    def __init__(self, listeners_max: int) -> None:
        self._listeners_max = listeners_max
        self._listeners: set[Listener] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lock = Lock()
        self._number = 0
        self._remembered: deque[tuple[int, str, str]] = deque(maxlen=REMEMBERED)
        self.closed = False

    def open(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def close(self) -> None:
        """End all listening. From any thread."""
        self.closed = True
        self._call(self._close)

    def fault(self, fault: Fault) -> None:
        """A new event of a fault. From any thread."""
        data = fault.model_dump_json()
        with self._lock:
            self._number += 1
            number = self._number
            self._remembered.append((number, fault.fault_id, data))
        self._call(self._tell_fault, number, fault.fault_id, data)

    def links(self, links: LinksNow) -> None:
        self._call(self._tell_links, links.model_dump_json())

    def clock(self, now_us: int, lag_us: int) -> None:
        self._call(self._tell_clock, json.dumps({"now_us": now_us, "lag_us": lag_us}))

    def listen(self, last_id: int | None) -> Listener | None:
        """A new page; None if there are too many. With the number of the last event that it has seen it
        gets those after it, as far as they are remembered. In the event loop."""
        if len(self._listeners) >= self._listeners_max or self.closed:
            return None
        listener = Listener()
        if last_id is not None:
            with self._lock:
                missed = [each for each in self._remembered if each[0] > last_id]
            for number, fault_id, data in missed:
                _put(listener, number, fault_id, data)
        self._listeners.add(listener)
        return listener

    def leave(self, listener: Listener) -> None:
        self._listeners.discard(listener)

    @property
    def listeners(self) -> int:
        return len(self._listeners)

    @property
    def number(self) -> int:
        """Of the newest event."""
        return self._number

    def _call(self, action: object, *arguments: object) -> None:
        loop = self._loop
        if loop is None or loop.is_closed():
            return
        with suppress(RuntimeError):  # the loop was closed in between: nobody listens
            loop.call_soon_threadsafe(action, *arguments)  # type: ignore[arg-type]

    def _tell_fault(self, number: int, fault_id: str, data: str) -> None:
        for listener in self._listeners:
            _put(listener, number, fault_id, data)

    def _tell_links(self, data: str) -> None:
        for listener in self._listeners:
            listener.links = data
            listener.news.set()

    def _tell_clock(self, data: str) -> None:
        for listener in self._listeners:
            listener.clock = data
            listener.news.set()

    def _close(self) -> None:
        for listener in self._listeners:
            listener.closed = True
            listener.news.set()


def _put(listener: Listener, number: int, fault_id: str, data: str) -> None:
    listener.faults.pop(fault_id, None)
    listener.faults[fault_id] = (number, data)
    listener.news.set()

"""What the routes answer from."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from threading import BoundedSemaphore
from typing import Any

from console.cache import Moments
from console.errors import Away, Busy, Refused
from console.layout import Layout
from console.live.hub import Hub
from console.live.sources import SourcesNow
from console.live.state import LiveState
from console.search import Search
from console.settings import ConsoleSettings
from console.silencing import Silencing
from fabric.model import Fabric
from sinks.reading import Limits, Reader
from sinks.store import QueryResult, StoreError, TransientStoreError

#: ClickHouse: UNKNOWN_TABLE, UNKNOWN_DATABASE, UNKNOWN_IDENTIFIER.
_NOT_MIGRATED = frozenset({47, 60, 81})
#: TIMEOUT_EXCEEDED, TOO_SLOW, MEMORY_LIMIT_EXCEEDED: of a typed query it is the query's fault.
_TOO_MUCH = frozenset({159, 160, 241})


@dataclass(slots=True)
class Console:
    """One console. `reader`, `live` and `silencing` are None where there is no store or no broker to ask."""

    settings: ConsoleSettings
    fabric: Fabric
    reader: Reader | None = None
    live: LiveState | None = None
    sources: SourcesNow | None = None
    silencing: Silencing | None = None
    hub: Hub = field(init=False)
    layout: Layout = field(init=False)
    search: Search = field(init=False)
    moments: Moments = field(default_factory=Moments)
    clock_us: Callable[[], int] = lambda: time.time_ns() // 1_000
    #: What the store said when it was last asked; empty: it answered.
    store_advice: str = ""
    #: Told of each typed query: answered, refused, busy or away.
    count_typed: Callable[[str], None] = lambda outcome: None
    _asking: BoundedSemaphore = field(init=False)
    _typing: BoundedSemaphore = field(init=False)

    def __post_init__(self) -> None:
        self.hub = Hub(self.settings.listeners_max)
        self.layout = Layout(self.fabric)
        self.search = Search(self.fabric)
        self._asking = BoundedSemaphore(self.settings.page_at_once)
        self._typing = BoundedSemaphore(self.settings.sql_at_once)

    def ask(self, sql: str, parameters: Mapping[str, Any]) -> QueryResult:
        """A query of ours. Raises Away."""
        if self.reader is None:
            raise Away("this console was started without a store")
        if not self._asking.acquire(timeout=self.settings.page_seconds):
            raise Away(f"the store has not answered {self.settings.page_at_once} other queries yet")
        try:
            result = self.reader.query(sql, parameters)
        except StoreError as error:
            if isinstance(error, TransientStoreError):
                advice = f"the store does not answer: start it, or look at its log ({error})"
            elif error.code in _NOT_MIGRATED:
                advice = f"the store lacks tables: start a sink, or run `bytetracker migrate` ({error})"
            else:
                advice = f"the store refuses: {error}"
            self.store_advice = advice
            raise Away(advice) from error
        finally:
            self._asking.release()
        self.store_advice = ""
        return result

    def ask_typed(self, sql: str, rows: int) -> QueryResult:
        """A query that a person typed. Raises Refused, Busy, Away."""
        if self.reader is None:
            raise Away("this console was started without a store")
        if not self._typing.acquire(blocking=False):
            self.count_typed("busy")
            raise Busy(f"{self.settings.sql_at_once} typed queries run already; try again when one is done")
        try:
            limits = Limits(
                seconds=self.settings.sql_seconds, rows=rows, memory_bytes=self.settings.sql_memory_bytes
            )
            result = self.reader.query(sql, limits=limits)
            self.count_typed("answered")
            return result
        except StoreError as error:
            if isinstance(error, TransientStoreError) and error.code not in _TOO_MUCH:
                self.count_typed("away")
                raise Away(f"the store does not answer: {error}") from error
            self.count_typed("refused")
            raise Refused(str(error)) from error
        finally:
            self._typing.release()

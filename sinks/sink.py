"""The sink process: read, gather, insert, commit; in this order, and never otherwise.

A message is committed when its rows are stored, so a crash at any point re-reads it, and rows that are
inserted again replace themselves. While the store cannot be reached the sink fetches nothing and tries
again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from threading import Event
from time import monotonic, sleep, time_ns

import structlog
from confluent_kafka import Message

from fabric.model import Fabric
from schemas.errors import BadMessage
from schemas.registry import framing_for
from sinks.batching import Gathered
from sinks.columns import Origin, TableRows
from sinks.dead_letters import DeadLetters
from sinks.inventory import inventory_rows
from sinks.metrics import SinkMetrics
from sinks.names import NodeNames
from sinks.retry import GivenUp, Patience, call_store
from sinks.rollup import roll_up
from sinks.rows import rows_of_message
from sinks.settings import SinkSettings
from sinks.source import Source, client_settings
from sinks.store import Store, TransientStoreError

_log = structlog.get_logger(__name__)

#: The embedded broker tells the end of a partition up to a record batch too low (decision 0010), so a
#: draining sink looks so often for more behind it.
_READS_PAST_THE_END = 3


@dataclass(frozen=True, slots=True)
class SinkReport:
    """What one run did. `rows`: table -> rows inserted, repeated inserts included; the tables hold each
    once."""

    messages: int
    rows: dict[str, int]
    dead_letters: int
    retries: int
    drained: bool  # everything up to the ends seen when it was told to stop is stored and committed


def run_sink(
    settings: SinkSettings,
    fabric: Fabric,
    store: Store,
    stop: Event,
    *,
    drain: bool = False,
    metrics: SinkMetrics | None = None,
) -> SinkReport:
    """Store the topics' messages until `stop` is set; the store must have been migrated.

    With `drain` it goes on after `stop` until everything is stored that the topics held at that moment,
    or the drain timeout has passed. Without, it makes one attempt to store what it has gathered. Either
    way nothing is committed that is not stored. Raises StoreError, SourceFailed and DeadLetterError: what
    another try would not mend ends the process, and what is not committed is read again by the next.
    """
    sink = _Sink(settings, fabric, store, stop, drain, metrics or SinkMetrics())
    try:
        return sink.run()
    finally:
        sink.close()


class _Sink:
    def __init__(
        self,
        settings: SinkSettings,
        fabric: Fabric,
        store: Store,
        stop: Event,
        drain: bool,
        metrics: SinkMetrics,
    ) -> None:
        self._settings = settings
        self._fabric = fabric
        self._store = store
        self._stop = stop
        self._drain = drain
        self._metrics = metrics
        self._names = NodeNames(fabric)
        self._framing = framing_for(settings.schema_registry_url)
        self._source = Source(settings, metrics)
        self._dead_letters = DeadLetters(client_settings(settings), self._framing)
        self._gathered = Gathered()
        self._held: list[Message] = []  # read while the store was away
        self._gathered_since = monotonic()
        self._rolled_at = monotonic()
        self._stopped_at: float | None = None
        self._messages = 0
        self._rows: Counter[str] = Counter()
        self._retries = 0

    def run(self) -> SinkReport:
        drained = False
        try:
            self._store_inventory()
            drained = self._consume()
        except GivenUp as error:
            _log.warning("stopped_while_store_unavailable", error=str(error))
        return SinkReport(self._messages, dict(self._rows), self._dead_letters.count, self._retries, drained)

    def close(self) -> None:
        self._source.close()

    def _consume(self) -> bool:
        ends: dict[tuple[str, int], int] | None = None
        reads_left = _READS_PAST_THE_END
        while True:
            if self._stop.is_set():
                if not self._drain:
                    self._flush()
                    return False
                ends = self._source.end_offsets() if ends is None else ends
                if ends is not None and not self._gathered.next_offsets and self._source.has_reached(ends):
                    if not reads_left:
                        self._roll_up(with_open=True)
                        return True
                    reads_left -= 1
                if not self._wanted():
                    self._flush()
                    return False
            self._step()

    def _step(self) -> None:
        messages, self._held = self._held, []
        if not messages:
            messages = self._source.read(self._settings.messages_max, self._settings.poll_ms / 1000)
        for message in messages:
            self._take(message)
            if self._gathered.rows >= self._settings.rows_max:
                self._flush()
        age_ms = (monotonic() - self._gathered_since) * 1000
        if self._gathered.next_offsets and (
            age_ms >= self._settings.flush_interval_ms or self._stop.is_set()
        ):
            self._flush()
            self._source.note_lag()
        elif not self._gathered.next_offsets:
            self._source.commit()
        if (monotonic() - self._rolled_at) * 1000 >= self._settings.rollup_interval_ms:
            self._roll_up(with_open=False)

    def _take(self, message: Message) -> None:
        topic, partition, offset = str(message.topic()), int(message.partition()), int(message.offset())
        rows: tuple[TableRows, ...] = ()
        try:
            rows = rows_of_message(
                message.value(), Origin(topic, partition, offset), self._names, framing=self._framing
            )
        except BadMessage as bad:
            self._metrics.bad_messages.labels(topic, bad.reason).inc()
            self._dead_letters.add(message, bad)
        if not self._gathered.next_offsets:
            self._gathered_since = monotonic()
        self._gathered.add(topic, partition, offset, rows)
        self._messages += 1
        self._metrics.messages.labels(topic).inc()
        self._metrics.gathered.set(self._gathered.rows)

    def _flush(self) -> None:
        """Insert everything gathered, then commit it. Raises GivenUp with everything still uncommitted."""
        gathered = self._gathered
        if not gathered.next_offsets:
            return
        for rows in gathered.inserts():
            self._insert(rows)
        self._dead_letters.flush()
        self._source.stored(gathered.next_offsets)
        self._gathered = Gathered()
        self._metrics.gathered.set(0)

    def _insert(self, rows: TableRows) -> None:
        self._call("insert", lambda: self._store.insert(rows.table, rows.columns))
        self._rows[rows.table] += rows.count
        self._metrics.rows.labels(rows.table).inc(rows.count)

    def _call(self, name: str, action: Callable[[], object]) -> None:
        patience = Patience(self._settings.backoff_min_ms / 1000, self._settings.backoff_max_ms / 1000)
        try:
            call_store(
                name, action, patience=patience, wait=self._wait, wanted=self._wanted, metrics=self._metrics
            )
        finally:
            self._retries += patience.waits
            self._source.resume()

    def _store_inventory(self) -> None:
        for rows in inventory_rows(self._fabric, time_ns() // 1000):
            self._call("insert", lambda rows=rows: self._store.insert(rows.table, rows.columns))  # type: ignore[misc]

    def _roll_up(self, *, with_open: bool) -> None:
        """Rolling up makes questions cheap and changes no answer, so it waits for nobody."""
        self._rolled_at = monotonic()
        try:
            with self._metrics.timed(self._metrics.store_seconds, "roll_up"):
                minutes = roll_up(self._store, self._settings.rollup_minutes_max, with_open=with_open)
            self._metrics.minutes.inc(minutes)
        except TransientStoreError as error:
            _log.warning("rollup_postponed", error=str(error))

    def _wait(self, seconds: float) -> None:
        """Let time pass without fetching, but stay a member of the group."""
        self._source.pause()
        until = monotonic() + seconds
        while (left := until - monotonic()) > 0 and self._wanted():
            # Partitions that a rebalance has just brought may deliver a few before they are paused.
            self._held += self._source.read(1, min(left, 0.1))
            sleep(0)

    def _wanted(self) -> bool:
        """Whether to go on trying: not after `stop`, or, when draining, not after its timeout."""
        if not self._stop.is_set():
            return True
        if self._stopped_at is None:
            self._stopped_at = monotonic()
        return self._drain and (monotonic() - self._stopped_at) * 1000 < self._settings.drain_timeout_ms

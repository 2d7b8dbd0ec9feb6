"""A sink in a thread, topics on a broker, and messages to feed it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Event, Thread
from time import monotonic, sleep
from typing import Any
from uuid import uuid4

import numpy as np
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic
from prometheus_client import CollectorRegistry

from fabric.model import Fabric
from schemas import topics
from schemas.codec import encode
from schemas.rows import EVIDENCE, rows_of
from sinks.metrics import SinkMetrics
from sinks.rows import SOURCE_TOPICS
from sinks.settings import SinkSettings
from sinks.sink import SinkReport, run_sink
from sinks.store import Columns, QueryResult, Store, TransientStoreError

START_US = 1_760_000_040_000_000
LINKS_PER_SLOT = 40


def create_topics(bootstrap: str) -> None:
    """The sink's topics, empty: what an earlier test left is deleted."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    there = set(admin.list_topics(timeout=10).topics) & set(SOURCE_TOPICS)
    for topic, future in admin.delete_topics(sorted(there), operation_timeout=10).items() if there else ():
        assert future.result(10) is None, topic
    until = monotonic() + 10
    while set(admin.list_topics(timeout=10).topics) & set(SOURCE_TOPICS):
        assert monotonic() < until, "topics are not deleted"
        sleep(0.05)
    made = [NewTopic(t, topics.topic(t).partitions(2), 1) for t in SOURCE_TOPICS]
    for future in admin.create_topics(made, operation_timeout=10).values():
        future.result(10)


def until(condition: Callable[[], bool], timeout_s: float = 20) -> None:
    """Wait for it."""
    end = monotonic() + timeout_s
    while not condition():
        assert monotonic() < end, "it does not come true"
        sleep(0.02)


def sink_settings(bootstrap: str, **changes: Any) -> SinkSettings:
    usual: dict[str, Any] = {
        "bootstrap_servers": bootstrap,
        "group_id": f"sink-{uuid4().hex[:8]}",
        "flush_interval_ms": 100,
        "rollup_interval_ms": 200,
        # Apache Kafka takes no less than 6 s; the embedded broker does, and tests wait for it often.
        "session_timeout_ms": 2_000,
        "heartbeat_interval_ms": 200,
        "backoff_min_ms": 20,
        "backoff_max_ms": 200,
    }
    return SinkSettings(**{**usual, **changes})


def evidence(slot: int) -> bytes:
    """One slot: a row for each of 40 links, of which link i passed slot + i."""
    n = LINKS_PER_SLOT
    rows = rows_of(
        EVIDENCE,
        {
            "from_node": np.arange(n) + 1,
            "to_node": np.arange(n) + 2,
            "leg": 1,
            "passed": slot + np.arange(n),
            "lost": 1,
            "altered": 0,
            "mirror_missing": 0,
        },
        n,
    )
    at_us = START_US + slot * 1_000_000
    head = {
        "partition": slot % 2,
        "slot_us": at_us,
        "slot_length_us": 1_000_000,
        "watermark_us": at_us + 2_000_000,
        "probes": 100,
        "verdicts": {"ok": 60, "network_loss": 40},
        "late_outcomes": 0,
        "late_digests": 0,
        "duplicates": 0,
        "silent_sources": [],
        "exporters": [{"switch": 1, "received": 10, "lost": 1}],
        "examples": [],
    }
    return encode(topics.EVIDENCE, head, rows)


def result(number: int) -> bytes:
    """One batch of three probes."""
    row = {
        "kind": "north_south",
        "verdict": "network_loss",
        "reason": "lost",
        "sampled": False,
        "prober": "prober-1",
        "target": "server-1-1-1",
        "target_address": "10.0.0.1",
        "via": "",
        "source_port": 40_000,
        "destination_port": 65_111,
        "rtt_ns": None,
        "reply_kind": "none",
        "reply_ttl": None,
        "last_seen": "spine-1",
        "next_node": "leaf-1-1",
        "fault_leg": "probe",
        "hops": [],
        "alterations": [],
        "sent_at_us": START_US + number * 1000,
    }
    rows = [{**row, "probe_id": (1 << 32) + number * 8 + member} for member in range(3)]
    return encode(topics.RESULTS, {"partition": number % 2, "rows": rows})


def connect(bootstrap: str) -> Producer:
    return Producer({"bootstrap.servers": bootstrap, "enable.idempotence": True, "acks": "all"})


def send(producer: str | Producer, slots: range, results: range) -> None:
    """Send evidence of these slots, and these results; returns when the broker has them."""
    if isinstance(producer, str):
        producer = connect(producer)
    for slot in slots:
        producer.produce(topics.EVIDENCE, evidence(slot), partition=0)
    for number in results:
        producer.produce(topics.RESULTS, result(number), partition=number % 2)
    assert producer.flush(20) == 0


def check_stored(store: Store, slots: range, results: range) -> None:
    """Every row exactly once, in base tables and aggregates."""
    n = len(slots) * LINKS_PER_SLOT
    passed = sum(slot + link for slot in slots for link in range(LINKS_PER_SLOT))
    found = [
        store.query(sql).rows[0]
        for sql in (
            "SELECT count(), sum(passed) FROM link_evidence FINAL",
            "SELECT count(), sum(probes), sum(evidence_rows) FROM slots FINAL",
            "SELECT sum(received) FROM mirror_counts FINAL",
            "SELECT count(), uniqExact(sent_at, probe_id) FROM probe_results FINAL",
            "SELECT sum(passed), sum(lost) FROM link_minutes",
        )
    ]
    assert found == [
        (n, passed),
        (len(slots), 100 * len(slots), n),
        (10 * len(slots),),
        (3 * len(results), 3 * len(results)),
        (passed, n),
    ]


@dataclass(slots=True)
class Running:
    """A sink in a thread."""

    stop: Event
    thread: Thread
    metrics: SinkMetrics
    report: SinkReport | None = None
    error: BaseException | None = None

    def finish(self, timeout_s: float = 60) -> SinkReport:
        self.stop.set()
        self.thread.join(timeout_s)
        assert not self.thread.is_alive(), "the sink does not stop"
        if self.error is not None:
            raise self.error
        assert self.report is not None
        return self.report


@contextmanager
def running_sink(
    settings: SinkSettings, fabric: Fabric, store: Store, *, drain: bool = True
) -> Iterator[Running]:
    """Run a sink until the end of the block, at the latest."""
    running = Running(Event(), Thread(), SinkMetrics(CollectorRegistry()))

    def body() -> None:
        try:
            running.report = run_sink(
                settings, fabric, store, running.stop, drain=drain, metrics=running.metrics
            )
        except BaseException as error:
            running.error = error

    running.thread = Thread(target=body, name="sink", daemon=True)
    running.thread.start()
    try:
        yield running
    finally:
        running.stop.set()
        running.thread.join(60)


class Unreliable:
    """A store that can be made to fail, or to hang up to its deadline and then fail, around a real one."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.down = False
        self.hang_s = 0.0
        self.lose_answers = False  # rows are stored, and the sink is told that they may not be
        self.failures = 0

    def prepare(self) -> None:
        self._store.prepare()

    def insert(self, table: str, columns: Columns) -> int:
        self._fail_if_down()
        count = self._store.insert(table, columns)
        if self.lose_answers:
            self.failures += 1
            raise TransientStoreError("the answer was lost")
        return count

    def query(self, sql: str, parameters: Any = None) -> QueryResult:
        self._fail_if_down()
        return self._store.query(sql, parameters)

    def execute(self, sql: str) -> None:
        self._fail_if_down()
        self._store.execute(sql)

    def close(self) -> None:
        self._store.close()

    def _fail_if_down(self) -> None:
        if self.down:
            self.failures += 1
            sleep(self.hang_s)
            raise TransientStoreError("down")

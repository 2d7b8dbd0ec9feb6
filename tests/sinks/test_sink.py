"""The sink on the embedded broker, with chDB: what it stores, refuses, counts and commits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from time import monotonic, sleep
from uuid import uuid4

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from bytetracker.embedded.broker import EmbeddedBroker
from fabric.model import Fabric
from schemas import topics
from sinks.migrate import migrate
from sinks.settings import ChdbSettings, SinkSettings, StoreSettings
from sinks.store import Store, StoreError
from tests.sinks.examples import as_message, example, example_paths
from tests.sinks.rig import Unreliable, check_stored, create_topics, running_sink, send, sink_settings, until

pytestmark = pytest.mark.servers


@pytest.fixture
def bootstrap(embedded_broker: EmbeddedBroker) -> str:
    create_topics(embedded_broker.bootstrap)
    return embedded_broker.bootstrap


@pytest.fixture
def chdb(chdb_path: Path, opened: Callable[[StoreSettings], Store]) -> Store:
    store = opened(ChdbSettings(str(chdb_path), f"test_{uuid4().hex[:12]}"))
    migrate(store)
    return store


def committed(settings: SinkSettings) -> dict[tuple[str, int], int]:
    """Offsets of the group, of the partitions that have one."""
    consumer = Consumer({"bootstrap.servers": settings.bootstrap_servers, "group.id": settings.group_id})
    places = [
        TopicPartition(t, p)
        for t in (topics.EVIDENCE, topics.RESULTS, topics.FAULTS, topics.DEAD_LETTERS)
        for p in range(topics.topic(t).partitions(2))
    ]
    found = {
        (p.topic, p.partition): p.offset for p in consumer.committed(places, timeout=10) if p.offset >= 0
    }
    consumer.close()
    return found


def test_stores_everything_there_is_and_commits_it(bootstrap: str, chdb: Store, lab: Fabric) -> None:
    settings = sink_settings(bootstrap)
    send(bootstrap, range(70), range(20))
    with running_sink(settings, lab, chdb) as sink:
        report = sink.finish()
    assert report.drained
    assert report.messages == 90
    assert report.dead_letters == report.retries == 0
    assert report.rows == {"link_evidence": 2800, "mirror_counts": 70, "slots": 70, "probe_results": 60}
    check_stored(chdb, range(70), range(20))
    assert committed(settings) == {
        (topics.EVIDENCE, 0): 70, (topics.RESULTS, 0): 10, (topics.RESULTS, 1): 10
    }  # fmt: skip
    assert chdb.query("SELECT count() FROM stale_minutes").rows == [(0,)]
    assert chdb.query("SELECT count() FROM nodes").rows[0][0] == 20


def test_a_new_sink_goes_on_where_the_last_one_stopped(bootstrap: str, chdb: Store, lab: Fabric) -> None:
    settings = sink_settings(bootstrap)
    send(bootstrap, range(5), range(2))
    with running_sink(settings, lab, chdb) as sink:
        assert sink.finish().messages == 7
    send(bootstrap, range(5, 8), range(2, 4))
    with running_sink(settings, lab, chdb) as sink:
        assert sink.finish().messages == 5
    check_stored(chdb, range(8), range(4))


def test_every_example_message_has_its_rows(bootstrap: str, chdb: Store, lab: Fabric) -> None:
    producer = Producer({"bootstrap.servers": bootstrap})
    for topic, path in example_paths():
        producer.produce(topic, as_message(topic, example(topic, path.stem)), partition=0)
    assert producer.flush(10) == 0
    with running_sink(sink_settings(bootstrap), lab, chdb) as sink:
        report = sink.finish()
    assert report.drained and report.dead_letters == 0
    assert report.rows == {
        "probe_results": 4, "link_evidence": 6, "mirror_counts": 2, "pair_counts": 3, "slots": 2,
        "chip_evidence": 3, "strays": 2, "altered_bits": 1, "flow_fates": 2, "flow_paths": 3, "silences": 2,
        "fault_events": 4, "coverage_reports": 3, "coverage_unseen": 1, "dead_letters": 2,
    }  # fmt: skip


def test_bad_messages_become_dead_letters_and_the_sink_goes_on(
    bootstrap: str, chdb: Store, lab: Fabric
) -> None:
    good = as_message(topics.EVIDENCE, example(topics.EVIDENCE, "a-slot-with-losses"))
    late_century = example(topics.EVIDENCE, "a-slot-with-losses") | {"slot_us": 2**60}
    bad = {
        "bad_framing": b"\x00\xff random bytes"[1:],
        "no_registry": b"\x00\x00\x00\x00\x07",
        "unknown_schema": b"\xc3\x01" + bytes(8) + good[10:],
        "truncated": good[:-5],
        "trailing_bytes": good + b"\x00",
        "time_out_of_range": as_message(topics.EVIDENCE, late_century),
        "empty": None,
    }
    producer = Producer({"bootstrap.servers": bootstrap})
    for message in bad.values():
        producer.produce(topics.EVIDENCE, message, partition=0)
    producer.produce(topics.DEAD_LETTERS, b"not even a dead letter", partition=0)
    assert producer.flush(10) == 0
    send(bootstrap, range(3), range(2))
    with running_sink(sink_settings(bootstrap), lab, chdb) as sink:
        # The letters it writes are messages for it to read: wait until they have come round.
        until(lambda: chdb.query("SELECT count() FROM dead_letters FINAL").rows == [(8,)])
        report = sink.finish()
    assert report.dead_letters == 8
    check_stored(chdb, range(3), range(2))
    letters = chdb.query("SELECT topic, offset, reason, payload, payload_bytes FROM dead_letters FINAL").rows
    assert {(t, o): r for t, o, r, _, _ in letters} == {
        **{(topics.EVIDENCE, offset): reason for offset, reason in enumerate(bad)},
        (topics.DEAD_LETTERS, 0): "bad_framing",
    }
    payloads = {reason: payload for topic, _, reason, payload, _ in letters if topic == topics.EVIDENCE}
    assert payloads["truncated"] == good[:-5]
    assert sink.metrics.bad_messages.labels(topics.EVIDENCE, "truncated")._value.get() == 1


def test_nothing_is_committed_that_is_not_stored(bootstrap: str, chdb: Store, lab: Fabric) -> None:
    settings = sink_settings(bootstrap)
    store = Unreliable(chdb)
    with running_sink(settings, lab, store, drain=False) as sink:
        until(lambda: chdb.query("SELECT count() FROM links").rows[0][0] > 0)
        store.down = True
        send(bootstrap, range(5), range(5))
        until(lambda: sink.metrics.paused._value.get() == 1)
        until(lambda: sink.metrics.retries._value.get() >= 3)
        started = monotonic()
        report = sink.finish()
        assert monotonic() - started < 5, "a sink stops soon, store or no store"
    assert not report.drained
    assert report.retries >= 2
    assert committed(settings) == {}
    store.down = False
    with running_sink(settings, lab, store) as sink:
        assert sink.finish().drained
    check_stored(chdb, range(5), range(5))


def test_a_draining_sink_gives_up_after_its_timeout(bootstrap: str, chdb: Store, lab: Fabric) -> None:
    store = Unreliable(chdb)
    store.down = True
    send(bootstrap, range(2), range(2))
    with running_sink(sink_settings(bootstrap, drain_timeout_ms=500), lab, store) as sink:
        sleep(0.2)
        assert not sink.finish(10).drained


def test_rows_stored_by_calls_that_failed_count_once(bootstrap: str, chdb: Store, lab: Fabric) -> None:
    store = Unreliable(chdb)
    send(bootstrap, range(61), range(5))
    store.lose_answers = True
    with running_sink(sink_settings(bootstrap), lab, store) as sink:
        until(lambda: store.failures >= 5)
        store.lose_answers = False
        report = sink.finish()
    assert report.drained
    check_stored(chdb, range(61), range(5))
    failed = sink.metrics.store_seconds.labels("insert", "TransientStoreError")
    assert failed._sum.get() > 0, "calls that failed are timed too"


def test_what_another_try_would_not_mend_ends_the_sink(bootstrap: str, chdb: Store, lab: Fabric) -> None:
    settings = sink_settings(bootstrap)
    send(bootstrap, range(2), range(2))
    chdb.execute("DROP TABLE slots")
    with running_sink(settings, lab, chdb) as sink:
        until(lambda: not sink.thread.is_alive())
        with pytest.raises(StoreError, match="slots"):
            sink.finish()
    assert (topics.EVIDENCE, 0) not in committed(settings)


def test_memory_is_bounded_by_rows(bootstrap: str, chdb: Store, lab: Fabric) -> None:
    """A backlog is stored in pieces of at most rows_max and one message."""
    largest = 0

    class Watching(Unreliable):
        def insert(self, table: str, columns: object) -> int:
            nonlocal largest
            largest = max(largest, len(next(iter(columns.values()))))  # type: ignore[attr-defined]
            return super().insert(table, columns)  # type: ignore[arg-type]

    send(bootstrap, range(100), range(1))
    with running_sink(sink_settings(bootstrap, rows_max=200), lab, Watching(chdb)) as sink:
        assert sink.finish().drained
    assert largest <= 200 + 42
    check_stored(chdb, range(100), range(1))


_STORED = "SELECT (SELECT count() FROM slots FINAL), (SELECT count() FROM probe_results FINAL)"


def test_two_sinks_share_the_partitions_and_one_may_leave(
    bootstrap: str, chdb: Store, lab: Fabric, opened: Callable[[StoreSettings], Store], chdb_path: Path
) -> None:
    (database,) = chdb.query("SELECT currentDatabase()").rows[0]
    other = opened(ChdbSettings(str(chdb_path), database))
    settings = sink_settings(bootstrap)
    with running_sink(settings, lab, chdb) as stays:
        until(lambda: chdb.query("SELECT count() FROM links").rows[0][0] > 0)
        send(bootstrap, range(30), range(30))
        with running_sink(settings, lab, other, drain=False) as leaves:
            # It joins, gets partitions of the other's, and leaves again in the middle of things.
            sent = 30
            while not leaves.metrics.messages.labels(topics.RESULTS)._value.get():
                send(bootstrap, range(sent, sent + 5), range(sent, sent + 5))
                sent += 5
                assert sent < 2000
                sleep(0.1)
            leaves.finish()
        send(bootstrap, range(sent, sent + 10), range(sent, sent + 10))
        # A sink drains what is its own; the partitions of the one that left come back with a rebalance.
        everything = [(sent + 10, 3 * (sent + 10))]
        until(lambda: chdb.query(_STORED).rows == everything)
        report = stays.finish()
    assert report.drained
    check_stored(chdb, range(sent + 10), range(sent + 10))

"""Bytes that are no messages of ours, on every topic that a worker or the sink reads.

Each goes to the dead letters, topic and table, with its reason; worker and sink go on, and all that is good
is joined and stored.
"""

from __future__ import annotations

import json
import random
import sys
import time
import urllib.request
from collections import Counter
from pathlib import Path
from typing import TypeGuard

import pytest
import yaml
from confluent_kafka import KafkaError, Message, Producer

from bytetracker.embedded.process import ServerProcess, free_port
from bytetracker.run.watch import Watcher
from fabric.inventory import load_fabric
from schemas import topics
from schemas.batch import decode_batch
from schemas.codec import decode
from schemas.errors import BadMessage
from streams.intake import TOPICS
from streams.replay import read_to_end
from streams.settings import JoinSettings
from tests.pipeline.brokers import KINDS, fresh_topics
from tests.pipeline.commands import ask_store, until
from tests.pipeline.tap import Tap
from tests.pipeline.traffic import Running, Traffic
from tests.pipeline.workers import Workers

pytestmark = [pytest.mark.servers, pytest.mark.slow, pytest.mark.timeout(120)]

PARTITIONS = 2
FABRIC = "small"
SINK_TOPICS = (topics.RESULTS, topics.EVIDENCE, topics.FAULTS, topics.DEAD_LETTERS)


class Spoiler:
    """Writes bad messages and remembers how many, by topic and reason."""

    def __init__(self, bootstrap: str) -> None:
        self._producer = Producer({"bootstrap.servers": bootstrap, "acks": "all"})
        self._chance = random.Random(3)
        self.written: Counter[tuple[str, str]] = Counter()

    def write(self, topic: str, value: bytes | None, reason: str, partition: int = 0) -> None:
        # A compacted topic takes nothing without a key.
        self._producer.produce(topic, value, key="x", partition=partition, on_delivery=_must_arrive)
        self.written[topic, reason] += 1

    def anything(self, topic: str) -> None:
        """What needs no good message."""
        self.write(topic, b"\x17" + self._chance.randbytes(99), "bad_framing")
        self.write(topic, b"", "bad_framing")
        self.write(topic, None, "empty")
        self.write(topic, b"\xc3\x01" + self._chance.randbytes(60), "unknown_schema")
        self.write(topic, b"\xc3\x01\x00", "truncated")
        self.write(topic, b"\x00\x00\x00\x00\x07" + self._chance.randbytes(60), "no_registry")

    def damaged(self, topic: str, good: bytes, cut_reason: str) -> None:
        """What was a good message of that topic."""
        self.write(topic, good[: len(good) // 2], cut_reason)
        self.write(topic, good + b"\x00", "trailing_bytes")
        self.write(topic, good[:2] + bytes(8) + good[10:], "unknown_schema")

    def state(self, key: str) -> None:
        """A stored state that is none: its stage begins with what it had before."""
        self._producer.produce(topics.STATE, b"\xc3\x01" + bytes(50), key=key, partition=0)

    def flush(self) -> None:
        assert self._producer.flush(10) == 0


def _must_arrive(error: KafkaError | None, _: Message) -> None:
    assert error is None, error


@pytest.mark.parametrize("kind", KINDS)
def test_bad_input_is_put_aside_and_counted(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    traffic = Traffic(
        load_fabric(FABRIC), PARTITIONS, seconds=12, interval_us=500_000, faults=("loss:leaf-1-1:rate=0.5",)
    )
    with (
        fresh_topics(kind, PARTITIONS, tmp_path, request) as bootstrap,
        Workers(bootstrap, PARTITIONS, FABRIC, JoinSettings(sample_one_in=10), tmp_path) as workers,
        Tap({"bootstrap.servers": bootstrap}, PARTITIONS) as tap,
    ):
        metrics_port = free_port()
        store = tmp_path / "store"
        config = yaml.safe_load(workers.config_path.read_text())
        config["worker"]["metrics_port"] = metrics_port
        config["store"] = {"kind": "chdb", "path": str(store)}
        config["sink"] = {"group_id": config["worker"]["app_id"] + "-sink"}
        workers.config_path.write_text(yaml.safe_dump(config))
        command = [
            sys.executable,
            "-m",
            "bytetracker",
            "sink",
            "--config",
            str(workers.config_path),
            "--drain",
        ]
        sink = ServerProcess("sink", command, tmp_path / "sink.log")
        spoiler = Spoiler(bootstrap)
        for topic in (*TOPICS, *SINK_TOPICS):
            spoiler.anything(topic)
        spoiler.state("join-0")
        spoiler.state("localiser")
        spoiler.flush()
        try:
            sink.start(lambda: True, 5)
            workers.start("worker-1")
            running = Running(traffic, bootstrap)
            until(lambda: len(tap.outputs().faults) > 0, 30, "no fault is found")
            _spoil_with_good_ones(spoiler, bootstrap, tap)
            sent = running.join().probes_sent
            expected = _letters(spoiler.written)
            until(lambda: tap.outputs().closed >= sent, 30, f"probes are missing\n{workers.logs()}")
            until(lambda: _seen(tap) == expected, 15, "dead letters are missing")
            workers.check()
            assert sink.running, sink.log_tail()
            counted = _counted(metrics_port)
            sink.stop(30)
        finally:
            sink.kill()
        live = tap.outputs()
        watcher = Watcher({"bootstrap.servers": bootstrap})  # what a run shows of itself
        until(lambda: watcher.look(0.5).probes == sent, 15, "the watcher does not see it")
        watcher.close()
    assert live.late == 0
    assert live.contradictions == []
    assert counted == {
        key: n for key, n in expected["worker"].items() if key[0] in (*TOPICS, topics.EVIDENCE)
    }
    report = json.loads(sink.log_path.read_text().splitlines()[-1])
    assert report["drained"]
    assert report["dead_letters"] == sum(expected["sink"].values())
    rows = ask_store(
        store, "SELECT topic, reason, count() AS letters FROM dead_letters FINAL GROUP BY topic, reason"
    )
    # Worker and sink both read the evidence, and agree on why it is bad: one row.
    assert {(r["topic"], r["reason"]): r["letters"] for r in rows} == dict(spoiler.written)
    slots = ask_store(store, "SELECT sum(probes) AS probes FROM slots FINAL")
    assert slots == [{"probes": sent}]
    payloads = ask_store(store, "SELECT count() AS n FROM dead_letters FINAL WHERE payload_bytes = 100")
    assert payloads[0]["n"] >= len({*TOPICS, *SINK_TOPICS})


def _spoil_with_good_ones(spoiler: Spoiler, bootstrap: str, tap: Tap) -> None:
    logs = [list(read_to_end({"bootstrap.servers": bootstrap}, p)) for p in range(PARTITIONS)]
    for side, topic in enumerate(TOPICS):
        good = max((m.value for m in logs[0] if m.side == side and _readable(topic, m.value)), key=len)
        assert len(decode_batch(topic, good).rows)
        spoiler.damaged(topic, good, "truncated")
        spoiler.write(topic, good, "wrong_partition", partition=1)
    until(lambda: {t for t, _ in tap.raw()} == set(SINK_TOPICS), 20, "not every topic has been written to")
    for topic in SINK_TOPICS:
        good = max((v for t, v in tap.raw() if t == topic and _readable(t, v)), key=len)
        spoiler.damaged(topic, good, "truncated" if topic == topics.EVIDENCE else "undecodable")
    spoiler.flush()


def _readable(topic: str, value: bytes | None) -> TypeGuard[bytes]:
    try:
        decode(topic, value)
    except BadMessage:
        return False
    return True


def _letters(written: Counter[tuple[str, str]]) -> dict[str, Counter[tuple[str, str]]]:
    """Who must write which letters."""
    return {
        "worker": Counter({k: n for k, n in written.items() if k[0] in (*TOPICS, topics.EVIDENCE)}),
        "sink": Counter({k: n for k, n in written.items() if k[0] in SINK_TOPICS}),
    }


def _seen(tap: Tap) -> dict[str, Counter[tuple[str, str]]]:
    """Letters on the topic. Those about the evidence come from both; each must have written all of its."""
    found: Counter[tuple[str, str]] = Counter()
    for letter in tap.letters():
        found[letter["topic"], letter["reason"]] += 1
    both = {k: n for k, n in found.items() if k[0] == topics.EVIDENCE}
    halves = Counter({k: n // 2 for k, n in both.items() if n % 2 == 0})
    return {
        "worker": Counter({k: n for k, n in found.items() if k[0] in TOPICS}) + halves,
        "sink": Counter({k: n for k, n in found.items() if k[0] in SINK_TOPICS and k not in both}) + halves,
    }


def _counted(port: int) -> dict[tuple[str, str], int]:
    """The worker's own counter."""
    from prometheus_client.parser import text_string_to_metric_families

    deadline_s = time.monotonic() + 5
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=2) as answer:
                text = answer.read().decode()
            break
        except OSError:
            assert time.monotonic() < deadline_s, "the worker's metrics do not answer"
            time.sleep(0.2)
    return {
        (sample.labels["topic"], sample.labels["reason"]): int(sample.value)
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "bytetracker_worker_dead_letters_total"
    }

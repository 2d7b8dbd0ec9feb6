"""Digests joined per CPU second by one Faust worker that reads them from Kafka, evidence stored.

The topics of an embedded broker are filled with some seconds of a large data centre's traffic; then
the worker of production (`bytetracker worker`) is started and works through them, until the evidence
of every probe is in its topic. Counted is all CPU time of the worker's process, threads included, from
its first message on (starting Python and joining the group are not joining digests).

The plain worker reads one ordinary Avro record per message in a Faust agent and joins in dictionaries;
it gets a smaller part of the same rows.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import yaml
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from benchmarks.join import FABRIC, large_traffic
from benchmarks.plain_join import records, write_row
from benchmarks.traffic import Traffic
from bytetracker.embedded.broker import EmbeddedBroker, EmbeddedBrokerOptions
from bytetracker.embedded.process import ServerProcess
from bytetracker.topics_admin import create_topics
from schemas import topics
from schemas.codec import decode
from streams.intake import TOPICS

_SECONDS = 6.0
#: Messages of the plain worker: its rate does not depend on how many there are.
_PLAIN_MESSAGES = 60_000
_DEADLINE_S = 120.0
_POLL_S = 0.02


def run(seconds: float = _SECONDS) -> dict[str, object]:
    """Measure; takes about a minute and 3 GB. Raises TimeoutError when a worker does not get through."""
    traffic = large_traffic(seconds)
    with tempfile.TemporaryDirectory() as name, _broker(Path(name)) as broker:
        create_topics({"bootstrap.servers": broker.bootstrap}, len(traffic.partitions))
        _fill(broker.bootstrap, traffic)
        ours = _work(broker.bootstrap, Path(name), traffic)
    with tempfile.TemporaryDirectory() as name, _broker(Path(name)) as broker:
        plain = _plain_rate(broker.bootstrap, Path(name), traffic)
    return {
        "name": "pipeline",
        "unit": "digests/s",
        "rate_per_core": round(ours.digests / ours.cpu_s),
        "baseline": round(plain),
        "ratio": round(ours.digests / ours.cpu_s / plain, 1),
        "digests_per_wall_s": round(ours.digests / ours.wall_s),
        "memory_peak_mb": ours.memory_peak_bytes // 2**20,
        "stop_s": round(ours.stop_s, 1),
    }


class _Measured:
    """What one worker took for all the traffic."""

    def __init__(self) -> None:
        self.digests = 0
        self.verdicts: Counter[str] = Counter()
        self.cpu_s = self.wall_s = self.stop_s = 0.0
        self.memory_peak_bytes = 0


@contextmanager
def _broker(folder: Path) -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker(EmbeddedBrokerOptions(folder / "broker.log", memory_bytes_max=4 * 2**30)) as broker:
        yield broker


def _fill(bootstrap: str, traffic: Traffic) -> None:
    producer = Producer(
        {"bootstrap.servers": bootstrap, "compression.type": "lz4", "linger.ms": 5, "acks": 1}
    )
    for partition, log in enumerate(traffic.partitions):
        for m in log:
            topic = TOPICS[m.side]
            producer.produce(topic, m.value, partition=partition, timestamp=m.timestamp_ms)
            if m.offset % 100 == 0:
                producer.flush(30)
    if producer.flush(60):
        raise TimeoutError("the broker did not take all messages")


def _work(bootstrap: str, folder: Path, traffic: Traffic) -> _Measured:
    """Start a worker on the filled topics and wait for the last evidence."""
    config = folder / "bytetracker.yaml"
    document = {
        "inventory": FABRIC,
        "partitions": len(traffic.partitions),
        "kafka": {"bootstrap_servers": bootstrap},
    }
    config.write_text(yaml.safe_dump(document))
    worker = ServerProcess(
        "worker",
        [sys.executable, "-m", "bytetracker", "worker", "--config", str(config)],
        folder / "worker.log",
        environment={"BYTETRACKER_FAUST_DATADIR": str(folder / "faust"), "PYTHONUNBUFFERED": "1"},
    )
    measured = _Measured()
    worker.start(lambda: "partition owned" in worker.log_tail(), 60.0)
    try:
        assert worker.pid is not None
        process = psutil.Process(worker.pid)
        cpu_before, wall_before = _cpu_s(process), time.perf_counter()
        with _evidence(bootstrap) as consumer:
            while measured.digests < traffic.digests:
                if time.perf_counter() - wall_before > _DEADLINE_S or not worker.running:
                    raise TimeoutError(
                        f"{measured.digests} of {traffic.digests} digests\n{worker.log_tail()}"
                    )
                message = consumer.poll(_POLL_S)
                if message is not None and not message.error():
                    head, _ = decode(topics.EVIDENCE, message.value())
                    measured.digests += head["digests"]
                    measured.verdicts.update(head["verdicts"])
                measured.memory_peak_bytes = max(measured.memory_peak_bytes, process.memory_info().rss)
        measured.cpu_s, measured.wall_s = _cpu_s(process) - cpu_before, time.perf_counter() - wall_before
    finally:
        stopping = time.perf_counter()
        worker.stop(30.0)
        measured.stop_s = time.perf_counter() - stopping
    if sum(measured.verdicts.values()) != traffic.probes:
        raise AssertionError(f"{traffic.probes} probes were sent, the evidence tells of {measured.verdicts}")
    return measured


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


@contextmanager
def _evidence(bootstrap: str) -> Iterator[Consumer]:
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "bench", "enable.auto.commit": False})
    consumer.assign([TopicPartition(topics.EVIDENCE, 0, 0)])
    try:
        yield consumer
    finally:
        consumer.close()


def _plain_rate(bootstrap: str, folder: Path, traffic: Traffic) -> float:
    """Digests per CPU second of the plain worker."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    for future in admin.create_topics([NewTopic(topic, 1, 1) for topic in TOPICS]).values():
        future.result(30)
    producer = Producer(
        {"bootstrap.servers": bootstrap, "compression.type": "lz4", "linger.ms": 5, "acks": 1}
    )
    sent = 0
    for m in traffic.partitions[0]:
        for row in records(m.side, m.value):
            producer.produce(TOPICS[m.side], write_row(m.side, row), partition=0, timestamp=m.timestamp_ms)
            sent += 1
            if sent % 1_000 == 0:
                producer.flush(30)
        if sent >= _PLAIN_MESSAGES:
            break
    if producer.flush(60):
        raise TimeoutError("the broker did not take all messages")
    worker = ServerProcess(
        "plain worker",
        [sys.executable, "-m", "benchmarks.plain_worker", bootstrap, FABRIC, str(sent)],
        folder / "plain.log",
        environment={"BYTETRACKER_FAUST_DATADIR": str(folder / "faust"), "PYTHONUNBUFFERED": "1"},
    )
    worker.start(lambda: "cpu_s" in worker.log_tail(), _DEADLINE_S)
    worker.stop(10.0)
    result = json.loads([line for line in worker.log_tail().splitlines() if "cpu_s" in line][-1])
    return float(result["digests"]) / float(result["cpu_s"])


if __name__ == "__main__":
    print(run())  # noqa: T201 - a command

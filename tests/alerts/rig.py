"""A topic of faults, an alerts process that reads it, and what is needed to break both."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from confluent_kafka import Producer
from prometheus_client import CollectorRegistry

from alerts.metrics import AlertsMetrics
from alerts.run import run_alerts
from alerts.settings import AlertsSettings, ReceiverSettings
from bytetracker.embedded.process import ServerProcess
from bytetracker.topics_admin import create_topics
from fabric.builtin import builtin_fabric
from schemas import topics
from schemas.codec import encode
from schemas.kafka import KafkaSettings
from tests.alerts.events import event

SECRET = "the key of the tests"
#: Short waits: what takes a minute in a data centre takes a second here.
QUICK = {"backoff_min_s": 0.1, "backoff_max_s": 0.5, "resend_every_s": 1.0, "connect_timeout_s": 2.0}


@dataclass
class Faults:
    """Writes fault events as the localiser does."""

    bootstrap: str
    versions: dict[str, int] = field(default_factory=dict)
    _producer: Producer = field(init=False)

    def __post_init__(self) -> None:
        create_topics({"bootstrap.servers": self.bootstrap}, 1)
        self._producer = Producer({"bootstrap.servers": self.bootstrap, "linger.ms": 1})

    def say(self, fault_id: str, state: str = "open", **changes: Any) -> None:
        """The next event of a fault; stored when it returns."""
        self.versions[fault_id] = self.versions.get(fault_id, 0) + 1
        self.say_again(event(fault_id, self.versions[fault_id], state, **changes))

    def say_again(self, value: Mapping[str, Any]) -> None:
        """This very event."""
        self.write(value["fault_id"].encode(), encode(topics.FAULTS, dict(value)))

    def write(self, key: bytes, value: bytes | None) -> None:
        self._producer.produce(topics.FAULTS, value, key, partition=0)
        assert self._producer.flush(20) == 0


def receivers(**sections: dict[str, Any]) -> dict[str, ReceiverSettings]:
    """Settings with the short waits of the tests."""
    made = {}
    for name, section in sections.items():
        secret = {"secret": SECRET} if section["kind"] == "webhook" else {}
        made[name] = ReceiverSettings(name=name, **{**QUICK, **secret, **section})
    return made


@dataclass
class Running:
    """An alerts process in a thread."""

    registry: CollectorRegistry
    stop: threading.Event = field(default_factory=threading.Event)
    error: BaseException | None = None

    def metric(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(f"bytetracker_alerts_{name}", labels) or 0.0


@contextmanager
def alerting(bootstrap: str, settings: dict[str, ReceiverSettings], **options: Any) -> Iterator[Running]:
    """Run it in this process until the end of the block; fails if it fails."""
    running = Running(CollectorRegistry())
    alerts = AlertsSettings(kafka=KafkaSettings(bootstrap_servers=bootstrap), receivers=settings, **options)

    def run() -> None:
        try:
            run_alerts(alerts, builtin_fabric("demo"), running.stop, AlertsMetrics(running.registry))
        except BaseException as error:
            running.error = error

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield running
    finally:
        running.stop.set()
        thread.join(30)
        assert not thread.is_alive()
    assert running.error is None, running.error


class Process:
    """The command itself, to be killed."""

    def __init__(self, folder: Path, document: dict[str, Any]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        config = folder / "bytetracker.yaml"
        config.write_text(yaml.safe_dump(document))
        self._process = ServerProcess(
            "alerts",
            [sys.executable, "-m", "bytetracker", "alerts", "--config", str(config)],
            folder / "alerts.log",
        )

    def start(self) -> None:
        self._process.start(lambda: True, 5.0)

    def kill(self) -> None:
        self._process.kill()

    def stop(self) -> None:
        self._process.stop(30.0)

    @property
    def running(self) -> bool:
        return self._process.running

    def log(self) -> str:
        return self._process.log_tail()

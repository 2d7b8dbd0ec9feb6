"""The console as a process: live events from a broker, what it says while others are away, and its end."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import pytest
import yaml
from confluent_kafka import Producer

from bytetracker.embedded.broker import EmbeddedBroker, EmbeddedBrokerOptions
from bytetracker.embedded.process import free_port
from bytetracker.topics_admin import create_topics
from console.security import API
from fabric.builtin import builtin_fabric
from schemas import topics
from tests.console.api.live_rows import SLOT_US, evidence, fault_message

pytestmark = pytest.mark.servers

LAB = builtin_fabric("lab")


class Served:
    """`bytetracker console` as a child process."""

    def __init__(self, folder: Path, broker_port: int, **options: Any) -> None:
        self.port = free_port()
        config = folder / "bytetracker.yaml"
        document = {
            "inventory": "lab",
            "partitions": 2,
            "kafka": {"bootstrap_servers": f"127.0.0.1:{broker_port}"},
            "store": {"kind": "chdb", "path": str(folder / "store")},
            "console": {"port": self.port, **options},
        }
        config.write_text(yaml.safe_dump(document))
        self.process = subprocess.Popen(
            [sys.executable, "-m", "bytetracker", "console", "--config", str(config)],
            stderr=subprocess.PIPE,
            text=True,
        )
        self.url = f"http://127.0.0.1:{self.port}"
        assert self.process.stderr is not None
        self.said = self.process.stderr.readline()

    def get(self, path: str) -> httpx.Response:
        return httpx.get(f"{self.url}{API}/{path}", timeout=30)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(20)


class Listening:
    """A page that listens, in a thread: (event, data, time.time) of what came."""

    def __init__(self, served: Served, last_id: str | None = None) -> None:
        self.events: list[tuple[str, Any, float]] = []
        self.ended = False
        self._url = f"{served.url}{API}/events"
        self._headers = {"Last-Event-ID": last_id} if last_id else {}
        self._thread = Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        with (
            suppress(httpx.HTTPError),
            httpx.stream("GET", self._url, headers=self._headers, timeout=60) as answer,
        ):
            assert answer.headers["content-type"].startswith("text/event-stream")
            name = ""
            for line in answer.iter_lines():
                if line.startswith("event: "):
                    name = line[7:]
                elif line.startswith("data: "):
                    self.events.append((name, json.loads(line[6:]), time.time()))
        self.ended = True

    def of(self, name: str) -> list[tuple[Any, float]]:
        return [(data, at) for event, data, at in list(self.events) if event == name]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Served]]:
    started: list[Served] = []

    def start(broker_port: int, **options: Any) -> Served:
        started.append(Served(tmp_path, broker_port, **options))
        return started[-1]

    yield start
    for served in started:
        served.kill()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker(EmbeddedBrokerOptions(tmp_path / "broker.log")) as started:
        create_topics({"bootstrap.servers": started.bootstrap}, 2)
        yield started


def eventually(true: Callable[[], Any], timeout_s: float = 60) -> None:
    until = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < until, "it did not come to that"
        time.sleep(0.05)


def test_a_fault_is_on_the_page_soon_after_it_is_written(
    broker: EmbeddedBroker, serve: Callable[..., Served]
) -> None:
    producer = Producer({"bootstrap.servers": broker.bootstrap})
    producer.produce(topics.FAULTS, fault_message("before"), b"before")
    assert producer.flush(20) == 0
    served = serve(broker.port)
    assert served.said == f"console: {served.url}/\n"
    eventually(lambda: served.get("overview").json()["broker"])
    eventually(lambda: served.get("faults?state=open").json().get("total") == 1)
    page = Listening(served)
    eventually(lambda: page.of("clock"))
    for number in range(20):
        producer.produce(topics.FAULTS, fault_message(f"f{number}"), f"f{number}".encode())
        producer.flush(20)
        eventually(lambda number=number: len(page.of("fault")) > number, 20)  # type: ignore[misc]
        # Measured on a quiet machine: 0.02 s from the producer to the page (benchmarks/console.py).
        assert page.of("fault")[-1][0]["fault_id"] == f"f{number}"
    assert served.get("faults?state=open").json()["total"] == 21
    # What the store does not have yet is shown from the topic.
    assert served.get("faults/f7").json()["fault"]["fault_id"] == "f7"
    # A page that comes back is told what it missed.
    again = Listening(served, last_id="18")
    eventually(lambda: len(again.of("fault")) == 2)
    assert [data["fault_id"] for data, _ in again.of("fault")] == ["f18", "f19"]


def test_links_are_on_the_page(broker: EmbeddedBroker, serve: Callable[..., Served]) -> None:
    served = serve(broker.port)
    eventually(lambda: served.get("overview").json()["broker"])
    page = Listening(served)
    eventually(lambda: page.of("clock"))
    producer = Producer({"bootstrap.servers": broker.bootstrap})
    slot_us = time.time_ns() // 1_000 // SLOT_US * SLOT_US
    bad = LAB.switch_links[0]
    producer.produce(topics.EVIDENCE, evidence(LAB, slot_us, {bad.name: (70, 30, 2, 1)}), partition=0)
    producer.produce(topics.EVIDENCE, b"garbage", partition=0)
    assert producer.flush(20) == 0
    eventually(lambda: page.of("links") and page.of("links")[-1][0]["bad"])
    (one,) = page.of("links")[-1][0]["bad"]
    assert one[2:] == [70, 30, 2, 1]
    assert served.get("links/now").json()["bad"] == [one]
    overview = served.get("overview").json()
    assert (overview["now_us"], overview["loss_rate"]) == (slot_us + SLOT_US, 0.3)


def test_it_starts_without_anybody_and_finds_them_when_they_come(
    tmp_path: Path, serve: Callable[..., Served]
) -> None:
    port = free_port()
    served = serve(port)
    assert served.get("fabric").json()["name"] == LAB.name
    overview = served.get("overview").json()
    assert (overview["broker"], overview["store"]) == (False, False)
    assert "there is no chDB store" in served.get("faults").json()["detail"]
    assert served.get("faults").status_code == 503
    eventually(
        lambda: (
            f"no Kafka broker answers at 127.0.0.1:{port}" in served.get("overview").json()["broker_advice"]
        )
    )
    answer = httpx.post(
        f"{served.url}{API}/silences", json={"element": "spine-1", "for_s": 60, "why": "x"}, timeout=60
    )
    assert answer.status_code == 503
    page = Listening(served)
    eventually(lambda: page.of("hello"))
    with EmbeddedBroker(EmbeddedBrokerOptions(tmp_path / "broker.log", port=port)) as broker:
        eventually(lambda: "topics create" in served.get("overview").json()["broker_advice"])
        create_topics({"bootstrap.servers": broker.bootstrap}, 2)
        eventually(lambda: served.get("overview").json()["broker"])
        # Until the console has seen the end of the topic, what is in it is no news.
        producer = Producer({"bootstrap.servers": broker.bootstrap})
        versions = iter(range(1, 1000))

        def told() -> bool:
            producer.produce(topics.FAULTS, fault_message("f1", next(versions)), b"f1")
            producer.flush(10)
            return bool(page.of("fault"))

        eventually(told)
        asked = {"element": "spine-1", "for_s": 60, "why": "optics", "by": "alice"}
        made = httpx.post(f"{served.url}{API}/silences", json=asked, timeout=60)
        assert made.status_code == 200, made.text
        held = served.get("silences").json()
        assert [(one["element"], one["by"], one["why"]) for one in held] == [("spine-1", "alice", "optics")]
        wrong = httpx.post(f"{served.url}{API}/silences", json={**asked, "element": "nowhere"}, timeout=60)
        assert wrong.status_code == 400
        assert "no element 'nowhere'" in wrong.json()["detail"]
    eventually(lambda: not served.get("overview").json()["broker"])
    assert served.get("faults?state=open").status_code == 503  # they may be over by now


def test_it_ends_in_order_while_pages_listen(broker: EmbeddedBroker, serve: Callable[..., Served]) -> None:
    served = serve(broker.port)
    pages = [Listening(served) for _ in range(5)]
    eventually(lambda: all(page.of("hello") for page in pages))
    served.process.send_signal(signal.SIGTERM)
    assert served.process.wait(10) == 0
    eventually(lambda: all(page.ended for page in pages), 10)


def test_a_port_that_is_taken_is_told(
    broker: EmbeddedBroker, serve: Callable[..., Served], tmp_path: Path
) -> None:
    served = serve(broker.port)
    second = subprocess.run(
        [sys.executable, "-m", "bytetracker", "console", "--config", str(tmp_path / "bytetracker.yaml")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert second.returncode == 1
    assert f"cannot listen on 127.0.0.1:{served.port}" in second.stderr
    assert "--port" in second.stderr

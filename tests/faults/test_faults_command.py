"""`bytetracker faults` on real parts: a broker without a store, a store without a broker, and both."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import pytest
from confluent_kafka import Producer

from schemas import topics
from sinks.columns import Origin
from sinks.migrate import migrate
from sinks.names import NodeNames
from sinks.opening import open_store
from sinks.rows import rows_of_message
from sinks.settings import ChdbSettings
from tests.faults.examples import EVENTS, LINK, LINK_LATER, SERVER, SERVER_OVER, SILENCED
from tests.faults.test_wanted import DEMO
from tests.pipeline.brokers import KINDS, fresh_topics
from tests.sinks.examples import as_message

pytestmark = pytest.mark.servers
NO_BROKER = "127.0.0.1:1"


@pytest.fixture(scope="module")
def store_folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A store with all events, each inserted twice, filled by a process of its own: this one may have another
    folder open."""
    folder = tmp_path_factory.mktemp("faults") / "store"
    filled = subprocess.run(
        [sys.executable, "-m", "tests.faults.test_faults_command", str(folder)], check=False, timeout=120
    )
    assert filled.returncode == 0
    return str(folder)


def _fill(folder: str) -> None:
    store = open_store(ChdbSettings(folder))
    migrate(store)
    for offset, value in enumerate([*EVENTS, *EVENTS]):
        message = as_message(topics.FAULTS, value)
        for rows in rows_of_message(message, Origin(topics.FAULTS, 0, offset), NodeNames(DEMO)):
            store.insert(rows.table, rows.columns)
    store.close()


@pytest.fixture(params=KINDS)
def bootstrap(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    with fresh_topics(request.param, 2, tmp_path, request) as address:
        yield address


def _environment(bootstrap: str, store: str = "/nowhere/store") -> dict[str, str]:
    return {
        **os.environ,
        "BYTETRACKER_KAFKA__BOOTSTRAP_SERVERS": bootstrap,
        "BYTETRACKER_STORE__PATH": store,
        "COLUMNS": "200",
    }


def _faults(environment: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bytetracker", "faults", *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


def _listed(done: subprocess.CompletedProcess[str]) -> list[str]:
    assert done.returncode == 0, done.stderr
    return [f"{fault['fault_id']}/{fault['version']}" for fault in json.loads(done.stdout)]


def _produce(bootstrap: str, *events: dict[str, Any]) -> None:
    producer = Producer({"bootstrap.servers": bootstrap})
    for event in events:
        producer.produce(topics.FAULTS, as_message(topics.FAULTS, event), event["fault_id"], partition=0)
    assert producer.flush(20) == 0


def test_from_the_store_alone(store_folder: str) -> None:
    environment = _environment(NO_BROKER, store_folder)
    assert _listed(_faults(environment, "--format", "json")) == ["a1/2", "b2/2", "c3/1"]
    assert _listed(_faults(environment, "--format", "json", "--element", "pod-4")) == ["b2/2"]
    since = ["--format", "json", "--since", "2026-03-08T20:00:30+00:00"]
    assert _listed(_faults(environment, *since)) == ["b2/2", "c3/1"]
    elsewhere = _faults(_environment(NO_BROKER), "--store", store_folder, "--state", "open")
    assert [line.split()[2] for line in elsewhere.stdout.splitlines()[2:]] == ["open", "silenced"]
    assert "\x1b" not in elsewhere.stdout


def test_from_the_topic_alone(bootstrap: str) -> None:
    _produce(bootstrap, *EVENTS, LINK)  # as a worker says again after a crash
    done = _faults(_environment(bootstrap), "--format", "json")
    assert _listed(done) == ["a1/2", "b2/2", "c3/1"]
    assert "From the topic, because the store cannot be read: there is no chDB store" in done.stderr
    done = _faults(_environment(bootstrap), "--format", "json", "--from", "topic", "--severity", "critical")
    assert _listed(done) == ["a1/2"]
    assert done.stderr == ""


def test_without_either_it_says_so() -> None:
    done = _faults(_environment(NO_BROKER))
    assert done.returncode == 1
    assert done.stderr.startswith("Error: neither store nor broker: there is no chDB store in /nowhere/store")
    assert NO_BROKER in done.stderr and len(done.stderr.splitlines()) == 1


class Follower:
    """`bytetracker faults --follow` as a child, its output line by line."""

    def __init__(self, bootstrap: str, *words: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "bytetracker", "faults", "--follow", *words],
            env=_environment(bootstrap),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    @property
    def output(self) -> IO[str]:
        assert self.process.stdout is not None
        return self.process.stdout

    def line(self) -> str:
        return self.output.readline().rstrip("\n")

    def errors(self) -> str:
        assert self.process.stderr is not None
        return self.process.stderr.read()


@pytest.fixture
def followers() -> Iterator[list[Follower]]:
    started: list[Follower] = []
    yield started
    for each in started:
        each.process.kill()
        each.process.wait(10)


def test_following_shows_what_is_open_then_each_event_and_ends_on_ctrl_c(
    bootstrap: str, followers: list[Follower]
) -> None:
    _produce(bootstrap, LINK, SERVER, SERVER_OVER)
    follower = Follower(bootstrap)
    followers.append(follower)
    # Of what was: the open one only.
    assert follower.line().startswith(
        "2026-03-08 20:00:02 open     critical network_loss at leaf-1-1~spine-1 97%"
    )
    _produce(bootstrap, LINK_LATER, LINK_LATER, SILENCED)
    assert follower.line().startswith("2026-03-08 20:00:12 updated  critical")
    assert follower.line().startswith("2026-03-08 20:01:00 open     warning  network_loss at spine-3/lc-1")
    follower.process.send_signal(signal.SIGINT)
    assert follower.process.wait(10) == 0
    assert follower.output.read() == "" and follower.errors() == ""


def test_following_ends_when_nobody_reads_any_more(bootstrap: str, followers: list[Follower]) -> None:
    """As with `| head -1`: also when no further event comes."""
    _produce(bootstrap, LINK)
    follower = Follower(bootstrap, "--format", "jsonl")
    followers.append(follower)
    assert json.loads(follower.line())["fault_id"] == "a1"
    follower.output.close()
    assert follower.process.wait(10) == 0
    assert follower.errors() == ""


def test_following_from_a_time_and_of_a_kind(bootstrap: str, followers: list[Follower]) -> None:
    _produce(bootstrap, *EVENTS)
    words = ["--since", "2026-03-08T20:00:30+00:00", "--format", "csv", "--kind", "host_silent"]
    follower = Follower(bootstrap, *words)
    followers.append(follower)
    assert follower.line().startswith("fault_id,version,state")
    assert follower.line().startswith("b2,2,resolved,host_silent")
    _produce(bootstrap, LINK | {"fault_id": "d4"}, SERVER | {"fault_id": "e5", "detected_at_us": 2**51})
    assert follower.line().startswith("e5,1,open,host_silent")


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--follow", "--format", "json"], "jsonl"),
        (["--follow", "--from", "store"], "reads the topic"),
        (["--since", "tomorrow"], "'tomorrow' is no time"),
        (["--kind", "flood"], "'flood' is not one of 'network_loss'"),
    ],
)
def test_what_cannot_be_is_refused(words: list[str], complaint: str) -> None:
    done = _faults(_environment(NO_BROKER), *words)
    assert done.returncode != 0
    assert complaint in done.stderr and len(done.stderr.splitlines()) == 1


if __name__ == "__main__":
    _fill(sys.argv[1])

"""`bytetracker coverage` with a broker and nothing else: the newest report, flows chosen from evidence."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from click.testing import CliRunner, Result
from confluent_kafka import Producer

from bytetracker.cli import main
from bytetracker.coverage.learner import Learner
from bytetracker.coverage.live import CoverageTopics
from bytetracker.coverage.measure import plans_of
from bytetracker.coverage.simulated import simulate
from bytetracker.embedded.broker import EmbeddedBroker, EmbeddedBrokerOptions
from bytetracker.topics_admin import create_topics
from fabric.builtin import builtin_fabric
from fabric.simulator.simulator import Simulator
from producers.flow_file import read_flows
from producers.plan import PlanSettings
from schemas import topics
from schemas.codec import encode
from schemas.framing import SingleObject
from streams.localise.commands import command_message

LAB = builtin_fabric("lab")
NOW_US = time.time_ns() // 1_000


class Deployment:
    """A broker, a configuration, and the command."""

    def __init__(self, bootstrap: str, folder: Path) -> None:
        self.kafka = {"bootstrap.servers": bootstrap}
        self.config = folder / "bytetracker.yaml"
        self.config.write_text(
            yaml.safe_dump({"inventory": "lab", "kafka": {"bootstrap_servers": bootstrap}})
        )

    def __call__(self, *arguments: str) -> Result:
        return CliRunner().invoke(main, ["coverage", *arguments, "--config", str(self.config)])

    def write(self, topic: str, *values: bytes) -> None:
        producer = Producer(self.kafka)
        for value in values:
            producer.produce(topic, value, partition=0)
        assert producer.flush(10) == 0

    def evidence(self) -> int:
        """Ten seconds of a simulated lab, as a worker writes them; the number of messages."""
        values: list[bytes] = []

        def read(head: dict[str, Any], rows: np.ndarray) -> bool:
            values.append(encode(topics.EVIDENCE, head, rows))
            return False

        simulate(Simulator(LAB, 1), plans_of(LAB, PlanSettings()), 10, read, NOW_US)
        self.write(topics.EVIDENCE, *values)
        return len(values)


@pytest.fixture
def deployment(tmp_path: Path) -> Iterator[Deployment]:
    with EmbeddedBroker(EmbeddedBrokerOptions(log_path=tmp_path / "broker.log")) as broker:
        made = Deployment(broker.bootstrap, tmp_path)
        create_topics(made.kafka, 2)
        yield made
        broker.kill()


def report(slot_us: int, seen: int) -> dict[str, Any]:
    unseen = (
        [{"element_class": "link", "element": "leaf-1-1~spine-1", "last_seen_us": -1}] if seen < 36 else []
    )
    return {
        "slot_us": slot_us,
        "window_us": 300_000_000,
        "classes": [
            {"element_class": "port", "total": 45, "crossable": 45, "seen": 45},
            {"element_class": "link", "total": 36, "crossable": 36, "seen": seen},
            {"element_class": "chip_pair", "total": 0, "crossable": 0, "seen": 0},
        ],
        "unseen": unseen,
    }


@pytest.mark.servers
def test_the_newest_report_is_shown(deployment: Deployment) -> None:
    nothing = deployment()
    assert nothing.exit_code == 1
    assert "no coverage has been reported yet" in nothing.stderr
    deployment.write(
        topics.COVERAGE, *(encode(topics.COVERAGE, report(NOW_US + i, 20 + i)) for i in range(15))
    )
    deployment.write(topics.COVERAGE, b"nonsense")
    shown = deployment("--format", "json")
    assert json.loads(shown.stdout) == report(NOW_US + 14, 34)
    table = deployment().stdout.splitlines()
    assert table[3].split() == ["switch", "ports", "45", "45", "45", "100", "%"]
    assert table[4].split() == ["directed", "links", "34", "36", "36", "94.444", "%"]
    assert table[-1].strip() == "leaf-1-1~spine-1, never"


@pytest.mark.servers
def test_flows_are_chosen_from_evidence(deployment: Deployment, tmp_path: Path) -> None:
    path = tmp_path / "flows.json"
    nothing = deployment("--choose", str(path))
    assert nothing.exit_code == 1
    assert "no ways of flows are known" in nothing.stderr
    assert not path.exists()
    deployment.evidence()
    # Commands of operators and what cannot be read stand in the same log.
    command = {"action": "silence", "element": "spine-1", "until_us": NOW_US + 10**9, "why": "x", "by": "me"}
    deployment.write(
        topics.EVIDENCE,
        command_message([{**command, "from_us": NOW_US}], NOW_US, SingleObject()),
        b"nonsense",
    )
    done = deployment("--choose", str(path), "--format", "json")
    assert done.exit_code == 0, done.output
    document = json.loads(done.stdout)
    assert document["missing"] == []
    assert [c["crossed"] == c["crossable"] for c in document["classes"]] == [True] * 3
    assert document["targets"] == len(LAB.servers)
    choice = read_flows(path, LAB, PlanSettings())
    assert set(choice.probers[1].targets) == {server.node for server in LAB.servers}
    assert "45 of 45 switch ports" in deployment("--choose", str(path)).stdout


@pytest.mark.servers
def test_evidence_that_comes_later_is_taken_in(deployment: Deployment) -> None:
    learner = Learner()
    more = CoverageTopics(deployment.kafka, SingleObject()).learn(learner, 60)
    assert learner.rows == 0
    number = deployment.evidence()
    deadline = time.monotonic() + 20
    taken = 0
    while taken < number and time.monotonic() < deadline:
        taken += more(0.5)
    assert taken == number
    assert learner.flows().complete.any()

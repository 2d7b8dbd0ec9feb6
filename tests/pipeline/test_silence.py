"""`bytetracker silence` with a broker and nothing else: what is asked for, what holds, what ends."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result
from confluent_kafka import Producer

from bytetracker.cli import main
from bytetracker.embedded.broker import EmbeddedBroker, EmbeddedBrokerOptions
from bytetracker.moments import BadTime, duration_us, time_us, told
from bytetracker.run.watch import Seen
from bytetracker.topics_admin import create_topics
from fabric.builtin import builtin_fabric
from fabric.inventory import dump_fabric
from fabric.model import Maintenance
from schemas import topics
from schemas.codec import decode
from schemas.framing import SingleObject
from streams import outbox
from streams.localise.commands import command_message
from streams.localise.localiser import Localiser, unpack_state
from streams.runtime import LOCALISER_KEY
from tests.pipeline.tap import Tap
from tests.streams.evidence import evidence

HOUR_US = 3_600_000_000
NOW_US = time.time_ns() // 1_000
LAB = replace(
    builtin_fabric("lab"),
    maintenance=(
        Maintenance("leaf-1-1", NOW_US + HOUR_US, NOW_US + 2 * HOUR_US, "new optics"),
        Maintenance("leaf-1-2", 0, 1, "long ago"),
    ),
)


class Deployment:
    """A broker, a configuration, and the command."""

    def __init__(self, bootstrap: str, folder: Path) -> None:
        self.kafka = {"bootstrap.servers": bootstrap}
        self.config = folder / "bytetracker.yaml"
        (folder / "inventory.yaml").write_text(dump_fabric(LAB))
        self.config.write_text(
            yaml.safe_dump(
                {"inventory": str(folder / "inventory.yaml"), "kafka": {"bootstrap_servers": bootstrap}}
            )
        )

    def __call__(self, *arguments: str) -> Result:
        return CliRunner().invoke(main, ["silence", *arguments, "--config", str(self.config)])

    def listed(self) -> list[tuple[Any, ...]]:
        result = self("--list", "--json")
        assert result.exit_code == 0, result.output
        return [
            (each["what"], each["element"], each["why"], each["by"]) for each in json.loads(result.stdout)
        ]

    def write(self, topic: str, *messages: tuple[bytes | None, bytes]) -> None:
        producer = Producer(self.kafka)
        for key, value in messages:
            producer.produce(topic, value, key, partition=0)
        assert producer.flush(10) == 0


@pytest.fixture
def silence(tmp_path: Path) -> Iterator[Deployment]:
    with EmbeddedBroker(EmbeddedBrokerOptions(log_path=tmp_path / "broker.log")) as broker:
        deployment = Deployment(broker.bootstrap, tmp_path)
        create_topics(deployment.kafka, 2)
        yield deployment
        broker.kill()


PLANNED = ("maintenance", "leaf-1-1", "new optics", "")


@pytest.mark.servers
def test_silences_are_asked_for_listed_and_ended(silence: Deployment) -> None:
    assert silence.listed() == [PLANNED]
    done = silence("spine-1", "--for", "2h", "--why", "new firmware", "--by", "ann")
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("silenced spine-1 until ") and done.stdout.endswith(" UTC\n")
    until = told(NOW_US + HOUR_US)
    assert (
        silence("pod-2", "--until", until.replace(" UTC", "+00:00"), "--why", "move", "--by", "bob").exit_code
        == 0
    )
    assert silence.listed() == [
        ("silence", "spine-1", "new firmware", "ann"),
        ("silence", "pod-2", "move", "bob"),
        PLANNED,
    ]
    text = silence("--list").stdout.splitlines()
    assert text[1] == f"silence of pod-2 until {until}: move (bob)"
    assert text[2].startswith("maintenance of leaf-1-1 from ")
    ended = silence("--end", "spine-1", "--by", "ann")
    assert (ended.exit_code, ended.stdout) == (0, "ended the silence of spine-1\n")
    assert [each[1] for each in silence.listed()] == ["pod-2", "leaf-1-1"]
    refused = silence("--end", "spine-1")
    assert refused.exit_code == 1
    assert "spine-1 is not silenced; silenced: pod-2" in refused.stderr


@pytest.mark.servers
def test_a_localiser_obeys_what_is_written(silence: Deployment) -> None:
    """And what it has stored is listed although the commands themselves have long gone by."""
    assert silence("spine-1", "--for", "2h", "--why", "firmware", "--by", "ann").exit_code == 0
    with Tap(silence.kafka, 2, (topics.EVIDENCE,)) as tap:
        deadline = time.monotonic() + 20
        while not tap.raw() and time.monotonic() < deadline:
            time.sleep(0.05)
        ((_, command),) = tap.raw()
    localiser = Localiser(LAB, 1)
    assert localiser.step(0, NOW_US // 1_000, command).dead_letters == []
    commit, offset = None, 1
    values = []
    while commit is None or commit.positions[topics.EVIDENCE] < 20:
        at_us = NOW_US // 1_000_000 * 1_000_000 + offset * 1_000_000
        values.append(evidence({"slot_us": at_us, "watermark_us": at_us + 2_000_000}))
        commit = localiser.step(offset, at_us // 1_000, values[-1]).commit or commit
        offset += 1
    assert commit.positions[topics.EVIDENCE] > 0, "the command is not read again"
    assert len(unpack_state(commit.state)["lives"]["silences"]) == 1
    silence.write(topics.EVIDENCE, *((b"0", value) for value in values))
    stored = outbox.of_commit(LOCALISER_KEY, 0, commit, SingleObject())
    silence.write(topics.STATE, (stored.key, stored.value))
    assert silence.listed() == [("silence", "spine-1", "firmware", "ann"), PLANNED]
    assert silence("--end", "spine-1").exit_code == 0
    assert silence.listed() == [PLANNED]


@pytest.mark.servers
def test_without_topics_nothing_is_written(tmp_path: Path) -> None:
    with EmbeddedBroker(EmbeddedBrokerOptions(log_path=tmp_path / "broker.log")) as broker:
        silence = Deployment(broker.bootstrap, tmp_path)
        result = silence("spine-1", "--for", "2h", "--why", "firmware")
        assert result.exit_code == 1
        assert "bytetracker topics create" in result.stderr
        broker.kill()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("30m", 1_800), ("2h", 7_200), ("1d", 86_400), ("1w", 604_800), ("1d12h", 129_600)],
)
def test_durations(text: str, seconds: int) -> None:
    assert duration_us(text) == seconds * 1_000_000


@pytest.mark.parametrize("text", ["", "2", "h", "-1h", "2 h", "1h1d", "0m", "9999w", "1.5h"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(BadTime, match="is no duration"):
        duration_us(text)


def test_times() -> None:
    assert told(time_us("2026-03-01T22:00:00+01:00")) == "2026-03-01 21:00:00 UTC"
    for text in ("2026-03-01T22:00:00", "tomorrow"):
        with pytest.raises(BadTime, match="its zone"):
            time_us(text)


def test_commands_are_no_work_of_a_partition() -> None:
    """A run waits until all its partitions have reported: commands must not pass for one of them."""
    seen = Seen()
    command = {"action": "silence", "element": "spine-1", "from_us": 0, "until_us": 1, "why": "x", "by": ""}
    for value in (command_message([command], 0, SingleObject()), evidence({})):
        head, _ = decode(topics.EVIDENCE, value)
        seen.take(topics.EVIDENCE, head, 0)
    assert seen.partitions == {0}

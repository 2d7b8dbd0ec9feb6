"""The doctor on real brokers and stores that are not as they should be."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from bytetracker.cli import main
from bytetracker.doctor import broker
from bytetracker.doctor.examine import examine
from bytetracker.doctor.finding import Finding
from bytetracker.doctor.store import check_store
from bytetracker.embedded.broker import EmbeddedBroker, EmbeddedBrokerOptions
from schemas import topics
from schemas.topics import all_topics
from sinks.migrate import migrate, migrations
from sinks.reading import Reader, open_reader
from sinks.settings import ChdbSettings, ClickHouseSettings, StoreSettings
from sinks.store import Store
from tests.pipeline.brokers import KINDS, fresh_topics
from tests.sinks.conftest import chdb_path, empty_store, opened, store_settings
from tests.sinks.examples import as_message, example
from tests.sinks.rig import evidence

__all__ = ["chdb_path", "empty_store", "opened", "store_settings"]

pytestmark = pytest.mark.servers
PARTITIONS = 2


@pytest.fixture(params=KINDS)
def bootstrap(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Either broker with the topics as they should be."""
    with fresh_topics(request.param, PARTITIONS, tmp_path, request) as address:
        yield address


@pytest.fixture
def write_config(tmp_path: Path) -> Callable[..., Path]:
    def write(bootstrap: str, **changes: object) -> Path:
        values = {
            "inventory": "lab",
            "partitions": PARTITIONS,
            "kafka": {"bootstrap_servers": bootstrap},
            "store": {"path": str(tmp_path / "none")},
        }
        path = tmp_path / "bytetracker.yaml"
        path.write_text(yaml.safe_dump(values | changes))
        return path

    return write


def _by_check(findings: list[Finding]) -> dict[str, list[Finding]]:
    found: dict[str, list[Finding]] = {}
    for finding in findings:
        found.setdefault(finding.check, []).append(finding)
    return found


def _statuses(findings: list[Finding], check: str) -> list[str]:
    return [finding.status for finding in _by_check(findings).get(check, [])]


def test_a_broker_as_it_should_be_and_nobody_who_sends(
    bootstrap: str, write_config: Callable[..., Path]
) -> None:
    found = list(examine(write_config(bootstrap)))
    assert _statuses(found, "broker") == _statuses(found, "broker.topics") == ["ok"]
    assert _statuses(found, "lag.worker") == _statuses(found, "lag.sink") == ["ok"]
    assert _statuses(found, "sources") == _statuses(found, "workers.newest") == ["warn"]
    assert _statuses(found, "store") == ["fail"]  # there is none


def test_a_broker_without_topics(tmp_path: Path, write_config: Callable[..., Path]) -> None:
    with EmbeddedBroker(EmbeddedBrokerOptions(log_path=tmp_path / "broker.log")) as empty:
        found = list(examine(write_config(empty.bootstrap)))
        there = AdminClient({"bootstrap.servers": empty.bootstrap}).list_topics(timeout=10).topics
        empty.kill()
    (finding,) = _by_check(found)["broker.topics"]
    assert finding.status == "fail" and "bytetracker topics create" in finding.do
    assert all(topic.name in finding.what for topic in all_topics())
    assert not there, "the doctor writes nothing"


def test_another_number_of_partitions(bootstrap: str, write_config: Callable[..., Path]) -> None:
    found = _by_check(list(examine(write_config(bootstrap, partitions=PARTITIONS + 1))))
    wrong = [finding.what.split()[0] for finding in found["broker.partitions"]]
    assert sorted(wrong) == sorted(topic.name for topic in all_topics() if topic.joined)
    assert {finding.status for finding in found["broker.partitions"]} == {"fail"}


@pytest.mark.parametrize("kind", ["apache_kafka"])
def test_a_topic_that_producers_date(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest, write_config: Callable[..., Path]
) -> None:
    """Only Apache Kafka says how a topic is set."""
    with fresh_topics(kind, PARTITIONS, tmp_path, request) as bootstrap:
        admin = AdminClient({"bootstrap.servers": bootstrap})
        admin.delete_topics([topics.OUTCOMES], operation_timeout=10)[topics.OUTCOMES].result(10)
        _until(lambda: topics.OUTCOMES not in admin.list_topics(timeout=10).topics)
        usual = NewTopic(topics.OUTCOMES, PARTITIONS, 1, config={"message.timestamp.type": "CreateTime"})
        admin.create_topics([usual])[topics.OUTCOMES].result(10)
        _until(lambda: topics.OUTCOMES in admin.list_topics(timeout=10).topics)
        (finding,) = _by_check(list(examine(write_config(bootstrap))))["broker.settings"]
    assert finding.status == "fail"
    assert "probe-outcomes has message.timestamp.type=CreateTime" in finding.what


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 15
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_nobody_answers(write_config: Callable[..., Path]) -> None:
    found = list(examine(write_config("127.0.0.1:1")))
    (finding,) = _by_check(found)["broker"]
    assert finding.status == "fail" and "127.0.0.1:1" in finding.what
    assert not _statuses(found, "broker.topics")


def test_how_far_a_group_is_behind(bootstrap: str, write_config: Callable[..., Path]) -> None:
    # The embedded broker takes the last batch for one message when it is asked for the end.
    producer = Producer({"bootstrap.servers": bootstrap, "batch.num.messages": 1})
    for slot in range(30):
        producer.produce(topics.EVIDENCE, evidence(slot), partition=0)
        assert producer.flush(20) == 0
    config = {"bootstrap.servers": bootstrap}
    lag = broker.lag_of(config, "bytetracker-sink", {topics.EVIDENCE: 1, topics.RESULTS: PARTITIONS})
    assert lag == broker.Lag(30, (f"{topics.EVIDENCE}/0",))
    assert _statuses(list(examine(write_config(bootstrap))), "lag.sink") == ["warn"]
    consumer = Consumer({**config, "group.id": "bytetracker-sink", "enable.auto.commit": False})
    consumer.commit(offsets=[TopicPartition(topics.EVIDENCE, 0, 12)], asynchronous=False)
    consumer.close()
    lag = broker.lag_of(config, "bytetracker-sink", {topics.EVIDENCE: 1})
    assert lag == broker.Lag(18, ())
    assert _statuses(list(examine(write_config(bootstrap))), "lag.sink") == ["ok"]


def test_sources_and_clocks(bootstrap: str, write_config: Callable[..., Path]) -> None:
    """One Prober sends; then an hour passes. The other direction: our clock is an hour behind."""
    now_us = time.time_ns() // 1_000
    beat = example(topics.OUTCOMES, "nothing-to-say") | {"partition": 0, "low_watermark_us": now_us}
    slot = example(topics.EVIDENCE, "a-quiet-slot") | {"slot_us": now_us}
    producer = Producer({"bootstrap.servers": bootstrap})
    producer.produce(topics.OUTCOMES, as_message(topics.OUTCOMES, beat), partition=0)
    producer.produce(topics.EVIDENCE, as_message(topics.EVIDENCE, slot), partition=0)
    assert producer.flush(20) == 0
    config = write_config(bootstrap)

    def at(later_s: int) -> dict[str, list[Finding]]:
        return _by_check(list(examine(config, lambda: time.time_ns() // 1_000 + later_s * 1_000_000)))

    later = at(3600)
    assert "prober-1 is silent since 3,6" in later["sources"][0].what
    assert [finding.status for finding in later["sources"]] == ["fail", "warn"]  # no collector at all
    assert later["workers.newest"][0].status == "fail"
    assert later["clock.broker"][0].status == "ok"
    earlier = at(-3600)
    assert earlier["clock.broker"][0].status == earlier["workers.newest"][0].status == "fail"
    assert "ahead of this machine's" in earlier["clock.broker"][0].what


# Stores


@pytest.fixture
def reader(store_settings: StoreSettings, empty_store: Store) -> Iterator[Reader]:
    found = open_reader(store_settings)
    yield found
    found.close()


def _look(reader: Reader) -> dict[str, list[Finding]]:
    return _by_check(list(check_store(reader, "it", lambda: time.time_ns() // 1_000)))


def test_a_store_without_tables_and_one_that_is_behind(reader: Reader, empty_store: Store) -> None:
    (finding,) = _look(reader)["store.migrations"]
    assert (finding.status, finding.what) == ("fail", "there are no tables")
    *older, last = migrations()
    migrate(empty_store, known=tuple(older))
    (finding,) = _look(reader)["store.migrations"]
    assert finding.status == "fail" and f"{last.number:04}_{last.name}" in finding.what
    assert "bytetracker migrate" in finding.do
    migrate(empty_store)
    found = _look(reader)
    assert [found[check][0].status for check in ("store", "store.migrations", "clock.store")] == ["ok"] * 3
    assert found["store.disk"][0].what.startswith("disk default of the store: ")
    assert found["store.newest"][0].what == "there is no slot yet"


def test_a_store_of_a_newer_version(reader: Reader, empty_store: Store) -> None:
    migrate(empty_store)
    empty_store.execute("INSERT INTO schema_migrations (number, name, checksum) VALUES (999, 'x', 'y')")
    (finding,) = _look(reader)["store.migrations"]
    assert finding.status == "fail" and "[999]" in finding.what


def test_the_newest_slot_of_the_store(reader: Reader, empty_store: Store) -> None:
    migrate(empty_store)
    empty_store.execute("INSERT INTO slots (slot) VALUES (now64(6) - 30)")
    assert _look(reader)["store.newest"][0].status == "warn"
    empty_store.execute("INSERT INTO slots (slot) VALUES (now64(6) + 300)")
    assert _look(reader)["store.newest"][0].status == "fail"


def test_a_store_that_is_not_there() -> None:
    for settings in (ChdbSettings("/nowhere/store"), ClickHouseSettings(port=1, connect_timeout_s=1)):
        nowhere = open_reader(settings)
        (finding,) = check_store(nowhere, "it", lambda: 0)
        nowhere.close()
        assert (finding.check, finding.status) == ("store", "fail")


def test_the_command_says_it_in_json_and_by_its_exit_code(
    bootstrap: str, write_config: Callable[..., Path]
) -> None:
    config = str(write_config(bootstrap))
    done = CliRunner().invoke(
        main, ["doctor", "--config", config, "--format", "json"], prog_name="bytetracker"
    )
    assert done.exit_code == 2
    shown = json.loads(done.stdout)
    assert shown["status"] == "fail"
    assert {"check": "broker", "status": "ok"}.items() <= next(
        finding for finding in shown["findings"] if finding["check"] == "broker"
    ).items()
    text = CliRunner().invoke(main, ["doctor", "--config", config], prog_name="bytetracker")
    assert text.exit_code == 2
    assert "\nfail  store " in text.stdout and "\n                            -> start it" in text.stdout


def test_a_configuration_that_cannot_be_read(tmp_path: Path) -> None:
    config = tmp_path / "bad.yaml"
    config.write_text("kafkas: {}\n")
    (finding,) = examine(config)
    assert (finding.check, finding.status) == ("configuration", "fail")

"""What findings are made of what was seen. Pure."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from bytetracker.doctor import broker, machine
from bytetracker.doctor.broker import (
    LAG_MAX,
    BrokerFacts,
    Lag,
    TopicFacts,
    judge_lag,
    judge_refusal,
    judge_topics,
    lag_of,
)
from bytetracker.doctor.finding import Finding, document, fail, line, ok, warn, worst
from bytetracker.doctor.inventory import (
    check_maintenance,
    check_memory,
    check_names,
    check_plan,
    check_sections,
    load,
)
from bytetracker.doctor.recent import Head, judge_broker_clock, judge_clock, judge_newest_slot, judge_sources
from bytetracker.doctor.store import judge_migrations, judge_room
from bytetracker.settings import Settings
from fabric.builtin import builtin_fabric
from fabric.model import Maintenance
from schemas.topics import all_topics
from sinks.migrate import migrations

NOW_US = 1_773_000_000_000_000
LAB = builtin_fabric("lab")


def _said(findings: Any) -> list[tuple[str, str]]:
    return [(finding.check, finding.status) for finding in findings]


# Findings


def test_the_worst_finding_decides() -> None:
    fine, warning, broken = ok("a", "x"), warn("b", "y", "mend"), fail("c", "z", "mend")
    assert [worst(each) for each in ([], [fine], [fine, warning], [broken, warning, fine])] == [0, 0, 1, 2]
    shown = json.loads(document([fine, broken]))
    assert shown["status"] == "fail"
    assert shown["findings"][1] == {"check": "c", "status": "fail", "what": "z", "do": "mend"}


def test_a_line_says_what_to_do() -> None:
    text = line(fail("broker", "away\x1b[31m", "start it"), colour=False)
    assert text.splitlines() == ["fail  broker               away�[31m", f"{'':<28}-> start it"]
    assert line(ok("broker", "there"), colour=False) == "ok    broker               there"
    assert "\x1b[32" in line(ok("broker", "there"), colour=True)
    with pytest.raises(AssertionError):
        Finding("broker", "fail", "away")


# Configuration and inventory


def test_a_section_that_is_not_understood() -> None:
    assert _said(check_sections(Settings())) == [("configuration", "ok")]
    (finding,) = check_sections(Settings(sink={"rows_maximum": 5}))
    assert finding.status == "fail" and "did you mean rows_max?" in finding.what
    found = list(check_sections(Settings(prober={"prober": "prober-1"}, store={"kind": "mysql"})))
    assert [each.status for each in found] == ["fail", "fail"]
    assert "mysql" in found[0].what and "interface" in found[1].what


def test_an_inventory_that_cannot_be_read(tmp_path: Any) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text("fabric: x\nswitches: 7\n")
    for name in (str(bad), "nowhere"):
        fabric, finding = load(Settings(inventory=name))
        assert fabric is None and finding.status == "fail" and finding.do
    fabric, finding = load(Settings(inventory="lab"))
    assert fabric is not None and finding.what.startswith("lab (built in): 11 switches, 8 servers, 1 Probers")


def test_names_that_the_inventory_does_not_know() -> None:
    good = Settings(prober={"prober": "prober-1"}, collector={"name": "collector-1"})
    assert _said(check_names(good, LAB)) == [("inventory.prober", "ok"), ("inventory.collector", "ok")]
    bad = Settings(prober={"prober": "prober-7"}, collector={"name": "c9"})
    found = list(check_names(bad, LAB))
    assert _said(found) == [("inventory.prober", "fail"), ("inventory.collector", "fail")]
    assert "which has prober-1" in found[0].what
    assert _said(check_names(Settings(), LAB)) == []


def test_flows_that_workers_forget_before_they_come_back() -> None:
    assert _said(check_memory(Settings())) == [("inventory.flows", "ok")]
    slow = {"plan": {"interval_us": 5_000_000, "flows_per_target": 8, "group_size": 3}}
    (finding,) = check_memory(Settings(prober=slow))
    assert finding.status == "warn" and "comes back after 15 s" in finding.what
    assert "memory_us to 20000000" in finding.do
    told = Settings(prober=slow, worker={"join": {"memory_us": 20_000_000}})
    assert _said(check_memory(told)) == [("inventory.flows", "ok")]


def test_servers_that_no_probe_reaches() -> None:
    assert _said(check_plan(Settings(), LAB)) == [("inventory.plan", "ok")]
    without = replace(LAB, switches=tuple(replace(s, decapsulates=False) for s in LAB.switches))
    (finding,) = check_plan(Settings(), without)
    assert finding.status == "warn" and "probes cannot reach everything" in finding.what
    outside = replace(LAB, target_prefixes=("192.0.2.0/24",))
    (finding,) = check_plan(Settings(), outside)
    assert finding.status in ("warn", "fail") and finding.do
    silent = replace(LAB, servers=(replace(LAB.servers[0], answers=False), *LAB.servers[1:]))
    assert [f.what for f in check_plan(Settings(), silent)][-1].endswith(LAB.servers[0].name)


def test_maintenance_that_runs() -> None:
    hour = 3_600_000_000
    planned = (
        Maintenance("spine-1", NOW_US - hour, NOW_US + hour, "optics"),
        Maintenance("spine-2", NOW_US + hour, NOW_US + 2 * hour, "later"),
        Maintenance("leaf-1-1", NOW_US - hour, NOW_US, "over"),
    )
    (finding,) = check_maintenance(replace(LAB, maintenance=planned), NOW_US)
    assert finding.status == "warn"
    assert finding.what == "spine-1 is under maintenance until 2026-03-08 21:00:00 UTC: optics"


# Broker


def _facts(brokers: int = 1, **changes: Any) -> BrokerFacts:
    """As `bytetracker topics create` leaves them, with changes to probe-outcomes."""
    topics = {t.name: TopicFacts(t.partitions(8), brokers, brokers, t.broker_config()) for t in all_topics()}
    topics["probe-outcomes"] = replace(topics["probe-outcomes"], **changes)
    return BrokerFacts(brokers, topics)


class _NewBroker:
    """A consumer of a broker that has not made its topic of commits when it is first asked."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.answers = [KafkaError.COORDINATOR_NOT_AVAILABLE, KafkaError.NOT_COORDINATOR]

    def committed(self, places: list[TopicPartition], timeout: float) -> list[TopicPartition]:
        if self.answers:
            raise KafkaException(KafkaError(self.answers.pop()))
        return [TopicPartition(place.topic, place.partition, 7) for place in places]

    def get_watermark_offsets(self, place: TopicPartition, timeout: float) -> tuple[int, int]:
        return 0, 10

    def close(self) -> None:
        pass


def test_a_broker_that_has_no_commits_yet_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker, "Consumer", _NewBroker)
    assert lag_of({}, "sink", {"faults": 1, "probe-results": 2}) == Lag(9, ())


def test_only_missing_rights_are_said_to_be_missing() -> None:
    refused = judge_refusal(KafkaError(KafkaError.GROUP_AUTHORIZATION_FAILED))
    assert (refused.check, refused.status) == ("broker.access", "fail")
    assert "grant" in refused.do
    busy = judge_refusal(KafkaError(KafkaError.COORDINATOR_LOAD_IN_PROGRESS))
    assert (busy.check, busy.status) == ("broker.groups", "fail")
    assert "grant" not in busy.do


@pytest.mark.parametrize(
    ("facts", "check", "status", "says"),
    [
        (_facts(), "broker.topics", "ok", "all"),
        (_facts(partitions=4), "broker.partitions", "fail", "has 4 partitions, and should have 8"),
        (_facts(error="Broker: Topic authorization failed"), "broker.access", "fail", "authorization"),
        (_facts(3, replicas=1, in_sync=1), "broker.replicas", "warn", "one replica on 3 brokers"),
        (_facts(3, in_sync=1), "broker.replicas", "warn", "1 of 3 replicas in sync"),
        (_facts(config={}), "broker.topics", "ok", "all"),  # the broker does not say
        (
            _facts(config={"message.timestamp.type": "CreateTime"}),
            "broker.settings",
            "fail",
            "message.timestamp.type=CreateTime, and should have LogAppendTime",
        ),
        (_facts(config={"cleanup.policy": "compact"}), "broker.settings", "fail", "cleanup.policy=compact"),
    ],
)
def test_topics(facts: BrokerFacts, check: str, status: str, says: str) -> None:
    (finding,) = judge_topics(facts, 8, all_topics())
    assert (finding.check, finding.status) == (check, status)
    assert says in finding.what


def test_policies_in_another_order_are_the_same() -> None:
    facts = _facts()
    swapped = {**facts.topics["faults"].config, "cleanup.policy": "delete,compact"}
    topics = {**facts.topics, "faults": replace(facts.topics["faults"], config=swapped)}
    assert _said(judge_topics(BrokerFacts(1, topics), 8, all_topics())) == [("broker.topics", "ok")]


def test_lag() -> None:
    assert judge_lag("sink", "g", Lag(5, ())).status == "ok"
    assert judge_lag("sink", "g", Lag(LAG_MAX + 1, ())).status == "fail"
    nothing = judge_lag("worker", "g", Lag(5, tuple(f"probe-outcomes/{n}" for n in range(8))))
    assert nothing.status == "warn" and nothing.what.endswith("probe-outcomes/3 ...")
    assert "bytetracker worker" in nothing.do


# Sources, slots, clocks


def _head(source: str, ago_s: float, watermark: int = NOW_US) -> Head:
    at_ms = NOW_US // 1000 - int(ago_s * 1000)
    return Head("probe-outcomes", 0, at_ms, {"source": source, "low_watermark_us": watermark})


def test_sources() -> None:
    heads = [_head("prober-1", 2), _head("prober-2", 30), _head("prober-1", 0.5), _head("clock", 0)]
    heads += [_head("collector-1", 100, 2**62), _head("stranger", 1)]
    found = list(judge_sources(heads, ["prober-1", "prober-2", "collector-1", "collector-2"], NOW_US))
    assert [(finding.status, finding.what) for finding in found] == [
        ("fail", "prober-2 is silent since 30 s"),
        ("warn", "collector-1 ended 100 s ago"),
        ("warn", "collector-2 is not heard of"),
        ("ok", "heard of within 10 s: prober-1, stranger"),
    ]


def test_a_source_that_came_back_after_it_ended() -> None:
    heads = [_head("prober-1", 5, 2**62), _head("prober-1", 1)]
    assert _said(judge_sources(heads, ["prober-1"], NOW_US)) == [("sources", "ok")]


def test_nobody_has_sent() -> None:
    for heads in ([], [_head("clock", 0)]):
        (finding,) = judge_sources(heads, ["prober-1"], NOW_US)
        assert (finding.status, finding.what) == ("warn", "nothing has been sent lately")


@pytest.mark.parametrize(
    ("ahead_s", "status"), [(0.0, "ok"), (0.9, "ok"), (-0.9, "ok"), (3, "warn"), (-3, "warn"), (40, "fail")]
)
def test_clocks(ahead_s: float, status: str) -> None:
    finding = judge_clock("clock.store", "the store's clock", ahead_s)
    assert finding.status == status
    if status != "ok":
        assert ("ahead of" if ahead_s > 0 else "behind") in finding.what


def test_the_broker_dates_messages() -> None:
    assert judge_broker_clock([], NOW_US) is None
    old = judge_broker_clock([_head("a", 500)], NOW_US)
    assert old is not None and old.status == "ok"  # nothing came since
    ahead = judge_broker_clock([_head("a", 500), _head("b", -20)], NOW_US)
    assert ahead is not None and (ahead.status, "20.0 s ahead" in ahead.what) == ("fail", True)


@pytest.mark.parametrize(
    ("behind_s", "status"), [(2.5, "ok"), (-0.5, "ok"), (30, "warn"), (90, "fail"), (-5, "fail")]
)
def test_newest_slot(behind_s: float, status: str) -> None:
    assert judge_newest_slot("store.newest", NOW_US - int(behind_s * 1e6), NOW_US).status == status
    assert judge_newest_slot("store.newest", None, NOW_US).status == "warn"


def test_the_machines_own_clock() -> None:
    assert _said(machine.check_own_clock(0)) == [("clock.here", "ok")]
    assert _said(machine.check_own_clock(5)) == [("clock.here", "warn")]
    assert _said(machine.check_own_clock(-1)) == []
    assert len(list(machine.check_own_clock())) <= 1  # this machine's, whatever it is


# Store


def test_migrations() -> None:
    known = migrations()
    applied = {m.number: m.checksum for m in known}
    assert judge_migrations(applied, known).status == "ok"
    behind = judge_migrations({1: known[0].checksum}, known)
    assert behind.status == "fail" and known[1].name in behind.what and "migrate" in behind.do
    newer = judge_migrations(applied | {99: "x"}, known)
    assert newer.status == "fail" and "newer version, which knows [99]" in newer.what
    changed = judge_migrations(applied | {2: "other"}, known)
    assert changed.status == "fail" and f"0002_{known[1].name}" in changed.what


@pytest.mark.parametrize(("free", "status"), [(50, "ok"), (15, "ok"), (14, "warn"), (4, "fail")])
def test_room(free: int, status: str) -> None:
    assert judge_room("default", free * 10**9, 100 * 10**9).status == status

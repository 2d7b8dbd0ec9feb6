"""`bytetracker demo`, as a newcomer runs it: faults found, nothing lost, nothing left behind.

The runs are started two at a time and looked at afterwards: each takes half a minute, most of it waiting.
"""

from __future__ import annotations

import json
import math
import os
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from schemas.kafka import KafkaSettings
from tests.pipeline.commands import Command, ask_store, until
from tests.pipeline.tap import Outputs, Tap

pytestmark = [pytest.mark.servers, pytest.mark.alone, pytest.mark.timeout(200)]

PARTITIONS = 4
RATE = 0.3
#: Name of the run, and the fault that is injected after 10 s. `killed`: its workers are killed meanwhile.
FAULTS = {
    "up": f"loss:leaf-1-1~spine-1:rate={RATE},after=10",
    "down": f"loss:spine-3~leaf-2-2:rate={RATE},after=10",
    "host": "host_down:server-1-1-1:after=10",
    "killed": f"loss:tor-1-2~leaf-1-3:rate={RATE},after=10",
}
PAIRS = (("up", "down"), ("host", "killed"))
SECONDS = 30
KEYS = {
    *("probes_sent", "probes_joined", "digests_sent", "digests_joined", "late_rows", "dead_letters"),
    *("verdicts", "injected", "faults", "store"),
}
FAULT_KEYS = {
    *("fault_id", "kind", "state", "suspects", "direction", "first_seen_ns", "detected_ns", "loss_rate"),
    "story",
}
#: Ctrl-C must leave nothing behind within this.
STOP_S = 10.0


@dataclass
class Demo:
    """A demo that has ended."""

    report: dict[str, Any]
    seen: Outputs
    command: Command

    @property
    def store(self) -> Path:
        return self.command.run_folder() / "store"

    @property
    def network_faults(self) -> list[dict[str, Any]]:
        return [f for f in self.report["faults"] if f["kind"] in ("network_loss", "alteration")]


@pytest.fixture(scope="module")
def demos(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Demo]]:
    """All runs of FAULTS, ended."""
    ended: dict[str, Demo] = {}
    with ExitStack() as at_last:
        for names in PAIRS:
            commands = {name: _start(FAULTS[name], tmp_path_factory.mktemp(name)) for name in names}
            for command in commands.values():
                at_last.callback(command.end)
            ended |= _ended(commands)
        yield ended


def _start(spec: str, folder: Path) -> Command:
    arguments = ["demo", "--seconds", str(SECONDS), "--fault", spec, "--report", str(folder / "r.json")]
    return Command(arguments, folder)


def _ended(commands: dict[str, Command]) -> dict[str, Demo]:
    """Runs that go on side by side, once they have ended."""
    with ExitStack() as stack:
        taps = {name: stack.enter_context(closing(_tap(command))) for name, command in commands.items()}
        if "killed" in commands:
            _kill_workers(commands["killed"])
        for name, command in commands.items():
            assert command.wait(SECONDS + 60) == 0, f"{name}:\n{command.output}"
        return {
            name: Demo(json.loads((command.folder / "r.json").read_text()), taps[name].outputs(), command)
            for name, command in commands.items()
        }


def _tap(command: Command) -> Tap:
    config = yaml.safe_load((command.run_folder() / "bytetracker.yaml").read_text())
    return Tap(KafkaSettings(**config["kafka"]).librdkafka(), PARTITIONS)


def _kill_workers(command: Command) -> None:
    """Each of the two workers once, when it has work in its hands."""
    until(lambda: len(command.worker_pids()) == 2, 30, "no two workers")
    first, second = command.worker_pids()
    command.wait_for("injected", SECONDS)
    os.kill(first, signal.SIGKILL)
    time.sleep(4)
    os.kill(second, signal.SIGKILL)
    until(lambda: len(set(command.worker_pids()) - {first, second}) == 2, 20, "not started again")


@pytest.mark.parametrize("name", FAULTS)
def test_every_row_is_joined(demos: dict[str, Demo], name: str) -> None:
    report = demos[name].report
    assert set(report) == KEYS
    assert report["probes_sent"] > SECONDS * 500
    assert report["probes_joined"] == report["probes_sent"]
    assert report["digests_joined"] == report["digests_sent"]
    assert (report["late_rows"], report["dead_letters"]) == (0, 0)
    assert sum(report["verdicts"].values()) == report["probes_joined"]


@pytest.mark.parametrize("name", FAULTS)
def test_store_holds_what_the_topics_held(demos: dict[str, Demo], name: str) -> None:
    demo = demos[name]
    seen = demo.seen
    assert not seen.contradictions
    assert seen.probes == demo.report["probes_joined"]
    results = ask_store(
        demo.store,
        "SELECT toUnixTimestamp64Micro(sent_at) AS at, probe_id, verdict FROM probe_results FINAL",
    )
    assert {(r["at"], r["probe_id"]): r["verdict"] for r in results} == {
        key: row["verdict"] for key, row in seen.results.items()
    }
    assert len(results) == len(seen.results) == demo.report["store"]["probe_results"]
    slots = ask_store(
        demo.store,
        "SELECT toUnixTimestamp64Micro(slot) AS at, input_partition, probes, verdicts, evidence_rows "
        "FROM slots FINAL",
    )
    assert {
        (s["input_partition"], s["at"]): (s["probes"], s["verdicts"], s["evidence_rows"]) for s in slots
    } == {key: (e["probes"], e["verdicts"], len(e["rows"])) for key, e in seen.evidence.items()}
    sums = ask_store(
        demo.store,
        "SELECT count() AS rows, sum(passed) AS passed, sum(lost) AS lost, sum(mirror_missing) AS missing "
        "FROM link_evidence FINAL",
    )
    evidence = [row for e in seen.evidence.values() for row in e["rows"]]
    assert sums == [
        {
            "rows": len(evidence),
            **{
                what: sum(row[at] for row in evidence)
                for what, at in (("passed", 3), ("lost", 4), ("missing", 6))
            },
        }
    ]
    events = ask_store(demo.store, "SELECT fault_id, version, state FROM fault_events FINAL")
    assert {(e["fault_id"], e["version"]): e["state"] for e in events} == {
        key: event["state"] for key, event in seen.faults.items()
    }
    assert {f["fault_id"] for f in demo.report["faults"]} == {fault_id for fault_id, _ in seen.faults}


@pytest.mark.parametrize("name", ["up", "down", "killed"])
def test_loss_is_found_where_it_is(demos: dict[str, Demo], name: str) -> None:
    demo = demos[name]
    link = FAULTS[name].split(":")[1]
    assert [i["spec"] for i in demo.report["injected"]] == [FAULTS[name]]
    assert len(demo.network_faults) == 1, demo.report["faults"]
    fault = demo.network_faults[0]
    assert set(fault) == FAULT_KEYS
    assert fault["kind"] == "network_loss"
    suspects = [s["element"] for s in fault["suspects"]]
    assert {link, *link.split("~")} & set(suspects)
    assert fault["direction"] in ("", link)
    if fault["direction"]:
        event = max((e for e in demo.seen.faults.values()), key=lambda e: e["version"])
        bad, all_ = event["probes_bad"], event["probes_total"]
        # Four standard deviations: where workers were killed, little had been seen when it ended.
        assert abs(bad - RATE * all_) < 4 * math.sqrt(RATE * (1 - RATE) * all_), (bad, all_)
    # Only the worker that is killed may hold up the finding, by the time its group takes to notice.
    waited_s = (fault["detected_ns"] - demo.report["injected"][0]["started_ns"]) / 1e9
    assert 0 < waited_s < (10 if name != "killed" else 30)


def test_host_that_is_down_is_no_network_fault(demos: dict[str, Demo]) -> None:
    demo = demos["host"]
    assert demo.network_faults == []
    assert demo.report["verdicts"]["host_silent"] > 10
    assert set(demo.report["verdicts"]) == {"ok", "host_silent"}
    assert [f["suspects"][0]["element"] for f in demo.report["faults"]] == ["server-1-1-1"]
    assert [f["kind"] for f in demo.report["faults"]] == ["host_silent"]
    health = ask_store(demo.store, "SELECT server FROM host_health WHERE silent > 0")
    assert [row["server"] for row in health] == ["server-1-1-1"]


@pytest.mark.parametrize("name", FAULTS)
def test_nothing_is_left_behind(demos: dict[str, Demo], name: str) -> None:
    assert demos[name].command.descendants() == []
    assert list(demos[name].command.temporary.iterdir()) == []


#: Ctrl-C comes so long after the run has begun: while workers start, while they get their partitions, and in
#: the middle of things.
INTERRUPTIONS_S = {"at_once": 0.0, "starting": 2.0, "running": 12.0}


@dataclass
class Stopped:
    """A demo that was interrupted."""

    command: Command
    code: int
    took_s: float
    left: list[Any]


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Stopped]]:
    """Runs that were interrupted, at the times of INTERRUPTIONS_S."""
    commands: dict[str, Command] = {}
    ended: dict[str, Stopped] = {}
    try:
        for name, after_s in INTERRUPTIONS_S.items():
            folder = tmp_path_factory.mktemp(name)
            command = commands[name] = Command(["demo", "--report", str(folder / "r.json")], folder)
            command.run_folder()
            time.sleep(after_s)
            assert len(command.descendants()) >= 2
            command.signal(signal.SIGINT)
            asked_s = time.monotonic()
            code = command.wait(2 * STOP_S)
            ended[name] = Stopped(command, code, time.monotonic() - asked_s, command.descendants())
        yield ended
    finally:
        for command in commands.values():
            command.end()


@pytest.mark.parametrize("name", INTERRUPTIONS_S)
def test_ctrl_c_ends_it_in_order(stopped: dict[str, Stopped], name: str) -> None:
    run = stopped[name]
    assert run.code == 0, run.command.output
    assert run.took_s < STOP_S
    assert run.left == []
    assert list(run.command.temporary.iterdir()) == []
    report = json.loads((run.command.folder / "r.json").read_text())
    assert set(report) == KEYS
    if name == "running":
        assert report["probes_joined"] > 0
        assert report["store"]["link_evidence"] > 0, run.command.output


def test_kill_9_leaves_no_process(tmp_path: Path) -> None:
    command = Command(["demo"], tmp_path)
    try:
        until(lambda: len(command.worker_pids()) == 2, 30, "no two workers")
        time.sleep(3)
        command.signal(signal.SIGKILL)
        command.wait(5)
        until(lambda: command.descendants() == [], 5, "processes live on")
    finally:
        command.end()

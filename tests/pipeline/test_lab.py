"""`bytetracker lab`, as a user runs it: real kernels, live Prober and collectors, faults told apart."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from fabric.lab.enter import NAMESPACE_DIRECTORY
from fabric.lab.namespaces import LOCK_DIRECTORY
from tests.pipeline.commands import Command, ask_store, until

pytestmark = [pytest.mark.root, pytest.mark.servers, pytest.mark.slow, pytest.mark.timeout(150)]

SECONDS = 18
LOST, FLIPPED, DOWN = "leaf-2-1~tor-2-2", "leaf-1-1~spine-1", "server-1-1-1"
FAULTS = {
    "network": (f"loss:{LOST}:rate=0.4,after=5", f"flip:{FLIPPED}:rate=0.4,after=5"),
    "host": (f"host_down:{DOWN}:after=5",),
}
#: Enough plain ok probes are kept to see how they went.
SAMPLE = {"BYTETRACKER_WORKER__JOIN__SAMPLE_ONE_IN": "3"}


@pytest.fixture(scope="module", autouse=True)
def as_root() -> None:
    if os.geteuid() != 0 and os.environ.get("CI") != "true":
        pytest.skip("needs root for network namespaces")


def _run_of(command: Command) -> str:
    """The name that all namespaces of a lab begin with: that of the lock file which it holds."""
    held: list[str] = []

    def found() -> bool:
        files = psutil.Process(command.pid).open_files()
        held[:] = [Path(file.path).name for file in files if Path(file.path).parent == LOCK_DIRECTORY]
        return bool(held)

    until(found, 40, "no lab has begun")
    return held[0]


def _namespaces(run: str) -> list[str]:
    return sorted(path.name for path in NAMESPACE_DIRECTORY.glob(f"{run}*"))


@pytest.fixture(scope="module")
def labs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, tuple[dict[str, Any], Command]]]:
    """Both runs of FAULTS at once, ended: reports and commands."""
    commands: dict[str, Command] = {}
    try:
        for name, specs in FAULTS.items():
            folder = tmp_path_factory.mktemp(name)
            faults = [word for spec in specs for word in ("--fault", spec)]
            arguments = ["lab", "--seconds", str(SECONDS), *faults, "--report", str(folder / "r.json")]
            commands[name] = Command(arguments, folder, SAMPLE)
        runs = [_run_of(command) for command in commands.values()]
        reports = {}
        for name, command in commands.items():
            assert command.wait(SECONDS + 70) == 0, f"{name}:\n{command.output}"
            reports[name] = (json.loads((command.folder / "r.json").read_text()), command)
        assert [_namespaces(run) for run in runs] == [[], []]
        yield reports
    finally:
        for command in commands.values():
            command.end()


@pytest.mark.parametrize("name", FAULTS)
def test_every_row_is_joined(labs: dict[str, tuple[dict[str, Any], Command]], name: str) -> None:
    report, command = labs[name]
    assert report["probes_sent"] > SECONDS * 50
    assert report["probes_joined"] == report["probes_sent"]
    assert report["digests_joined"] == report["digests_sent"] > report["probes_sent"]
    assert (report["late_rows"], report["dead_letters"]) == (0, 0)
    slots = ask_store(command.run_folder() / "store", "SELECT sum(probes) AS probes FROM slots FINAL")
    assert slots == [{"probes": report["probes_sent"]}]
    assert command.descendants() == []


def test_loss_and_flip_are_told_apart_and_located(
    labs: dict[str, tuple[dict[str, Any], Command]],
) -> None:
    report, command = labs["network"]
    faults = {f["kind"]: f for f in report["faults"]}
    assert set(faults) == {"network_loss", "alteration"}, report["faults"]
    assert len(report["faults"]) == 2
    for kind, link in (("network_loss", LOST), ("alteration", FLIPPED)):
        suspects = {s["element"] for s in faults[kind]["suspects"]}
        assert suspects & {link, *link.split("~")}, faults[kind]
        started_ns = next(i["started_ns"] for i in report["injected"] if link in i["spec"])
        assert faults[kind]["detected_ns"] - started_ns < 10e9
    # Between the right hops: the far side of the link saw other bytes than the near one.
    places = ask_store(
        command.run_folder() / "store",
        "SELECT last_seen, next_node, count() AS probes, countIf(notEmpty(`alterations.xor_mask`)) AS named "
        "FROM probe_results FINAL WHERE verdict IN ('altered', 'corrupted') GROUP BY last_seen, next_node",
    )
    assert [(p["last_seen"], p["next_node"]) for p in places] == [tuple(FLIPPED.split("~"))]
    assert places[0]["probes"] > 5
    assert places[0]["named"] > 0


def test_stopped_server_is_no_network_fault(labs: dict[str, tuple[dict[str, Any], Command]]) -> None:
    report, _ = labs["host"]
    assert {f["kind"] for f in report["faults"]} == {"host_silent"}, report["faults"]
    assert [f["suspects"][0]["element"] for f in report["faults"]] == [DOWN]
    assert set(report["verdicts"]) == {"ok", "host_silent"}


def test_east_west_probes_are_answered_and_tracked_through_a_spine(
    labs: dict[str, tuple[dict[str, Any], Command]],
) -> None:
    _, command = labs["host"]
    rows = ask_store(
        command.run_folder() / "store",
        "SELECT via, target, rtt_ns, `hops.leg` AS legs, `hops.switch` AS switches FROM probe_results FINAL "
        "WHERE kind = 'east_west' AND verdict = 'ok'",
    )
    assert len(rows) > 20
    for row in rows:
        assert row["rtt_ns"] is not None
        climbed = [s for leg, s in zip(row["legs"], row["switches"], strict=True) if leg == "probe"]
        assert [s for s in climbed if s.startswith("spine")], row
        assert row["via"] in [
            s for leg, s in zip(row["legs"], row["switches"], strict=True) if leg == "encapsulated"
        ]


def test_namespaces_are_taken_down(tmp_path: Path) -> None:
    """After Ctrl-C at once; after `kill -9` by the next run, since nobody else is left to do it."""
    interrupted, killed = (Command(["lab"], tmp_path / name) for name in ("interrupted", "killed"))
    following = None
    try:
        runs = {command: _run_of(command) for command in (interrupted, killed)}
        for command, run in runs.items():
            until(lambda c=command: len(c.worker_pids()) == 2, 40, "no two workers")  # type: ignore[misc]
            assert _namespaces(run)
        time.sleep(1)
        interrupted.signal(signal.SIGINT)
        assert interrupted.wait(10) == 0
        assert _namespaces(runs[interrupted]) == []
        killed.signal(signal.SIGKILL)
        killed.wait(5)
        until(lambda: killed.descendants() == [], 5, "processes live on")
        following = Command(["lab", "--seconds", "1"], tmp_path / "following")
        assert following.wait(60) == 0, following.output
        assert _namespaces(runs[killed]) == []
    finally:
        for command in (interrupted, killed, following):
            if command is not None:
                command.end()

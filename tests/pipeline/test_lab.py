"""`bytetracker lab`, as a user runs it: real kernels, live Prober and collectors, faults told apart."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.pipeline.commands import Command, ask_store, until

pytestmark = [pytest.mark.root, pytest.mark.servers, pytest.mark.slow, pytest.mark.timeout(150)]

SECONDS = 18
LOST, FLIPPED, DOWN = "leaf-2-1~tor-2-2", "leaf-1-1~spine-1", "server-1-1-1"
FAULTS = {
    "network": (f"loss:{LOST}:rate=0.4,after=5", f"flip:{FLIPPED}:rate=0.4,after=5"),
    "host": (f"host_down:{DOWN}:after=5",),
}
NAMESPACES = Path("/run/netns")
#: Enough plain ok probes are kept to see how they went.
SAMPLE = {"BYTETRACKER_WORKER__JOIN__SAMPLE_ONE_IN": "3"}


@pytest.fixture(scope="module", autouse=True)
def as_root() -> None:
    if os.geteuid() != 0 and os.environ.get("CI") != "true":
        pytest.skip("needs root for network namespaces")


def _namespaces() -> set[str]:
    return {path.name for path in NAMESPACES.iterdir()} if NAMESPACES.is_dir() else set()


@pytest.fixture(scope="module")
def labs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, tuple[dict[str, Any], Command]]]:
    """Both runs of FAULTS at once, ended: reports and commands."""
    commands: dict[str, Command] = {}
    before = _namespaces()
    try:
        for name, specs in FAULTS.items():
            folder = tmp_path_factory.mktemp(name)
            faults = [word for spec in specs for word in ("--fault", spec)]
            arguments = ["lab", "--seconds", str(SECONDS), *faults, "--report", str(folder / "r.json")]
            commands[name] = Command(arguments, folder, SAMPLE)
        reports = {}
        for name, command in commands.items():
            assert command.wait(SECONDS + 70) == 0, f"{name}:\n{command.output}"
            reports[name] = (json.loads((command.folder / "r.json").read_text()), command)
        assert _namespaces() <= before
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
    before = _namespaces()
    runs = {name: Command(["lab"], tmp_path / name) for name in ("interrupted", "killed")}
    try:
        for run in runs.values():
            until(lambda run=run: len(run.worker_pids()) == 2, 40, "no two workers")  # type: ignore[misc]
        time.sleep(1)
        both = len(_namespaces() - before)
        assert both
        runs["interrupted"].signal(signal.SIGINT)
        assert runs["interrupted"].wait(10) == 0
        assert len(_namespaces() - before) == both // 2
        runs["killed"].signal(signal.SIGKILL)
        runs["killed"].wait(5)
        until(lambda: runs["killed"].descendants() == [], 5, "processes live on")
        runs["next"] = Command(["lab", "--seconds", "1"], tmp_path / "next")
        assert runs["next"].wait(60) == 0, runs["next"].output
        assert _namespaces() <= before
    finally:
        for run in runs.values():
            run.end()

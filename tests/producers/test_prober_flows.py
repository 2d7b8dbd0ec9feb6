"""The Prober's loop reads its flow file again when it changes, and keeps what it had if it cannot."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from producers.flow_file import FlowChoice, ProberFlows, write_flows
from producers.plan import PlanRefused
from producers.probe_loop import ProbeLoop
from tests.producers.test_prober import SETTINGS, SMALL, Bench

TARGET = SMALL.node("server-1-1-1")


def choice(first_port: int) -> FlowChoice:
    return FlowChoice(3, {1: ProberFlows({TARGET: tuple(range(first_port, first_port + 3))}, {})})


def loop_of(bench: Bench, problems: list[str], *, renew: bool = False) -> ProbeLoop:
    loop = bench.loop(renew=renew)
    loop._complain = problems.append
    return loop


def ports_sent(bench: Bench) -> set[int]:
    """Source ports of probes to the target since the last look."""
    probes = np.concatenate(bench.network.sent)
    bench.network.sent.clear()
    mine = (probes["target_node"] == TARGET) & (probes["via_node"] == -1)
    return set(probes["source_port"][mine].tolist())


def run_and_look(bench: Bench, loop: ProbeLoop) -> set[int]:
    bench.run(loop, 1_000_001)
    assert loop.unsafe() == ""
    bench.run(loop, 2_000_000)  # two rounds: one of them with chosen flows
    return ports_sent(bench)


def test_a_changed_file_comes_into_force(tmp_path: Path) -> None:
    path = tmp_path / "flows.json"
    write_flows(path, choice(20_000), SMALL)
    bench = Bench(replace(SETTINGS, plan=replace(SETTINGS.plan, flows=str(path))))
    problems: list[str] = []
    loop = loop_of(bench, problems)
    assert set(range(20_000, 20_003)) <= run_and_look(bench, loop)
    assert loop.report.flow_files_read == 0  # the first one is no change
    write_flows(path, choice(21_000), SMALL)
    assert set(range(21_000, 21_003)) <= run_and_look(bench, loop)
    assert not set(range(20_000, 20_003)) & run_and_look(bench, loop)
    assert (loop.report.flow_files_read, loop.report.flow_files_refused, problems) == (1, 0, [])
    # Nothing was sent twice or left out on the way.
    loop.finish()
    rows = bench.rows()
    assert len(np.unique(rows["probe_id"])) == len(rows) == loop.report.sent
    assert loop.report.due == loop.report.sent


def test_a_bad_file_leaves_the_flows_before_in_force(tmp_path: Path) -> None:
    path = tmp_path / "flows.json"
    write_flows(path, choice(20_000), SMALL)
    bench = Bench(replace(SETTINGS, plan=replace(SETTINGS.plan, flows=str(path))))
    problems: list[str] = []
    loop = loop_of(bench, problems)
    for number, spoil in enumerate((lambda: path.write_text("{"), path.unlink), start=1):
        spoil()
        assert set(range(20_000, 20_003)) <= run_and_look(bench, loop)
        assert loop.report.flow_files_refused == len(problems) == number  # once, not every second
        assert str(path) in problems[-1]
    write_flows(path, choice(22_000), SMALL)
    assert set(range(22_000, 22_003)) <= run_and_look(bench, loop)
    assert loop.report.flow_files_read == 1


def test_a_bad_file_at_the_start_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "flows.json"
    path.write_text("{}")
    bench = Bench(replace(SETTINGS, plan=replace(SETTINGS.plan, flows=str(path))))
    with pytest.raises(PlanRefused, match="format"):
        bench.loop()
    assert not bench.network.sent


def test_a_renewed_inventory_needs_a_good_file_too(tmp_path: Path) -> None:
    path = tmp_path / "flows.json"
    write_flows(path, choice(20_000), SMALL)
    plan = replace(SETTINGS.plan, flows=str(path))
    bench = Bench(replace(SETTINGS, plan=plan, plan_age_max_s=8))
    problems: list[str] = []
    loop = loop_of(bench, problems, renew=True)
    path.write_text("{")
    while not (reason := loop.unsafe()):
        bench.run(loop, 1_000_001)
    assert reason.startswith("the plan is older")
    assert loop.report.renewals_failed > 0
    assert any("the old plan stays in force" in problem for problem in problems)

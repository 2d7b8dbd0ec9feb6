"""Coverage of built-in fabrics, through producers and the real join: all is crossed, by few probes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from bytetracker.cli import main
from bytetracker.coverage.measure import Measured, measure, plan_settings
from fabric.builtin import builtin_fabric
from fabric.inventory import dump_fabric
from producers.flow_file import read_flows
from producers.plan import PlanSettings

#: Small enough for every run of the tests; `bytetracker coverage --simulate all` measures larger ones.
FABRICS = ["tiny", "lab", "small", "dci", "demo", "fat-tree-4", "fat-tree-8"]


@pytest.fixture(scope="module", params=FABRICS)
def measured(request: pytest.FixtureRequest) -> Measured:
    return measure(builtin_fabric(request.param), seed=7, seconds=60)


def test_the_default_plan_crosses_everything_within_seconds(measured: Measured) -> None:
    assert measured.plain.after_s is not None
    assert measured.plain.after_s <= 10
    for each in measured.plain.record["classes"]:
        assert each["seen"] == each["crossable"] == each["total"], each
    assert measured.plain.record["unseen"] == []


def test_few_probes_cross_everything(measured: Measured) -> None:
    report = measured.report
    assert report.crossed == report.crossable == report.total
    # Nothing does with fewer probes than there are ports to servers.
    assert len(measured.fabric.servers) <= report.least <= report.flows <= 1.02 * report.least
    assert report.apart > 0.9


def test_a_plan_with_chosen_flows_crosses_everything(measured: Measured) -> None:
    assert measured.chosen.after_s is not None
    assert measured.chosen.after_s <= 30
    assert measured.complete
    assert measured.choice.probers.keys() == {prober.number for prober in measured.fabric.probers}


def test_time_may_be_too_short() -> None:
    # In one second a target is probed once, over three of its eight flows.
    found = measure(builtin_fabric("lab"), seed=7, seconds=1)
    assert found.plain.after_s is None
    assert found.plain.record["unseen"]
    assert not found.complete
    assert found.document()["crossed_after_s"] is None
    assert run("--simulate", "lab", "--seed", "7", "--seconds", "1")[0] == 1


def test_what_no_known_flow_crosses_is_missing() -> None:
    found = measure(builtin_fabric("tiny"), seed=7, seconds=10)
    assert found.complete
    assert not replace(found, report=replace(found.report, missing=("tor-1-1~leaf-1-1",))).complete


def test_too_many_targets_are_shared() -> None:
    assert plan_settings(builtin_fabric("demo")) == PlanSettings()
    assert plan_settings(builtin_fabric("large")).probers_per_target == 1


def run(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(main, ["coverage", *arguments])
    return result.exit_code, result.stdout, result.stderr


def test_command_measures_and_writes_a_file(tmp_path: Path) -> None:
    path = tmp_path / "flows.json"
    code, out, _ = run("--simulate", "tiny", "--choose", str(path), "--format", "json")
    assert code == 0
    (document,) = json.loads(out)
    assert document["fabric"] == "tiny"
    assert document["fewest_probes"] == document["lower_bound"] == 4
    assert [c["crossed"] == c["total"] for c in document["classes"]] == [True] * 3
    flows = read_flows(path, builtin_fabric("tiny"), PlanSettings())
    assert set(flows.probers[1].targets) == {server.node for server in builtin_fabric("tiny").servers}
    code, out, _ = run("--simulate", "tiny", "--simulate", "lab")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()] == ["fabric", "tiny", "lab"]


def test_command_takes_an_inventory_file(tmp_path: Path) -> None:
    inventory = tmp_path / "inventory.yaml"
    inventory.write_text(dump_fabric(builtin_fabric("small")))
    code, out, _ = run("--simulate", str(inventory))
    assert code == 0
    assert out.splitlines()[1].split()[:2] == ["small", "16"]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--follow",), "--follow goes with --choose"),
        (("--simulate", "tiny", "--choose", "x", "--follow"), "not with --simulate"),
        (("--simulate", "all", "--choose", "x"), "flows of one fabric"),
        (("--simulate", "nowhere"), "nowhere"),
    ],
)
def test_command_refuses(arguments: tuple[str, ...], reason: str) -> None:
    code, _, error = run(*arguments)
    assert code != 0
    assert reason in error
    assert len(error.strip().splitlines()) == 1

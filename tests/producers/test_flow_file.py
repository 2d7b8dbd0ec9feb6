"""The file of chosen flows: what is written is read, what is wrong is refused, and plans follow it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fabric.builtin import builtin_fabric
from fabric.model import Fabric
from producers.flow_file import FlowChoice, ProberFlows, read_flows, write_flows
from producers.flow_watch import FileWatch, planned
from producers.plan import PlanRefused, PlanSettings, build_plan, summarise
from schemas.rows import Kind

SMALL, DEMO = builtin_fabric("small"), builtin_fabric("demo")
SETTINGS = PlanSettings()
SECOND_US = 1_000_000
START_US = 1_700_000_040 * SECOND_US  # a multiple of 60 s, and of 3 s

VALID: dict[str, Any] = {
    "format": "bytetracker-flows",
    "version": 1,
    "fabric": "small",
    "group_size": 3,
    "probers": {
        "prober-1": {
            "targets": {"server-1-1-1": [20_001, 20_005, 20_009, 20_100, 20_101, 20_102]},
            "pairs": [["tor-1-1", "server-2-1-1", [28_000, 28_001, 28_002]]],
        }
    },
}


def written(folder: Path, document: Any) -> Path:
    path = folder / "flows.json"
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return path


def changed(**changes: Any) -> dict[str, Any]:
    return {**VALID, **changes}


def with_targets(targets: Any) -> dict[str, Any]:
    return changed(probers={"prober-1": {"targets": targets}})


def with_pairs(pairs: Any) -> dict[str, Any]:
    return changed(probers={"prober-1": {"pairs": pairs}})


def test_what_is_written_is_read(tmp_path: Path) -> None:
    servers, tors = [s.node for s in DEMO.servers], [s.node for s in DEMO.switches if s.tier == "tor"]
    choice = FlowChoice(
        3,
        {
            1: ProberFlows({servers[0]: (20_000, 20_001, 20_002), DEMO.probers[1].node: (28_191,) * 3}, {}),
            2: ProberFlows({}, {(tors[0], servers[-1]): tuple(range(20_000, 20_006))}),
        },
    )
    path = tmp_path / "flows.json"
    write_flows(path, choice, DEMO)
    assert read_flows(path, DEMO, SETTINGS) == choice
    assert [each.name for each in tmp_path.iterdir()] == ["flows.json"]
    write_flows(path, replace(choice, probers={}), DEMO)
    assert read_flows(path, DEMO, SETTINGS).probers == {}


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ("", "no valid JSON"),
        ("[1, 2", "no valid JSON"),
        ([], "no mapping"),
        (changed(format="flows"), "format"),
        (changed(version=2), "version"),
        (changed(fabric="demo"), "made for the fabric 'demo'"),
        (changed(group_size=4), "choose again"),
        (changed(probers=[]), "probers is no mapping"),
        (changed(probers={"prober-1": []}), "prober prober-1 is no mapping"),
        (with_targets([]), "targets is no mapping"),
        (with_targets({"server-1-1-1": []}), "whole groups"),
        (with_targets({"server-1-1-1": [20_001, 20_002]}), "whole groups"),
        (with_targets({"server-1-1-1": "abc"}), "whole groups"),
        (with_targets({"server-1-1-1": [19_999, 20_000, 20_001]}), "19999 is not in 20000..28191"),
        (with_targets({"server-1-1-1": [28_192, 20_000, 20_001]}), "28192"),
        (with_targets({"server-1-1-1": [20_000.0, 20_000, 20_001]}), r"20000\.0"),
        (with_targets({"server-1-1-1": [True, 20_000, 20_001]}), "True"),
        (with_targets({"nobody": [1, 2, 3]}), "nobody: source port 1"),
        (with_pairs({}), "pairs is no list"),
        (with_pairs([["tor-1-1", "server-2-1-1"]]), "not \\[ToR, target, ports\\]"),
        (with_pairs([[1, "server-2-1-1", [20_000] * 3]]), "where a name belongs"),
    ],
)
def test_what_is_wrong_is_refused(document: Any, reason: str, tmp_path: Path) -> None:
    path = written(tmp_path, document)
    with pytest.raises(PlanRefused, match=reason) as refused:
        read_flows(path, SMALL, SETTINGS)
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PlanRefused, match="No such file"):
        planned(SMALL, SMALL.probers[0], PlanSettings(flows=str(tmp_path / "none")))
    with pytest.raises(PlanRefused, match="Is a directory"):
        planned(SMALL, SMALL.probers[0], PlanSettings(flows=str(tmp_path)))
    with pytest.raises(PlanRefused, match="was not read"):
        build_plan(SMALL, SMALL.probers[0], PlanSettings(flows="flows.json"))


def test_names_that_are_gone_are_passed_over(tmp_path: Path) -> None:
    entry = {
        "targets": {"server-9-9-9": [20_000] * 3, "server-1-1-1": [20_000] * 3},
        "pairs": [["tor-1-1", "server-9-9-9", [20_000] * 3], ["tor-9-9", "server-2-1-1", [20_000] * 3]],
    }
    path = written(tmp_path, changed(probers={"prober-1": entry, "prober-9": entry}))
    choice = read_flows(path, SMALL, SETTINGS)
    assert choice.unknown == 7
    assert choice.probers == {1: ProberFlows({SMALL.node("server-1-1-1"): (20_000,) * 3}, {})}


def plan_of(tmp_path: Path, document: dict[str, Any] = VALID, fabric: Fabric = SMALL) -> Any:
    settings = PlanSettings(flows=str(written(tmp_path, document)))
    return planned(fabric, fabric.probers[0], settings)


def ports(probes: NDArray[np.void], target: str, via: str | None = None) -> list[list[int]]:
    """Source ports of each group that goes to a target, in the order of sending."""
    mine = probes["target_node"] == SMALL.node(target)
    mine &= probes["via_node"] == (SMALL.node(via) if via else -1)
    found: list[list[int]] = probes["source_port"][mine].reshape(-1, 3).tolist()
    return found


def test_a_plan_goes_through_chosen_groups_and_its_window(tmp_path: Path) -> None:
    probes = plan_of(tmp_path).due(START_US, START_US + 9 * SECOND_US)
    found = ports(probes, "server-1-1-1")
    window = found[2]
    # START_US is a round that the groups divide.
    assert found == [[20_001, 20_005, 20_009], [20_100, 20_101, 20_102], window] * 3
    assert window == list(range(window[0], window[0] + 3))
    later = plan_of(tmp_path).due(START_US + 60 * SECOND_US, START_US + 63 * SECOND_US)
    assert ports(later, "server-1-1-1")[2] == [port + 1 for port in window]


def test_targets_without_chosen_flows_are_probed_as_without_a_file(tmp_path: Path) -> None:
    until_us = START_US + 60 * SECOND_US
    mine = plan_of(tmp_path).due(START_US, until_us)
    plain = build_plan(SMALL, SMALL.probers[0]).due(START_US, until_us)
    assert (mine["probe_id"] == plain["probe_id"]).all()
    assert (mine["sent_at_us"] == plain["sent_at_us"]).all()
    near, far = SMALL.index.pod_of(plain["via_node"]), SMALL.index.pod_of(plain["target_node"])
    chosen = plain["target_node"] == SMALL.node("server-1-1-1")
    chosen |= (plain["kind"] == Kind.EAST_WEST) & (near == 0) & (far == 1)
    assert mine[~chosen].tobytes() == plain[~chosen].tobytes()
    assert 0 < chosen.sum() < len(plain)


def test_east_west_takes_chosen_steps_and_rotates_between_them(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    dwell_us = SETTINGS.east_west_dwell_rounds * SECOND_US
    probes = plan.due(START_US, START_US + 64 * dwell_us)
    mine = probes[(probes["kind"] == Kind.EAST_WEST) & (SMALL.index.pod_of(probes["target_node"]) == 1)]
    step = (mine["via_node"] == SMALL.node("tor-1-1")) & (mine["target_node"] == SMALL.node("server-2-1-1"))
    round_ = mine["sent_at_us"] // SECOND_US // SETTINGS.east_west_dwell_rounds
    in_step = {int(r) for r in np.unique(round_[step])}
    assert len(in_step) >= 32  # every second turn, and when the rotation comes by
    chosen = [28_000, 28_001, 28_002]
    assert set(np.unique(mine["source_port"][step])) > set(chosen)
    # All others are still met: by both ToRs to all eight servers of the other pod.
    met = set(zip(mine["via_node"].tolist(), mine["target_node"].tolist(), strict=True))
    assert len(met) == 16
    assert (SMALL.index.pod_of(mine["via_node"]) == 0).all()


def test_flows_of_what_is_not_probed_are_counted(tmp_path: Path) -> None:
    # The ToR is drained and the server known to be silent: no East-West probes, and the others as chosen.
    fabric = replace(
        SMALL,
        switches=tuple(replace(s, drained=s.name == "tor-1-1") for s in SMALL.switches),
        servers=tuple(replace(s, answers=s.name != "server-2-1-1") for s in SMALL.servers),
    )
    plan = plan_of(tmp_path, VALID, fabric)
    assert plan.uncovered == {"chosen flows of nodes that the plan does not probe": 1}
    assert summarise(plan).chosen_flows == 6
    assert SMALL.node("tor-1-1") not in plan.due(START_US, START_US + 60 * SECOND_US)["via_node"]


def test_a_watched_file_changes_comes_and_goes(tmp_path: Path) -> None:
    path = tmp_path / "flows.json"
    watch = FileWatch(str(path))
    assert not watch.changed()
    write_flows(path, FlowChoice(3, {}), SMALL)
    assert watch.changed()
    assert not watch.changed()
    write_flows(path, FlowChoice(3, {}), SMALL)  # the same bytes in a new file: read it again, it may differ
    assert watch.changed()
    path.unlink()
    assert watch.changed()
    assert not watch.changed()
    assert not FileWatch(None).changed()

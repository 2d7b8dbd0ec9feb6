"""Chosen flows cross everything that can be crossed, with few of them, over ways that lie apart."""

from __future__ import annotations

import itertools
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray

from fabric.builtin import builtin_fabric
from fabric.clos import build_clos
from fabric.coverage import Elements
from fabric.model import Fabric
from fabric.shapes import ClosShape
from producers.flow_choice import ChoiceReport, choose, choose_cover
from producers.flow_file import FlowChoice
from producers.flow_paths import FlowPaths, crossings, gather_paths
from producers.plan import PlanSettings, build_plan
from schemas.nodes import PROBER_BASE
from schemas.rows import Leg
from tests.producers.learnt import SECOND_US, START_US, learnt, probes_of

SETTINGS = PlanSettings()
LEARNING = PlanSettings(flows_per_target=18, east_west_dwell_rounds=2)
NAMES = ["tiny", "lab", "small", "dci", "fat-tree-4", "cards"]


CARDS = ClosShape(
    "cards",
    pods=4,
    tors_per_pod=2,
    leaves_per_pod=1,
    spines=2,
    servers_per_tor=4,
    spine_line_cards=4,
    spine_fabric_chips=1,
)


@cache
def known(name: str) -> tuple[Fabric, FlowPaths]:
    fabric = build_clos(CARDS) if name == "cards" else builtin_fabric(name)
    return fabric, gather_paths(learnt(fabric, probes_of(fabric, 8, LEARNING)))


@cache
def chosen(name: str) -> tuple[FlowChoice, ChoiceReport]:
    fabric, flows = known(name)
    return choose(flows, Elements(fabric), SETTINGS)


def crossed_by(fabric: Fabric, probes: NDArray[np.void], seed: int = 1) -> set[str]:
    """Names of what probes cross, from their mirrored copies."""
    elements = Elements(fabric)
    flows = gather_paths(learnt(fabric, probes, seed))
    return {elements.name(e) for e in np.unique(crossings(flows, elements).element).tolist()}


@pytest.mark.parametrize("name", NAMES)
def test_everything_is_crossed_by_few_flows(name: str) -> None:
    _, report = chosen(name)
    assert report.crossed == report.crossable == report.total
    assert report.missing == ()
    # Of two spines that one step crosses, each takes a flow, and both flows go to one server.
    second = 6 if name == "cards" else 0
    assert report.least <= report.flows <= 1.1 * report.least + second
    assert report.apart > 0.9


@pytest.mark.parametrize("name", NAMES)
def test_a_plan_with_chosen_flows_crosses_everything(name: str) -> None:
    fabric, _ = known(name)
    choice, _ = chosen(name)
    # Chosen flows only: what the moving windows add is left out.
    allowed = {
        (PROBER_BASE + prober, target, via, port)
        for prober, flows in choice.probers.items()
        for via, target, ports in [
            *((-1, target, ports) for target, ports in flows.targets.items()),
            *((via, target, ports) for (via, target), ports in flows.pairs.items()),
        ]
        for port in ports
    }
    rounds = 4 * SETTINGS.east_west_dwell_rounds
    plans = [build_plan(fabric, prober, SETTINGS, choice) for prober in fabric.probers]
    probes = np.concatenate([plan.due(START_US, START_US + rounds * SECOND_US) for plan in plans])
    flow = zip(
        (PROBER_BASE + (probes["probe_id"] >> 32)).tolist(),
        *(probes[name].tolist() for name in ("target_node", "via_node", "source_port")),
        strict=True,
    )
    mine = probes[[each in allowed for each in flow]]
    elements = Elements(fabric)
    assert crossed_by(fabric, mine) == {elements.name(e) for e in range(elements.count)}


def test_crossings_are_those_of_the_cables() -> None:
    fabric, flows = known("dci")
    elements = Elements(fabric)
    table = crossings(flows, elements)
    rng = np.random.default_rng(0)
    for flow in rng.choice(len(flows), 60, replace=False).tolist():
        names = {elements.name(e) for e in table.element[table.start[flow] : table.start[flow + 1]].tolist()}
        assert names == by_hand(fabric, flows, flow)


def by_hand(fabric: Fabric, flows: FlowPaths, flow: int) -> set[str]:
    found: set[str] = set()
    prober, target, via = (
        fabric.node_name(column[flow]) if column[flow] >= 0 else None
        for column in (flows.prober, flows.target, flows.via)
    )
    assert prober and target
    ends = {Leg.ENCAPSULATED: (prober, None), Leg.PROBE: (via or prober, target), Leg.REPLY: (target, prober)}
    for leg, (first, last) in ends.items():
        switches = [fabric.node_name(n) for n in flows.switches[flow, leg].tolist() if n >= 0]
        if not switches:
            continue
        nodes = [first, *switches, *([last] if last else [])]
        links = [fabric.link_by_name[f"{a}~{b}"] for a, b in itertools.pairwise(nodes)]
        for link in links:
            for name, number in ((link.from_name, link.from_port), (link.to_name, link.to_port)):
                switch = fabric.switch_by_name.get(name)
                if switch is not None:
                    found.add(f"{name}:{next(p.name for p in switch.ports if p.number == number)}")
            if {link.from_name, link.to_name} <= set(fabric.switch_by_name):
                found.add(link.name)
        for came, left in itertools.pairwise(links):
            switch = fabric.switch_by_name[came.to_name]
            if switch.is_multi_chip:
                chip = {p.number: p.chip for p in switch.ports}
                found.add(f"{switch.name}/{chip[came.to_port]}>{chip[left.from_port]}")
    return found


def test_members_of_a_group_meet_different_switches() -> None:
    fabric, flows = known("small")
    choice, _ = chosen("small")
    way = {
        (int(t), int(p)): tuple(s)
        for t, v, p, s in zip(
            flows.target, flows.via, flows.source_port, flows.switches[:, Leg.PROBE].tolist(), strict=True
        )
        if v < 0
    }
    spines = leaves = 0
    for target, ports in choice.probers[1].targets.items():
        for at in range(0, len(ports), 3):
            group = [way[target, port] for port in ports[at : at + 3]]
            spines += len({each[1] for each in group}) == 2
            leaves += len({each[2] for each in group}) == 2
    groups = sum(len(ports) // 3 for ports in choice.probers[1].targets.values())
    assert groups == 2 * len(fabric.servers)
    # There are two of each: three members cannot meet more. By chance a quarter of the groups meets one.
    assert spines > 0.9 * groups
    assert leaves > 0.9 * groups


def test_the_newest_way_of_a_flow_holds() -> None:
    fabric = builtin_fabric("small")
    probes = probes_of(fabric, 3, SETTINGS)
    before, after = learnt(fabric, probes, seed=1), learnt(fabric, probes, seed=2)
    flows = gather_paths(np.concatenate([before, after]))
    alone = gather_paths(after)
    assert (flows.switches == alone.switches).all()
    assert (flows.switches != gather_paths(before).switches).any()
    assert flows.complete.all()


def test_flows_of_which_a_leg_is_not_known_are_not_chosen() -> None:
    fabric = builtin_fabric("small")
    rows = learnt(fabric, probes_of(fabric, 3, SETTINGS))
    target = fabric.servers[0].node
    rows = rows[(rows["target"] != target) | (rows["leg"] != Leg.REPLY)]
    flows = gather_paths(rows)
    choice, report = choose(flows, Elements(fabric), SETTINGS)
    assert target not in choice.probers[1].targets
    port = f"{fabric.servers[0].tor}:" + next(
        p.name for p in fabric.switch_by_name[fabric.servers[0].tor].ports if p.peer == fabric.servers[0].name
    )
    assert port in report.missing
    assert report.crossed["port"] == report.crossable["port"] - 1


def test_ports_outside_the_range_are_not_chosen() -> None:
    fabric, flows = known("small")
    least = int(np.sort(np.unique(flows.source_port))[10])
    choice, _ = choose(
        flows, Elements(fabric), PlanSettings(source_port_first=least, source_port_count=8_000)
    )
    assert all(
        least <= port < least + 8_000
        for each in choice.probers.values()
        for ports in [*each.targets.values(), *each.pairs.values()]
        for port in ports
    )


def test_nothing_is_known() -> None:
    fabric, flows = known("small")
    none = flows.take(np.zeros(len(flows), np.bool_))
    choice, report = choose(none, Elements(fabric), SETTINGS)
    assert not choice.probers
    assert report.crossed == {"port": 0, "link": 0, "chip_pair": 0}
    assert report.flows == report.least == 0


def test_east_west_is_for_what_only_it_crosses_in_few_steps() -> None:
    # Pods 2 to 4 have a line card of their own in each of two spines, pod 1 shares one with the border. So
    # six pairs of cards a spine are crossed on the way from pod to pod alone.
    fabric, flows = known("cards")
    elements = Elements(fabric)
    table = crossings(flows, elements)
    cover = choose_cover(flows, table, elements)
    from_north = set(table.of(np.flatnonzero(flows.via < 0)).tolist())
    alone = set(range(elements.count)) - from_north
    assert len(alone) == 2 * 6
    east_west = cover[flows.via[cover] >= 0]
    assert len(east_west) == len(alone)
    assert alone <= set(table.of(east_west).tolist())
    steps = {(int(flows.prober[f]), int(flows.via[f]), int(flows.target[f])) for f in east_west}
    assert len(steps) == 6  # one for each pair of pods: both spines are met from one ToR to one server

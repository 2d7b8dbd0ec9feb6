"""The coverage monitor: what is not crossed for a while is a gap, told by switch, cable and chip."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Set
from dataclasses import replace

import numpy as np
import pytest

from fabric.builtin import builtin_fabric
from fabric.coverage import ELEMENT_CLASSES, Elements
from fabric.model import Fabric
from schemas import topics
from schemas.codec import decode, encode
from schemas.rows import EVIDENCE, TURNS
from streams.localise.align import WholeSlot
from streams.localise.counts import count
from streams.localise.coverage import CoverageMonitor
from streams.localise.finding import Finding
from streams.localise.terrain import Terrain

START_US = 1_763_840_000_000_000
SLOT_US = 250_000
SECOND_US = 1_000_000
GAP_US = 60 * SECOND_US

DEMO, SITES = builtin_fabric("demo"), builtin_fabric("dci")

Seen = Callable[[str], bool]


def everything(name: str) -> bool:
    return True


def all_but(*names: str) -> Seen:
    """All links and turns that do not touch one of these switches, links or chip pairs."""

    def seen(name: str) -> bool:
        ends = {name, *name.split("~"), name.split("/", maxsplit=1)[0]}
        return not ends & set(names)

    return seen


class Run:
    """A monitor that is fed slot by slot with what is crossed in each."""

    def __init__(self, fabric: Fabric = DEMO) -> None:
        self.fabric = fabric
        self.terrain = Terrain(fabric)
        self.monitor = CoverageMonitor(self.terrain, GAP_US)
        self.now_us = START_US
        self.reports: list[dict] = []

    def slot(self, seen: Seen, lost: Iterable[str] = ()) -> WholeSlot:
        fabric = self.fabric
        rows = [
            (fabric.node(link.from_name), fabric.node(link.to_name), 1, 5, 0, 0, 0)
            for link in fabric.links
            if seen(link.name)
        ]
        for name in lost:
            near, far = name.split("~")
            rows.append((fabric.node(near), fabric.node(far), 1, 0, 3, 0, 0))
        turns = [
            (switch.node, a, b, 1, 5, 0, 0)
            for switch in fabric.switches
            if switch.is_multi_chip
            for a, first in enumerate(switch.chips)
            for b, second in enumerate(switch.chips)
            if "fabric" not in (first.role, second.role)
            and seen(f"{switch.name}/{first.label}>{second.label}")
        ]
        head = {"turns": np.array(turns, TURNS.dtype).tobytes()}
        return WholeSlot(self.now_us, SLOT_US, self.now_us, (head,), (np.array(rows, EVIDENCE.dtype),))

    def go(
        self,
        seconds: float,
        seen: Seen = everything,
        lost: Iterable[str] = (),
        explained: Set[str] = frozenset(),
    ) -> list[Finding]:
        """What is found at the end."""
        found: list[Finding] = []
        lost = list(lost)
        for step in range(round(seconds * SECOND_US / SLOT_US)):
            # Once a second is often enough to be seen, and the slots between have nothing to say.
            slot = self.slot(seen if step % 4 == 0 else lambda name: False, lost if step % 4 == 0 else ())
            self.monitor.add(count(slot, self.terrain))
            self.now_us += SLOT_US
            found = self.monitor.findings(self.now_us, explained)
            self.reports += self.monitor.reports(self.now_us)
        return found


def only(found: list[Finding]) -> Finding:
    assert len(found) == 1, [each.suspects for each in found]
    return found[0]


def test_nothing_is_found_while_everything_is_crossed() -> None:
    run = Run()
    assert run.go(2 * GAP_US / SECOND_US) == []
    assert run.reports[-1]["unseen"] == []
    assert all(c["seen"] == c["crossable"] == c["total"] for c in run.reports[-1]["classes"])


def test_a_link_that_nothing_crosses_is_a_gap_once_the_time_is_up() -> None:
    run = Run()
    run.go(5)
    last_us = run.now_us - SECOND_US + SLOT_US  # end of the last slot that had something to say
    dark = all_but("leaf-1-1~spine-1")
    assert run.go(59, dark) == []
    found = only(run.go(6, dark))
    assert found.kind == "coverage_gap"
    assert found.suspects == (("leaf-1-1~spine-1", 1.0),)
    assert found.direction == "leaf-1-1~spine-1"
    assert "leaf-1-1~spine-1" in found.where
    assert (found.first_seen_us, found.last_seen_us) == (last_us, run.now_us)
    assert found.note == "not crossed: 1 directed link(s)"
    # The ports are covered by the other direction.
    assert [each["element"] for each in run.reports[-1]["unseen"]] == ["leaf-1-1~spine-1"]
    assert only(run.go(10, dark)).last_seen_us == run.now_us
    assert run.go(1.5) == []


@pytest.mark.parametrize("lost", ["leaf-1-1~tor-1-1", "tor-1-1~server-1-1-1"])
def test_what_is_lost_is_looked_at(lost: str) -> None:
    # A link that loses everything, and a port to a server that is down, are faults and no gaps.
    run = Run()
    run.go(3)
    found = run.go(70, lambda name: name != lost, lost=[lost])
    assert found == []


def test_a_switch_is_one_gap() -> None:
    run = Run()
    run.go(3)
    found = only(run.go(70, all_but("tor-1-1")))
    assert found.suspects == (("tor-1-1", 1.0),)
    assert found.direction == ""
    assert found.servers[:2] == ("server-1-1-1", "server-1-1-2")
    assert {"tor-1-1~leaf-1-1", "leaf-1-1~tor-1-1", "tor-1-1:Ethernet1"} <= found.where
    assert found.note == "not crossed: 20 port(s), 8 directed link(s)"


def test_a_cable_is_one_gap_and_two_cables_are_two() -> None:
    run = Run()
    run.go(3)
    links = ("leaf-1-1~spine-1", "spine-1~leaf-1-1", "tor-2-2~server-2-2-3", "server-2-2-3~tor-2-2")
    found = run.go(70, lambda name: name not in links)
    suspects = sorted(tuple(name for name, _ in each.suspects) for each in found)
    assert suspects == [("leaf-1-1~spine-1", "spine-1~leaf-1-1"), ("tor-2-2:Ethernet7",)]
    assert {s for each in found for s in each.servers} == {"server-2-2-3"}


def test_pairs_of_one_switch_are_one_gap_and_a_chip_stands_for_its_pairs() -> None:
    run = Run()
    run.go(3)
    found = only(run.go(70, all_but("spine-1/lc-1>lc-2")))
    assert found.suspects == (("spine-1/lc-1>lc-2", 1.0),)
    assert {"spine-1", "spine-1/lc-1>lc-2"} <= found.where
    medium = Run(builtin_fabric("medium"))
    medium.go(1)
    found = only(medium.go(62, lambda name: not name.startswith("spine-3/lc-2>")))
    assert found.suspects == (("spine-3/lc-2", 1.0),)


def test_a_prober_that_is_out_is_named_with_what_only_it_crosses() -> None:
    run = Run()
    run.go(3)
    found = only(run.go(70, all_but("border-2")))
    assert found.suspects == (("border-2", 1.0),)
    assert "prober-2" in found.where
    # What prober-1 sends to prober-2 still crosses some of the links: those that it does not are left.
    assert only(run.go(1, all_but("border-2~spine-3"))).where == {"border-2~spine-3", "prober-2"}


@pytest.mark.parametrize(
    ("explained", "left"),
    [
        ({"spine-1"}, 1),  # a switch at one end
        ({"leaf-2-1<>spine-1", "tor-1-1~leaf-1-2"}, 0),  # cables, as others name them
        ({"leaf-2-1<>spine-1"}, 1),
        ({"spine-2", "server-1-1-1", "collector-1", "prober-1"}, 2),  # elsewhere
        ({"leaf-2-1", "tor-1-1", "nobody"}, 0),
    ],
)
def test_what_something_else_explains_is_no_gap(explained: set[str], left: int) -> None:
    run = Run()
    run.go(3)
    dark = all_but("leaf-2-1~spine-1", "tor-1-1~leaf-1-2")
    assert len(run.go(70, dark, explained=explained)) == left
    # The report tells it all the same.
    assert len(run.reports[-1]["unseen"]) == 2


def test_an_explanation_that_is_over_leaves_time_to_be_crossed_again() -> None:
    run = Run()
    run.go(3)
    dark = all_but("spine-1")
    assert run.go(100, dark, explained={"spine-1"}) == []
    stored = json.loads(json.dumps(run.monitor.snapshot()))
    assert run.go(58, dark) == []
    assert only(run.go(4, dark)).suspects == (("spine-1", 1.0),)
    again = Run()
    again.now_us = START_US + 103 * SECOND_US
    again.monitor.restore(stored)
    assert again.go(58, dark) == []
    assert only(again.go(4, dark)).suspects == (("spine-1", 1.0),)


def test_all_is_dark() -> None:
    run = Run()
    run.go(3)
    found = only(run.go(70, lambda name: False))
    assert found.suspects == ((DEMO.name, 1.0),)
    assert len(found.where) < 1_000


def test_many_gaps_are_told_as_few() -> None:
    fabric = builtin_fabric("fat-tree-8")
    run = Run(fabric)
    run.go(1)
    servers = {s.name for s in fabric.servers[::2]}
    found = run.go(62, lambda name: not set(name.split("~")) & servers)
    assert len(found) == 51
    unseen = run.monitor.report(run.now_us)["unseen"]
    named = {name for each in found for name in each.where}
    assert {each["element"] for each in unseen} <= named


def test_what_cannot_be_crossed_is_no_gap_and_not_counted_as_seen() -> None:
    server = DEMO.servers[0]
    fabric = replace(DEMO, servers=(replace(server, answers=False), *DEMO.servers[1:]))
    run = Run(fabric)
    assert run.go(70, all_but(server.name)) == []
    port = next(c for c in run.reports[-1]["classes"] if c["element_class"] == "port")
    assert port["seen"] == port["crossable"] == port["total"] - 1
    assert run.reports[-1]["unseen"] == []


def test_reports_come_every_ten_seconds_and_can_be_written() -> None:
    run = Run(SITES)
    run.go(35, all_but("dci-1"))
    assert [r["slot_us"] - START_US for r in run.reports] == [10 * SECOND_US * i for i in (1, 2, 3)]
    for record in run.reports:
        head, _ = decode(topics.COVERAGE, encode(topics.COVERAGE, record))
        assert head == record
    last = run.reports[-1]
    elements = Elements(SITES)
    assert [c["element_class"] for c in last["classes"]] == list(ELEMENT_CLASSES)
    assert sum(c["crossable"] - c["seen"] for c in last["classes"]) == len(last["unseen"]) > 0
    names = {elements.name(e) for e in range(elements.count)}
    assert {u["element"] for u in last["unseen"]} <= names
    assert {u["last_seen_us"] for u in last["unseen"]} == {-1}


def test_a_restart_forgets_no_gap_and_makes_none() -> None:
    dark = all_but("tor-1-1", "leaf-2-1~spine-1")
    one, two = Run(), Run()
    for run in (one, two):
        run.go(40)
        run.go(45, dark)
    stored = json.loads(json.dumps(two.monitor.snapshot()))
    history = [two.slot(dark)]
    assert len(json.dumps(stored)) < 2_000
    two.monitor = CoverageMonitor(two.terrain, GAP_US)
    two.monitor.restore(stored)
    for slot in history:
        two.monitor.add(count(slot, two.terrain))
    for seconds in (10, 10, 20):
        expected, found = one.go(seconds, dark), two.go(seconds, dark)
        assert [f.suspects for f in found] == [f.suspects for f in expected]
        for mine, other in zip(found, expected, strict=True):
            assert abs(mine.first_seen_us - other.first_seen_us) <= SECOND_US
    assert len(found) == 2
    assert [r["slot_us"] for r in one.reports] == [r["slot_us"] for r in two.reports]


def test_after_a_restart_with_another_inventory_all_counts_as_seen() -> None:
    run = Run()
    run.go(3)
    assert run.go(70, all_but("tor-1-1"))
    stored = run.monitor.snapshot()
    other = Run(SITES)
    other.now_us = run.now_us
    other.monitor.restore(stored)
    assert other.go(59, all_but("dci-1")) == []
    assert only(other.go(4, all_but("dci-1"))).suspects == (("dci-1", 1.0),)


def test_slots_that_come_again_change_nothing() -> None:
    run = Run()
    run.go(3)
    again = run.slot(everything)
    found = run.go(70, all_but("tor-1-1"))
    run.monitor.add(count(again, run.terrain))
    run.now_us += SECOND_US
    assert [f.suspects for f in run.monitor.findings(run.now_us)] == [f.suspects for f in found]

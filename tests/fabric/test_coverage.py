"""Elements and which of them probes can cross, against a slow search that follows every way by hand."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from fabric.builtin import builtin_fabric
from fabric.coverage import ELEMENT_CLASSES, Elements
from fabric.model import TIER_RANK, Chip, ChipPair, Fabric, Link, PortRef
from fabric.ways import UNREACHABLE, Ways


def several_chips(fabric: Fabric, seed: int) -> Fabric:
    """The same cables, with the ports of every switch dealt to three chips by chance."""
    rng = np.random.default_rng(seed)
    switches = []
    for switch in fabric.switches:
        cards = [Chip(switch.name, f"lc-{i}", "line_card") for i in range(3)]
        ports = tuple(replace(p, chip=cards[rng.integers(3)].label) for p in switch.ports)
        fabric_chip = Chip(switch.name, "fc-1", "fabric")
        chips = (fabric_chip, *cards) if rng.random() < 0.5 else (*cards, fabric_chip)
        switches.append(replace(switch, chips=chips, ports=ports))
    return replace(fabric, switches=tuple(switches))


def drained(fabric: Fabric, *names: str) -> Fabric:
    return replace(fabric, switches=tuple(replace(s, drained=s.name in names) for s in fabric.switches))


def silent(fabric: Fabric, *names: str) -> Fabric:
    return replace(fabric, servers=tuple(replace(s, answers=s.name not in names) for s in fabric.servers))


class BySearch:
    """Names of all elements on all ways that probes and replies may take, way by way."""

    def __init__(self, fabric: Fabric) -> None:
        self.fabric = fabric
        names = fabric.switch_by_name
        self.next = {s.name: [p.peer for p in s.ports if p.peer in names] for s in fabric.switches}
        self.found: set[str] = set()

    def ways(self, start: str, end: str) -> list[list[str]]:
        """All shortest ways; none if the shortest have valleys. Drained switches are ends only."""
        found: list[list[str]] = [[start]]
        while found:
            done = [way for way in found if way[-1] == end]
            if done:
                return [way for way in done if not self.has_valley(way)]
            found = [
                [*way, following]
                for way in found
                if way == [start] or not self.fabric.switch_by_name[way[-1]].drained
                for following in self.next[way[-1]]
                if following not in way
            ]
        return []

    def has_valley(self, way: list[str]) -> bool:
        ranks = [TIER_RANK[self.fabric.switch_by_name[name].tier] for name in way]
        steps = [b - a for a, b in pairwise(ranks)]
        return any(later > 0 for i, step in enumerate(steps) if step < 0 for later in steps[i:])

    def send(self, ways: list[list[str]], first: str | None, last: str | None) -> None:
        for way in ways:
            nodes = [*([first] if first else []), *way, *([last] if last else [])]
            links = [self.fabric.link_by_name[f"{a}~{b}"] for a, b in pairwise(nodes)]
            for link in links:
                self.cross(link)
            for came, left in pairwise(links):
                self.turn(came, left)

    def cross(self, link: Link) -> None:
        names = self.fabric.switch_by_name
        if link.from_name in names and link.to_name in names:
            self.found.add(link.name)
        for name, number in ((link.from_name, link.from_port), (link.to_name, link.to_port)):
            if name in names:
                port = next(p for p in names[name].ports if p.number == number)
                self.found.add(PortRef(name, port).name)

    def turn(self, came: Link, left: Link) -> None:
        switch = self.fabric.switch_by_name[came.to_name]
        if switch.is_multi_chip:
            chips = {p.number: p.chip for p in switch.ports}
            self.found.add(ChipPair(switch.name, chips[came.to_port], chips[left.from_port]).name)

    def all(self) -> set[str]:
        fabric = self.fabric
        for prober in fabric.probers:
            for server in fabric.servers:
                there = self.ways(prober.switch, server.tor)
                if not there or not server.answers:
                    continue
                self.send(there, prober.name, server.name)
                self.send(self.ways(server.tor, prober.switch), server.name, prober.name)
                pod = fabric.switch_by_name[server.tor].pod
                for via in fabric.switches:
                    if via.decapsulates and not via.drained and via.pod not in (None, pod):
                        onward = self.ways(via.name, server.tor)
                        outer = self.ways(prober.switch, via.name)
                        if onward and outer:
                            self.send(outer, prober.name, None)
                            self.send(onward, None, server.name)
            for other in fabric.probers:
                if other is not prober:
                    self.send(self.ways(prober.switch, other.switch), prober.name, other.name)
        return self.found


SMALL, DCI, DEMO = (builtin_fabric(name) for name in ("small", "dci", "demo"))
FABRICS: dict[str, Fabric] = {
    "tiny": builtin_fabric("tiny"),
    "small": SMALL,
    "two sites": DCI,
    "planes": builtin_fabric("fat-tree-4"),
    "several chips": several_chips(SMALL, 1),
    "two sites, several chips": several_chips(DCI, 2),
    "drained spine and leaf": several_chips(drained(DCI, "spine-1", "leaf-2-1"), 3),
    "drained ToR": several_chips(drained(SMALL, "tor-1-1"), 4),
    "silent servers": several_chips(
        silent(SMALL, *(s.name for s in SMALL.servers if s.tor == "tor-1-1"), "server-2-1-1"), 5
    ),
    "no border left": drained(SMALL, "spine-1", "spine-2"),
}


@pytest.mark.parametrize("name", FABRICS)
def test_what_can_be_crossed(name: str) -> None:
    elements = Elements(FABRICS[name])
    crossable = {elements.name(e) for e in np.flatnonzero(elements.crossable).tolist()}
    by_hand = BySearch(FABRICS[name]).all()
    assert crossable == by_hand
    assert crossable or name == "no border left"


def test_not_everything_can_be_crossed_everywhere() -> None:
    # Else the test above would hold for a function that says yes to everything.
    shares = [float(Elements(fabric).crossable.mean()) for fabric in FABRICS.values()]
    assert sum(share == 1 for share in shares) >= 3
    assert sum(0 < share < 1 for share in shares) >= 4


@pytest.mark.parametrize("name", ["demo", "dci", "small"])
def test_every_port_link_and_pair_is_an_element_with_its_name(name: str) -> None:
    fabric = builtin_fabric(name)
    elements = Elements(fabric)
    names = [elements.name(e) for e in range(elements.count)]
    assert len(set(names)) == elements.count
    for element, text in enumerate(names):
        kind = elements.class_of(element)
        expected = {"port": PortRef, "link": Link, "chip_pair": ChipPair}[kind]
        assert isinstance(fabric.element(text), expected)
        assert fabric.element(text).name == text
    ports = sum(len(switch.ports) for switch in fabric.switches)
    spans = {each: elements.span(each) for each in ELEMENT_CLASSES}
    assert spans["port"].stop == ports
    assert spans["link"].stop - spans["link"].start == len(fabric.switch_links)
    assert spans["chip_pair"].stop == elements.count


def test_a_chip_makes_a_pair_with_itself_only_if_it_has_two_ports() -> None:
    fabric = several_chips(SMALL, 7)
    names = {Elements(fabric).name(e) for e in range(Elements(fabric).count)}
    for switch in fabric.switches:
        for chip in switch.chips:
            owned = sum(port.chip == chip.label for port in switch.ports)
            assert (ChipPair(switch.name, chip.label, chip.label).name in names) == (owned > 1)


def hops(fabric: Fabric) -> Iterator[tuple[str, str, int]]:
    ways = Ways(fabric.index)
    for row, end in enumerate(fabric.switches):
        to = ways.to(np.array([row], np.int32))
        for at, start in enumerate(fabric.switches):
            yield start.name, end.name, int(to.climbing[at]) if to.valley_free[at] else UNREACHABLE


@pytest.mark.parametrize("name", ["two sites", "small", "no border left", "drained spine and leaf"])
def test_hops_that_are_left(name: str) -> None:
    by_hand = BySearch(FABRICS[name])
    for start, end, number in hops(FABRICS[name]):
        found = by_hand.ways(start, end)
        assert number == (len(found[0]) - 1 if found else UNREACHABLE), (start, end)


def test_no_way_to_servers_of_another_site() -> None:
    sites = {"border-1": "leaf-1-1", "border-3": "leaf-3-1"}
    found = {(start, end): number for start, end, number in hops(DCI)}
    assert found["border-1", "border-3"] == 2
    for border, own in sites.items():
        for leaf in sites.values():
            assert (found[border, leaf] < UNREACHABLE) == (leaf == own)

"""Where packets went astray, of probes written by hand."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from fabric.model import Fabric
from streams.distances import Distances
from streams.join import Network
from tests.streams.by_hand import DOWN, HEALTHY, UP, Path, judge, lost
from tests.streams.fabrics import table
from tests.streams.logs import SMALL, Scenario, record
from tests.streams.reading import read

LOOP, WRONG = 5, 6
OUT, BACK = 1, 2
EW = {"via": "tor-1-2", "target": "server-2-1-1"}


def strays(*paths: Path, fabric: Fabric = SMALL) -> list[tuple[int, str, str, int, int]]:
    """(verdict, from, to, leg, probes)"""
    numbered = [replace(path, member=member) for member, path in enumerate(paths)]
    rows = table(judge(*numbered, fabric=fabric).heads, "strays")
    name = {-1: "?", **{s.node: s.name for s in fabric.switches}}
    return [(verdict, name[a], name[b], leg, probes) for verdict, a, b, leg, probes in rows]


#: name: (path, what is said of it)
CASES: dict[str, tuple[Path, list[tuple[int, str, str, int, int]]]] = {
    "healthy": (HEALTHY, []),
    "lost": (lost("border-1 spine-1"), []),
    "silent host": (lost(DOWN), []),
    "between Probers": (
        Path(out="border-1 spine-1 border-2", back="border-2 spine-1 border-1", target="prober-2"),
        [],
    ),
    "East-West": (
        Path(
            encapsulated="border-1 spine-2 leaf-1-1 tor-1-2",
            out="leaf-1-2 spine-1 leaf-2-1 tor-2-1",
            back=UP,
            **EW,
        ),
        [],
    ),
    # Loops: whoever sends it back.
    "the lower one sends it back": (
        lost("border-1 spine-1 leaf-2-1 spine-1 leaf-2-1 spine-1"),
        [(LOOP, "leaf-2-1", "spine-1", OUT, 1)],
    ),
    "the upper one sends it back": (
        lost(DOWN, "tor-2-1 leaf-2-2 spine-2 leaf-2-2 spine-2"),
        [(LOOP, "spine-2", "leaf-2-2", BACK, 1)],
    ),
    "the ToR sends it back": (
        lost(f"{DOWN} leaf-2-1 tor-2-1 leaf-2-1"),
        [(LOOP, "tor-2-1", "leaf-2-1", OUT, 1)],
    ),
    "sent back to where it came from": (
        lost("border-1 spine-1 border-1"),
        [(LOOP, "spine-1", "border-1", OUT, 1)],
    ),
    "the first copy of the upper one is missing": (
        lost("border-1 - leaf-2-1 spine-1 leaf-2-1 spine-1"),
        [(LOOP, "leaf-2-1", "spine-1", OUT, 1)],
    ),
    "no copy of one of them": (
        lost("border-1 spine-1 - spine-1 - spine-1"),
        [(LOOP, "spine-1", "?", OUT, 1)],
    ),
    "round, and answered all the same": (
        Path(out="border-1 spine-1 leaf-2-1 spine-1 leaf-2-1 tor-2-1", back=UP),
        [(LOOP, "leaf-2-1", "spine-1", OUT, 1)],
    ),
    "the TTL ran out": (lost("spine-1 leaf-2-1", first_ttl=2), [(LOOP, "leaf-2-1", "?", OUT, 1)]),
    "the TTL ran out off the way": (
        lost("spine-1 leaf-1-1", first_ttl=2),
        [(LOOP, "spine-1", "leaf-1-1", OUT, 1)],
    ),
    "a loop on the way to the decapsulating ToR": (
        lost(encapsulated="border-1 spine-2 leaf-1-1 spine-2 leaf-1-1", **EW),
        [(LOOP, "leaf-1-1", "spine-2", 0, 1)],
    ),
    # Wrong routes: whoever sends it the wrong way, not whoever sends it on.
    "into the wrong pod": (
        Path(out="border-1 spine-1 leaf-1-1 spine-2 leaf-2-2 tor-2-1", back=UP),
        [(WRONG, "spine-1", "leaf-1-1", OUT, 1)],
    ),
    "into the wrong pod, and lost there": (
        lost("border-1 spine-1 leaf-1-1"),
        [(WRONG, "spine-1", "leaf-1-1", OUT, 1)],
    ),
    "to the wrong ToR": (
        Path(out="border-1 spine-1 leaf-2-1 tor-2-2 leaf-2-2 tor-2-1", back=UP),
        [(WRONG, "leaf-2-1", "tor-2-2", OUT, 1)],
    ),
    "up again": (
        Path(out="border-1 spine-1 leaf-2-1 spine-2 leaf-2-2 tor-2-1", back=UP),
        [(WRONG, "leaf-2-1", "spine-2", OUT, 1)],
    ),
    "a reply that goes astray and is lost": (
        lost(DOWN, "tor-2-1 leaf-2-2 spine-2 leaf-1-2"),
        [(WRONG, "spine-2", "leaf-1-2", BACK, 1)],
    ),
    "into the wrong pod, sent back from there, and so on": (
        lost("border-1 spine-1 leaf-1-1 spine-1 leaf-1-1 spine-1"),
        [(WRONG, "spine-1", "leaf-1-1", OUT, 1)],
    ),
    "both ways": (
        Path(
            out="border-1 spine-1 leaf-2-1 spine-1 leaf-2-1 tor-2-1",
            back="tor-2-1 leaf-2-1 tor-2-2 leaf-2-2 spine-1 border-1",
        ),
        [(LOOP, "leaf-2-1", "spine-1", OUT, 1), (WRONG, "leaf-2-1", "tor-2-2", BACK, 1)],
    ),
    "no such cable": (
        Path(out="border-1 leaf-2-1 tor-2-1", back=UP),
        [(WRONG, "border-1", "leaf-2-1", OUT, 1)],
    ),
    "to a switch of no inventory": (
        Path(out="border-1 9999 leaf-2-1 tor-2-1", back=UP),
        [(WRONG, "border-1", "?", OUT, 1)],
    ),
    "a target of no inventory": (lost("border-1 spine-1 leaf-1-1", target="192.0.2.1"), []),
    "a copy missing where it went wrong": (
        Path(out="border-1 spine-1 - tor-2-2 leaf-2-2 tor-2-1", back=UP),
        [(WRONG, "spine-1", "?", OUT, 1)],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_strays(name):
    path, expected = CASES[name]
    assert strays(path) == expected


def test_probes_are_counted_by_way():
    wrong = Path(out="border-1 spine-1 leaf-1-1 spine-2 leaf-2-2 tor-2-1", back=UP)
    circling = lost("border-1 spine-1 leaf-2-1 spine-1 leaf-2-1 spine-1")
    assert strays(wrong, circling, HEALTHY, wrong, wrong) == [
        (LOOP, "leaf-2-1", "spine-1", OUT, 1),
        (WRONG, "spine-1", "leaf-1-1", OUT, 3),
    ]


def test_through_a_drained_switch():
    drained = replace(
        SMALL,
        switches=tuple(replace(s, drained=s.name in ("spine-1", "tor-2-1")) for s in SMALL.switches),
    )
    assert strays(HEALTHY, fabric=drained) == [(WRONG, "border-1", "spine-1", OUT, 1)], "not into the ToR"


#: (fault, verdict, from, to)
SIMULATED = [
    ("loop:spine-1~leaf-2-1", LOOP, "leaf-2-1", "spine-1"),
    ("loop:leaf-1-1~spine-2", LOOP, "spine-2", "leaf-1-1"),
    ("loop:leaf-1-2~tor-1-1:share=0.5", LOOP, "tor-1-1", "leaf-1-2"),
    ("wrong_route:spine-1~leaf-1-1:share=0.5", WRONG, "spine-1", "leaf-1-1"),
    ("wrong_route:leaf-2-1~tor-2-2", WRONG, "leaf-2-1", "tor-2-2"),
    ("wrong_route:spine-2~border-2", WRONG, "spine-2", "border-2"),
]


@pytest.mark.parametrize(("fault", "verdict", "near", "far"), SIMULATED)
def test_simulated_strays_are_put_where_the_fault_is(fault, verdict, near, far):
    """All of them. A wrong route that leads back to where a packet came from looks like a loop."""
    network, found = Network(SMALL), Counter()
    for partition, log in enumerate(record(Scenario(faults=(fault,), seconds=2.0), 4)):
        heads = [head for head, _ in read(log, network, partition).messages]
        for what, a, b, _, probes in table(heads, "strays"):
            found[what, SMALL.node_name(a), SMALL.node_name(b)] += probes
    assert found.pop((verdict, near, far)) >= 5
    assert set(found) <= ({(LOOP, near, far)} if verdict == WRONG else set())


def test_distances_agree_with_a_search_from_each_switch():
    fabric = replace(SMALL, switches=tuple(replace(s, drained=s.name == "leaf-1-1") for s in SMALL.switches))
    distances, names = Distances(fabric.index), [s.name for s in fabric.switches]
    near: dict[str, set[str]] = {name: set() for name in names}
    for link in fabric.switch_links:
        near[link.from_name].add(link.to_name)

    def left(start: str, end: str) -> int:
        seen, ring, hops = {start}, {start}, 0
        while end not in seen:
            through = {n for n in ring if n == start or not fabric.switch_by_name[n].drained}
            ring = {b for a in through for b in near[a]} - seen
            seen, hops = seen | ring, hops + 1
        return hops

    ends = [n for n in names if n.startswith(("tor", "border"))]
    for end in ends:
        rows = np.arange(len(names), dtype=np.int32)
        found = distances.hops(rows, np.full(len(names), names.index(end), np.int32))
        assert found.tolist() == [left(name, end) for name in names]
    some = np.array([-1, 0, names.index("spine-1")], np.int32)
    assert distances.hops(some, some).tolist() == [-1, -1 if names[0] not in ends else 0, -1]

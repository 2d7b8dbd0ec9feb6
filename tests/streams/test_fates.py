"""Flows whose last probe was lost: whether the next one is lost at the same place, or answered."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from streams.fates import LostFlows
from streams.settings import JoinSettings
from streams.ways import flow_of
from tests.streams.by_hand import DOWN, HEALTHY, UP, Path, closed_by_hand, judge, lost
from tests.streams.fabrics import table
from tests.streams.logs import SMALL

SLOT_US, MEMORY_US = 250_000, 4_000_000
LAST_DOWN = lost("border-1 spine-1 leaf-2-1")  # between leaf-2-1 and tor-2-1
FIRST_UP = lost("border-1")  # the next hop is not known
ON_REPLY = lost(DOWN, "tor-2-1 leaf-2-2 spine-2")

Fate = tuple[str, str, int, int, int]


def fates(*paths: Path, settings: JoinSettings | None = None) -> list[Fate]:
    """What a join says of these probes, sent a second after each other unless they say when: near node, far
    node, leg, lost again, recovered."""
    sent = [replace(path, member=i, sent_us=path.sent_us or i * 1_000_000) for i, path in enumerate(paths)]
    name = {-1: "?", **{s.node: s.name for s in (*SMALL.switches, *SMALL.servers, *SMALL.probers)}}
    rows = table(judge(*sent, settings=settings).heads, "fates")
    return [(name[near], name[far], *rest) for near, far, *rest in rows]


TOLD = {
    "the first loss says nothing": ([HEALTHY, LAST_DOWN], []),
    "lost again": ([LAST_DOWN, LAST_DOWN], [("leaf-2-1", "tor-2-1", 1, 1, 0)]),
    "recovered": ([LAST_DOWN, HEALTHY], [("leaf-2-1", "tor-2-1", 1, 0, 1)]),
    "recovers once": ([LAST_DOWN, HEALTHY, HEALTHY], [("leaf-2-1", "tor-2-1", 1, 0, 1)]),
    "each time anew": (
        [LAST_DOWN, LAST_DOWN, HEALTHY, LAST_DOWN, HEALTHY],
        [
            ("leaf-2-1", "tor-2-1", 1, 1, 0),
            ("leaf-2-1", "tor-2-1", 1, 0, 1),
            ("leaf-2-1", "tor-2-1", 1, 0, 1),
        ],
    ),
    "elsewhere is neither": ([LAST_DOWN, FIRST_UP], []),
    "on the other leg is neither": ([LAST_DOWN, ON_REPLY], []),
    "where it was lost last counts": ([LAST_DOWN, ON_REPLY, ON_REPLY], [("spine-2", "border-1", 2, 1, 0)]),
    "another flow is another matter": ([LAST_DOWN, replace(LAST_DOWN, source_port=20_001)], []),
    "nobody knows where on the way up": ([FIRST_UP, FIRST_UP], [("border-1", "?", 1, 1, 0)]),
    "an earlier probe knows": ([HEALTHY, FIRST_UP, FIRST_UP], [("border-1", "spine-1", 1, 1, 0)]),
    "the one that passes knows": ([FIRST_UP, HEALTHY], [("border-1", "spine-1", 1, 0, 1)]),
    "unless the way varies": (
        [
            replace(HEALTHY, out="border-1 spine-2 leaf-2-2 tor-2-1"),
            FIRST_UP,
            HEALTHY,
        ],
        [("border-1", "?", 1, 0, 1)],
    ),
    "nothing seen": ([lost(), lost()], [("prober-1", "border-1", 1, 1, 0)]),
    "a silent server": ([lost(DOWN), lost(DOWN)], [("tor-2-1", "server-2-1-1", 1, 1, 0)]),
    "altered, but answered": (
        [LAST_DOWN, Path(out="border-1 spine-1^ leaf-2-1^ tor-2-1^", back=UP)],
        [("leaf-2-1", "tor-2-1", 1, 0, 1)],
    ),
}


@pytest.mark.parametrize("name", TOLD)
def test_what_is_told(name):
    paths, expected = TOLD[name]
    assert fates(*paths) == expected


def test_the_memory_ends():
    def after(us: int) -> list[Fate]:
        return fates(LAST_DOWN, replace(LAST_DOWN, sent_us=us))

    assert after(SLOT_US - 1) == [], "in the same slot"
    assert after(SLOT_US) == after(MEMORY_US + SLOT_US - 1) == [("leaf-2-1", "tor-2-1", 1, 1, 0)]
    assert after(MEMORY_US + SLOT_US) == []


def test_without_mirrors_there_is_no_place():
    assert fates(lost(), lost(), HEALTHY, settings=JoinSettings(sample_one_in=1, mirrors=False)) == []


def test_of_a_flow_that_occurs_twice_in_a_slot_the_last_one_is_remembered():
    flows = LostFlows(slots=2)

    def seen(number: int, *paths: Path) -> tuple[list[int], list[int]]:
        closed = closed_by_hand(*paths)
        found = flows.remember(number, flow_of(closed.probes), closed)
        return found.again.tolist(), found.recovered.tolist()

    nothing: tuple[list[int], list[int]] = ([], [])
    assert seen(1, LAST_DOWN, HEALTHY) == nothing
    assert seen(2, LAST_DOWN) == nothing, "it had passed"
    # Each is held against the slot before; the last one is lost.
    assert seen(3, LAST_DOWN, HEALTHY, LAST_DOWN) == ([0, 2], [1])
    assert seen(4, HEALTHY, HEALTHY) == ([], [0, 1])
    assert seen(5, HEALTHY) == nothing


def test_other_flows_do_not_disturb():
    flows = LostFlows(slots=4)
    paths = [replace(LAST_DOWN, source_port=20_000 + i) for i in range(8)]

    def seen(number: int, *sent: Path) -> tuple[int, int]:
        closed = closed_by_hand(*sent)
        found = flows.remember(number, flow_of(closed.probes), closed)
        return len(found.again), len(found.recovered)

    assert seen(1, *paths[:5]) == (0, 0)
    assert seen(2, *paths[3:]) == (2, 0)
    # 0, 1, 2 were lost in slot 1, the others in slot 2.
    assert seen(5, *(replace(HEALTHY, source_port=path.source_port) for path in paths[::2])) == (0, 4)
    # 1 is too long ago; 3, 5, 7 are not; all others have passed.
    assert seen(6, *paths) == (3, 0)
    assert seen(9, *paths) == (8, 0)


def test_many_flows_are_told_apart():
    """As a plain dict would, with flows that collide in their lowest bits."""
    rng = np.random.default_rng(1)
    flows, known = LostFlows(slots=3), dict[int, int]()
    closed = closed_by_hand(*[LAST_DOWN] * 3, *[HEALTHY] * 3)
    for number in range(60):
        flow = rng.choice(8, 6, replace=False) * 2**16 - 2**18
        found = flows.remember(number, flow, closed)
        late = {each for each, at in known.items() if number - at <= 3}
        assert found.again.tolist() == [i for i in range(3) if flow[i] in late]
        assert found.recovered.tolist() == [i for i in range(3, 6) if flow[i] in late]
        known |= dict.fromkeys(flow[:3].tolist(), number)
        for each in flow[3:].tolist():
            known.pop(each, None)

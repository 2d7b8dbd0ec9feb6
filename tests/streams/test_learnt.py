"""When the way of a flow is said, and what is said of it."""

from __future__ import annotations

import struct
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from schemas.rows import PATHS
from streams import learnt
from streams.flows import FlowMemory
from streams.join import Network
from streams.last_ways import NEVER, LastWays
from streams.learnt import path_rows
from streams.places import LEGS
from tests.streams.by_hand import DOWN, HEALTHY, UP, Path, closed_by_hand, judge, lost
from tests.streams.fabrics import table
from tests.streams.logs import SMALL

ENC, OUT, BACK = 0, 1, 2
EAST_WEST = Path(
    encapsulated="border-1 spine-2 leaf-1-1 tor-1-2",
    out="leaf-1-2 spine-1 leaf-2-1 tor-2-1",
    back=UP,
    via="tor-1-2",
)
FLOW = ("prober-1", "server-2-1-1", "", 20_000)


def named(rows: list[tuple]) -> list[tuple[str, str, str, int, int, str]]:
    """(Prober, target, via, source port, leg, switches)"""
    name = {-1: "", **{n.node: n.name for n in (*SMALL.switches, *SMALL.servers, *SMALL.probers)}}
    return [
        (name[p], name[t], name[v], port, leg, " ".join(name[n] for n in struct.unpack(">8i", way)).strip())
        for p, t, v, port, leg, way in rows
    ]


def paths(*probes: Path) -> list[tuple[str, str, str, int, int, str]]:
    numbered = [replace(path, member=member) for member, path in enumerate(probes)]
    return named(table(judge(*numbered).heads, "paths"))


class Reader:
    """A memory that takes in slots one by one; lengths are 250 ms."""

    def __init__(self) -> None:
        network = Network(SMALL)
        self.memory = FlowMemory(network.places, network.ways, slots=16)

    def __call__(self, number: int, *probes: Path) -> np.ndarray:
        closed = closed_by_hand(*probes)
        flows = self.memory.remember(number, closed)
        return path_rows(closed, flows, self.memory, 250_000)


def test_each_leg_that_was_seen_whole():
    assert paths(HEALTHY) == [(*FLOW, OUT, DOWN), (*FLOW, BACK, UP)]
    assert paths(lost(DOWN, "tor-2-1 leaf-2-2")) == [(*FLOW, OUT, DOWN)]
    assert paths(replace(HEALTHY, out="border-1 - leaf-2-1 tor-2-1")) == [(*FLOW, BACK, UP)]
    assert paths(lost("border-1 spine-1 leaf-2-1")) == []


def test_east_west():
    flow = ("prober-1", "server-2-1-1", "tor-1-2", 20_000)
    assert paths(EAST_WEST) == [
        (*flow, ENC, EAST_WEST.encapsulated),
        (*flow, OUT, EAST_WEST.out),
        (*flow, BACK, UP),
    ]


def test_said_when_new_or_changed():
    other = replace(HEALTHY, out="border-1 spine-2 leaf-2-2 tor-2-1", sent_us=1_000_000)
    again = replace(HEALTHY, sent_us=500_000)
    assert paths(HEALTHY, again, other) == [
        (*FLOW, OUT, DOWN),
        (*FLOW, BACK, UP),
        (*FLOW, OUT, other.out),
    ]
    away = replace(HEALTHY, sent_us=5_000_000)
    assert len(paths(HEALTHY, away)) == 4, "away for longer than the memory reaches"


def test_of_a_flow_that_is_sent_twice_in_a_slot_the_last_way_is_said():
    other = replace(HEALTHY, out="border-1 spine-2 leaf-2-2 tor-2-1")
    assert paths(HEALTHY, other) == [(*FLOW, OUT, other.out), (*FLOW, BACK, UP)]


def test_said_again_once_in_a_while_each_flow_at_its_own_time():
    read = Reader()
    every = learnt.REFRESH_US // 250_000
    ports = range(20_000, 20_008)
    said: dict[int, list[int]] = {port: [] for port in ports}
    for number in range(0, 3 * every, 8):
        rows = read(number, *(replace(HEALTHY, source_port=port) for port in ports))
        for port in rows["source_port"][rows["leg"] == OUT].tolist():
            said[port].append(number)
    assert all(numbers[0] == 0 for numbers in said.values())
    again = {tuple(numbers[1:]) for numbers in said.values()}
    assert all(len(numbers) == 3 for numbers in again)
    assert all(b - a in range(every - 8, every + 9) for numbers in again for a, b in pairwise(numbers))
    assert len(again) == len(ports)


def test_no_more_rows_than_a_slot_may_hold(monkeypatch):
    monkeypatch.setattr(learnt, "ROWS_MAX", 3)
    read = Reader()
    rows = read(1, HEALTHY, replace(HEALTHY, source_port=20_001))
    assert rows[["source_port", "leg"]].tolist() == [(20_000, OUT), (20_000, BACK), (20_001, OUT)]
    assert rows.dtype == PATHS.dtype


def test_a_leg_of_more_switches_than_a_row_holds_is_not_said():
    eight = "border-1 spine-1 leaf-1-1 tor-1-1 leaf-1-2 spine-2 leaf-2-1 tor-2-1"
    assert paths(Path(out=eight)) == [(*FLOW, OUT, eight)]
    ten = eight.replace("tor-2-1", "tor-2-2 leaf-2-2 tor-2-1")
    assert paths(Path(out=ten)) == []


@pytest.mark.parametrize("seed", range(2))
def test_the_table_of_last_ways_agrees_with_a_dictionary(seed):
    """Flows come, go and come back, some twice in a slot, and more than there is room for at first."""
    rng = np.random.default_rng(seed)
    flows = rng.integers(-(2**63), 2**63, 20_000)
    flows[:50] = 5 + (np.arange(50) << 40)  # all of one place
    flows[50] = 0
    slots = 5
    table, plain = LastWays(slots), {}
    for number in range(60):
        if rng.random() < 0.3:
            continue
        first = int(rng.integers(0, 15_000))
        flow = rng.choice(np.concatenate([flows[:60], flows[first : first + 2_000]]), 1_500)
        way = rng.integers(0, 3, (len(flow), LEGS))
        known, seen = table.exchange(number, flow, way)
        for i, one in enumerate(flow.tolist()):
            for leg in range(LEGS):
                last, when = plain.get((one, leg), (0, NEVER))
                if when < number - slots:
                    when = NEVER
                assert seen[i, leg] == when
                assert when == NEVER or known[i, leg] == last
        for i, one in enumerate(flow.tolist()):
            for leg in np.flatnonzero(way[i]).tolist():
                plain[one, leg] = int(way[i, leg]), number

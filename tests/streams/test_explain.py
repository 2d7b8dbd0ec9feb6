"""Whose fault it was: losses of one known cause, drawn at random, are laid to that cause and to no other."""

from __future__ import annotations

import numpy as np
import pytest

from fabric.builtin import builtin_fabric
from streams.localise.counts import SlotCounts, Spots
from streams.localise.explain import explain
from streams.localise.findings import Reporter
from streams.localise.gains import gain, group_gain
from streams.localise.history import EventLog, Traffic, TurnTraffic
from streams.localise.scene import Scene
from streams.localise.sequential import LOST_MIN
from streams.localise.suspicion import Suspicion
from streams.localise.terrain import Terrain

DEMO = builtin_fabric("demo")
TERRAIN = Terrain(DEMO)
SLOT_US = 250_000
PACKETS = 40  # a slot and link


class World:
    """Evidence of a fabric, slot by slot, with losses at rates of one's own."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.traffic, self.turns, self.log, self.turn_log = (
            Traffic(TERRAIN),
            TurnTraffic(),
            EventLog(),
            EventLog(),
        )
        self.suspicion = Suspicion(TERRAIN)
        self.now_us = 0
        #: Cells beyond switches that lose one packet in the next slot.
        self.beyond: list[int] = []
        self.packets = PACKETS

    def run(self, slots: int, link_rate: np.ndarray, turn_rate: np.ndarray) -> list[str]:
        """First suspects at the end. link_rate: f8[L], turn_rate: f8[T]; turns lose on links too."""
        alarms = None
        for _ in range(slots):
            alarms = self.suspicion.step(self._slot(link_rate, turn_rate), self.traffic)
        assert alarms is not None
        scene = Scene(
            TERRAIN,
            self.traffic,
            self.log,
            self.turn_log,
            self.turns,
            self.suspicion.background.expected,
            self.now_us,
            LOST_MIN,
        )
        found = Reporter(TERRAIN)("network_loss", explain(scene, alarms), scene, {}, SLOT_US)
        return [f.suspects[0][0] for f in found]

    def _slot(self, link_rate: np.ndarray, turn_rate: np.ndarray) -> SlotCounts:
        turns, links = TERRAIN.turns, TERRAIN.links
        # Line cards come first; only they have ports.
        cards = np.array([sum(c.role == "line_card" for c in s.chips) for s in DEMO.switches])
        cards = cards[TERRAIN.turn_switch]
        through = np.where((TERRAIN.turn_in < cards) & (TERRAIN.turn_out < cards), PACKETS, 0)
        turn_lost = self.rng.binomial(through, turn_rate)
        lost = self.rng.binomial(np.full(links, self.packets), link_rate)
        for turn in np.flatnonzero(turn_lost):
            out = TERRAIN.out_links(int(TERRAIN.turn_switch[turn]))
            out = out[TERRAIN.departs_by[out] == TERRAIN.turn_out[turn]]
            np.add.at(lost, self.rng.choice(out, turn_lost[turn]), 1)
        every = np.arange(links, dtype=np.int32)
        hit = np.flatnonzero(lost)
        cell = np.append(hit, np.array(self.beyond, np.int64))
        number = np.append(lost[hit], np.ones(len(self.beyond), np.int64))
        spots = Spots(cell, np.ones(len(cell), np.int8), number)
        self.beyond = []
        seen = np.arange(turns, dtype=np.int64)
        counts = SlotCounts(
            slot_us=self.now_us,
            length_us=SLOT_US,
            links=every,
            big=(self.packets - lost).clip(0).astype(np.int32),
            small=np.zeros(links, np.int32),
            missing=np.zeros(links, np.int32),
            lost=spots,
            altered=Spots(*(np.empty(0, t) for t in (np.int64, np.int8, np.int64))),
            turn=seen,
            turn_passed=(through - turn_lost).astype(np.int64),
            turn_lost=turn_lost.astype(np.int64),
            turn_altered=np.zeros(turns, np.int64),
        )
        self.traffic.add(counts)
        self.turns.add(counts)
        self.log.add_spots(self.now_us, spots)
        wrong = np.flatnonzero(turn_lost)
        self.turn_log.add(self.now_us, wrong, np.zeros(len(wrong), np.int64), turn_lost[wrong])
        self.now_us += SLOT_US
        return counts


LINKS = ("leaf-1-1~tor-1-2", "tor-2-1~leaf-2-3", "spine-3~leaf-1-2", "leaf-4-1~spine-1")
NO_TURNS, NO_LINKS = np.zeros(TERRAIN.turns), np.zeros(TERRAIN.links)


def row(name: str) -> int:
    return next(i for i, s in enumerate(DEMO.switches) if s.name == name)


@pytest.mark.parametrize("rate", [1.0, 0.3, 0.02])
@pytest.mark.parametrize("name", LINKS)
def test_a_link(name, rate):
    rates = NO_LINKS.copy()
    rates[[link.name for link in DEMO.links].index(name)] = rate
    assert World(1).run(40, rates, NO_TURNS) == [name]


@pytest.mark.parametrize("name", ["leaf-2-2", "tor-3-1", "border-1"])
def test_a_switch_that_loses_what_leaves_it(name):
    rates = NO_LINKS.copy()
    rates[TERRAIN.out_links(row(name))] = 0.05
    assert World(2).run(30, rates, NO_TURNS) == [name]


@pytest.mark.parametrize("name", ["leaf-2-2", "tor-3-1", "spine-5"])
def test_a_switch_into_which_nothing_gets(name):
    rates = NO_LINKS.copy()
    rates[TERRAIN.in_links(row(name))] = 1.0
    assert World(3).run(10, rates, NO_TURNS) == [name]


def chips_of(switch: str, came: int | None, left: int | None) -> np.ndarray:
    mine = TERRAIN.turn_switch == row(switch)
    return mine & ((TERRAIN.turn_in == came) | (came is None)) & ((TERRAIN.turn_out == left) | (left is None))


def test_a_line_card_a_pair_of_chips_and_a_fabric_chip():
    card = chips_of("spine-1", 0, None) | chips_of("spine-1", None, 0)
    assert World(4).run(40, NO_LINKS, 0.1 * card) == ["spine-1/lc-1"]
    assert World(5).run(40, NO_LINKS, 0.1 * chips_of("spine-2", 0, 1)) == ["spine-2/lc-1>lc-2"]
    across = chips_of("spine-3", 0, 1) | chips_of("spine-3", 1, 0)
    assert World(6).run(60, NO_LINKS, 0.1 * across) == ["spine-3/fc-1"]


def test_two_links_of_one_switch_are_two_causes():
    rates = NO_LINKS.copy()
    names = [link.name for link in DEMO.links]
    for name in ("leaf-1-1~tor-1-2", "leaf-1-1~tor-1-4"):
        rates[names.index(name)] = 0.5
    assert set(World(7).run(20, rates, NO_TURNS)) == {"leaf-1-1~tor-1-2", "leaf-1-1~tor-1-4"}


def test_what_is_lost_beyond_a_switch_counts_for_its_link():
    """Four losses on a link and one beyond its switch: the switch alone has the five that make a suspect."""
    world = World(9)
    names = [link.name for link in DEMO.links]
    world.beyond = [TERRAIN.beyond(row("leaf-1-1"))]
    world.run(1, NO_LINKS, NO_TURNS)
    rates = NO_LINKS.copy()
    rates[names.index("leaf-1-1~spine-1")] = 1.0
    world.packets = 4
    assert world.run(1, rates, NO_TURNS) == ["leaf-1-1~spine-1"]


def test_both_directions_of_a_cable_are_one_cause():
    rates = NO_LINKS.copy()
    names = [link.name for link in DEMO.links]
    for name in ("leaf-1-1~tor-1-2", "tor-1-2~leaf-1-1"):
        rates[names.index(name)] = 1.0
    assert len(World(8).run(20, rates, NO_TURNS)) == 1


def test_a_healthy_network_has_no_cause():
    assert World(9).run(400, np.full(TERRAIN.links, 1e-6), NO_TURNS) == []


def test_gains():
    one = np.array([1e-6])
    assert gain(np.array([0.0]), np.array([100.0]), one)[0] == 0
    assert gain(np.array([5.0]), np.array([5.0]), one)[0] == pytest.approx(5 * np.log(1e6), rel=1e-6)
    # A rate common to all fits no better than rates of their own, and as well where these are alike.
    bad, all_, expected = np.array([3.0, 3.0]), np.array([9.0, 9.0]), np.full(2, 1e-6)
    assert group_gain(bad, all_, expected) == pytest.approx(gain(bad, all_, expected).sum(), rel=1e-6)
    assert group_gain(np.array([6.0, 0.0]), all_, expected) < gain(np.array([6.0, 0.0]), all_, expected).sum()

"""Black holes are told from losses by chance by the flows that come back."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import numpy as np
import pytest

from fabric.builtin import builtin_fabric
from schemas.codec import encode
from schemas.rows import FATES, Leg
from streams.join import Network
from streams.localise.black_holes import ACCIDENTS, SURE, BlackHoles, likelihood_ratio
from streams.localise.counts import SlotCounts, Spots
from streams.localise.explain import Cause
from streams.localise.history import EventLog, Traffic, TurnTraffic
from streams.localise.localiser import Localiser
from streams.localise.scene import Scene
from streams.localise.story import story
from streams.localise.terrain import Terrain
from streams.settings import JoinSettings
from tests.streams.findings import finding
from tests.streams.logs import Scenario, record
from tests.streams.reading import read

DEMO = builtin_fabric("demo")
NETWORK, TERRAIN = Network(DEMO), Terrain(DEMO)
PARTITIONS = 2
SLOT_US, S = 250_000, 1_000_000
NEAR, FAR = "leaf-1-1", "spine-1"
NEAR_ROW = int(TERRAIN.index.switch_row(np.array([DEMO.node(NEAR)], np.int32))[0])


def cell(near: str, far: str = "") -> int:
    nodes = (np.array([DEMO.node(name) if name else -1], np.int32) for name in (near, far))
    return int(TERRAIN.cell_of(*nodes)[0])


LINK, BEYOND = cell(NEAR, FAR), cell(NEAR)
UPS = [link for link in TERRAIN.out_links(NEAR_ROW).tolist() if TERRAIN.up[link]]


class World:
    """A link that passes and loses packets, and flows that come back to it, slot by slot."""

    def __init__(self) -> None:
        self.traffic, self.log, self.holes = Traffic(TERRAIN), EventLog(), BlackHoles(TERRAIN)
        self.number, self.lost, self.passed = 0, 0, 0

    def slots(
        self,
        count: int,
        lost: int = 0,
        again: int = 0,
        recovered: int = 0,
        passed: int = 10,
        *,
        replies: int = 0,
        at: int = LINK,
        fate_at: tuple[str, str] = (NEAR, FAR),
        silent: tuple[int, ...] = (),
    ) -> World:
        """`passed` and `lost` are probes; `replies` pass. So it is on all links of the switch up; on
        `silent` ones nothing passes."""
        near, far = (DEMO.node(name) if name else -1 for name in fate_at)
        for _ in range(count):
            links = np.array(UPS, np.int32)
            carries = ~np.isin(links, silent)
            nothing = Spots(np.empty(0, np.int64), np.empty(0, np.int8), np.empty(0, np.int64))
            spots = (
                Spots(np.array([at]), np.array([Leg.PROBE], np.int8), np.array([lost])) if lost else nothing
            )
            none = np.zeros(len(links), np.int32)
            empty = np.empty(0, np.int64)
            slot_us = self.number * SLOT_US
            self.traffic.add(
                SlotCounts(
                    slot_us,
                    SLOT_US,
                    links,
                    np.where(carries, passed, 0).astype(np.int32),
                    np.where(carries, replies, 0).astype(np.int32),
                    *(none, spots, nothing, empty, empty, empty, empty),
                )
            )
            self.log.add_spots(slot_us, spots)
            rows = np.array([(near, far, Leg.PROBE, again, recovered)], FATES.dtype)
            self.holes.add(slot_us, rows)
            self.number += 1
            self.lost, self.passed = self.lost + lost, self.passed + passed + replies
        return self

    def flows(self, shape: str = "link", since: int = 0) -> int:
        """What is said of the link (or of another shape of cause) since a slot."""
        hit = np.array([BEYOND if shape == "beyond" else LINK])
        total = float(self.lost + self.passed)
        cause = Cause(shape, NEAR_ROW, (), hit, hit, since * SLOT_US, float(self.lost), total, 0.9)  # type: ignore[arg-type]
        nothing = EventLog(), TurnTraffic()
        now_us = self.number * SLOT_US
        scene = Scene(TERRAIN, self.traffic, self.log, *nothing, _expected, now_us, 5)
        return self.holes.flows(cause, scene)


def _expected(cells: np.ndarray) -> np.ndarray:
    return np.full(len(cells), 1e-6)


def test_flows_that_stay_lost_are_a_black_hole():
    # 3 of 13 are lost in each slot; from the fifth on they are those of before.
    world = World().slots(4, lost=3).slots(8, lost=3, again=3)
    assert world.flows() == 12 + 3, "the slot of the last loss is left out"


def test_flows_that_pass_are_not():
    assert World().slots(4, lost=3).slots(8, lost=3, again=1, recovered=2).flows() == 0


@pytest.mark.parametrize(("passing", "is_hole"), [(0, True), (1, True), (2, True), (3, False)])
def test_a_few_accidents_do_not_matter(passing, is_hole):
    world = World().slots(4, lost=3).slots(14, lost=3, again=3).slots(passing, lost=3, recovered=1)
    assert (world.slots(1, lost=1).flows() > 0) == is_hole  # 42 were lost again


@pytest.mark.parametrize(("passed", "needed"), [(99, 5), (9, 5), (4, 6), (1, 14)])
def test_how_many_must_come_back(passed, needed):
    """At 1 in (passed + 1) lost by chance."""
    few = World().slots(4, lost=1, passed=passed).slots(needed - 1, lost=1, again=1, passed=passed)
    assert few.slots(1, lost=1, passed=passed).flows() == 0
    enough = World().slots(4, lost=1, passed=passed).slots(needed, lost=1, again=1, passed=passed)
    assert enough.slots(1, lost=1, passed=passed).flows() > 0


def test_where_all_is_lost_it_is_no_black_hole():
    assert World().slots(4, lost=3, passed=0).slots(200, lost=3, again=3, passed=0).flows() == 0


def test_nor_where_all_large_packets_are_lost():
    def world(passed: int) -> World:
        first = World().slots(4, lost=3, passed=passed, replies=10)
        return first.slots(20, lost=3, again=3, passed=passed, replies=10)

    assert world(0).flows() == 0
    assert world(3).flows() > 0


def test_nor_where_all_is_lost_by_now():
    world = World().slots(40, lost=1, passed=30).slots(24, lost=3, again=3, passed=0)
    assert world.flows() == 0


def test_the_end_of_a_fault_changes_nothing():
    world = World().slots(4, lost=3).slots(8, lost=3, again=3)
    before = world.flows()
    assert world.slots(1, recovered=30).slots(20).flows() == before > 0


def test_what_was_before_the_beginning_does_not_count():
    world = World().slots(6, lost=1, recovered=1).slots(12, lost=3, again=3)
    assert world.flows() == 0
    assert world.flows(since=6) > 0


def test_what_goes_beyond_the_switch_counts_and_what_goes_elsewhere_does_not():
    def world(*fate_at: str) -> World:
        return World().slots(4, lost=3).slots(8, lost=3, again=3, fate_at=fate_at)  # type: ignore[arg-type]

    assert world(NEAR, "").flows() > 0
    assert world(NEAR, "spine-2").flows() == 0
    assert world("leaf-1-2", "").flows() == 0


@pytest.mark.parametrize("shape", ["host", "dead"])
def test_servers_and_dead_switches_are_no_black_holes(shape):
    assert World().slots(4, lost=3).slots(8, lost=3, again=3).flows(shape) == 0


def test_a_dead_uplink_that_is_not_known_is_none():
    def world(*silent: int) -> World:
        first = World().slots(4, lost=3, at=BEYOND, silent=silent)
        return first.slots(8, lost=3, again=3, at=BEYOND, fate_at=(NEAR, ""), silent=silent)

    assert world().flows("beyond") > 0
    assert world(UPS[1]).flows("beyond") == 0


def test_servers_are_not_remembered():
    world = World().slots(4, lost=3).slots(8, lost=3, again=3, fate_at=("tor-1-1", "server-1-1-1"))
    assert world.holes.snapshot() == BlackHoles(TERRAIN).snapshot()


def test_what_is_remembered_can_be_stored():
    world = World().slots(4, lost=3).slots(8, lost=3, again=3).slots(1, lost=1, recovered=1)
    before = world.flows()
    stored = json.loads(json.dumps(world.holes.snapshot()))
    world.holes = BlackHoles(TERRAIN)
    assert world.flows() == 0
    world.holes.restore(stored)
    assert world.flows() == before > 0


def test_the_ratio_is_that_of_two_coins():
    again, passed, share = 7, 2, 0.3
    coins = [(1 - ACCIDENTS) ** again * ACCIDENTS**passed, share**again * (1 - share) ** passed]
    assert likelihood_ratio(again, passed, share) == pytest.approx(np.log(coins[0] / coins[1]))
    assert pytest.approx(9.21, abs=0.01) == SURE


def test_the_story_says_how_many_flows():
    hole = finding(f"{NEAR}~{FAR}", kind="black_hole", bad=130, total=1000, flows=31, legs=("probe",))
    assert story(hole) == (
        "Some flows lose all their probes from leaf-1-1 to spine-1 while others pass "
        "(about 31 flows, 13 % of the probes; 130 lost so far)."
    )


# -- simulated ---------------------------------------------------------------------------------------


def told(*faults: str, seed: int = 1, seconds: float = 13.0) -> dict[str, list[dict[str, Any]]]:
    """Events of the network's faults by first suspect, from simulated probes to the localiser."""
    scenario = Scenario(
        faults, DEMO, PARTITIONS, seconds, interval_us=500_000, mirror_loss=0.001, trailing_s=1, ends=False
    )
    messages = []
    for partition, log in enumerate(record(scenario, seed)):
        said = read(log, NETWORK, partition, JoinSettings(), pace=50)
        messages += [
            (head["watermark_us"], partition, encode("link-evidence", head, rows))
            for head, rows in said.messages
        ]
    localiser, events = Localiser(DEMO, PARTITIONS), []
    for offset, (us, _, value) in enumerate(sorted(messages)):
        located = localiser.step(offset, us // 1_000, value)
        assert not located.dead_letters
        events += [e for e in located.faults if not e["kind"].endswith(("outage", "source_silent"))]
    by_fault: dict[str, list[dict[str, Any]]] = {}
    for event in events:
        by_fault.setdefault(event["fault_id"], []).append(event)
    return {each[-1]["suspects"][0]["element"]: each for each in by_fault.values()}


HOLES = {
    "leaf-1-1~tor-1-1": 0.3,
    "leaf-3-1~spine-2": 0.1,
    "spine-3~leaf-2-2": 0.1,
    "border-1~spine-5": 0.3,
    "leaf-2-1": 0.1,
    "spine-2": 0.1,
    "spine-1/lc-1": 0.2,
    "spine-3/lc-1>lc-2": 0.3,
}


@pytest.mark.parametrize("element", HOLES)
def test_simulated_black_holes_are_told(element):
    found = told(f"black_hole:{element}:share={HOLES[element]},after=3,for=7")
    assert found.keys() == {element}
    kinds = [event["kind"] for event in found[element]]
    assert kinds[-1] == "black_hole"
    assert "network_loss" not in kinds[kinds.index("black_hole") :], "it is said once"
    assert [e["version"] for e in found[element]] == list(range(1, len(kinds) + 1))
    last = found[element][-1]
    assert last["loss_rate"] == pytest.approx(HOLES[element], rel=0.6)
    assert last["story"].startswith("Some flows lose all their ")


BY_CHANCE = [
    ("loss:leaf-1-1~spine-1:rate=0.03,after=3",),
    ("loss:leaf-1-1~spine-1:rate=0.3,after=3,for=7",),
    ("loss:leaf-1-1~spine-1:rate=0.9,after=3,for=7",),
    ("loss:spine-1~leaf-2-1:rate=0.9,after=3",),
    ("loss:leaf-1-1~spine-1:rate=1,after=3,for=7",),
    ("loss:leaf-1-1~spine-1:rate=1,min_bytes=300,after=3",),
    ("loss:leaf-1-1~spine-1:rate=0.1,after=3,for=5", "loss:leaf-1-1~spine-1:rate=1,after=8"),
    ("loss:leaf-2-1:rate=0.5,after=3",),
    ("loss:spine-3/lc-1>lc-2:rate=0.9,after=3",),
    ("loss:spine-1/lc-1:rate=1,after=3",),
    ("link_down:leaf-2-4~tor-2-2:after=3",),
    ("reboot:leaf-1-2:after=3,for=4",),
    ("switch_down:tor-1-1:after=3",),
    ("flip:spine-1~leaf-2-1:rate=0.5,after=3",),
]


@pytest.mark.parametrize("faults", BY_CHANCE, ids=" ".join)
def test_other_faults_are_no_black_holes(faults):
    found = told(*faults, seed=len(faults[0]))
    kinds = Counter(event["kind"] for events in found.values() for event in events)
    assert kinds
    assert not kinds["black_hole"]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("rate", [0.02, 0.1, 0.5, 0.8, 0.9])
def test_losses_by_chance_are_no_black_holes(rate, seed):
    element = ("leaf-1-1~tor-1-1", "tor-2-3~leaf-2-1", "spine-3~leaf-2-2", "spine-2")[seed]
    kinds = {
        e["kind"] for each in told(f"loss:{element}:rate={rate},after=3", seed=seed).values() for e in each
    }
    assert kinds == {"network_loss"}

"""Losses on the way up are named by the link that their flow took in the last seconds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fabric.builtin import builtin_fabric
from fabric.model import Fabric
from schemas.rows import Leg
from streams.flows import FlowMemory
from streams.join import Network
from streams.settings import JoinSettings
from tests.streams.by_hand import DOWN, HEALTHY, UP, Path, closed_by_hand, judge, lost
from tests.streams.logs import SMALL

SLOT_US, MEMORY_US = 250_000, 4_000_000
NEVER = 2**40  # slots after which ways are forgotten
EAST_WEST = Path(
    encapsulated="border-1 spine-2 leaf-1-1 tor-1-2",
    out="leaf-1-2 spine-1 leaf-2-1 tor-2-1",
    back=UP,
    via="tor-1-2",
)


def place_of_last(
    *paths: Path, settings: JoinSettings | None = None, fabric: Fabric = SMALL
) -> tuple[str, str]:
    """Where the last of these probes was lost: switch and next hop."""
    numbered = [replace(path, member=member) for member, path in enumerate(paths)]
    said = judge(*numbered, settings=settings, fabric=fabric)
    row = said.rows[len(paths) - 1]
    assert row["verdict"] == "network_loss"
    cell = (
        row["last_seen"],
        row["next_node"] or "?",
        ("encapsulated", "probe", "reply").index(row["fault_leg"]),
    )
    assert said.counted("lost") == {cell: 1}, "evidence and results tell of the same place"
    return row["last_seen"], row["next_node"]


def later(path: Path, sent_us: int = 2_000_000) -> Path:
    return replace(path, sent_us=sent_us)


LOST = {
    "on the way up": (HEALTHY, lost("border-1"), "border-1", "spine-1"),
    "where there are two ways down": (HEALTHY, lost("border-1 spine-1"), "spine-1", "leaf-2-1"),
    "reply at its ToR": (HEALTHY, lost(DOWN, "tor-2-1"), "tor-2-1", "leaf-2-2"),
    "reply at a leaf": (HEALTHY, lost(DOWN, "tor-2-1 leaf-2-2"), "leaf-2-2", "spine-2"),
    "in its capsule": (EAST_WEST, lost(encapsulated="border-1"), "border-1", "spine-2"),
    "taken out of its capsule": (
        EAST_WEST,
        lost(encapsulated=EAST_WEST.encapsulated),
        *("tor-1-2", "leaf-1-2"),
    ),
    "after that": (
        EAST_WEST,
        lost("leaf-1-2", encapsulated=EAST_WEST.encapsulated),
        *("leaf-1-2", "spine-1"),
    ),
}


@pytest.mark.parametrize("name", LOST)
def test_an_earlier_probe_of_the_flow_tells(name):
    before, gone, last, following = LOST[name]
    if before.via:
        gone = replace(gone, via=before.via)
    assert place_of_last(before, later(gone)) == (last, following)


def test_a_switch_whose_copy_was_missing_is_known_if_no_other_joins_its_neighbours():
    before = Path(back="tor-2-1 - spine-3 border-1")
    gone = later(lost("", "tor-2-1"))
    assert place_of_last(before, gone, fabric=builtin_fabric("demo")) == ("tor-2-1", "leaf-2-2")
    assert place_of_last(replace(before, back="tor-2-1 - spine-2 border-1"), gone) == ("tor-2-1", "")


def test_a_later_probe_tells_within_the_slot_only():
    assert place_of_last(later(HEALTHY, SLOT_US - 1), lost("border-1")) == ("border-1", "spine-1")
    assert place_of_last(later(HEALTHY, SLOT_US), lost("border-1")) == ("border-1", "")


def test_the_memory_ends():
    gone = lost("border-1")
    assert place_of_last(HEALTHY, later(gone, MEMORY_US + SLOT_US - 1)) == ("border-1", "spine-1")
    assert place_of_last(HEALTHY, later(gone, MEMORY_US + SLOT_US)) == ("border-1", "")
    short = JoinSettings(sample_one_in=1, memory_us=0)
    assert place_of_last(HEALTHY, later(gone, SLOT_US - 1), settings=short) == ("border-1", "spine-1")
    assert place_of_last(HEALTHY, later(gone, SLOT_US), settings=short) == ("border-1", "")


def test_a_flow_whose_way_varies_stays_unlocated():
    other = replace(HEALTHY, out="border-1 spine-2 leaf-2-2 tor-2-1", sent_us=1_000_000)
    assert place_of_last(HEALTHY, other, later(lost("border-1"))) == ("border-1", "")
    # One leg may vary without the other.
    assert place_of_last(HEALTHY, other, later(lost(DOWN, "tor-2-1"))) == ("tor-2-1", "leaf-2-2")


@pytest.mark.parametrize(
    "other", [{"source_port": 20_001}, {"target": "server-2-1-2"}, {"prober": 2}, {"via": "tor-1-1"}]
)
def test_other_flows_tell_nothing(other):
    assert place_of_last(replace(HEALTHY, **other), later(lost("border-1"))) == ("border-1", "")


def test_the_same_switch_on_another_leg_tells_nothing():
    only_back = replace(HEALTHY, out="", back=UP)
    assert place_of_last(only_back, later(lost("border-1 spine-2"))) == ("spine-2", "")


def test_ways_are_new_once():
    network = Network(SMALL)
    memory = FlowMemory(network.places, network.ways, slots=2)

    def new(number: int, *paths: Path) -> list[list[bool]]:
        return memory.is_new(memory.remember(number, closed_by_hand(*paths)), NEVER).tolist()

    whole = [False, True, True]
    nothing = [False, False, False]
    other = replace(HEALTHY, out="border-1 spine-2 leaf-2-2 tor-2-1")
    gap = replace(HEALTHY, out="border-1 - leaf-2-1 tor-2-1")
    assert new(1, HEALTHY, lost(DOWN, source_port=20_001)) == [whole, [False, True, False]]
    assert new(2, HEALTHY, gap) == [nothing, nothing]
    assert new(3, other) == [[False, True, False]]
    assert new(5, HEALTHY, EAST_WEST) == [[False, True, False], [True, True, True]]
    assert new(6, gap) == [nothing], "what was not seen whole says nothing"
    assert new(8, HEALTHY) == [[False, True, False]], "forgotten, but for the leg that slot 6 saw whole"
    assert new(99, HEALTHY) == [whole]


def test_ways_that_turn_or_jump_are_not_whole():
    network = Network(SMALL)
    memory = FlowMemory(network.places, network.ways, slots=2)
    odd = [
        "border-1 leaf-2-1 tor-2-1",  # no such cable
        "spine-1 leaf-2-1 tor-2-1",  # begins too late
        "border-1 spine-1 leaf-2-1",  # ends too soon
        "border-1 spine-1 leaf-2-1 spine-1 leaf-2-1 tor-2-1",  # goes round
        "border-1 9999 leaf-2-1 tor-2-1",
    ]
    closed = closed_by_hand(*(replace(HEALTHY, out=out, source_port=20_000 + i) for i, out in enumerate(odd)))
    flows = memory.remember(1, closed)
    assert np.flatnonzero(memory.is_new(flows, NEVER)[:, Leg.PROBE]).tolist() == []
    assert memory.is_new(flows, NEVER)[:, Leg.REPLY].all()

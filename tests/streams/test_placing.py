"""Losses beyond a switch go on where that switch began to lose."""

from __future__ import annotations

import json

import numpy as np
import pytest

from fabric.builtin import builtin_fabric
from schemas.rows import Leg
from streams.localise.counts import Spots
from streams.localise.placing import KEEP_US, Placing, split
from streams.localise.terrain import Terrain

TERRAIN = Terrain(builtin_fabric("demo"))  # borders choose between eight spines
SLOT_US = 250_000


def link(name: str) -> int:
    return [TERRAIN.link_name(row) for row in range(TERRAIN.links)].index(name)


def beyond(switch: str) -> int:
    return TERRAIN.beyond([s.name for s in TERRAIN.fabric.switches].index(switch))


def spots(*rows: tuple[int, Leg, int]) -> Spots:
    cell, leg, count = np.array(sorted(rows), np.int64).reshape(-1, 3).T
    return Spots(cell, leg.astype(np.int8), count)


def placed(placing: Placing, end_us: int, *rows: tuple[int, Leg, int]) -> list[tuple[int, int, int]]:
    found = placing(spots(*rows), end_us)
    return list(zip(found.cell.tolist(), found.leg.tolist(), found.count.tolist(), strict=True))


def test_what_nothing_is_known_of_stays_beyond_its_switch() -> None:
    row = (beyond("spine-1"), Leg.PROBE, 3)
    assert placed(Placing(TERRAIN), SLOT_US, row) == [row]


def test_losses_go_on_where_they_began_while_they_go_on() -> None:
    placing, down = Placing(TERRAIN), link("spine-1~leaf-1-1")
    placed(placing, SLOT_US, (down, Leg.PROBE, 4))
    for slot in range(2, 400):  # far longer than KEEP_US
        rows = placed(placing, slot * SLOT_US, (beyond("spine-1"), Leg.PROBE, 2))
        assert rows == [(down, Leg.PROBE, 2)]
    later_us = 400 * SLOT_US + KEEP_US
    row = (beyond("spine-1"), Leg.PROBE, 2)
    assert placed(placing, later_us, row) == [row]


def test_tunnels_go_the_way_of_probes_and_replies_another() -> None:
    placing, down = Placing(TERRAIN), link("spine-1~leaf-1-1")
    placed(placing, SLOT_US, (down, Leg.PROBE, 4))
    reply = (beyond("spine-1"), Leg.REPLY, 1)
    assert placed(placing, SLOT_US, (beyond("spine-1"), Leg.ENCAPSULATED, 5), reply) == [
        (down, Leg.ENCAPSULATED, 5),
        reply,
    ]
    other = (beyond("spine-2"), Leg.PROBE, 1)
    assert placed(placing, SLOT_US, other) == [other]


def test_a_link_that_leaves_no_choice_says_nothing() -> None:
    placing = Placing(TERRAIN)
    placed(placing, SLOT_US, (link("leaf-1-1~tor-1-1"), Leg.PROBE, 9))
    row = (beyond("leaf-1-1"), Leg.PROBE, 2)
    assert placed(placing, SLOT_US, row) == [row]


def test_several_links_share_by_what_they_lost_lately() -> None:
    placing = Placing(TERRAIN)
    first, second = link("border-1~spine-1"), link("border-1~spine-2")
    placed(placing, SLOT_US, (first, Leg.PROBE, 30), (second, Leg.PROBE, 10))
    found = placed(placing, SLOT_US, (beyond("border-1"), Leg.PROBE, 8))
    assert found == [(first, Leg.PROBE, 6), (second, Leg.PROBE, 2)]
    # The first has recovered, the second goes on: soon all is the second's.
    for slot in range(2, 62):
        placed(placing, slot * SLOT_US, (second, Leg.PROBE, 10))
    rows = placed(placing, 62 * SLOT_US, (beyond("border-1"), Leg.PROBE, 8))
    assert rows == [(second, Leg.PROBE, 8)]


def test_what_a_switch_loses_on_many_links_is_not_laid_to_the_first_of_them() -> None:
    placing = Placing(TERRAIN)
    for spine in (1, 2, 3):
        placed(placing, SLOT_US, (link(f"border-1~spine-{spine}"), Leg.PROBE, 5))
    row = (beyond("border-1"), Leg.PROBE, 8)
    assert placed(placing, SLOT_US, row) == [row]


def test_one_loss_is_no_beginning() -> None:
    placing = Placing(TERRAIN)
    placed(placing, SLOT_US, (link("border-1~spine-1"), Leg.PROBE, 2))
    row = (beyond("border-1"), Leg.PROBE, 8)
    assert placed(placing, SLOT_US, row) == [row]


def test_a_restored_one_goes_on_alike() -> None:
    placing, copy = Placing(TERRAIN), Placing(TERRAIN)
    placed(
        placing, SLOT_US, (link("border-1~spine-1"), Leg.PROBE, 3), (link("border-1~spine-2"), Leg.PROBE, 2)
    )
    copy.restore(json.loads(json.dumps(placing.snapshot())))
    row = (beyond("border-1"), Leg.ENCAPSULATED, 11)
    assert placed(placing, 9 * SLOT_US, row) == placed(copy, 9 * SLOT_US, row)
    assert placing.snapshot() == copy.snapshot()


@pytest.mark.parametrize("count", range(12))
def test_parts_make_up_the_whole(count: int) -> None:
    parts = split(count, {1: 0.3, 2: 5.0, 7: 1.0})
    assert sum(parts.values()) == count
    assert all(parts.values())

"""How much is normal: learnt from what healthy places lose, not from faults, and the same after a restart."""

from __future__ import annotations

import json

import numpy as np
import pytest

from fabric.builtin import builtin_fabric
from streams.localise.background import HOST_RATE, HOST_WEIGHT, LINK_RATE, LINK_WEIGHT, WAIT_US, Background
from streams.localise.counts import SlotCounts, Spots
from streams.localise.terrain import Terrain

TERRAIN = Terrain(builtin_fabric("demo"))
SLOT_US = 250_000
SLOTS = WAIT_US // SLOT_US
LINK = int(np.flatnonzero(TERRAIN.up)[0])
SERVER = int(np.flatnonzero(TERRAIN.to_server)[0])
NOBODY = np.empty(0, np.int64)
NOTHING = Spots(NOBODY, np.empty(0, np.int8), NOBODY)
PACKETS = 100  # a slot and link


def slot(number: int, *lost: tuple[int, int]) -> SlotCounts:
    """Slot `number`; cells with what they lost."""
    cell, count = np.array(lost, np.int64).reshape(-1, 2).T
    links = np.arange(TERRAIN.links, dtype=np.int32)
    none = np.zeros(len(links), np.int32)
    no_turns = np.empty(0, np.int64)
    return SlotCounts(
        number * SLOT_US,
        SLOT_US,
        links,
        np.full(len(links), PACKETS, np.int32),
        none,
        none,
        Spots(cell, np.ones(len(cell), np.int8), count),
        NOTHING,
        *(no_turns,) * 4,
    )


def test_what_a_link_loses_counts_a_minute_later():
    background = Background(TERRAIN)
    background.learn(slot(0, (LINK, 500)), NOBODY)
    for number in range(1, SLOTS):
        background.learn(slot(number), NOBODY)
        assert background.link_rate == LINK_RATE
    background.learn(slot(SLOTS), NOBODY)
    assert background.link_rate == pytest.approx(LINK_RATE + 500 / LINK_WEIGHT, rel=0.03)


def test_what_a_fault_lost_before_it_was_found_is_not_background():
    background = Background(TERRAIN)
    other = LINK + 1
    background.learn(slot(0, (LINK, 500), (other, 20)), NOBODY)
    for number in range(1, SLOTS + 1):
        background.learn(slot(number, (LINK, 500)), np.array([LINK]) if number > 4 else NOBODY)
    assert background.link_rate == pytest.approx(LINK_RATE + 20 / LINK_WEIGHT, rel=0.03)


def test_hosts_count_at_once_and_apart():
    background = Background(TERRAIN)
    background.learn(slot(0, (SERVER, 40)), NOBODY)
    passed = HOST_WEIGHT + PACKETS * TERRAIN.to_server.sum()
    assert background.host_rate == pytest.approx((HOST_RATE * HOST_WEIGHT + 40) / passed, rel=0.03)
    before = background.host_rate
    background.learn(slot(1, (SERVER, 40_000)), np.array([SERVER]))
    assert background.host_rate < before
    assert background.link_rate == LINK_RATE


def test_a_restart_changes_nothing():
    rng = np.random.default_rng(1)
    whole, again = Background(TERRAIN), Background(TERRAIN)
    for number in range(2 * SLOTS):
        cells = rng.choice(TERRAIN.cells, 3, replace=False)
        lost = slot(number, *((int(c), int(rng.integers(1, 9))) for c in np.sort(cells)))
        suspect = np.sort(cells[:1]) if number % 7 == 0 else NOBODY
        whole.learn(lost, suspect)
        again.learn(lost, suspect)
        if number == SLOTS:
            state = json.loads(json.dumps(again.snapshot()))
            again = Background(TERRAIN)
            again.restore(state)
    assert whole.snapshot() == again.snapshot()
    assert whole.link_rate > 2 * LINK_RATE

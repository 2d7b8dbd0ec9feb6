"""Sums over the last seconds against sums made anew, and the group rule by hand."""

from __future__ import annotations

import numpy as np
import pytest

from streams.localise.blind.groups import Racks, silence
from streams.localise.blind.window import BLOCK_US, LOSSY_MAX, Lost, Window

CELLS, TARGETS, PROBERS = 20, 6, 2
SPANS_US = (1_000_000, 3_000_000)
SLOT_US = 250_000


def flows(rng: np.random.Generator, count: int) -> dict[str, np.ndarray]:
    sent = rng.integers(1, 5, count)
    lost = rng.binomial(sent, 0.2)
    return {
        "way": rng.integers(-1, CELLS, (count, 5)).astype(np.int32),
        "prober": rng.integers(0, PROBERS, count).astype(np.int32),
        "target": rng.integers(0, TARGETS, count).astype(np.int32),
        "sent": sent,
        "lost": lost,
        "group_lost": rng.binomial(lost, 0.5),
    }


@pytest.mark.parametrize("seed", range(5))
def test_spans_are_the_sums_of_their_slots(seed):
    """Slots come in order; some are left out, as slots without blind flows are."""
    rng = np.random.default_rng(seed)
    window = Window(CELLS, TARGETS, PROBERS, SPANS_US)
    added: list[tuple[int, dict[str, np.ndarray]]] = []
    slot_us = 1_000_000_000
    for _ in range(60):
        slot_us += SLOT_US * int(rng.choice([1, 1, 1, 2, 9]))
        if rng.random() < 0.1:
            window.advance(slot_us)
        else:
            added.append((slot_us, flows(rng, int(rng.integers(0, 30)))))
            window.add(slot_us, *added[-1][1].values())
        for span, span_us in zip(window.spans(), SPANS_US, strict=True):
            first = slot_us // BLOCK_US - span_us // BLOCK_US
            mine = [flow for at, flow in added if at // BLOCK_US > first]
            passed = np.zeros(CELLS)
            answered, by_prober = np.zeros(TARGETS), np.zeros(PROBERS)
            for flow in mine:
                good = flow["sent"] - flow["lost"]
                for way, count in zip(flow["way"], good, strict=True):
                    for cell in way[way >= 0].tolist():
                        passed[cell] += count
                np.add.at(answered, flow["target"], good)
                np.add.at(by_prober, flow["prober"], good)
            assert (span.passed == passed).all()
            assert (span.answered == answered).all()
            assert (span.by_prober == by_prober).all()
            lost = sum(int(flow["lost"].sum()) for flow in mine)
            assert span.tallies[2].sum() == lost
            assert (0 if span.lost is None else span.lost.lost.sum()) == lost


def test_ways_of_losses_are_kept_without_holes():
    window = Window(CELLS, TARGETS, PROBERS, SPANS_US)
    one = np.ones(1, np.int64)
    way = np.array([[-1, 3, -1, 5, -1]], np.int32)
    window.add(BLOCK_US, way, np.zeros(1, np.int32), np.zeros(1, np.int32), one, one, 0 * one)
    lost = window.spans()[0].lost
    assert lost is not None
    assert lost.way.tolist() == [[3, 5]]
    counts = lost.counts(CELLS)
    assert (counts.link.tolist(), counts.lost.tolist()) == ([3, 5], [1])


def test_of_many_losses_a_sample_stands_for_all():
    many = 3 * LOSSY_MAX
    ones = np.ones(many, np.int64)
    lost = Lost(ones, np.zeros((many, 1), np.int32), ones, ones, ones, 0 * ones, ones).sample(LOSSY_MAX)
    assert len(lost) <= LOSSY_MAX
    assert lost.counts(1).lost.sum() == pytest.approx(many, rel=0.01)


# -- the group rule ---------------------------------------------------------------------------------

#: Switches 0..3 are ToRs of pods 0, 0, 1, 1; targets 0..7 hang on them two each, target 8 is a Prober.
RACKS = Racks(np.array([0, 0, 1, 1, 2, 2, 3, 3, -1], np.int32), np.array([0, 0, 1, 1], np.int32))
ALL = 9


def judge(lost: dict[int, tuple[int, int]], answered: dict[int, int], by_prober=(50, 50)):
    """lost: target -> (lost, group_lost), all of Prober 0's probes."""
    tallies = (
        np.array([(0, target, n, whole) for target, (n, whole) in lost.items()], np.int64).reshape(-1, 4).T
    )
    heard = np.array([answered.get(target, 0) for target in range(ALL)], np.int64)
    return silence(tallies, heard, np.array(by_prober, np.int64), RACKS)


def test_a_server_that_answers_nothing_is_silent():
    found = judge({0: (6, 6)}, {1: 6})
    assert (found.servers, found.tors, found.pods, found.probers) == ((0,), (), (), ())
    assert np.flatnonzero(found.all).tolist() == [0]


@pytest.mark.parametrize(
    ("lost", "answered"),
    [
        ({0: (6, 6)}, {0: 1, 1: 6}),  # it answered something
        ({0: (6, 3)}, {1: 6}),  # it lost members of groups
        ({0: (3, 3)}, {1: 6}),  # it lost too little
        ({8: (6, 6)}, {1: 6}),  # it is a Prober, whose kernel may do as it likes
    ],
)
def test_otherwise_it_is_not(lost, answered):
    found = judge(lost, answered)
    assert (found.servers, found.tors, found.pods, found.probers) == ((), (), (), ())


def test_all_servers_of_a_rack_are_their_tor():
    found = judge({0: (6, 6), 1: (9, 9)}, {2: 6, 3: 6, 4: 6})
    assert (found.servers, found.tors, found.pods) == ((), (0,), ())


def test_a_rack_of_which_one_still_answers_now_and_then_is_its_tor_too():
    found = judge({0: (6, 6), 1: (9, 6)}, {1: 3, 2: 6, 3: 6, 4: 6})
    assert (found.servers, found.tors) == ((), (0,))
    assert np.flatnonzero(found.all).tolist() == [0, 1]


def test_dead_servers_beside_one_that_answers_well_are_theirs_alone():
    found = judge({0: (6, 6), 2: (6, 6)}, {1: 6, 3: 6, 4: 6})
    assert (found.servers, found.tors, found.pods) == ((0, 2), (), ())


def test_all_racks_of_a_pod_are_the_pod():
    found = judge(dict.fromkeys(range(4), (6, 6)), {4: 6, 5: 6, 6: 6, 7: 6})
    assert (found.servers, found.tors, found.pods) == ((), (), (0,))


def test_a_prober_of_which_nothing_comes_back_is_silent_and_accuses_nobody():
    found = judge(dict.fromkeys(range(8), (6, 6)), dict.fromkeys(range(8), 6), (0, 50))
    assert (found.probers, found.servers, found.tors, found.pods) == ((0,), (), (), ())


def test_a_lone_server_of_a_rack_is_a_server():
    found = judge({0: (6, 6)}, {2: 6, 3: 6})
    assert (found.servers, found.tors) == ((0,), ())

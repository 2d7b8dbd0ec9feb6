"""Tomographies by hand and by property: what each method says of small sets of paths."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.localise.tomography import likelihood, netbouncer, pingmesh, pll, votes
from streams.localise.tomography.elements import Elements
from streams.localise.tomography.noisy_or import Losses
from streams.localise.tomography.paths import PathCounts

CELLS = 14


def paths(*rows: tuple[list[int], int, int], cells: int = CELLS) -> PathCounts:
    """(cells, sent, lost) of each path."""
    width = max(len(links) for links, _, _ in rows)
    matrix = np.array([links + [-1] * (width - len(links)) for links, _, _ in rows], np.int32)
    sent, lost = (np.array([row[i] for row in rows], np.int64) for i in (1, 2))
    return PathCounts.of_matrix(matrix, sent, lost, cells)


def by_likelihood(counts: PathCounts, elements: Elements | None = None) -> list[tuple[int, float]]:
    losses = Losses.of(counts)
    found = likelihood.locate(losses, elements or Elements.single(counts.cells))
    return [(blame.element, blame.rate) for blame in found]


METHODS: dict[str, Callable[[PathCounts], list[int]]] = {
    "votes": lambda counts: [s.element for s in votes.locate(counts)],
    "pll": lambda counts: [s.element for s in pll.locate(counts)],
    "netbouncer": lambda counts: [s.element for s in netbouncer.locate(counts)],
    "likelihood": lambda counts: [element for element, _ in by_likelihood(counts)],
}
every_method = pytest.mark.parametrize("method", METHODS.values(), ids=METHODS.keys())


# -- path counts ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("start", "link", "sent", "lost"),
    [
        ([0, 2], [1, 2], [5, 5], [0, 0]),
        ([0, 1], [1, 2], [5], [0]),
        ([0, 2], [1, CELLS], [5], [0]),
        ([0, 2], [-1, 2], [5], [0]),
        ([0, 2], [1, 2], [5], [6]),
        ([0, 2], [1, 2], [5], [-1]),
        ([0, 3, 2], [1, 2], [5, 5], [0, 0]),
    ],
)
def test_counts_that_contradict_themselves_are_refused(start, link, sent, lost):
    with pytest.raises(ValueError):
        PathCounts(
            np.array(start, np.int64),
            np.array(link, np.int32),
            np.array(sent, np.int64),
            np.array(lost, np.int64),
            CELLS,
        )


def test_equal_paths_are_put_together_whatever_the_order_of_their_cells():
    counts = paths(([3, 1], 10, 1), ([2, 4], 5, 0), ([1, 3], 20, 2)).aggregated()
    assert counts.matrix().tolist() == [[1, 3], [2, 4]]
    assert (counts.sent.tolist(), counts.lost.tolist()) == ([30, 5], [3, 0])


def test_sums_by_cell():
    counts = paths(([0, 1], 10, 1), ([1], 5, 0))
    assert counts.by_cell(np.array([2.0, 3.0]))[:3].tolist() == [2, 5, 0]


def test_a_switch_is_crossed_once_for_each_of_its_cells_on_the_way():
    elements = Elements.of([([2, 0], 1.0), ([1], 0.0)], 3)
    assert elements.links(0) == (0, 2)
    assert elements.sums(np.array([1.0, 10.0, 100.0]), np.array([1, 0])).tolist() == [10, 101]
    start, element = elements.containing
    assert [element[a:b].tolist() for a, b in pairwise(start)] == [[0], [1], [0]]


# -- 007 --------------------------------------------------------------------------------------------


def test_bad_flows_vote_and_those_that_are_explained_vote_no_more():
    counts = paths(([0, 1], 10, 4), ([0, 2], 10, 1), ([0, 3], 10, 2), ([4, 5, 6, 1], 10, 1), ([7, 8], 10, 0))
    first, second = votes.locate(counts)[:2]
    # Three flows of two links; then one flow of four, of which cell 1 stands first by number.
    assert (first.element, first.score) == (0, 1.5)
    assert first.rate == pytest.approx(7 / 30)
    assert (second.element, second.score) == (1, 0.25)


def test_votes_that_are_too_few_blame_nobody():
    counts = paths(([0, 1], 10, 1), ([0, 2], 10, 1))
    assert [s.element for s in votes.locate(counts, votes.VoteSettings(votes_min=0.9))] == [0]
    assert votes.locate(counts, votes.VoteSettings(votes_min=1.1)) == []


# -- PLL --------------------------------------------------------------------------------------------


def test_a_link_most_of_whose_paths_are_good_is_no_candidate():
    lossy = [([0, 1], 100, 5), ([0, 2], 100, 4)]
    good = [([1, 3], 100, 0), ([1, 4], 100, 0), ([2, 3], 100, 0), ([2, 4], 100, 0)]
    (found,) = pll.locate(paths(*lossy, *good))
    assert (found.element, found.score) == (0, 9)
    # With two good paths of four across it, it is none itself.
    assert pll.locate(paths(*lossy, *good, ([0, 3], 100, 0), ([0, 4], 100, 0))) == []


def test_losses_no_greater_than_noise_make_no_path_lossy():
    assert pll.locate(paths(([0, 1], 10_000, 10))) == []
    assert pll.locate(paths(([0, 1], 10_000, 11)))


# -- NetBouncer -------------------------------------------------------------------------------------


def ladder(rates: dict[int, float], sent: int = 100_000, width: int = 7) -> PathCounts:
    """Paths over one cell of the left half and one of the right, with losses as expected."""
    rows = []
    for left in range(width):
        for right in range(width, 2 * width):
            whole = (1 - rates.get(left, 0)) * (1 - rates.get(right, 0))
            rows.append(([left, right], sent, round(sent * (1 - whole))))
    return paths(*rows)


def test_success_probabilities_are_recovered():
    x = netbouncer.solve(ladder({2: 0.3, 9: 0.05}), 0.01, netbouncer.NetBouncerSettings())
    assert 1 - x[2] == pytest.approx(0.3, abs=0.01)
    assert 1 - x[9] == pytest.approx(0.05, abs=0.01)
    assert (np.delete(x, [2, 9]) > 0.995).all()


def test_the_step_is_the_minimum_of_its_coordinate():
    # One path over one cell: minimise (y - x)^2 + lambda x (1 - x); with lambda = rate * weight.
    share, penalty = 0.7, 0.2
    counts = paths(([0], 1_000, 300))
    x = netbouncer.solve(counts, penalty, netbouncer.NetBouncerSettings(pressure=1.0))
    assert x[0] == pytest.approx((2 * share - penalty) / (2 * (1 - penalty)))


def test_bands_find_a_light_loss_beside_a_heavy_one():
    counts = ladder({1: 0.1, 10: 2e-3}, sent=20_000)
    banded = netbouncer.NetBouncerSettings(bands=(0.05, 1e-3))
    assert [s.element for s in netbouncer.locate(counts, banded)] == [1, 10]
    assert [s.element for s in netbouncer.locate(counts, netbouncer.NetBouncerSettings(bands=(0.05,)))] == [1]


def test_a_device_of_which_no_path_came_through_whole_is_faulty():
    counts = ladder({0: 0.5, 1: 0.5})
    devices = Elements.of([([0, 1], 0.0), ([2, 3], 0.0)], CELLS)
    (found,) = netbouncer.locate(counts, devices=devices)
    assert (found.element, found.links) == (0, (0, 1))


# -- Pingmesh ---------------------------------------------------------------------------------------


def test_pairs_above_a_thousandth_are_reported_the_worst_first():
    near, far = np.array([1, 1, 2, 2], np.int32), np.array([5, 5, 5, 6], np.int32)
    found = pingmesh.detect(near, far, np.array([500, 500, 1_000, 100]), np.array([1, 1, 1, 1]))
    assert [(p.from_node, p.to_node, p.lost) for p in found] == [(2, 6, 1), (1, 5, 2)]


# -- likelihood -------------------------------------------------------------------------------------


def fan(bad: set[int], rate: float, sent: int = 200, hosts: int = 6) -> PathCounts:
    """Paths over a cell 0..3 up, one of 4..7 down, one of the hosts 8..: a switch is cells 0 and 1."""
    rows = []
    for up in range(4):
        for down in range(4, 8):
            for host in range(8, 8 + hosts):
                lost = sent * rate if {up, down, host} & bad else 0
                rows.append(([up, down, host], sent, round(lost)))
    return paths(*rows)


SWITCH = Elements.of([*(([cell], 0.0) for cell in range(CELLS)), ([0, 1], 2.0)], CELLS)


@pytest.mark.parametrize("rate", [0.01, 0.1, 1.0])
def test_one_link_is_one_cause_and_its_rate_is_known(rate):
    ((element, found),) = by_likelihood(fan({1}, rate), SWITCH)
    assert element == 1
    assert found == pytest.approx(rate, rel=0.1)


def test_two_links_of_a_switch_are_the_switch():
    ((element, rate),) = by_likelihood(fan({0, 1}, 0.1), SWITCH)
    assert (element, rate) == (CELLS, pytest.approx(0.1, rel=0.1))


def test_two_links_with_rates_of_their_own_are_two_causes():
    counts = ladder({0: 0.4, 1: 0.01}, sent=2_000)
    found = dict(by_likelihood(counts, SWITCH))
    assert set(found) == {0, 1}
    assert found[0] == pytest.approx(0.4, rel=0.1)
    assert found[1] == pytest.approx(0.01, rel=0.3)


def test_a_light_loss_is_found_beside_a_heavy_one():
    found = dict(by_likelihood(ladder({1: 0.1, 10: 2e-3}, sent=20_000)))
    assert set(found) == {1, 10}


def test_a_rack_does_not_stay_blamed_for_its_dead_hosts():
    # Hosts 8 and 9 of six are dead; all are behind cell 4..7, an element together.
    rack = Elements.of([*(([cell], 0.0) for cell in range(CELLS)), ([4, 5, 6, 7], 2.0)], CELLS)
    assert {element for element, _ in by_likelihood(fan({8, 9}, 1.0), rack)} == {8, 9}


def test_what_cannot_be_told_apart_shares_the_confidence():
    rows = [([0, 1, 2 + i], 100, 50) for i in range(5)] + [([2 + i, 9], 100, 0) for i in range(5)]
    (blame,) = likelihood.locate(Losses.of(paths(*rows)), Elements.single(CELLS))
    assert {element: round(share, 2) for element, share in blame.rivals[:2]} == {0: 0.5, 1: 0.5}


def test_what_all_paths_lose_is_somebody_s_fault_and_no_background():
    assert by_likelihood(paths(*(([0, 1 + i], 500, 100) for i in range(8))))[0][0] == 0


def test_noise_of_hosts_accuses_nobody():
    rng = np.random.default_rng(5)
    for _ in range(50):
        healthy = fan(set(), 0.0, sent=20)
        lost = rng.binomial(healthy.sent, 1e-3)
        assert by_likelihood(PathCounts(healthy.start, healthy.link, healthy.sent, lost, CELLS), SWITCH) == []


# -- of all methods ---------------------------------------------------------------------------------


@st.composite
def networks(draw: st.DrawFn) -> PathCounts:
    """Paths of four cells each: votes are quarters, whose sums are exact in any order."""
    count = draw(st.integers(1, 30))
    rows = []
    for _ in range(count):
        links = draw(st.lists(st.integers(0, CELLS - 1), min_size=4, max_size=4, unique=True))
        sent = draw(st.integers(1, 50))
        rows.append((links, sent, draw(st.one_of(st.just(0), st.integers(0, sent)))))
    return paths(*rows)


@every_method
@given(counts=networks(), data=st.data())
@settings(max_examples=60, deadline=None)
def test_the_order_of_paths_does_not_matter(method, counts, data):
    order = np.array(data.draw(st.permutations(range(len(counts)))))
    again = PathCounts.of_matrix(counts.matrix()[order], counts.sent[order], counts.lost[order], CELLS)
    assert method(counts) == method(again)


@every_method
@given(counts=networks())
@settings(max_examples=30, deadline=None)
def test_nothing_lost_nobody_blamed(method, counts):
    assert method(PathCounts(counts.start, counts.link, counts.sent, 0 * counts.lost, CELLS)) == []


@every_method
@given(bad=st.integers(0, 5), disjoint=st.integers(4, 8), sent=st.integers(10, 100))
@settings(max_examples=30, deadline=None)
def test_a_dead_link_on_otherwise_disjoint_paths_is_found(method, bad, disjoint, sent):
    rows = [([bad, 6 + i], sent, sent) for i in range(disjoint)]
    rows += [([good, 6 + i], sent, 0) for i in range(disjoint) for good in range(6) if good != bad]
    assert method(paths(*rows)) == [bad]

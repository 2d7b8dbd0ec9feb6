"""Routes are shortest, valley-free and without loops; the hash spreads flows evenly and independently."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fabric.clos import CampusShape, ClosShape, build_clos
from fabric.model import Fabric
from fabric.simulator.routes import NO_LINK, Routes
from fabric.validate import problems_of

SMALL = ClosShape("small", pods=2, tors_per_pod=2, leaves_per_pod=2, spines=4, servers_per_tor=2)


@st.composite
def shapes(draw):
    leaves = draw(st.integers(1, 4))
    return ClosShape(
        "drawn",
        pods=draw(st.integers(1, 4)),
        tors_per_pod=draw(st.integers(1, 4)),
        leaves_per_pod=leaves,
        spines=leaves * draw(st.integers(1, 3)),
        servers_per_tor=1,
        borders=draw(st.integers(1, 2)),
        planes=draw(st.booleans()),
        probers=draw(st.integers(1, 2)),
    )


def path_of(fabric: Fabric, routes: Routes, start: int, end: int, flow: int) -> list[int]:
    """Switch rows that one flow crosses."""
    path = [start]
    while path[-1] != end:
        here, there = np.array([path[-1]], np.int32), np.array([end], np.int32)
        link = int(routes.next_link(here, there, np.array([flow], np.uint64))[0])
        assert link != NO_LINK
        assert routes.from_row[link] == path[-1]
        path.append(int(routes.to_row[link]))
        assert len(path) < 20
    return path


def ends_of(fabric: Fabric) -> list[int]:
    attached = {s.tor for s in fabric.servers} | {p.switch for p in fabric.probers}
    return [row for row, switch in enumerate(fabric.switches) if switch.name in attached]


@given(shapes(), st.integers(0, 2**63), st.data())
@settings(max_examples=60, deadline=None)
def test_paths_are_valley_free_and_loop_free(shape, flow, data):
    fabric = build_clos(shape)
    assert not list(problems_of(fabric))
    routes = Routes(fabric.index, seed=3)
    ends = ends_of(fabric)
    start, end = data.draw(st.sampled_from(ends)), data.draw(st.sampled_from(ends))
    path = path_of(fabric, routes, start, end, flow)
    assert len(set(path)) == len(path)
    steps = np.sign(np.diff(fabric.index.rank[path].astype(int)))
    assert (steps != 0).all()
    assert (np.diff(steps) <= 0).all(), "after the first step down there is none up"


@given(st.lists(shapes(), min_size=2, max_size=2), st.integers(1, 3), st.integers(0, 2**63), st.data())
@settings(max_examples=40, deadline=None)
def test_what_probers_send_in_a_campus_is_valley_free(sites, dci, flow, data):
    """Within a site to servers and back, and from Prober to Prober over the DCI switches."""
    fabric = build_clos(CampusShape("drawn", tuple(sites), dci))
    assert not list(problems_of(fabric))
    routes = Routes(fabric.index, seed=3)
    row = {switch.name: at for at, switch in enumerate(fabric.switches)}
    near, far = ([row[p.switch] for p in fabric.probers if _site(fabric, p.switch) == s] for s in (0, 1))
    tors = [at for name, at in row.items() if name.startswith("tor") and _site(fabric, name) == 0]
    start, end = data.draw(
        st.sampled_from([(near, tors), (tors, near), (tors, tors), (near, far), (far, near)])
    )
    path = path_of(fabric, routes, data.draw(st.sampled_from(start)), data.draw(st.sampled_from(end)), flow)
    steps = np.sign(np.diff(fabric.index.rank[path].astype(int)))
    assert (steps != 0).all()
    assert (np.diff(steps) <= 0).all(), [fabric.switches[at].name for at in path]
    across = start != end and tors not in (start, end)
    assert any(fabric.switches[at].tier == "dci" for at in path) == across


def _site(fabric: Fabric, switch: str) -> int:
    """0 for the switches of the first site, 1 for those of the second."""
    reached, ahead = {"border-1"}, {"border-1"}
    while ahead:
        peers = {p.peer for name in ahead for p in fabric.switch_by_name[name].ports}
        ahead = {n for n in peers - reached if n in fabric.switch_by_name and not n.startswith("dci")}
        reached |= ahead
    return int(switch not in reached)


def test_a_drained_switch_carries_no_transit():
    from dataclasses import replace

    fabric = build_clos(SMALL)
    drained = tuple(replace(s, drained=s.name in ("spine-1", "leaf-1-2")) for s in fabric.switches)
    fabric = replace(fabric, switches=drained)
    routes = Routes(fabric.index, seed=3)
    ends = ends_of(fabric)
    for start in ends:
        for end in ends:
            for flow in range(5):
                crossed = path_of(fabric, routes, start, end, flow)
                assert not fabric.index.drained[crossed].any()


def test_no_way_is_said_so():
    from dataclasses import replace

    fabric = build_clos(SMALL)
    switches = tuple(replace(s, drained=s.tier == "spine") for s in fabric.switches)
    routes = Routes(replace(fabric, switches=switches).index, seed=3)
    tors = [row for row, s in enumerate(fabric.switches) if s.tier == "tor"]
    link = routes.next_link(
        np.array(tors[:1], np.int32), np.array(tors[-1:], np.int32), np.zeros(1, np.uint64)
    )
    assert link.tolist() == [NO_LINK]


@pytest.mark.parametrize("tier", ["tor", "leaf"])
def test_flows_spread_evenly_over_equal_paths(tier):
    fabric = build_clos(SMALL)
    routes = Routes(fabric.index, seed=11)
    start = next(row for row, s in enumerate(fabric.switches) if s.tier == tier)
    end = next(row for row, s in enumerate(fabric.switches) if s.name == "tor-2-1")
    ways = routes.next_links(start, end)
    assert len(ways) == (2 if tier == "tor" else 4)
    flows = np.random.default_rng(5).integers(0, 2**64, 40_000, dtype=np.uint64)
    taken = routes.next_link(np.full(40_000, start, np.int32), np.full(40_000, end, np.int32), flows)
    share = np.array([(taken == way).mean() for way in ways]) * len(ways)
    # Five standard deviations of a fair choice.
    assert (abs(share - 1) < 5 * np.sqrt(len(ways) / 40_000)).all()


def test_tiers_choose_independently():
    fabric = build_clos(SMALL)
    routes = Routes(fabric.index, seed=11)
    row = {s.name: i for i, s in enumerate(fabric.switches)}
    flows = np.random.default_rng(6).integers(0, 2**64, 20_000, dtype=np.uint64)
    there = np.full(len(flows), row["tor-2-1"], np.int32)
    first = routes.next_link(np.full(len(flows), row["tor-1-1"], np.int32), there, flows)
    leaf = routes.to_row[first]
    second = routes.next_link(leaf, there, flows)
    # Polarised switches would use half of their uplinks or fewer.
    for one in np.unique(leaf):
        counts = np.unique(second[leaf == one], return_counts=True)[1]
        assert len(counts) == 4
        assert counts.min() > 0.2 * counts.sum()


def test_a_flow_keeps_its_path_and_seeds_differ():
    fabric = build_clos(SMALL)
    ends = ends_of(fabric)
    same = [path_of(fabric, Routes(fabric.index, seed=1), ends[0], ends[-1], f) for f in range(50)]
    again = [path_of(fabric, Routes(fabric.index, seed=1), ends[0], ends[-1], f) for f in range(50)]
    other = [path_of(fabric, Routes(fabric.index, seed=2), ends[0], ends[-1], f) for f in range(50)]
    assert same == again
    assert same != other

"""The plan: every target once a round, steadily, over flows that come again, and nothing forbidden."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fabric.builtin import builtin_fabric
from fabric.model import Fabric, Server
from producers.plan import PlanRefused, PlanSettings, build_plan, summarise
from producers.plan_settings import INTERVAL_US_MIN
from producers.wire import is_set
from schemas.partition import ROUND_BITS, group_of
from schemas.rows import Kind

SMALL = builtin_fabric("small")
DEMO = builtin_fabric("demo")
SITES = builtin_fabric("dci")
NOW_US = 1_700_000_000_123_456
SECOND_US = 1_000_000


def plan_of(fabric: Fabric, **changes: object):  # type: ignore[no-untyped-def]
    return build_plan(fabric, fabric.probers[0], PlanSettings(**changes))  # type: ignore[arg-type]


@settings(deadline=None)
@given(
    st.integers(0, 3 * SECOND_US),
    st.lists(st.integers(0, 900_000), min_size=1, max_size=20),
    st.sampled_from([1, 3, 8]),
    st.sampled_from([INTERVAL_US_MIN, 77_777, SECOND_US]),
)
def test_any_split_of_time_gives_the_same_probes(
    start: int, steps: list[int], group_size: int, interval_us: int
) -> None:
    plan = plan_of(SMALL, group_size=group_size, interval_us=interval_us, rate_max_pps=10**9)
    edges = NOW_US + start + np.concatenate([[0], np.cumsum(steps) // (SECOND_US // interval_us)])
    edges = edges.astype(int).tolist()
    parts = [plan.due(a, b) for a, b in pairwise(edges)]
    assert np.concatenate(parts).tobytes() == plan.due(edges[0], edges[-1]).tobytes()


def test_a_round_probes_every_target_once_at_a_steady_pace() -> None:
    plan = plan_of(DEMO)
    probes = plan.due(NOW_US, NOW_US + SECOND_US)
    assert len(probes) == plan.groups * 3
    assert len(np.unique(probes["probe_id"])) == len(probes)
    north_south = probes[probes["kind"] == Kind.NORTH_SOUTH]
    assert sorted(set(north_south["target_node"].tolist())) == [s.node for s in DEMO.servers]
    groups = probes.reshape(-1, 3)
    assert (groups["sent_at_us"] == groups["sent_at_us"][:, :1]).all()
    assert (group_of(groups["probe_id"]) == group_of(groups["probe_id"][:, :1])).all()
    assert all(len(set(ports)) == 3 for ports in groups["source_port"].tolist())
    gaps = np.diff(groups["sent_at_us"][:, 0])
    assert gaps.min() >= SECOND_US // plan.groups - 1
    assert gaps.max() <= SECOND_US // plan.groups + 1
    assert (probes["sent_at_us"] >= NOW_US).all()
    assert (probes["sent_at_us"] < NOW_US + SECOND_US).all()


def test_consecutive_groups_go_to_different_tors() -> None:
    probes = plan_of(DEMO).due(0, SECOND_US)[::3]
    tor = DEMO.index.tor_of_server(probes["target_node"])
    assert np.count_nonzero(tor[1:] == tor[:-1]) < len(tor) / 6


def test_a_target_keeps_its_flows_and_they_rotate_slowly() -> None:
    plan = plan_of(SMALL, flows_per_target=8, rotation_us=60 * SECOND_US)
    start = 1_700_000_040 * SECOND_US  # a multiple of 60 s
    target = SMALL.servers[0].node

    def ports(from_s: int, until_s: int) -> set[int]:
        probes = plan.due(start + from_s * SECOND_US, start + until_s * SECOND_US)
        return set(
            probes["source_port"][(probes["target_node"] == target) & (probes["via_node"] == -1)].tolist()
        )

    first, second = ports(0, 60), ports(60, 120)
    assert len(first) == len(second) == 8
    assert len(first & second) == 7
    assert ports(0, 3) == first  # three rounds of three members meet all eight flows


def test_east_west_crosses_every_ordered_pair_of_pods() -> None:
    plan = plan_of(DEMO)
    index = DEMO.index
    for round_ in range(3):
        probes = plan.due(NOW_US + round_ * SECOND_US, NOW_US + (round_ + 1) * SECOND_US)
        east_west = probes[probes["kind"] == Kind.EAST_WEST]
        pairs = list(
            zip(index.pod_of(east_west["via_node"]), index.pod_of(east_west["target_node"]), strict=True)
        )
        assert len(pairs) == 3 * 4 * 3
        assert len(set(pairs)) == 4 * 3
        assert all(a != b and a >= 0 and b >= 0 for a, b in pairs)
        others = probes[probes["kind"] != Kind.EAST_WEST]
        assert (others["via_node"] == -1).all()
        assert not is_set(others["via"]).any()


def test_east_west_lets_every_tor_meet_every_server() -> None:
    plan = plan_of(SMALL, east_west_dwell_rounds=1, kinds=frozenset({Kind.EAST_WEST}))
    probes = plan.due(0, 40 * SECOND_US)
    met = set(zip(probes["via_node"].tolist(), probes["target_node"].tolist(), strict=True))
    assert len(met) == 2 * (2 * 8)  # both pods: 2 ToRs, 8 servers in the other


def test_numbers_follow_from_time_alone() -> None:
    # A restarted Prober builds the plan anew and goes on; what it sends, the first one would have sent.
    before, after = plan_of(SMALL), plan_of(SMALL)
    assert after.due(NOW_US, NOW_US + 999).tobytes() == before.due(NOW_US, NOW_US + 999).tobytes()
    earlier = before.due(NOW_US - 100 * SECOND_US, NOW_US)
    later = after.due(NOW_US, NOW_US + 100 * SECOND_US)
    assert not set(earlier["probe_id"].tolist()) & set(later["probe_id"].tolist())


def test_group_numbers_wrap_within_their_bits() -> None:
    plan = plan_of(SMALL)
    wrap_round = 5 << ROUND_BITS
    probes = plan.due((wrap_round - 1) * SECOND_US, (wrap_round + 1) * SECOND_US)
    number = (probes["probe_id"] & 0xFFFFFFFF) >> 3
    rounds = number & ((1 << ROUND_BITS) - 1)
    assert set(rounds.tolist()) == {(1 << ROUND_BITS) - 1, 0}
    assert (number >> ROUND_BITS).max() == plan.groups - 1
    assert len(np.unique(probes["probe_id"])) == len(probes)
    assert (probes["probe_id"] >> 32 == SMALL.probers[0].number).all()


def test_probers_probe_each_other() -> None:
    for prober, other in (DEMO.probers, DEMO.probers[::-1]):
        probes = build_plan(DEMO, prober).due(0, SECOND_US)
        between = probes[probes["kind"] == Kind.INTER_PROBER]
        assert between["target_node"].tolist() == [other.node] * 3


def test_silent_servers_are_probed_from_the_north_only() -> None:
    silent = replace(SMALL.servers[0], answers=False)
    fabric = replace(SMALL, servers=(silent, *SMALL.servers[1:]))
    probes = plan_of(fabric, east_west_dwell_rounds=1).due(0, 60 * SECOND_US)
    kinds = set(probes["kind"][probes["target_node"] == silent.node].tolist())
    assert kinds == {Kind.NORTH_SOUTH}


def test_drained_tors_do_not_decapsulate() -> None:
    drained = next(s for s in SMALL.switches if s.tier == "tor")
    switches = tuple(replace(s, drained=s is drained) for s in SMALL.switches)
    plan = plan_of(replace(SMALL, switches=switches), east_west_dwell_rounds=1)
    assert drained.node not in plan.due(0, 60 * SECOND_US)["via_node"]


def test_servers_of_another_site_are_left_to_its_own_probers() -> None:
    plans = [build_plan(SITES, prober) for prober in SITES.probers]
    pods = [set(SITES.index.pods[: len(SITES.index.pods) // 2]), set(SITES.index.pods[2:])]
    for prober, plan in zip(SITES.probers, plans, strict=True):
        probes = plan.due(0, 60 * SECOND_US)
        between = probes["kind"] == Kind.INTER_PROBER
        met = {SITES.index.pods[p] for p in np.unique(SITES.index.pod_of(probes["target_node"][~between]))}
        assert met == pods[prober.number > 2]
        vias = probes["via_node"][probes["via_node"] >= 0]
        assert {SITES.index.pods[p] for p in np.unique(SITES.index.pod_of(vias))} == met
        others = {p.node for p in SITES.probers if p is not prober}
        assert set(probes["target_node"][between].tolist()) == others
        assert plan.uncovered == {"address to which every way has a valley, as in another site": 16}


@pytest.mark.parametrize("fabric", [DEMO, SITES], ids=["demo", "sites"])
@pytest.mark.parametrize("share", [1, 2])
def test_probers_share_targets_and_pairs_of_pods(fabric: Fabric, share: int) -> None:
    rows = []
    for prober in fabric.probers:
        probes = build_plan(fabric, prober, PlanSettings(probers_per_target=share)).due(0, SECOND_US)[::3]
        near, far = fabric.index.pod_of(probes["via_node"]), fabric.index.pod_of(probes["target_node"])
        for kind, target, a, b in zip(
            *(c.tolist() for c in (probes["kind"], probes["target_node"], near, far)), strict=True
        ):
            if kind != Kind.INTER_PROBER:
                rows.append((kind, (a, b) if kind == Kind.EAST_WEST else target))
    north_south = Counter(target for kind, target in rows if kind == Kind.NORTH_SOUTH)
    east_west = Counter(pair for kind, pair in rows if kind == Kind.EAST_WEST)
    assert dict(north_south) == {server.node: share for server in fabric.servers}
    pods = len(fabric.index.pods)
    assert set(east_west.values()) == {share}
    assert len(east_west) == (pods * (pods - 1) if fabric is DEMO else 2 * 2)
    mine = [
        len(build_plan(fabric, p, PlanSettings(probers_per_target=share)).template) for p in fabric.probers
    ]
    assert max(mine) < 1.6 * min(mine)


def test_targets_outside_the_prefixes_are_refused() -> None:
    stray = Server("stray", 9_999, SMALL.servers[0].tor, ("192.0.2.1",))
    fabric = replace(SMALL, servers=(*SMALL.servers, stray))
    with pytest.raises(PlanRefused, match=r"1 targets are outside.*192\.0\.2\.1"):
        plan_of(fabric)
    with pytest.raises(PlanRefused, match="outside"):
        plan_of(SMALL, target_prefixes=("10.1.0.0/16",))
    with pytest.raises(PlanRefused, match="none configured"):
        plan_of(replace(SMALL, target_prefixes=()))


def test_too_fast_a_plan_is_refused() -> None:
    with pytest.raises(PlanRefused, match="rate_max_pps"):
        plan_of(SMALL, rate_max_pps=10)


@pytest.mark.parametrize(
    "changes",
    [
        {"group_size": 9},
        {"flows_per_target": 2},
        {"source_port_first": 65_000},
        {"interval_us": INTERVAL_US_MIN - 1},
        {"east_west_dwell_rounds": 0},
        {"probers_per_target": -1},
    ],
)
def test_contradictory_settings_are_refused(changes: dict[str, int]) -> None:
    with pytest.raises(PlanRefused):
        PlanSettings(**changes)  # type: ignore[arg-type]


def test_addresses_of_the_other_family_are_reported() -> None:
    both = replace(SMALL.servers[0], addresses=("10.1.1.10", "2001:db8::1"))
    fabric = replace(
        SMALL, servers=(both, *SMALL.servers[1:]), target_prefixes=("10.0.0.0/8", "2001:db8::/32")
    )
    summary = summarise(plan_of(fabric))
    assert summary.server_addresses == len(SMALL.servers)
    assert list(summary.uncovered.values()) == [1]


def test_summary_counts_what_is_due() -> None:
    plan = plan_of(DEMO)
    summary = summarise(plan)
    assert summary.groups == {"north_south": 192, "east_west": 12, "inter_prober": 1}
    assert summary.probes_per_s == 3 * 205
    # 552 bytes a probe, 20 more on each of the 36 that are encapsulated.
    assert summary.bits_per_s == 8 * (615 * 552 + 36 * 20)
    assert (summary.pods, summary.pod_pairs, summary.decapsulating_tors) == (4, 12, 16)

"""Each kind of fault does to packets what it says, told by plain counting on a healthy run of the same."""

from collections import defaultdict

import numpy as np
import pytest

from fabric.simulator import SimulatorSettings
from producers.content import normalise
from producers.wire import build
from schemas.rows import DigestFlag, Leg
from tests.fabric.simulated import (
    DEMO,
    SMALL,
    SMALL_6,
    START_US,
    cables,
    chip_towards,
    due,
    first_leg,
    healthy,
    hops_of,
    link_of,
    run,
    simulator,
    turns,
    ways_of,
    within,
)

SPINE = DEMO.node("spine-1")


def through(name):
    """A test of a way: does it cross that link, switch, pair of chips or port of the demo?"""
    if ">" in name:
        switch, _, pair = name.partition("/")
        chips = tuple(pair.split(">"))
        return lambda way: any(
            (chip_towards(DEMO, switch, near), chip_towards(DEMO, switch, far)) == chips
            for near, at, far in turns(way)
            if at == DEMO.node(switch)
        )
    if "~" in name:
        return lambda way: link_of(name) in cables(way)
    if ":" in name:
        switch, _, port = name.partition(":")
        peer = next(p.peer for p in DEMO.switch_by_name[switch].ports if p.name == port)
        ends = {DEMO.node(switch), DEMO.node(peer)}
        return lambda way: any(set(cable) == ends for cable in cables(way))
    return lambda way: any(at == DEMO.node(name) for _, at, _ in turns(way))


def crossing(name, seconds=2.0):
    """Probe ID -> first leg of it that crosses the element in a healthy run."""
    result = healthy(seconds)
    ways = ways_of(result)
    legs = {int(i): first_leg(ways, int(i), through(name)) for i in result.probes["probe_id"]}
    return {probe_id: leg for probe_id, leg in legs.items() if leg is not None}


def lost_legs(result):
    """Probe ID -> leg, of those that are lost."""
    lost = np.flatnonzero(result.truth.lost_leg >= 0)
    ids, legs = result.probes["probe_id"][lost].tolist(), result.truth.lost_leg[lost].tolist()
    return dict(zip(ids, legs, strict=True))


@pytest.mark.parametrize(
    "element", ["spine-1/lc-1>lc-2", "spine-1/lc-2>lc-1", "spine-2/lc-1>lc-1", "leaf-2-1:Ethernet5"]
)
def test_all_that_crosses_a_pair_of_chips_or_a_port_is_lost(element):
    expected = crossing(element, 4.0)
    assert len(expected) > 20
    assert lost_legs(run(f"loss:{element}:rate=1", seconds=4.0)) == expected


@pytest.mark.parametrize("spec", ["link_down:leaf-2-1:Ethernet5", "link_down:leaf-2-1~spine-1"])
def test_a_port_is_one_end_of_a_cable(spec):
    # The fifth port of a leaf is the first that leads to a spine, the fourth ToR being the last below.
    assert lost_legs(run(spec)) == crossing("leaf-2-1:Ethernet5")
    assert crossing("leaf-2-1:Ethernet5").keys() == (
        crossing("leaf-2-1~spine-1").keys() | crossing("spine-1~leaf-2-1").keys()
    )


@pytest.mark.parametrize(
    ("lengths", "legs"),
    [
        ("min_bytes=41", {Leg.ENCAPSULATED, Leg.PROBE}),
        ("max_bytes=551", {Leg.REPLY}),
        ("min_bytes=553", {Leg.ENCAPSULATED}),
        ("min_bytes=500,max_bytes=552", {Leg.PROBE}),
        ("min_bytes=573", set()),
    ],
)
def test_only_packets_of_a_length_are_lost(lengths, legs):
    result = run(f"loss:border-1:rate=1,{lengths}")
    assert set(result.truth.lost_leg[result.truth.lost_leg >= 0].tolist()) == legs
    ways = ways_of(healthy())
    crosses = through("border-1")
    for probe_id, leg in lost_legs(result).items():
        assert crosses(ways[probe_id, leg])
    for probe_id in set(result.probes["probe_id"].tolist()) - set(lost_legs(result)):
        assert not any(crosses(ways[probe_id, leg]) for leg in legs if (probe_id, leg) in ways)


def test_lengths_are_those_of_ip_packets_of_either_family():
    for fabric, shortest in ((SMALL, 40), (SMALL_6, 60)):
        silent = run(f"loss:spine-1:rate=1,max_bytes={shortest}", fabric=fabric)
        spared = run(f"loss:spine-1:rate=1,max_bytes={shortest - 1}", fabric=fabric)
        assert set(silent.truth.lost_leg.tolist()) == {-1, Leg.REPLY}
        assert set(spared.truth.lost_leg.tolist()) == {-1}


def five_tuple(probe, leg):
    """As switches see it: encapsulated packets have no ports."""
    if leg == Leg.ENCAPSULATED:
        return (leg, probe["outer_source"].tobytes(), probe["via"].tobytes())
    return (leg, probe["source"].tobytes(), probe["target"].tobytes(), int(probe["source_port"]))


@pytest.mark.parametrize(
    "element",
    ["leaf-2-1~spine-1", "spine-1", "spine-1/lc-1", "spine-1/lc-1>lc-2", "leaf-2-1:Ethernet5"],
)
def test_a_black_hole_takes_some_flows_whole(element):
    share, seconds = 0.3, 8.0
    result = run(f"black_hole:{element}:share={share}", seconds=seconds)
    expected, lost = crossing_chip(element, seconds), lost_legs(result)
    probes = {int(p["probe_id"]): p for p in result.probes}
    fates = defaultdict(set)
    for probe_id, legs in expected.items():
        for leg in legs:
            if lost.get(probe_id, 9) >= leg:
                fates[five_tuple(probes[probe_id], leg)].add(lost.get(probe_id) == leg)
    assert set(lost) <= set(expected)
    assert all(len(fate) == 1 for fate in fates.values())
    holes = sum(True in fate for fate in fates.values())
    assert len(fates) > 40
    assert within(holes, len(fates), share)
    assert 0 < holes < len(fates)


def crossing_chip(element, seconds):
    """Probe ID -> all legs that cross the element; a chip is crossed by what comes or goes by its ports."""
    result = healthy(seconds)
    ways = ways_of(result)
    if "/" in element and ">" not in element:
        switch, _, chip = element.partition("/")
        chips = [c.label for c in DEMO.switch_by_name[switch].chips if c.role != "fabric"]
        pairs = {*((chip, other) for other in chips), *((other, chip) for other in chips)}
        tests = [through(f"{switch}/{near}>{far}") for near, far in pairs]
    else:
        tests = [through(element)]
    crossed = defaultdict(list)
    for (probe_id, leg), way in ways.items():
        if any(test(way) for test in tests):
            crossed[probe_id].append(leg)
    return crossed


def test_a_switch_that_is_down_swallows_everything_and_shows_nothing():
    result = run("switch_down:leaf-2-1")
    node = DEMO.node("leaf-2-1")
    assert not (result.digests["switch"] == node).any()
    assert lost_legs(result) == crossing("leaf-2-1")
    lost = result.truth.lost_leg >= 0
    assert set(result.truth.lost_at[lost].tolist()) == {node}
    assert set(result.truth.lost_link[lost].tolist()) == {-1}
    # Its neighbours go on sending: what dies there was last seen next to it.
    hops = hops_of(result)
    last = {int(hops[key][-1]["switch"]) for key in lost_legs(result).items() if key in hops}
    neighbours = {DEMO.node(port.peer) for port in DEMO.switch_by_name["leaf-2-1"].ports}
    assert last and last <= neighbours


def test_a_dead_decapsulating_switch_ends_leg_0():
    node = max(healthy().probes["via_node"].tolist())
    result = run(f"switch_down:{DEMO.node_name(node)}")
    via = result.probes["via_node"] == node
    assert set(result.truth.lost_leg[via].tolist()) == {Leg.ENCAPSULATED}
    assert set(result.truth.lost_at[via].tolist()) == {node}


@pytest.mark.parametrize("element", ["tor-2-2", "server-2-2-2"])
def test_a_reboot_ends(element):
    result = run(f"reboot:{element}:after=1,for=2", seconds=5)
    down = np.where(element.startswith("tor"), result.truth.lost_leg >= 0, result.truth.silenced_by >= 0)
    sent = result.probes["sent_at_us"][down].astype(np.int64) - START_US
    assert sent.min() >= 1_000_000
    assert sent.max() < 3_000_000
    outcomes = result.outcomes["rtt_ns"] < 0
    assert (outcomes == down).all()


@pytest.mark.parametrize("fabric", [SMALL, SMALL_6], ids=["v4", "v6"])
@pytest.mark.parametrize("stuck", [0, 1])
def test_stuck_bits_are_altered_only_where_they_differ(stuck, fabric):
    offset, mask = 120, 0x30
    result = run(f"flip:spine-1:rate=1,offset={offset},mask={mask},stuck={stuck}", fabric=fabric, seconds=4)
    clean = run(fabric=fabric, seconds=4)
    crosses = {
        i for (i, leg), way in ways_of(clean, fabric).items() if leg < 2 and fabric.node("spine-1") in way
    }
    header = 20 if fabric is SMALL else 40
    bare = result.probes.copy()
    bare["via"] = np.zeros(1, "V16")
    packets, lengths = build(bare)
    byte = normalise(packets, lengths)[:, header + offset]
    differs = (byte & mask) != (mask if stuck else 0)
    expected = differs & np.isin(result.probes["probe_id"], list(crosses))
    assert expected.any() and (~differs).any()
    assert ((result.truth.altered_leg >= 0) == expected).all()
    sent = {int(p): int(b) for p, b in zip(result.probes["probe_id"], byte, strict=True)}
    assert result.altered
    for altered in result.altered:
        got = altered.packet[header + offset]
        good = sent[int(result.digests["probe_id"][altered.row])]
        assert got == (good | mask if stuck else good & ~mask)


def test_a_stuck_bit_sees_what_flips_before_it_did():
    """A bit that one cable inverts and the next holds at 1: what arrives has a 1, whatever was sent."""
    at = "rate=1,offset=120,mask=1"
    result = run(f"flip:border-1~spine-1:{at}", f"flip:spine-1~leaf-2-1:{at},stuck=1", seconds=4)
    hops = hops_of(result)
    packet_of = {altered.row: altered.packet for altered in result.altered}
    row_of = {tuple(row.tolist()): at for at, row in enumerate(result.digests)}
    twice = 0
    for (_, leg), rows in hops.items():
        switches = [int(row["switch"]) for row in rows]
        pair = [DEMO.node("border-1"), DEMO.node("spine-1"), DEMO.node("leaf-2-1")]
        places = [i for i in range(len(switches)) if switches[i : i + 3] == pair]
        if leg == Leg.REPLY or not places:
            continue
        first = packet_of[row_of[tuple(rows[places[0] + 1].tolist())]]  # inverted, hence altered for sure
        last = packet_of.get(row_of[tuple(rows[places[0] + 2].tolist())])
        assert last is None or last[140] & 1
        assert (last is None) == (first[140] & 1 == 0), "what was 1 before the inversion is whole again"
        twice += 1
    assert twice > 5


def test_a_loop_turns_packets_between_two_switches_until_their_ttl_ends():
    near, far = link_of("tor-2-1~leaf-2-2")
    result = run("loop:tor-2-1~leaf-2-2", seconds=4)
    expected = crossing("tor-2-1~leaf-2-2", 4.0)
    assert len(expected) > 20
    assert lost_legs(result) == expected
    hops = hops_of(result)
    for probe_id, leg in expected.items():
        switches = [int(row["switch"]) for row in hops[probe_id, leg]]
        ttl = [int(row["ttl"]) for row in hops[probe_id, leg]]
        # A decapsulated packet has lost one at the ToR that took its header off, and shows no copy there.
        first = ttl[0]
        assert first in (63, 64)
        assert ttl == list(range(first, 0, -1))
        turning = switches[switches.index(far) :] if first == 63 else switches[switches.index(near) :]
        assert set(turning[::2]) | set(turning[1::2]) == {near, far}
        assert len(set(turning[::2])) == len(set(turning[1::2])) == 1
    lost = result.truth.lost_leg >= 0
    assert (result.truth.lost_by[lost] == 0).all()
    assert (result.truth.strayed_by[lost] == 0).all()
    assert set(result.truth.strayed_at[lost].tolist()) == {far}
    assert {DEMO.index.link_name(row) for row in result.truth.strayed_link[lost]} == {"leaf-2-2~tor-2-1"}


def test_a_loop_spares_what_ends_at_its_far_end():
    """An outer packet that is taken off at a ToR does not go on; the inner one comes from nowhere else."""
    ways = ways_of(healthy(8.0))
    inbound = [way[-2:] for (_, leg), way in ways.items() if leg == Leg.ENCAPSULATED]
    cable = max(set(inbound), key=inbound.count)
    assert inbound.count(cable) > 5
    turned = {key for key, way in ways.items() if key[1] == Leg.PROBE and cable in cables(way)}
    turned |= {key for key, way in ways.items() if key[1] == Leg.REPLY and cable in cables(way)}
    assert turned
    result = run(f"loop:{DEMO.node_name(cable[0])}~{DEMO.node_name(cable[1])}", seconds=8)
    assert set(lost_legs(result).items()) == turned
    assert (result.truth.strayed_leg >= 0).sum() == len(turned)


def test_a_loop_may_take_some_flows_only():
    expected = crossing_chip("tor-2-1~leaf-2-2", 16.0)
    result = run("loop:tor-2-1~leaf-2-2:share=0.3", seconds=16)
    lost = lost_legs(result)
    probes = {int(p["probe_id"]): p for p in result.probes}
    fates = defaultdict(set)
    for probe_id, legs in expected.items():
        for leg in legs:
            if lost.get(probe_id, 9) >= leg:
                fates[five_tuple(probes[probe_id], leg)].add(lost.get(probe_id) == leg)
    assert all(len(fate) == 1 for fate in fates.values())
    assert within(sum(True in fate for fate in fates.values()), len(fates), 0.3)
    assert set(lost) <= set(expected)


def test_a_wrong_route_sends_packets_down_and_up_again():
    """leaf-2-1 sends to tor-2-2 what should go up: a valley, with a way out by any leaf of the pod."""
    near, far = link_of("leaf-2-1~tor-2-2")
    result = run("wrong_route:leaf-2-1~tor-2-2")
    clean = ways_of(healthy())
    hops = hops_of(result)
    strayed = 0
    for row, probe in enumerate(result.probes):
        leg = int(result.truth.strayed_leg[row])
        probe_id = int(probe["probe_id"])
        if leg < 0:
            continue
        strayed += 1
        seen = [int(h["switch"]) for h in hops[probe_id, leg]]
        usual = clean[probe_id, leg]
        # Up to the wrong turn all is as usual; then comes the wrong switch, which is not on the usual way.
        at = seen.index(near)
        assert seen[: at + 1] == list(usual[1 : at + 2])
        assert usual[at + 2] != far
        assert seen[at + 1] == far
        assert result.truth.strayed_at[row] == near
        leaves = {DEMO.node(f"leaf-2-{i}") for i in range(1, 5)}
        assert seen[at + 2] in leaves
    assert strayed > 50
    # Who belongs to tor-2-2 gets there as ever; and what the ToR sends by another leaf arrives.
    assert not any(
        way[-1] in {s.node for s in DEMO.servers if s.tor == "tor-2-2"} and leg == 1
        for (i, leg), way in clean.items()
        if i in set(result.probes["probe_id"][result.truth.strayed_leg == leg].tolist()) and near in way
    )
    arrived = (result.truth.strayed_leg >= 0) & (result.outcomes["rtt_ns"] > 0)
    lost = (result.truth.strayed_leg >= 0) & (result.truth.lost_leg >= 0)
    assert arrived.any() and lost.any()
    assert (arrived | lost).sum() == strayed
    assert (result.truth.lost_by[lost] == 0).all()


def test_a_wrong_route_that_is_a_right_one_changes_nothing():
    result = run("wrong_route:tor-2-1~leaf-2-1")
    # All leaves of a pod are as near as each other for whatever leaves a ToR.
    assert (result.truth.strayed_leg == -1).all()
    assert result.digests.tolist() == healthy().digests.tolist()


def test_probe_ids_that_come_round_again_draw_anew():
    first = due(1)
    again = first.copy()
    again["sent_at_us"] += 1024 * 1_000_000
    made = simulator("loss:spine-1:rate=0.5", settings=SimulatorSettings(loss_rate=0.01))
    one, two = made.run(first), made.run(again)
    met = (one.truth.lost_leg >= 0) | (two.truth.lost_leg >= 0)
    same = ((one.truth.lost_leg == two.truth.lost_leg) & met).sum()
    assert same < met.sum() / 2
    assert made.run(first).outcomes.tolist() == one.outcomes.tolist()


@pytest.mark.parametrize("element", ["leaf-2-1~spine-1", "spine-1"])
def test_what_one_fault_has_dropped_meets_no_other(element):
    result = run(f"loss:{element}:rate=1", f"loss:{element}:rate=1", f"flip:{element}:rate=1")
    assert result.tallies.keys() == {0}
    assert set(result.truth.lost_by.tolist()) == {-1, 0}


def test_a_switch_that_is_down_twice_swallows_once():
    result = run("switch_down:leaf-2-1", "reboot:leaf-2-1:for=9")
    assert result.tallies.keys() == {0}


def test_faults_may_meet_at_one_element():
    result = run("loss:spine-1:rate=0.5", "loss:spine-1/lc-1>lc-2:rate=1", "flip:spine-1:rate=1,offset=120")
    assert set(result.truth.lost_by[result.truth.lost_by >= 0].tolist()) == {0, 1}
    assert set(result.truth.altered_by[result.truth.altered_by >= 0].tolist()) == {2}
    pair = crossing("spine-1/lc-1>lc-2")
    lost = lost_legs(result)
    # No reply comes by: a kernel drops what the flip has altered.
    assert all(lost.get(probe_id, 9) <= leg for probe_id, leg in pair.items() if leg < Leg.REPLY)
    flagged = result.digests["flags"] & DigestFlag.PAYLOAD_ALTERED
    assert (flagged > 0).any()

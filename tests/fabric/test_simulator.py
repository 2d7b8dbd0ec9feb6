"""The simulator against its own truth, the wire format, scapy and plain Python."""

from collections import defaultdict
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fabric.address import pack_addresses
from fabric.builtin import builtin_fabric
from fabric.faults import parse_spec
from fabric.simulator import Simulator, SimulatorSettings, Slice
from fabric.simulator.content import build_replies
from fabric.simulator.reply_hash import reply_hash
from producers.content import content_hash, normalise
from producers.plan import PLANNED_DTYPE, PlanSettings, build_plan
from producers.wire import build
from schemas.rows import DIGEST, OUTCOME, DigestFlag, Kind, Leg

START_US = 1_700_000_000_000_000
DEMO = builtin_fabric("demo")
LINKS_BETWEEN_SWITCHES = [link.name for link in DEMO.switch_links]


def due(seconds, fabric=DEMO, start_us=START_US):
    plans = [build_plan(fabric, prober) for prober in fabric.probers]
    return np.concatenate([plan.due(start_us, start_us + int(seconds * 1e6)) for plan in plans])


def run(*specs, seconds=2.0, settings=None, fabric=DEMO) -> tuple[np.ndarray, Slice]:
    simulator = Simulator(fabric, seed=1, settings=settings)
    for spec in specs:
        simulator.inject(parse_spec(spec, fabric), START_US)
    probes = due(seconds, fabric)
    return probes, simulator.run(probes)


def hops_of(result: Slice):
    """(probe_id, leg) -> rows of digests in the order of the path, told by TTL."""
    legs = defaultdict(list)
    for row in result.digests[np.argsort(-result.digests["ttl"].astype(int), kind="stable")]:
        legs[int(row["probe_id"]), int(row["leg"])].append(row)
    return legs


@pytest.fixture(scope="module")
def healthy():
    return run()


def test_a_healthy_network_answers_everything(healthy):
    probes, result = healthy
    assert result.outcomes.dtype == OUTCOME.dtype
    assert result.digests.dtype == DIGEST.dtype
    assert (result.outcomes["rtt_ns"] > 0).all()
    assert (result.outcomes["probe_id"] == probes["probe_id"]).all()
    assert not result.altered
    assert (result.truth.lost_leg == -1).all()
    assert result.mirror_lost.sum() == 0
    assert result.mirrored.sum() == len(result.digests)
    assert {Kind(k) for k in np.unique(probes["kind"])} == set(Kind)


def test_every_leg_follows_cables_and_counts_down(healthy):
    probes, result = healthy
    by_id = {int(p["probe_id"]): p for p in probes}
    index = DEMO.index
    for (probe_id, leg), hops in hops_of(result).items():
        probe = by_id[probe_id]
        nodes = [int(h["switch"]) for h in hops]
        ttl = [int(h["ttl"]) for h in hops]
        prober = DEMO.node(f"prober-{probe_id >> 32}")
        if leg == Leg.ENCAPSULATED:
            nodes = [prober, *nodes]
            assert nodes[-1] == probe["via_node"]
        elif leg == Leg.PROBE:
            nodes = [int(probe["via_node"]) if probe["via_node"] >= 0 else prober, *nodes]
            nodes += [int(probe["target_node"])]
        else:
            nodes = [int(probe["target_node"]), *nodes, prober]
        # Decapsulation is a hop: the first copy of the inner packet is that of the next switch.
        first = 63 if leg == Leg.PROBE and probe["via_node"] >= 0 else 64
        assert ttl == list(range(first, first - len(ttl), -1))
        near, far = np.array(nodes[:-1], np.int32), np.array(nodes[1:], np.int32)
        links = index.link_index(near, far)
        assert (links >= 0).all()
        ports = index.link_to_port[links][: len(hops)]
        assert [int(h["port"]) for h in hops] == ports.tolist()
        assert len(set(nodes)) == len(nodes)


def test_times_are_in_order(healthy):
    _, result = healthy
    assert (np.diff(result.digests["observed_at_us"].astype(np.int64)) >= 0).all()
    sent = dict(
        zip(result.outcomes["probe_id"].tolist(), result.outcomes["sent_at_us"].tolist(), strict=True)
    )
    after = result.digests["observed_at_us"] - np.array(
        [sent[i] for i in result.digests["probe_id"].tolist()]
    )
    assert (after > 0).all()
    assert (result.known_at_us > result.outcomes["sent_at_us"]).all()


def test_hashes_are_those_of_the_wire(healthy):
    probes, result = healthy
    bare = probes.copy()
    bare["via"] = np.zeros(1, "V16")
    packets, lengths = build(bare)
    expected = dict(
        zip(
            probes["probe_id"].tolist(),
            content_hash(normalise(packets, lengths), lengths).tolist(),
            strict=True,
        )
    )
    assert result.outcomes["content_hash"].tolist() == list(expected.values())
    forward = result.digests[result.digests["leg"] != Leg.REPLY]
    assert forward["content_hash"].tolist() == [expected[i] for i in forward["probe_id"].tolist()]
    assert set(forward["length"].tolist()) == {552}
    assert set(result.digests["length"][result.digests["leg"] == Leg.REPLY].tolist()) == {40}


@pytest.mark.parametrize("family", [4, 6])
def test_replies_are_what_scapy_would_build(family):
    from scapy.layers.inet import IP, TCP
    from scapy.layers.inet6 import IPv6

    from fabric.address import pack_address

    source, target = ("10.255.0.1", "10.1.1.10") if family == 4 else ("2001:db8::1", "2001:db8::2")
    probe = np.zeros(1, PLANNED_DTYPE)
    probe["probe_id"] = 5 << 32 | 0xFFFFFFF0
    probe["source"], probe["target"] = (np.frombuffer(pack_address(a), "V16") for a in (source, target))
    probe["source_port"], probe["destination_port"] = 20_001, 65_111
    ack = (0xFFFFFFF0 + 513) % 2**32
    segment = TCP(sport=65_111, dport=20_001, seq=0, ack=ack, flags="RA", window=0)
    header = IP(src=target, dst=source, id=0, flags="DF") if family == 4 else IPv6(src=target, dst=source)
    oracle = np.frombuffer(bytes(header / segment), np.uint8)[None]
    packets, lengths = build_replies(probe)
    assert lengths.tolist() == [oracle.shape[1]]
    assert (packets == normalise(oracle, lengths)).all()


@given(st.data())
@settings(max_examples=25, deadline=None)
def test_hashes_of_replies_are_those_of_their_bytes(data):
    families = data.draw(st.lists(st.sampled_from([4, 6]), min_size=1, max_size=5))
    probes = np.zeros(len(families), PLANNED_DTYPE)
    probes["probe_id"] = data.draw(
        st.lists(st.integers(0, 2**48), min_size=len(probes), max_size=len(probes))
    )
    for name in ("source_port", "destination_port"):
        probes[name] = data.draw(st.lists(st.integers(0, 65_535), min_size=len(probes), max_size=len(probes)))
    for name in ("source", "target"):
        addresses = [data.draw(st.ip_addresses(v=family)) for family in families]
        probes[name] = pack_addresses(map(str, addresses))
    assert reply_hash(probes).tolist() == content_hash(*build_replies(probes)).tolist()


def test_slices_change_nothing():
    settings = SimulatorSettings(loss_rate=0.01, mirror_loss_rate=0.02)
    specs = ["loss:spine-1:rate=0.2", "flip:tor-1-1~leaf-1-1:rate=0.5"]
    probes, whole = run(*specs, settings=settings)
    simulator = Simulator(DEMO, seed=1, settings=settings)
    for spec in specs:
        simulator.inject(parse_spec(spec, DEMO), START_US)
    cuts = [0, 3, 600, 601, len(probes)]
    parts = [simulator.run(probes[a:b]) for a, b in pairwise(cuts)]
    assert np.concatenate([p.outcomes for p in parts]).tolist() == whole.outcomes.tolist()
    digests = np.concatenate([p.digests for p in parts])
    assert sorted(digests.tolist()) == sorted(whole.digests.tolist())
    assert sum(len(p.altered) for p in parts) == len(whole.altered)


def test_no_probes_give_no_rows():
    result = Simulator(DEMO, seed=1).run(np.empty(0, PLANNED_DTYPE))
    assert (len(result.outcomes), len(result.digests)) == (0, 0)


@pytest.mark.parametrize(
    "link", ["tor-2-3~leaf-2-1", "leaf-3-4~spine-8", "spine-1~border-2", "border-1~spine-5"]
)
def test_loss_on_a_link_ends_legs_at_its_near_end(link):
    _, result = run(f"loss:{link}:rate=0.5", seconds=4)
    near, far = link.split("~")
    lost = result.truth.lost_leg >= 0
    assert lost.any()
    assert (result.outcomes["rtt_ns"][lost] == -1).all()
    assert (result.outcomes["rtt_ns"][~lost] > 0).all()
    assert {DEMO.index.link_name(row) for row in result.truth.lost_link[lost]} == {link}
    legs = hops_of(result)
    for row in np.flatnonzero(lost):
        hops = legs[int(result.outcomes["probe_id"][row]), int(result.truth.lost_leg[row])]
        assert int(hops[-1]["switch"]) == DEMO.node(near)
    # And it does not lose all: half of what crosses goes on.
    arrived = (result.digests["switch"] == DEMO.node(far)) & (
        result.digests["port"] == DEMO.link_by_name[link].to_port
    )
    assert 0.3 < arrived.sum() / (arrived.sum() + lost.sum()) < 0.7


def test_a_dead_link_carries_nothing_in_either_direction():
    _, result = run("link_down:leaf-1-1~spine-2")
    index = DEMO.index
    lost = {index.link_name(row) for row in result.truth.lost_link[result.truth.lost_leg >= 0]}
    assert lost == {"leaf-1-1~spine-2", "spine-2~leaf-1-1"}
    for link in lost:
        far, port = DEMO.node(link.split("~")[1]), DEMO.link_by_name[link].to_port
        assert not ((result.digests["switch"] == far) & (result.digests["port"] == port)).any()


def test_a_chip_harms_only_what_crosses_it():
    _, result = run("loss:spine-1/fc-1:rate=1", seconds=4)
    lost = result.truth.lost_leg >= 0
    assert set(result.truth.lost_at[lost].tolist()) == {DEMO.node("spine-1")}
    seen = result.digests["switch"] == DEMO.node("spine-1")
    assert 0 < lost.sum() < seen.sum()
    # Packets between ports of one line card, and those over the other fabric chip, pass.
    spine = DEMO.switch_by_name["spine-1"]
    card = {p.number: p.chip for p in spine.ports}
    legs = hops_of(result)
    for row in np.flatnonzero(lost):
        hops = legs[int(result.outcomes["probe_id"][row]), int(result.truth.lost_leg[row])]
        assert card[int(hops[-1]["port"])] in ("lc-1", "lc-2")
    _, line_card = run("loss:spine-1/lc-1:rate=1", seconds=4)
    _, switch = run("loss:spine-1:rate=1", seconds=4)
    assert lost.sum() < (line_card.truth.lost_leg >= 0).sum() < (switch.truth.lost_leg >= 0).sum()


def test_a_dead_host_is_silent_and_nothing_else():
    probes, result = run("host_down:server-2-3-4")
    silent = result.outcomes["rtt_ns"] < 0
    assert set(probes["target_node"][silent].tolist()) == {DEMO.node("server-2-3-4")}
    assert silent.sum() == (probes["target_node"] == DEMO.node("server-2-3-4")).sum()
    assert (result.truth.host_silent == silent).all()
    assert (result.truth.silenced_by[silent] == 0).all()
    tor = DEMO.node("tor-2-3")
    legs = hops_of(result)
    for probe_id in result.outcomes["probe_id"][silent].tolist():
        assert int(legs[probe_id, Leg.PROBE][-1]["switch"]) == tor
        assert (probe_id, Leg.REPLY) not in legs


def test_flips_show_from_the_far_end_on():
    link = "leaf-2-2~tor-2-1"
    _, result = run(f"flip:{link}:rate=0.5", seconds=4)
    _, clean = run(seconds=4)
    altered = np.flatnonzero(result.truth.altered_leg >= 0)
    assert len(altered) > 20
    truth = {(int(r["probe_id"]), int(r["leg"])): int(r["content_hash"]) for r in clean.digests}
    legs = hops_of(result)
    for row in altered:
        probe_id, leg = int(result.outcomes["probe_id"][row]), int(result.truth.altered_leg[row])
        hops = legs[probe_id, leg]
        switches = [int(h["switch"]) for h in hops]
        border = switches.index(DEMO.node("tor-2-1"))
        good = [int(h["content_hash"]) == truth[probe_id, leg] for h in hops]
        assert good == [True] * border + [False] * (len(hops) - border)
        assert all(h["flags"] == 0 for h in hops[:border])
        assert all(h["flags"] & DigestFlag.BAD_CHECKSUM for h in hops[border:])
    # A kernel drops what has a bad checksum.
    assert (result.outcomes["rtt_ns"][altered] == -1).all()
    assert result.truth.host_silent[altered].all()


def test_altered_packets_travel_whole_and_differ_where_the_fault_says():
    probes, result = run("flip:spine-3~leaf-1-2:rate=1,offset=120,mask=0x20", seconds=1)
    flagged = np.flatnonzero(result.digests["flags"] != 0)
    assert len(flagged) > 0
    assert [a.row for a in result.altered] == sorted(a.row for a in result.altered)
    assert {a.row for a in result.altered} == set(flagged.tolist())
    sent = {int(p["probe_id"]): p for p in probes}
    for altered in result.altered:
        row = result.digests[altered.row]
        bare = np.array([sent[int(row["probe_id"])]])
        bare["via"] = np.zeros(1, "V16")
        packets, lengths = build(bare)
        good = normalise(packets, lengths)[0, : lengths[0]]
        bad = np.frombuffer(altered.packet, np.uint8)
        assert len(bad) == row["length"]
        assert np.flatnonzero(good != bad).tolist() == [140]
        assert good[140] ^ bad[140] == 0x20
        padded = normalise(bad[None], lengths)
        assert content_hash(padded, lengths)[0] == row["content_hash"]
        assert row["flags"] == DigestFlag.BAD_CHECKSUM | DigestFlag.PAYLOAD_ALTERED


def test_a_flip_beyond_a_reply_leaves_it_alone():
    _, result = run("flip:tor-1-1~leaf-1-1:rate=1,offset=120", seconds=1)
    assert Leg.REPLY not in set(result.truth.altered_leg.tolist())
    assert not (result.digests["flags"][result.digests["leg"] == Leg.REPLY] != 0).any()


def test_altered_replies_reach_the_prober():
    _, result = run("flip:tor-1-1~leaf-1-1:rate=1", seconds=1)
    altered = result.truth.altered_leg == Leg.REPLY
    assert altered.any()
    assert (result.outcomes["rtt_ns"][altered] > 0).all()


def test_a_flip_on_the_encapsulated_leg_stays_after_decapsulation():
    probes, result = run("flip:border-1:rate=1", seconds=1)
    hit = (result.truth.altered_leg == Leg.ENCAPSULATED) & (probes["probe_id"] >> 32 == 1)
    assert hit.sum() == ((probes["via_node"] >= 0) & (probes["probe_id"] >> 32 == 1)).sum()
    legs = hops_of(result)
    for probe_id in probes["probe_id"][hit].tolist():
        flags = [int(h["flags"]) != 0 for h in legs[probe_id, Leg.ENCAPSULATED]]
        assert flags == [False] + [True] * (len(flags) - 1)
        assert all(h["flags"] for h in legs[probe_id, Leg.PROBE])
    assert result.truth.host_silent[hit].all()


@pytest.mark.parametrize("link", ["tor-1-1~server-1-1-1", "server-1-1-1~tor-1-1"])
def test_a_servers_own_cable_can_fail(link):
    _, result = run(f"loss:{link}:rate=1")
    lost = result.truth.lost_leg >= 0
    assert lost.any()
    assert {DEMO.index.link_name(row) for row in result.truth.lost_link[lost]} == {link}
    assert set(result.truth.lost_leg[lost].tolist()) == {Leg.PROBE if link.startswith("tor") else Leg.REPLY}


def test_two_flips_at_the_same_bit_undo_each_other():
    spec = "rate=1,offset=120,mask=1"
    _, result = run(f"flip:leaf-1-1:{spec}", f"flip:tor-1-1:{spec}", seconds=1)
    twice = result.truth.altered_leg == Leg.PROBE
    targets = {DEMO.node(s.name) for s in DEMO.servers if s.tor == "tor-1-1"}
    probes = due(1)
    through_both = twice & np.isin(probes["target_node"], list(targets)) & (probes["via_node"] < 0)
    both = through_both & (result.truth.altered_at == DEMO.node("leaf-1-1"))
    assert both.any()
    assert (result.outcomes["rtt_ns"][both] > 0).all()


def test_lost_mirrors_are_no_lost_packets():
    _, result = run("mirror_loss:leaf-1-1:rate=0.5")
    _, clean = run()
    assert result.outcomes.tolist() == clean.outcomes.tolist()
    leaf = DEMO.node("leaf-1-1")
    kept = (result.digests["switch"] == leaf).sum()
    made = (clean.digests["switch"] == leaf).sum()
    assert 0.4 < kept / made < 0.6
    assert len(clean.digests) - len(result.digests) == made - kept == result.mirror_lost.sum()


def test_known_silent_hosts_are_silent():
    from dataclasses import replace

    servers = (replace(DEMO.servers[0], answers=False), *DEMO.servers[1:])
    fabric = replace(DEMO, servers=servers)
    probes, result = run(fabric=fabric)
    silent = result.outcomes["rtt_ns"] < 0
    assert set(probes["target_node"][silent].tolist()) == {DEMO.servers[0].node}
    assert (result.truth.silenced_by == -1).all()


def test_faults_begin_and_end():
    simulator = Simulator(DEMO, seed=1)
    simulator.inject(parse_spec("host_down:server-1-1-1:for=2", DEMO), START_US + 1_000_000)
    result = simulator.run(due(5))
    sent = result.outcomes["sent_at_us"][result.outcomes["rtt_ns"] < 0] - START_US
    assert sent.min() >= 1_000_000
    assert sent.max() < 3_000_000


def test_background_loss_has_its_rate():
    _, result = run(settings=SimulatorSettings(loss_rate=0.002), seconds=10)
    crossings = len(result.digests) + 2 * len(result.outcomes)
    lost = (result.truth.lost_leg >= 0).sum()
    assert abs(lost - 0.002 * crossings) < 5 * np.sqrt(0.002 * crossings)
    assert set(result.truth.lost_by.tolist()) == {-1, -2}


@pytest.mark.parametrize("field", ["target_node", "via_node", "probe_id"])
def test_strangers_are_refused(field):
    probes = due(1)[:3]
    probes[field] = 77 << 32 if field == "probe_id" else 99_999_999
    with pytest.raises(ValueError, match="not in the fabric"):
        Simulator(DEMO, seed=1).run(probes)


def test_the_plan_crosses_every_link_often_enough():
    """A loss of 30 % on any link between switches of the demo must show at once: 6 crossings a second."""
    seconds = 16
    result = Simulator(DEMO, seed=1).run(due(seconds))
    arrivals = np.stack([result.digests["switch"], result.digests["port"]], axis=1).astype(int)
    counts = defaultdict(int)
    for (switch, port), count in zip(*np.unique(arrivals, axis=0, return_counts=True), strict=True):
        counts[int(switch), int(port)] = int(count)
    per_s = {
        name: counts[DEMO.node(name.split("~")[1]), DEMO.link_by_name[name].to_port] / seconds
        for name in LINKS_BETWEEN_SWITCHES
    }
    assert len(per_s) == 2 * (16 * 4 + 16 * 2 + 8 * 2)
    assert min(per_s.values()) >= 6, min(per_s, key=per_s.__getitem__)


@pytest.mark.parametrize("link", LINKS_BETWEEN_SWITCHES[::23])
def test_a_loss_of_30_percent_shows_within_3_seconds(link):
    _, result = run(f"loss:{link}:rate=0.3", seconds=3)
    assert (result.truth.lost_leg >= 0).sum() >= 5


def test_a_larger_fabric_runs():
    fabric = builtin_fabric("fat-tree-8")
    plans = [build_plan(fabric, p, PlanSettings(rate_max_pps=10**6)) for p in fabric.probers]
    probes = np.concatenate([plan.due(START_US, START_US + 1_000_000) for plan in plans])
    result = Simulator(fabric, seed=2).run(probes)
    assert (result.outcomes["rtt_ns"] > 0).all()

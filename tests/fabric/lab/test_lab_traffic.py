"""Real kernels forward, answer and mirror: one lab for all tests of this file."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import numpy as np
import pytest
from lab_traffic import Seen, Traffic, needs_root

from fabric.builtin import builtin_fabric
from fabric.faults import parse_spec
from fabric.lab.namespaces import LabError
from fabric.lab.run import Lab
from fabric.model import Fabric, Link
from producers.mirror.sequences import count, drain, no_copies
from schemas.rows import DigestFlag, Leg, ReplyKind

pytestmark = pytest.mark.root

FLOWS = 24  # source ports per target: enough to use every equal-cost path
TTL = 64


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    needs_root()
    with Lab(builtin_fabric("lab")) as lab:
        yield lab


@pytest.fixture(scope="module")
def traffic(lab: Lab) -> Iterator[Traffic]:
    traffic = Traffic(lab)
    yield traffic
    traffic.close()


def servers(fabric: Fabric, pod: str = "") -> list[str]:
    return [
        server.name for server in fabric.servers if not pod or fabric.switch_by_name[server.tor].pod == pod
    ]


def ids(seen: Seen) -> set[int]:
    return set((seen.probe_ids & 0xFFFFFFFF).tolist())


def test_every_server_answers_over_every_path(traffic: Traffic) -> None:
    fabric = traffic.fabric
    seen = traffic.probe(servers(fabric), FLOWS)
    assert seen.answered() == ids(seen)
    assert (seen.replies["kind"] == ReplyKind.RST).all()
    assert len(seen.replies) == len(seen.probe_ids)
    # Every cable was used in both directions: the tiers' hashes are independent of each other.
    rows = seen.digests.rows
    used = set(zip(rows["switch"].tolist(), rows["port"].tolist(), rows["leg"].tolist(), strict=True))
    for link in fabric.links:
        if link.to_name in fabric.switch_by_name:
            leg = Leg.PROBE if descends(fabric, link) else Leg.REPLY
            assert (fabric.node(link.to_name), link.to_port, leg) in used, link.name


def descends(fabric: Fabric, link: Link) -> bool:
    """Whether a link leads away from the Prober."""
    order = ["prober", "border", "spine", "leaf", "tor", "server"]
    near, far = (
        fabric.switch_by_name[name].tier if name in fabric.switch_by_name else name.split("-")[0]
        for name in (link.from_name, link.to_name)
    )
    return order.index(near) < order.index(far)


def test_each_hop_mirrors_once_with_a_lower_ttl(traffic: Traffic) -> None:
    seen = traffic.probe(servers(traffic.fabric), 3)
    rows = seen.digests.rows
    for leg in (Leg.PROBE, Leg.REPLY):
        for probe_id in seen.probe_ids:
            hops = rows[(rows["leg"] == leg) & (rows["probe_id"] == probe_id)]
            assert sorted(hops["ttl"].tolist(), reverse=True) == [TTL - i for i in range(4)]
            order = [
                traffic.fabric.node_name(n) for n in hops["switch"][np.argsort(-hops["ttl"].astype(int))]
            ]
            expected = ["border", "spine", "leaf", "tor"]
            tiers = [traffic.fabric.switch_by_name[name].tier for name in order]
            assert tiers == (expected if leg == Leg.PROBE else expected[::-1])
    assert (rows["flags"] == 0).all()
    assert (rows["port"] > 0).all()
    assert not seen.digests.rejected


def test_gre_sequences_count_per_session_without_gaps(traffic: Traffic) -> None:
    state = no_copies()
    received = 0
    for _ in range(2):
        seen = traffic.probe(servers(traffic.fabric), 6)
        state = count(state, seen.digests.copies)
        received += len(seen.digests.rows)
    _, counts = drain(state)
    assert sum(each.lost for each in counts) == 0
    assert sum(each.received for each in counts) == received
    # Type II exporters have one session, type III exporters one per port.
    assert len(counts) > len(traffic.fabric.switches)


def test_east_west_probes_are_decapsulated_and_answered(traffic: Traffic) -> None:
    fabric = traffic.fabric
    seen = traffic.probe(servers(fabric, "pod-2"), FLOWS, via="tor-1-1")
    assert seen.answered() == ids(seen)
    rows = seen.digests.rows
    tier_of = {s.node: s.tier for s in fabric.switches}
    for leg, tiers in (
        (Leg.ENCAPSULATED, ["border", "spine", "leaf", "tor"]),
        (Leg.PROBE, ["leaf", "spine", "leaf", "tor"]),  # the decapsulating ToR is a hop of leg 0 only
        (Leg.REPLY, ["tor", "leaf", "spine", "border"]),
    ):
        for probe_id in seen.probe_ids:
            hops = rows[(rows["leg"] == leg) & (rows["probe_id"] == probe_id)]
            hops = hops[np.argsort(-hops["ttl"].astype(int))]
            assert [tier_of[int(n)] for n in hops["switch"]] == tiers
            first = TTL - 1 if leg == Leg.PROBE else TTL
            assert hops["ttl"].tolist() == [first - i for i in range(len(tiers))]
    # Legs 0 and 1 are the same inner packet.
    for probe_id in seen.probe_ids:
        out = rows[(rows["leg"] != Leg.REPLY) & (rows["probe_id"] == probe_id)]
        assert len(set(out["content_hash"].tolist())) == 1


def test_loss_hits_one_link_in_one_direction_at_its_rate(lab: Lab, traffic: Traffic) -> None:
    fabric = lab.fabric
    spec = parse_spec("loss:spine-1~leaf-1-1:rate=0.3", fabric)
    lab.faults.start(spec)
    try:
        seen = traffic.probe(servers(fabric), 3 * FLOWS)
    finally:
        lab.faults.stop(spec)
    # Who was at the spine and goes to pod 1 by that leaf cannot be known of a lost one; but all that was
    # lost was lost there: it was at the spine and at no leaf.
    lost = ids(seen) - seen.answered()
    rows = seen.digests.rows
    to_pod_1 = set(seen.at(fabric, "spine-1", Leg.PROBE) & 0xFFFFFFFF)
    tier_of = {s.node: s.tier for s in fabric.switches}
    leaves = np.isin(rows["switch"], [n for n, tier in tier_of.items() if tier == "leaf"])
    at_a_leaf = set(rows["probe_id"][leaves & (rows["leg"] == Leg.PROBE)].astype(np.int64) & 0xFFFFFFFF)
    assert lost
    assert lost <= to_pod_1
    assert not lost & at_a_leaf
    passed = len(seen.at(fabric, "leaf-1-1", Leg.PROBE)) - _from_spine_2(seen, fabric)
    rate = len(lost) / (len(lost) + passed)
    assert 0.15 < rate < 0.45
    again = traffic.probe(servers(fabric), FLOWS)
    assert again.answered() == ids(again)


def _from_spine_2(seen: Seen, fabric: Fabric) -> int:
    """Probes that reached leaf-1-1 by the other spine."""
    port = fabric.link_by_name["spine-2~leaf-1-1"].to_port
    rows = seen.digests.rows
    at_leaf = (rows["switch"] == fabric.node("leaf-1-1")) & (rows["leg"] == Leg.PROBE)
    return int((at_leaf & (rows["port"] == port)).sum())


def test_a_link_that_is_down_drops_silently_in_both_directions(lab: Lab, traffic: Traffic) -> None:
    fabric = lab.fabric
    spec = parse_spec("link_down:leaf-2-1~tor-2-1", fabric)
    lab.faults.start(spec)
    try:
        seen = traffic.probe(servers(fabric), FLOWS)
    finally:
        lab.faults.stop(spec)
    rows = seen.digests.rows
    down = (rows["switch"] == fabric.node("tor-2-1")) & (
        rows["port"] == fabric.link_by_name["leaf-2-1~tor-2-1"].to_port
    )
    up = (rows["switch"] == fabric.node("leaf-2-1")) & (
        rows["port"] == fabric.link_by_name["tor-2-1~leaf-2-1"].to_port
    )
    assert not (down & (rows["leg"] == Leg.PROBE)).any()
    assert not (up & (rows["leg"] == Leg.REPLY)).any()
    lost = ids(seen) - seen.answered()
    assert lost
    assert (seen.replies["kind"] == ReplyKind.RST).all()  # no ICMP: a silent hole
    pod_1 = {i for i, name in enumerate(servers(fabric)) if name.startswith("server-1-")}
    first = int(seen.probe_ids[0] & 0xFFFFFFFF)
    assert not {(i - first) // FLOWS for i in lost} & pod_1


def test_a_dead_uplink_of_the_prober_leaves_no_trace_and_no_error(lab: Lab, traffic: Traffic) -> None:
    spec = parse_spec("link_down:prober-1~border-1", lab.fabric)
    lab.faults.start(spec)
    try:
        seen = traffic.probe(servers(lab.fabric), 1)
        opened = lab.open_in("prober-1", lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0))
        with opened:
            opened.bind((lab.prober_device, 0))
            opened.send(bytes(60))  # would raise ENOBUFS if the Prober's own kernel dropped it
    finally:
        lab.faults.stop(spec)
    assert len(seen.digests.rows) == 0
    assert len(seen.replies) == 0


def test_a_flip_alters_the_payload_from_the_far_end_on(lab: Lab, traffic: Traffic) -> None:
    fabric = lab.fabric
    spec = parse_spec("flip:leaf-2-2~tor-2-2:rate=0.5,offset=120,mask=0x10", fabric)
    lab.faults.start(spec)
    try:
        seen = traffic.probe(servers(fabric), FLOWS)
    finally:
        lab.faults.stop(spec)
    rows = seen.digests.rows
    flagged = rows[rows["flags"] != 0]
    assert len(flagged)
    assert set(flagged["switch"].tolist()) == {fabric.node("tor-2-2")}
    assert (flagged["flags"] == DigestFlag.BAD_CHECKSUM | DigestFlag.PAYLOAD_ALTERED).all()
    # The server's kernel drops what has a bad checksum, silently.
    assert set(flagged["probe_id"].astype(np.int64) & 0xFFFFFFFF) == ids(seen) - seen.answered()
    arrived = (rows["switch"] == fabric.node("tor-2-2")) & (rows["leg"] == Leg.PROBE)
    arrived &= rows["port"] == fabric.link_by_name["leaf-2-2~tor-2-2"].to_port
    assert 0.2 < len(flagged) / arrived.sum() < 0.8
    # Bit for bit: the altered copy differs from the good one in that byte only.
    altered = seen.digests.altered[0]
    packet = altered.packet
    good = packet[: 20 + 120] + bytes([packet[20 + 120] ^ 0x10]) + packet[20 + 121 :]
    from schemas.payload import build_payload, read_payload_header

    payload = np.frombuffer(good[40:], np.uint8)[None, :]
    _, probe_id, sent_at_us = read_payload_header(payload)
    assert good[40:] == build_payload(probe_id.astype(np.int64), sent_at_us).tobytes()


def test_a_flip_reaches_into_encapsulated_probes(lab: Lab, traffic: Traffic) -> None:
    fabric = lab.fabric
    spec = parse_spec("flip:border-1~spine-1:rate=1,offset=300", fabric)
    lab.faults.start(spec)
    try:
        seen = traffic.probe(servers(fabric, "pod-2"), 6, via="tor-1-2")
        straight = traffic.probe(servers(fabric), FLOWS)
    finally:
        lab.faults.stop(spec)
    for each in (seen, straight):
        rows = each.digests.rows
        at_spine = rows[(rows["switch"] == fabric.node("spine-1")) & (rows["leg"] != Leg.REPLY)]
        first_hop = at_spine[at_spine["leg"] == (Leg.ENCAPSULATED if each is seen else Leg.PROBE)]
        assert (first_hop["flags"] != 0).all()
    assert (straight.digests.rows["flags"] != 0).any()
    at_border = straight.digests.rows[straight.digests.rows["switch"] == fabric.node("border-1")]
    assert (at_border["flags"] == 0).all()


def test_a_flip_of_random_bits_hits_replies_too(lab: Lab, traffic: Traffic) -> None:
    fabric = lab.fabric
    spec = parse_spec("flip:spine-1:rate=1", fabric)
    lab.faults.start(spec)
    try:
        seen = traffic.probe(servers(fabric), FLOWS)
    finally:
        lab.faults.stop(spec)
    rows = seen.digests.rows
    port = fabric.link_by_name["spine-1~border-1"].to_port
    at_border = rows[(rows["switch"] == fabric.node("border-1")) & (rows["port"] == port)]
    assert len(at_border)
    assert (at_border["flags"] & DigestFlag.BAD_CHECKSUM).all()
    at_spine = rows[(rows["switch"] == fabric.node("spine-1")) & (rows["leg"] == Leg.PROBE)]
    assert (at_spine["flags"] == 0).all()  # mirrored before it is altered


def test_a_switch_loses_after_its_mirror(lab: Lab, traffic: Traffic) -> None:
    fabric = lab.fabric
    spec = parse_spec("loss:tor-1-2/chip-1:rate=1", fabric)
    lab.faults.start(spec)
    try:
        seen = traffic.probe(["server-1-2-1", "server-1-1-1"], FLOWS)
    finally:
        lab.faults.stop(spec)
    assert len(seen.at(fabric, "tor-1-2", Leg.PROBE)) == FLOWS
    assert len(seen.at(fabric, "tor-1-2", Leg.REPLY)) == 0
    assert len(seen.answered()) == FLOWS


def test_a_switch_that_is_down_swallows_and_shows_nothing(lab: Lab, traffic: Traffic) -> None:
    fabric = lab.fabric
    spec = parse_spec("switch_down:spine-1", fabric)
    lab.faults.start(spec)
    try:
        seen = traffic.probe(servers(fabric), FLOWS)
    finally:
        lab.faults.stop(spec)
    rows = seen.digests.rows
    assert not (rows["switch"] == fabric.node("spine-1")).any()
    # Its neighbours do not notice: about half of the probes go there, and no leaf sees them.
    lost = ids(seen) - seen.answered()
    assert 0.25 < len(lost) / len(seen.probe_ids) < 0.9
    by_spine_2 = set((seen.at(fabric, "spine-2", Leg.PROBE) & 0xFFFFFFFF).tolist())
    at_border = set((seen.at(fabric, "border-1", Leg.PROBE) & 0xFFFFFFFF).tolist())
    assert ids(seen) == at_border
    answered_on_the_way_down = by_spine_2 - lost
    assert seen.answered() == answered_on_the_way_down
    assert (seen.replies["kind"] == ReplyKind.RST).all()


@pytest.mark.parametrize("via", [None, "tor-1-1"])
def test_a_black_hole_takes_the_same_flows_each_time(lab: Lab, traffic: Traffic, via: str | None) -> None:
    fabric = lab.fabric
    spec = parse_spec("black_hole:tor-2-2:share=0.3", fabric)
    targets = [server.name for server in fabric.servers if server.tor == "tor-2-2"]
    lab.faults.start(spec)
    try:
        rounds = [traffic.probe(targets, 2 * FLOWS, via=via) for _ in range(2)]
    finally:
        lab.faults.stop(spec)
    answered = [np.isin(seen.probe_ids & 0xFFFFFFFF, list(seen.answered())) for seen in rounds]
    assert answered[0].tolist() == answered[1].tolist()
    # There and back are two flows: 0.7 squared of the probes come through.
    assert 0.2 < answered[0].mean() < 0.8


@pytest.mark.parametrize("stuck", [0, 1])
def test_a_stuck_bit_alters_only_what_differs(lab: Lab, traffic: Traffic, stuck: int) -> None:
    fabric = lab.fabric
    offset, mask = 120, 0x18
    spec = parse_spec(f"flip:border-1:rate=1,offset={offset},mask={mask},stuck={stuck}", fabric)
    lab.faults.start(spec)
    try:
        seen = traffic.probe(servers(fabric), FLOWS)
    finally:
        lab.faults.stop(spec)
    from schemas.payload import build_payload

    payload = build_payload(seen.probe_ids, np.zeros(len(seen.probe_ids), np.int64))
    byte = payload[:, offset - 20]
    differs = (byte & mask) != (mask if stuck else 0)
    altered = {int(seen.digests.rows["probe_id"][each.row]) for each in seen.digests.altered}
    assert differs.any() and not differs.all()
    assert altered == set(seen.probe_ids[differs].tolist())
    for each in seen.digests.altered:
        assert each.packet[20 + offset] & mask == (mask if stuck else 0)


@pytest.mark.parametrize(
    ("lengths", "bare", "tunnelled"),
    [("min_bytes=553", True, False), ("min_bytes=552", False, False), ("max_bytes=40", False, False)],
)
def test_only_packets_of_a_length_are_lost(
    lab: Lab, traffic: Traffic, lengths: str, bare: bool, tunnelled: bool
) -> None:
    fabric = lab.fabric
    spec = parse_spec(f"loss:border-1:rate=1,{lengths}", fabric)
    lab.faults.start(spec)
    try:
        straight = traffic.probe(servers(fabric), 3)
        around = traffic.probe(servers(fabric, "pod-2"), 3, via="tor-1-2")
    finally:
        lab.faults.stop(spec)
    assert straight.answered() == (ids(straight) if bare else set())
    assert around.answered() == (ids(around) if tunnelled else set())
    # What is lost by its length is the reply, if only short packets are.
    arrived = set((straight.at(fabric, "tor-2-1", Leg.PROBE) & 0xFFFFFFFF).tolist())
    assert bool(arrived) == (bare or lengths.startswith("max"))


def test_a_port_fails_in_both_directions(lab: Lab, traffic: Traffic) -> None:
    fabric = lab.fabric
    port = next(p.name for p in fabric.switch_by_name["tor-2-1"].ports if p.peer == "leaf-2-1")
    spec = parse_spec(f"loss:tor-2-1:{port}:rate=1", fabric)
    lab.faults.start(spec)
    try:
        seen = traffic.probe(servers(fabric), FLOWS)
    finally:
        lab.faults.stop(spec)
    rows = seen.digests.rows
    for name, leg in (("leaf-2-1~tor-2-1", Leg.PROBE), ("tor-2-1~leaf-2-1", Leg.REPLY)):
        link = fabric.link_by_name[name]
        at = (rows["switch"] == fabric.node(link.to_name)) & (rows["port"] == link.to_port)
        assert not (at & (rows["leg"] == leg)).any()
    assert ids(seen) - seen.answered()


def test_a_stopped_server_is_silent_and_its_tor_says_nothing(lab: Lab, traffic: Traffic) -> None:
    fabric = lab.fabric
    spec = parse_spec("host_down:server-2-1-1", fabric)
    lab.faults.start(spec)
    try:
        seen = traffic.probe(["server-2-1-1", "server-2-1-2"], FLOWS)
    finally:
        lab.faults.stop(spec)
    assert len(seen.at(fabric, "tor-2-1", Leg.PROBE)) == 2 * FLOWS  # both are reached by all probes
    assert seen.answered() == set((seen.probe_ids[FLOWS:] & 0xFFFFFFFF).tolist())
    assert (seen.replies["kind"] == ReplyKind.RST).all()


def test_mirror_loss_leaves_gaps_and_harms_no_packet(lab: Lab, traffic: Traffic) -> None:
    fabric = lab.fabric
    spec = parse_spec("mirror_loss:border-1:rate=0.5", fabric)
    lab.faults.start(spec)
    try:
        seen = traffic.probe(servers(fabric), FLOWS)
    finally:
        lab.faults.stop(spec)
    assert seen.answered() == ids(seen)
    share = len(seen.at(fabric, "border-1", Leg.PROBE)) / len(seen.probe_ids)
    assert 0.3 < share < 0.7
    _, counts = drain(count(no_copies(), seen.digests.copies))
    lossy = {fabric.node_name(each.switch) for each in counts if each.lost}
    assert lossy == {"border-1"}


def test_faults_start_once_and_stop_once(lab: Lab) -> None:
    spec = parse_spec("loss:spine-2~leaf-1-1:rate=0.1", lab.fabric)
    lab.faults.start(spec)
    with pytest.raises(LabError, match="already"):
        lab.faults.start(spec)
    assert lab.faults.active == (spec.text,)
    lab.faults.stop(spec)
    with pytest.raises(LabError, match="not on"):
        lab.faults.stop(spec)
    assert lab.run_in("spine-2", ["nft", "list", "ruleset"]) == ""

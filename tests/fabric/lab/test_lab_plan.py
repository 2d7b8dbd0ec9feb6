"""The plan of a lab, its exporters and its faults, as data."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from random import Random

import pytest
from scapy.contrib.erspan import ERSPAN_II, ERSPAN_III
from scapy.layers.l2 import GRE, Ether

from fabric.builtin import builtin_fabric
from fabric.faults import FaultError, parse_spec
from fabric.lab.fault_rules import fault_rules
from fabric.lab.mirror_header import mirror_header
from fabric.lab.tasks import ExporterTasks, exporter_tasks
from fabric.lab.topology import device_towards, plan_lab

RUN = "btlab-0123abcd"
LAB = builtin_fabric("lab")


def test_every_node_is_a_namespace_that_carries_the_name_of_the_run() -> None:
    plan = plan_lab(LAB, RUN)
    nodes = [*LAB.switches, *LAB.servers, *LAB.probers, *LAB.collectors]
    assert set(plan.namespace_names) == {f"{RUN}-{node.name}" for node in nodes} | {f"{RUN}-mgmt"}


def test_every_cable_is_laid_once_and_no_interface_twice() -> None:
    plan = plan_lab(LAB, RUN)
    assert len(plan.cables) == len(LAB.links) // 2 + len(LAB.switches) + len(LAB.collectors)
    ends: Counter[tuple[str, str]] = Counter()
    addresses: Counter[str] = Counter()
    for cable in plan.cables:
        words = cable.split()
        near, far = words.index("add") + 1, words.index("name") + 1
        for at in (near, far):
            assert len(words[at]) <= 15  # IFNAMSIZ
            ends[words[at + 2], words[at]] += 1
            addresses[words[at + 4]] += 1
    assert set(ends.values()) == set(addresses.values()) == {1}
    # What is brought up is what is laid.
    for namespace in plan.namespaces:
        for line in namespace.ip_lines:
            if line.startswith("link set") and line.split()[2] not in ("lo", "decap"):
                assert (namespace.name, line.split()[2]) in ends


def test_switches_hash_the_five_tuple_each_with_a_seed_of_its_own() -> None:
    switches = {f"{RUN}-{switch.name}" for switch in LAB.switches}
    sysctls = [dict(n.sysctls) for n in plan_lab(LAB, RUN).namespaces if n.name in switches]
    assert {s["net/ipv4/fib_multipath_hash_policy"] for s in sysctls} == {"1"}
    assert len({s["net/ipv4/fib_multipath_hash_seed"] for s in sysctls}) == len(switches)


def test_collectors_are_reached_over_the_management_network_only() -> None:
    for namespace in plan_lab(LAB, RUN).namespaces:
        routes = [line for line in namespace.ip_lines if line.startswith("route add 100.127.0.1/32")]
        if namespace.name == f"{RUN}-mgmt" or namespace.name.split("-", 2)[2].startswith(
            ("server", "prob", "coll")
        ):
            continue
        assert len(routes) == 1
        assert "dev mgmt" in routes[0]


def test_unfit_fabrics_are_refused() -> None:
    with pytest.raises(ValueError, match="run name"):
        plan_lab(LAB, "mine")
    with pytest.raises(ValueError, match="at most"):
        plan_lab(builtin_fabric("fat-tree-12"), RUN)
    with pytest.raises(ValueError, match="IPv6"):
        plan_lab(replace(LAB, probers=(replace(LAB.probers[0], address="2001:db8::1"),)), RUN)
    two = replace(LAB.servers[0], addresses=("10.9.9.1", "10.9.9.2"))
    with pytest.raises(ValueError, match="several interfaces"):
        plan_lab(replace(LAB, servers=(two, *LAB.servers[1:])), RUN)


def test_devices_are_named_by_port() -> None:
    assert device_towards(LAB, "leaf-1-1", "spine-2") == "p4"
    assert device_towards(LAB, "server-1-1-1", "tor-1-1") == "eth0"
    with pytest.raises(ValueError, match="no cable"):
        device_towards(LAB, "tor-1-1", "spine-1")


def test_exporter_tasks_survive_json_and_cover_every_port() -> None:
    tasks = exporter_tasks(LAB, RUN)
    assert ExporterTasks.from_json(tasks.to_json()) == tasks
    assert len(tasks.taps) == sum(len(switch.ports) for switch in LAB.switches)
    assert {tap.dialect for tap in tasks.taps} == {2, 3}
    assert {task.switch for task in tasks.decapsulators} == {s.name for s in LAB.switches if s.tier == "tor"}


FRAME = bytes(Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02", type=0x0800))


def test_type_ii_header_as_scapy_reads_it() -> None:
    header = mirror_header(2, "index", 9, 5)
    gre = GRE(header.template + FRAME)
    assert (gre.proto, gre.seqnum_present, gre.key_present, gre.chksum_present) == (0x88BE, 1, 0, 0)
    erspan = gre[ERSPAN_II]
    assert (erspan.ver, erspan.session_id, erspan.index, erspan.t) == (1, 9, 5, 0)
    assert (header.sequence_at, header.timestamp_at, header.session) == (4, None, 9)
    assert erspan[Ether].dst == "02:00:00:00:00:02"


def test_type_iii_header_as_scapy_reads_it() -> None:
    header = mirror_header(3, "session", 9, 5)
    erspan = GRE(header.template + FRAME)[ERSPAN_III]
    assert (erspan.ver, erspan.session_id, erspan.d, erspan.gra, erspan.o) == (2, 5, 0, 0, 0)
    assert (header.sequence_at, header.session) == (4, 5)
    stamped = bytearray(header.template)
    stamped[header.timestamp_at : header.timestamp_at + 4] = (123456).to_bytes(4, "big")
    assert GRE(bytes(stamped) + FRAME)[ERSPAN_III].timestamp == 123456
    assert GRE(mirror_header(3, "hardware_id", 9, 5).template + FRAME)[ERSPAN_III].hw == 5


def test_type_i_and_bridged_ethernet_headers_as_scapy_reads_them() -> None:
    first = GRE(mirror_header(1, "none", 9, 5).template + FRAME)
    assert (first.proto, first.seqnum_present) == (0x88BE, 0)
    bridged = GRE(mirror_header("teb", "key", 9, 5).template + FRAME)
    assert (bridged.proto, bridged.key, bridged.seqnum_present) == (0x6558, 5, 1)


def rules(text: str, fabric=LAB) -> list[tuple[str, str, str]]:
    made = fault_rules(parse_spec(text, fabric), fabric, "fault_1", Random(1))
    return [(rule.node, rule.family, rule.text) for rule in made]


def test_a_link_loses_as_it_leaves_the_near_end() -> None:
    [(node, family, text)] = rules("loss:leaf-1-1~spine-2:rate=0.25")
    assert (node, family) == ("leaf-1-1", "netdev")
    assert "hook egress device p4" in text
    assert "numgen random mod 1000000000 < 250000000 drop" in text


def test_a_link_from_a_host_loses_on_arrival() -> None:
    [(node, family, text)] = rules("loss:prober-1~border-1:rate=1")
    assert (node, family) == ("border-1", "netdev")
    assert "hook ingress device p3" in text


def test_a_link_that_is_down_is_down_at_both_ends() -> None:
    both = rules("link_down:tor-1-1~leaf-1-2")
    assert [node for node, _, _ in both] == ["tor-1-1", "leaf-1-2"]
    assert all("numgen" not in text for _, _, text in both)


def with_chips(switch_name: str):
    """The lab's fabric with two line cards and a fabric chip in one switch, two ports to a card."""
    switch = LAB.switch_by_name[switch_name]
    ports = tuple(replace(p, chip="lc-1" if p.number < 3 else "lc-2") for p in switch.ports)
    chips = tuple(
        replace(switch.chips[0], label=label, role=role)
        for label, role in (("lc-1", "line_card"), ("lc-2", "line_card"), ("fc-1", "fabric"))
    )
    return replace(
        LAB,
        switches=tuple(
            replace(s, ports=ports, chips=chips) if s.name == switch_name else s for s in LAB.switches
        ),
    )


def test_a_chip_is_crossed_once_whichever_way() -> None:
    fabric = with_chips("spine-1")
    [(node, family, text)] = rules("loss:spine-1/lc-1:rate=1", fabric)
    assert (node, family) == ("spine-1", "ip")
    assert "iifname { p1, p2 }" in text
    assert "iifname != { p1, p2 } oifname { p1, p2 }" in text
    with pytest.raises(FaultError, match="fabric chips"):
        rules("loss:spine-1/fc-1:rate=1", fabric)


def test_a_pair_of_chips_has_a_direction() -> None:
    [(node, family, text)] = rules("loss:spine-1/lc-2>lc-1:rate=1", with_chips("spine-1"))
    assert (node, family) == ("spine-1", "ip")
    assert "iifname { p3, p4, p5 } oifname { p1, p2 } drop" in text


def test_a_port_is_both_directions_of_its_cable() -> None:
    fabric = LAB
    port = next(p for p in fabric.switch_by_name["leaf-1-1"].ports if p.peer == "spine-2")
    there, back = rules(f"loss:leaf-1-1:{port.name}:rate=0.25")
    assert (there[0], back[0]) == ("leaf-1-1", "spine-2")
    assert f"hook egress device p{port.number}" in there[2]
    assert all("< 250000000 drop" in text for _, _, text in (there, back))
    assert len({rule.splitlines()[0] for _, _, rule in (there, back)}) == 2
    assert [node for node, _, _ in rules(f"link_down:leaf-1-1:{port.name}")] == ["leaf-1-1", "spine-2"]


def test_only_packets_of_a_length_are_dropped() -> None:
    [(_, _, text)] = rules("loss:leaf-1-1~spine-2:rate=1,min_bytes=500,max_bytes=560")
    assert "ip length >= 500 ip length <= 560" in text


def test_a_black_hole_hashes_probes_and_tunnels() -> None:
    [(node, family, text)] = rules("black_hole:leaf-1-1:share=0.1")
    assert (node, family) == ("leaf-1-1", "ip")
    assert "jhash ip saddr . ip daddr . tcp sport . tcp dport mod 1000000000 seed 0x" in text
    assert "ip protocol 4 jhash ip saddr . ip daddr mod" in text
    assert text.count("< 100000000 drop") == 2
    assert rules("black_hole:leaf-1-1:share=0.1") == rules("black_hole:leaf-1-1:share=0.1")  # by seed


@pytest.mark.parametrize("spec", ["switch_down:tor-1-1", "reboot:tor-1-1:for=3"])
def test_a_switch_that_is_down_takes_nothing_in_at_any_port(spec) -> None:
    [(node, family, text)] = rules(spec)
    assert (node, family) == ("tor-1-1", "netdev")
    ports = LAB.switch_by_name["tor-1-1"].ports
    assert [f"hook ingress device p{port.number} " in text for port in ports] == [True] * len(ports)
    assert text.count("drop") == len(ports)


def test_servers_reboot_and_answer_some() -> None:
    assert rules("reboot:server-1-1-1:for=3") == rules("host_down:server-1-1-1")
    [(_, _, text)] = rules("rst_limit:server-1-1-1:rate=0.25")
    assert "numgen random mod 1000000000 < 750000000 drop" in text
    assert "drop" not in rules("rst_limit:server-1-1-1:rate=1")[0][2]
    assert "numgen" not in rules("rst_limit:server-1-1-1:rate=0")[0][2]


def test_stuck_bits_are_set_or_cleared() -> None:
    at = f"@th,{100 * 8},8"
    [(_, _, text)] = rules("flip:tor-1-1:rate=1,offset=100,mask=0x11,stuck=1")
    assert f"{at} set {at} | 0x11" in text
    [(_, _, text)] = rules("flip:tor-1-1:rate=1,offset=100,mask=0x11,stuck=0")
    assert f"{at} set {at} & 0xee" in text


def test_flips_stay_in_the_bytes_that_a_packet_has() -> None:
    [(_, _, text)] = rules("flip:tor-1-1~leaf-1-1:rate=0.5,offset=100,mask=0x81")
    assert f"@th,{100 * 8},8 set @th,{100 * 8},8 ^ 0x81" in text
    assert f"@th,{120 * 8},8 set @th,{120 * 8},8 ^ 0x81" in text  # behind the outer header
    assert "reply" not in text
    [(_, _, text)] = rules("flip:tor-1-1~leaf-1-1:rate=0.5,offset=16")
    assert "reply_7" in text
    assert "reply_8" not in text  # each bit of the byte in turn
    assert rules("flip:tor-1-1:rate=0.5") == rules("flip:tor-1-1:rate=0.5")  # by seed


@pytest.mark.parametrize(
    "text",
    [
        "loop:leaf-1-1~spine-1",
        "wrong_route:leaf-1-1~tor-1-1",
        "host_slow:server-1-1-1:delay_ms=9",
        "mirror_outage:collector-1",
        "mirror_truncate:leaf-1-1:bytes=99",
        "mirror_corrupt:leaf-1-1:rate=1",
        "prober_outage:prober-1",
        "clock_skew:leaf-1-1:ms=9",
    ],
)
def test_what_a_lab_cannot_do_is_refused(text) -> None:
    with pytest.raises(FaultError, match=f"the lab cannot do {text.partition(':')[0]}"):
        rules(text)

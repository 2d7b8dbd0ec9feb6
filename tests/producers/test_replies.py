"""What comes back, made by scapy and by a small honest stack."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scapy.layers.inet import ICMP, IP, TCP, IPOption
from scapy.layers.inet6 import ICMPv6DestUnreach, ICMPv6TimeExceeded, IPv6
from scapy.packet import Raw

from fabric.address import pack_address
from producers.replies import parse_probes, parse_replies, probe_ids
from producers.wire import PROBE_DTYPE, build
from schemas.rows import Leg, ReplyKind

PROBER, TARGET, TOR = "10.255.0.1", "10.1.1.10", "172.16.0.1"
PROBER6, TARGET6, TOR6 = "2001:db8::1", "2001:db8::a", "2001:db8:1::1"
PROBE_ID = 7 << 32 | 0xFFFFFFF9  # seq + 513 wraps


def probe(*, v6: bool = False, via: str | None = None, probe_id: int = PROBE_ID) -> NDArray[np.void]:
    table = np.zeros(1, PROBE_DTYPE)
    table["probe_id"], table["sent_at_us"] = probe_id, 1_700_000_000_000_000
    table["source"] = table["outer_source"] = np.void(pack_address(PROBER6 if v6 else PROBER))
    table["target"] = np.void(pack_address(TARGET6 if v6 else TARGET))
    if via:
        table["via"] = np.void(pack_address(via))
    table["source_port"], table["destination_port"] = 20_001, 65_111
    return table


def packed(*packets: bytes) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    width = max(len(p) for p in packets)
    table = np.full((len(packets), width + 7), 0xEE, np.uint8)  # what follows a packet is undefined
    for row, packet in zip(table, packets, strict=True):
        row[: len(packet)] = np.frombuffer(packet, np.uint8)
    return table, np.array([len(p) for p in packets], np.int32)


def reply_to(sent: bytes, flags: str, ack: int) -> bytes:
    syn = IP(sent) if sent[0] >> 4 == 4 else IPv6(sent)
    back = TCP(sport=syn[TCP].dport, dport=syn[TCP].sport, seq=0, ack=ack % 2**32, flags=flags)
    return bytes(type(syn)(src=syn.dst, dst=syn.src) / back)


def sent_bytes(table: NDArray[np.void]) -> bytes:
    packets, lengths = build(table)
    return packets[0, : lengths[0]].tobytes()


def test_probe_id_comes_back_from_every_kind_of_reply() -> None:
    four, six = sent_bytes(probe()), sent_bytes(probe(v6=True))
    tunnel, tunnel6 = sent_bytes(probe(via=TOR)), sent_bytes(probe(v6=True, via=TOR6))
    router, router6 = IP(src="192.0.2.1", dst=PROBER), IPv6(src="2001:db8:9::1", dst=PROBER6)
    seq = PROBE_ID & 0xFFFFFFFF
    replies = [
        reply_to(four, "RA", seq + 513),
        reply_to(six, "RA", seq + 513),
        reply_to(four, "SA", seq + 1),
        reply_to(six, "SA", seq + 1),
        bytes(router / ICMP(type=3, code=1) / Raw(four[:28])),  # the least that RFC 792 asks for
        bytes(router / ICMP(type=11, code=0) / Raw(four[:520])),
        bytes(router / ICMP(type=3, code=1) / Raw(tunnel[:520])),
        bytes(router6 / ICMPv6DestUnreach(code=3) / Raw(six)),
        bytes(router6 / ICMPv6TimeExceeded() / Raw(tunnel6)),
    ]
    read = parse_replies(*packed(*replies))
    rst, syn_ack, icmp = ReplyKind.RST, ReplyKind.SYN_ACK, ReplyKind.ICMP
    assert read["kind"].tolist() == [rst, rst, syn_ack, syn_ack, icmp, icmp, icmp, icmp, icmp]
    assert probe_ids(read["seq32"], 7).tolist() == [PROBE_ID] * len(replies)
    is_v6 = [False, True, False, True, False, False, False, True, True]
    assert [v.tobytes() for v in read["target"]] == [
        pack_address(TARGET6 if six else TARGET) for six in is_v6
    ]
    assert [v.tobytes() for v in read["prober"]] == [
        pack_address(PROBER6 if six else PROBER) for six in is_v6
    ]
    assert set(read["source_port"].tolist()) == {20_001}
    assert set(read["destination_port"].tolist()) == {65_111}
    assert read["icmp_type"].tolist() == [-1, -1, -1, -1, 3, 11, 3, 1, 3]
    assert (read["ttl"] == 64).all()
    # Alone, each reads the same: the fast path for rows alike is no other path.
    assert [parse_replies(*packed(reply))[0] for reply in replies] == list(read)


def test_ip_options_move_the_header() -> None:
    seq = PROBE_ID & 0xFFFFFFFF
    back = TCP(sport=65_111, dport=20_001, flags="RA", ack=(seq + 513) % 2**32)
    reply = bytes(IP(src=TARGET, dst=PROBER, options=[IPOption(b"\x94\x04\x00\x00")]) / back)
    read = parse_replies(*packed(reply))
    assert read["kind"].tolist() == [ReplyKind.RST]
    assert read["seq32"].tolist() == [seq]


def test_what_is_no_reply_is_none() -> None:
    four = sent_bytes(probe())
    fragment = IP(reply_to(four, "RA", 600))
    fragment.frag = 3
    others = [
        four,  # a SYN
        reply_to(four, "A", 600),
        reply_to(four, "RA", 600)[:39],
        bytes(fragment),
        bytes(IP(src=TARGET, dst=PROBER) / ICMP(type=8) / Raw(four)),
        bytes(IP(src=TARGET, dst=PROBER) / ICMP(type=3) / Raw(four[:27])),
        b"\x45",
        b"",
        b"\x00" * 60,
    ]
    assert not parse_replies(*packed(*others))["kind"].any()


def test_probes_are_read_bare_and_encapsulated() -> None:
    tables = [
        probe(),
        probe(v6=True),
        probe(via=TOR),
        probe(v6=True, via=TOR6),
    ]
    sent = [sent_bytes(table) for table in tables]
    seen = parse_probes(*packed(*sent, reply_to(sent[0], "RA", 5)))
    assert seen["leg"].tolist() == [Leg.PROBE, Leg.PROBE, Leg.ENCAPSULATED, Leg.ENCAPSULATED, -1]
    assert probe_ids(seen["seq32"][:4], 7).tolist() == [PROBE_ID] * 4
    assert seen["inner_offset"].tolist()[:4] == [0, 0, 20, 40]
    for row, table in zip(seen[:4], tables, strict=True):
        assert row["prober"] == table["source"][0]
        assert row["target"] == table["target"][0]
        assert row["via"] == table["via"][0]


@settings(deadline=None)
@given(st.lists(st.binary(max_size=120), min_size=1, max_size=5))
def test_any_bytes_are_accepted(packets: list[bytes]) -> None:
    parse_replies(*packed(*packets))
    parse_probes(*packed(*packets))


@settings(deadline=None, max_examples=300)
@given(st.data())
def test_damaged_replies_are_accepted(data: st.DataObject) -> None:
    router = IP(src="192.0.2.1", dst=PROBER)
    quoted = bytes(router / ICMP(type=11) / Raw(sent_bytes(probe(via=TOR))[:120]))
    reply = bytearray(data.draw(st.sampled_from([quoted, reply_to(sent_bytes(probe()), "RA", 9)])))
    for _ in range(data.draw(st.integers(1, 4))):
        reply[data.draw(st.integers(0, len(reply) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(reply)))
    parse_replies(*packed(bytes(reply[:cut])))
    parse_probes(*packed(bytes(reply[:cut])))

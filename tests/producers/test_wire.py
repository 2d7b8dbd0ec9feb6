"""Probes as built in columns, against scapy."""

from __future__ import annotations

from ipaddress import ip_address

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scapy.layers.inet import IP, TCP
from scapy.layers.inet6 import IPv6
from scapy.packet import Packet, Raw

from fabric.address import pack_address
from producers.content import content_hash, normalise
from producers.wire import DSCP, PROBE_DTYPE, build, content_hash_as_sent, packet_lengths
from schemas.payload import build_payload

V4 = st.integers(0, 2**32 - 1).map(lambda n: str(ip_address(n.to_bytes(4, "big"))))
# Not below 2**33: IPv4-mapped and the unset address have another meaning in a column.
V6 = st.integers(2**64, 2**128 - 1).map(lambda n: str(ip_address(n.to_bytes(16, "big"))))
PORT = st.integers(0, 65535)


@st.composite
def probes(draw: st.DrawFn) -> list[dict[str, object]]:
    rows = []
    for _ in range(draw(st.integers(1, 6))):
        inner, outer = draw(st.sampled_from([V4, V6])), draw(st.sampled_from([None, V4, V6]))
        rows.append(
            {
                "probe_id": draw(st.integers(0, 2**48 - 1)),
                "sent_at_us": draw(st.integers(0, 2**62)),
                "source": draw(inner),
                "target": draw(inner),
                "outer_source": draw(outer) if outer is not None else "::",
                "via": draw(outer) if outer is not None else "::",
                "source_port": draw(PORT),
                "destination_port": draw(PORT),
            }
        )
        if rows[-1]["via"] == "0.0.0.0":
            rows[-1]["via"] = "1.1.1.1"
    return rows


def columns(rows: list[dict[str, object]]) -> NDArray[np.void]:
    table = np.zeros(len(rows), PROBE_DTYPE)
    for number, row in enumerate(rows):
        for name, value in row.items():
            if isinstance(value, str):
                table[name][number] = np.void(pack_address(value))
            else:
                table[name][number] = value
    return table


def scapy_ip(source: object, target: object, dscp: int) -> Packet:
    if ":" in str(target):
        return IPv6(src=source, dst=target, tc=dscp << 2, hlim=64)
    return IP(src=source, dst=target, tos=dscp << 2, ttl=64, flags="DF", id=0)


def scapy_probe(row: dict[str, object], dscp: int) -> bytes:
    ids, times = np.array([row["probe_id"]]), np.array([row["sent_at_us"]])
    packet = scapy_ip(row["source"], row["target"], dscp) / TCP(
        sport=row["source_port"],
        dport=row["destination_port"],
        seq=int(str(row["probe_id"])) & 0xFFFFFFFF,
        flags="S",
        window=1024,
    )
    packet = packet / Raw(build_payload(ids, times)[0].tobytes())
    if row["via"] != "::":
        inner = bytes(packet)
        outer = scapy_ip(row["outer_source"], row["via"], dscp)
        number = 41 if ":" in str(row["target"]) else 4
        if isinstance(outer, IPv6):
            outer.nh = number
        else:
            outer.proto = number
        packet = outer / Raw(inner)
    return bytes(packet)


@settings(deadline=None)
@given(probes(), st.integers(0, 63))
def test_packets_equal_scapys(rows: list[dict[str, object]], dscp: int) -> None:
    table = columns(rows)
    packets, lengths = build(table, dscp)
    assert packet_lengths(table).tolist() == lengths.tolist()
    for row, packet, length in zip(rows, packets, lengths, strict=True):
        assert packet[:length].tobytes() == scapy_probe(row, dscp)
        assert not packet[length:].any()


@settings(deadline=None)
@given(probes())
def test_predicted_hash_is_the_hash_of_the_inner_packet(rows: list[dict[str, object]]) -> None:
    bare = columns([{**row, "via": "::", "outer_source": "::"} for row in rows])
    packets, lengths = build(bare)
    expected = content_hash(normalise(packets, lengths), lengths)
    assert content_hash_as_sent(columns(rows)).tolist() == expected.tolist()


def test_many_ids_keep_right_checksums() -> None:
    # Enough of them that every number of wraps in the payload's sum occurs, and checksum 0 too.
    count = 200_000
    table = np.zeros(count, PROBE_DTYPE)
    table["probe_id"] = np.random.default_rng(1).integers(0, 2**48, count)
    table["sent_at_us"] = 1_700_000_000_000_000
    table["source"] = np.void(pack_address("10.255.0.1"))
    table["target"] = np.void(pack_address("10.1.1.10"))
    packets, _ = build(table)
    words = packets[:, 20:].view(">u2").astype(np.uint64)
    pseudo = packets[:, 12:20].copy().view(">u2").astype(np.uint64)
    total = words.sum(axis=1) + pseudo.sum(axis=1) + np.uint64(6 + 532)
    while (total >> np.uint64(16)).any():
        total = (total & np.uint64(0xFFFF)) + (total >> np.uint64(16))
    assert (total == 0xFFFF).all()


def test_no_probes_are_no_packets() -> None:
    packets, lengths = build(np.zeros(0, PROBE_DTYPE))
    assert packets.shape[0] == len(lengths) == 0
    assert len(content_hash_as_sent(np.zeros(0, PROBE_DTYPE))) == 0


def test_mixed_families_are_refused() -> None:
    row = {"source": "10.0.0.1", "target": "2001:db8::1"}
    with pytest.raises(ValueError, match="one address family"):
        build(columns([row]), DSCP)
    tunnel = {"source": "10.0.0.1", "target": "10.0.0.2", "outer_source": "10.0.0.1", "via": "2001:db8::1"}
    with pytest.raises(ValueError, match="outer source"):
        build(columns([tunnel]), DSCP)

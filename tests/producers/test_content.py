"""The content hash: blind to what routers may change, sensitive to everything else."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP
from scapy.layers.inet6 import IPv6

from producers.content import HASH_KEYS, content_hash, normalise
from schemas.splitmix import splitmix64

U64_MAX = 2**64 - 1


def rows_of(packets: list[bytes], width: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    width = width or max(map(len, packets))
    rows = np.zeros((len(packets), width), dtype=np.uint8)
    for row, packet in zip(rows, packets, strict=True):
        row[: len(packet)] = np.frombuffer(packet, np.uint8)
    return rows, np.array([len(p) for p in packets], dtype=np.int32)


def hash_of(*packets: bytes) -> list[int]:
    rows, lengths = rows_of(list(packets))
    return content_hash(normalise(rows, lengths), lengths).tolist()


def plain_hash(masked: bytes) -> int:
    padded = masked + bytes(-len(masked) % 8)
    total = sum(
        int.from_bytes(padded[8 * i : 8 * i + 8], "big") * int(HASH_KEYS[i]) for i in range(len(padded) // 8)
    )
    length_mix = splitmix64(np.array([len(masked)], dtype=np.uint64))[0]
    return int(splitmix64(np.array([(total & U64_MAX) ^ int(length_mix)], dtype=np.uint64))[0])


@pytest.mark.parametrize("payload_length", [0, 1, 7, 512])
def test_hash_equals_the_plain_one(payload_length: int) -> None:
    packet = IP(src="10.0.0.1", dst="10.0.0.2", ttl=0, tos=0, id=7) / TCP(seq=1) / (b"x" * payload_length)
    raw = bytearray(bytes(packet))
    raw[10:12] = b"\0\0"
    assert hash_of(bytes(packet)) == [plain_hash(bytes(raw))]


@pytest.mark.parametrize(
    "changed",
    [
        IP(src="10.0.0.1", dst="10.0.0.2", ttl=3, tos=0xFF, id=7),
        IP(src="10.0.0.1", dst="10.0.0.2", ttl=255, tos=0x2, id=7),
    ],
)
def test_routers_changes_to_ipv4_are_masked(changed: IP) -> None:
    sent = IP(src="10.0.0.1", dst="10.0.0.2", ttl=64, tos=0x68, id=7) / TCP(seq=5) / b"payload"
    first, second = hash_of(bytes(sent), bytes(changed / TCP(seq=5) / b"payload"))
    assert first == second


def test_routers_changes_to_ipv6_are_masked_and_the_flow_label_is_not() -> None:
    def packet(tc: int, hlim: int, fl: int) -> bytes:
        return bytes(IPv6(src="fd::1", dst="fd::2", tc=tc, hlim=hlim, fl=fl) / TCP(seq=5) / b"payload")

    first, second, other_flow = hash_of(
        packet(0, 64, 0xABCDE), packet(0xFF, 3, 0xABCDE), packet(0, 64, 0xBBCDE)
    )
    assert first == second != other_flow


@given(st.integers(0, 8 * 552 - 1), st.sampled_from([4, 6]))
def test_every_other_bit_counts(bit: int, version: int) -> None:
    ip = IP(src="10.0.0.1", dst="10.0.0.2") if version == 4 else IPv6(src="fd::1", dst="fd::2")
    sent = bytes(ip / TCP(seq=5) / (b"z" * 512))[:552]
    altered = bytearray(sent)
    altered[bit // 8] ^= 0x80 >> (bit % 8)
    if bit < 4:
        return  # no longer an IP packet of that version: another normalisation altogether
    masked = (8, 64, 80) if version == 4 else (4, 56, None)
    start, hops, checksum = masked
    is_masked = bit in range(start, start + 8) or bit in range(hops, hops + 8)
    is_masked |= checksum is not None and bit in range(checksum, checksum + 16)
    first, second = hash_of(sent, bytes(altered))
    assert (first == second) == is_masked


def test_bytes_beyond_the_length_and_the_width_of_the_table_do_not_count() -> None:
    packet = bytes(IP(src="10.0.0.1", dst="10.0.0.2") / TCP() / b"abc")
    narrow, lengths = rows_of([packet])
    wide, _ = rows_of([packet], width=200)
    wide[0, len(packet) :] = 0xA5
    assert content_hash(normalise(narrow, lengths), lengths) == content_hash(
        normalise(wide, lengths), lengths
    )


def test_zero_bytes_at_the_end_are_part_of_the_content() -> None:
    first, second = hash_of(b"\x45" + bytes(39), b"\x45" + bytes(40))
    assert first != second


def test_mixed_versions_lengths_and_rubbish_in_one_batch_equal_each_alone() -> None:
    packets = [
        bytes(IP(dst="10.0.0.2", ttl=9, tos=3) / TCP() / b"abc"),
        bytes(IPv6(dst="fd::2", hlim=9, tc=3) / TCP() / b"abcdefghi"),
        b"",
        b"\xf0" * 11,
        bytes(IPv6(dst="fd::2", hlim=9, tc=3) / TCP() / (b"q" * 700)),
    ]
    assert hash_of(*packets) == [
        hash_of(packet + b"")[0] if packet else hash_of(b"", b"")[0] for packet in packets
    ]


def test_normalise_leaves_its_input_alone() -> None:
    rows, lengths = rows_of([b"\x45" + b"\xff" * 40])
    before = rows.copy()
    normalise(rows, lengths)
    assert (rows == before).all()

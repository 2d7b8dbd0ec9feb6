"""The content of packets: hashes of untouched ones by arithmetic, whole bytes of altered ones.

A copy's bytes matter only where a fault altered them. Everything else has the hash of the packet as sent,
which `producers.wire` predicts for probes and `fabric.simulator.reply_hash` for their RSTs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fabric.simulator.ledger import Alteration
from producers.content import content_hash, mask_mutable_fields
from producers.wire import (
    IPV4_HEADER_LENGTH,
    IPV6_HEADER_LENGTH,
    PROBE_DTYPE,
    PROTOCOL_TCP,
    TCP_HEADER_LENGTH,
    TCP_LENGTH,
    build,
    is_ipv4,
)
from schemas.payload import PAYLOAD_LENGTH, payload_is_intact
from schemas.rows import DigestFlag

U1 = NDArray[np.uint8]
I4 = NDArray[np.int32]
U8 = NDArray[np.uint64]
Rows = NDArray[np.intp]

RST_ACK = 0x14
_WORD_BYTES = 8


@dataclass(frozen=True, slots=True)
class AlteredContent:
    """Packets that faults altered, as a decoder sees them: normalised, u1[n, w]; hash u8[n]; flags i2[n]."""

    packets: U1
    lengths: I4
    content_hash: U8
    flags: NDArray[np.int16]

    @property
    def checksum_ok(self) -> NDArray[np.bool_]:
        return np.asarray((self.flags & DigestFlag.BAD_CHECKSUM) == 0)


def header_length(probes: NDArray[np.void]) -> I4:
    """Length of the IP header of the probe and of its RST: structured[n] -> i4[n]."""
    return np.where(is_ipv4(probes["target"]), IPV4_HEADER_LENGTH, IPV6_HEADER_LENGTH).astype(np.int32)


def packet_length(probes: NDArray[np.void], reply: bool) -> I4:
    """Total length of the probe or of its RST: structured[n] -> i4[n]."""
    return header_length(probes) + np.int32(TCP_HEADER_LENGTH if reply else TCP_LENGTH)


def tunnel_length(probes: NDArray[np.void]) -> I4:
    """Length of the outer header on leg 0, 0 for probes that are not encapsulated: structured[n] -> i4[n]."""
    outer = np.where(is_ipv4(probes["via"]), IPV4_HEADER_LENGTH, IPV6_HEADER_LENGTH)
    return np.where(probes["via_node"] >= 0, outer, 0).astype(np.int32)


def build_replies(probes: NDArray[np.void]) -> tuple[U1, I4]:
    """The normalised RSTs: no data, window 0, ports swapped, everything that was sent acknowledged.

    Returns u1[n, w] with w a multiple of 8, and lengths i4[n].
    """
    v4 = is_ipv4(probes["target"])
    lengths = packet_length(probes, reply=True)
    packets = np.zeros((len(probes), _padded(int(lengths.max(initial=0)))), dtype=np.uint8)
    for family in (True, False):
        rows = np.flatnonzero(v4 == family)
        if len(rows):
            packets[rows, : int(lengths[rows[0]])] = _replies_alike(probes[rows], family)
    return packets, lengths


def packets_of(
    probes: NDArray[np.void], rows: Rows, versions: NDArray[np.int16], reply: bool, flips: list[Alteration]
) -> U1:
    """Normalised packets of `rows` after their first `versions` alterations: u1[n, w], zero beyond their end.

    probes: all probes of the slice. rows, versions: [n], which packet and how many flips it has behind it.
    reply: whether these are the RSTs; only flips of that direction count.
    """
    mine = probes[rows]
    if reply:
        packets, _ = build_replies(mine)
    else:
        bare = np.zeros(len(mine), PROBE_DTYPE)
        for name in ("probe_id", "sent_at_us", "source", "target", "source_port", "destination_port"):
            bare[name] = mine[name]
        built, _ = build(bare)
        packets = np.zeros((len(mine), _padded(built.shape[1])), dtype=np.uint8)
        packets[:, : built.shape[1]] = built
        mask_mutable_fields(packets)
    header = header_length(mine)
    for flip in flips:
        if flip.reply == reply:
            _apply(flip, packets, header, rows, versions)
    return packets


def alter(
    probes: NDArray[np.void], rows: Rows, versions: NDArray[np.int16], reply: bool, flips: list[Alteration]
) -> AlteredContent:
    """Packets of `rows` after their first `versions` alterations, and what they show. See `packets_of`."""
    packets = packets_of(probes, rows, versions, reply, flips)
    return judge(packets, probes[rows], reply)


def judge(packets: U1, probes: NDArray[np.void], reply: bool) -> AlteredContent:
    """What a decoder makes of whole packets.

    packets: u1[n, w], normalised, w a multiple of 8. probes: structured[n], the probes that they are, or of
    which they are the RSTs.
    """
    header, lengths = header_length(probes), packet_length(probes, reply)
    flags = np.where(_checksum_ok(packets, lengths), 0, int(DigestFlag.BAD_CHECKSUM))
    if not reply:
        column = (header + TCP_HEADER_LENGTH)[:, None] + np.arange(PAYLOAD_LENGTH)
        intact = payload_is_intact(np.take_along_axis(packets, column, axis=1), probes["probe_id"])
        flags |= np.where(intact, 0, int(DigestFlag.PAYLOAD_ALTERED))
    return AlteredContent(packets, lengths, content_hash(packets, lengths), flags.astype(np.int16))


def _apply(flip: Alteration, packets: U1, header: I4, rows: Rows, versions: NDArray[np.int16]) -> None:
    """Flip bits in the packets that have this alteration behind them, in place."""
    order = np.argsort(flip.probe)
    at = order[np.minimum(np.searchsorted(flip.probe, rows, sorter=order), len(order) - 1)]
    hit = np.flatnonzero((flip.probe[at] == rows) & (flip.version[at] <= versions))
    packets[hit, header[hit] + flip.offset[at[hit]]] ^= flip.mask[at[hit]]


def _replies_alike(probes: NDArray[np.void], v4: bool) -> U1:
    header = IPV4_HEADER_LENGTH if v4 else IPV6_HEADER_LENGTH
    packets = np.zeros((len(probes), header + TCP_HEADER_LENGTH), dtype=np.uint8)
    source = np.ascontiguousarray(probes["target"]).view(np.uint8).reshape(-1, 16)
    target = np.ascontiguousarray(probes["source"]).view(np.uint8).reshape(-1, 16)
    if v4:
        packets[:, [0, 3, 6, 9]] = (0x45, header + TCP_HEADER_LENGTH, 0x40, PROTOCOL_TCP)
        packets[:, 12:16], packets[:, 16:20] = source[:, 12:], target[:, 12:]
    else:
        packets[:, [0, 5, 6]] = (0x60, TCP_HEADER_LENGTH, PROTOCOL_TCP)
        packets[:, 8:24], packets[:, 24:40] = source, target
    tcp = packets[:, header:]
    acknowledged = (probes["probe_id"].astype(np.int64) + 1 + PAYLOAD_LENGTH) & 0xFFFFFFFF
    tcp[:, 0:2] = _big_endian(probes["destination_port"], ">u2")
    tcp[:, 2:4] = _big_endian(probes["source_port"], ">u2")
    tcp[:, 8:12] = _big_endian(acknowledged, ">u4")
    tcp[:, 12:14] = (0x50, RST_ACK)
    lengths = np.full(len(probes), packets.shape[1], dtype=np.int32)
    tcp[:, 16:18] = _big_endian(0xFFFF - _tcp_sum(packets, lengths), ">u2")
    return packets


def _checksum_ok(packets: U1, lengths: I4) -> NDArray[np.bool_]:
    return np.asarray(_tcp_sum(packets, lengths) == 0xFFFF)


def _tcp_sum(packets: U1, lengths: I4) -> NDArray[np.int64]:
    """Ones' complement sum of pseudo header and segment of normalised packets: u1[n, w] -> i8[n], 1..65535.

    From its eighth byte on, a normalised packet holds the protocol (IPv4), both addresses and the segment;
    what the pseudo header adds to that is the segment's length, and the protocol of an IPv6 packet.
    """
    v4 = packets[:, 0] >> 4 == 4
    words: NDArray[np.int64] = packets[:, 8:].view(">u2").sum(axis=1, dtype=np.int64)
    words += lengths - np.where(v4, IPV4_HEADER_LENGTH, IPV6_HEADER_LENGTH)
    words += np.where(v4, 0, PROTOCOL_TCP)
    return np.asarray((words - 1) % 0xFFFF + 1)


def _big_endian(values: NDArray[np.integer], format_: str) -> U1:
    size = np.dtype(format_).itemsize
    return np.ascontiguousarray(values.astype(format_)).view(np.uint8).reshape(-1, size)


def _padded(length: int) -> int:
    return -(-length // _WORD_BYTES) * _WORD_BYTES

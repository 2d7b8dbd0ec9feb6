"""The bytes that a probe and the reset that answers it must have, to hold altered copies against.

Packets are normalised, as copies are (TTL or hop limit, ECN, DSCP and the IPv4 header checksum are zero).
A probe's bytes follow from its outcome. So do those of its reset: RFC 9293, section 3.10.7.1, leaves
nothing open but what no TCP checksum covers, the identification and flags of IPv4 and the flow label of
IPv6; those bytes of a reset are not compared. The Prober's address is taken from the copy itself: without
it the copy would not have been known to be of this probe.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from schemas.payload import PAYLOAD_LENGTH, build_payload
from streams.probes import Probes

U1 = NDArray[np.uint8]
I4 = NDArray[np.int32]
Bools = NDArray[np.bool_]

_TCP_HEADER, _PROTOCOL_TCP = 20, 6
_WINDOW = 1024  # of a probe
_DATA_OFFSET, _SYN, _RST_ACK, SYN_ACK = 0x50, 0x02, 0x14, 0x12
_V4_PREFIX = np.array([0] * 10 + [0xFF] * 2, np.uint8)


def header_length(v4: bool) -> int:
    """Bytes of the IP header."""
    return 20 if v4 else 40


def packet_length(v4: bool, reply: bool) -> int:
    """Bytes of a whole probe or reset."""
    return header_length(v4) + _TCP_HEADER + (0 if reply else PAYLOAD_LENGTH)


def is_v4(probes: Probes) -> Bools:
    """Whether each probe is an IPv4 packet: bool[p]."""
    mapped: Bools = (_addresses(probes.rows["target"])[:, :12] == _V4_PREFIX).all(axis=1)
    return mapped


def expected_packets(seen: U1, probes: Probes, which: I4, v4: bool, reply: bool) -> U1:
    """The packets that copies should have been. `seen`: u1[n, packet_length]; `which`: i4[n], rows of
    their probes, all of one family. Returns u1[n, packet_length]; see `is_certain`."""
    rows = probes.rows[which]
    header, length = header_length(v4), packet_length(v4, reply)
    out = np.zeros((len(rows), length), np.uint8)
    source, destination = (slice(12, 16), slice(16, 20)) if v4 else (slice(8, 24), slice(24, 40))
    if v4:
        out[:, [0, 6, 9]] = 0x45, 0x40, _PROTOCOL_TCP  # do not fragment
        out[:, 2:4] = _big_endian(np.full(len(rows), length), 2)
    else:
        out[:, [0, 6]] = 0x60, _PROTOCOL_TCP
        out[:, 4:6] = _big_endian(np.full(len(rows), length - header), 2)
    target = _addresses(rows["target"])[:, -4 if v4 else 0 :]
    out[:, source], out[:, destination] = (
        (target, seen[:, destination]) if reply else (seen[:, source], target)
    )
    _write_tcp(out[:, header:], probes, which, reply)
    pseudo = out[:, source.start : destination.stop].view(">u2").sum(axis=1, dtype=np.int64)
    pseudo += _PROTOCOL_TCP + length - header
    total = pseudo + out[:, header:].view(">u2").sum(axis=1, dtype=np.int64)
    out[:, header + 16 : header + 18] = _big_endian(0xFFFF - (total - 1) % 0xFFFF - 1, 2)
    return out


def is_certain(v4: bool, reply: bool) -> Bools:
    """Bytes of an expected packet that may be held against a copy: bool[packet_length]."""
    certain = np.ones(packet_length(v4, reply), np.bool_)
    if reply:
        certain[slice(4, 8) if v4 else slice(0, 4)] = False
    return certain


def _write_tcp(tcp: U1, probes: Probes, which: I4, reply: bool) -> None:
    rows = probes.rows[which]
    probe_id = probes.probe_id[which]
    ports = rows["source_port"].astype(np.int64), rows["destination_port"].astype(np.int64)
    near, far = reversed(ports) if reply else ports
    tcp[:, 0:2], tcp[:, 2:4] = _big_endian(near, 2), _big_endian(far, 2)
    if reply:
        tcp[:, 8:12] = _big_endian(probe_id + 1 + PAYLOAD_LENGTH, 4)
        tcp[:, 12:14] = _DATA_OFFSET, _RST_ACK
        return
    tcp[:, 4:8] = _big_endian(probe_id, 4)
    tcp[:, 12:14] = _DATA_OFFSET, _SYN
    tcp[:, 14:16] = _big_endian(np.full(len(rows), _WINDOW), 2)
    tcp[:, _TCP_HEADER:] = build_payload(probe_id, probes.sent_at_us[which])


def _addresses(packed: np.ndarray) -> U1:
    return np.ascontiguousarray(packed).view(np.uint8).reshape(-1, 16)


def _big_endian(values: NDArray[np.integer], size_bytes: int) -> U1:
    """The lowest bytes of integers: [n] -> u1[n, size_bytes]."""
    return values.astype(">i8").view(np.uint8).reshape(-1, 8)[:, -size_bytes:]

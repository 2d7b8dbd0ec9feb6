"""Probes, replies and their hashes with struct and integers, one at a time, as one would write them first."""

from __future__ import annotations

import operator
import struct

from producers.content import HASH_KEYS
from schemas.payload import PATTERN

_MASK = 2**64 - 1
_PATTERN = PATTERN.tolist()
_KEYS = HASH_KEYS[:69].tolist()


def plain_hash(packet: bytes) -> int:
    """Content hash of an IPv4 packet whose length is a multiple of 8."""
    masked = packet[:1] + b"\0" + packet[2:8] + b"\0" + packet[9:10] + b"\0\0" + packet[12:]
    words = struct.unpack(f"!{len(packet) // 8}Q", masked)
    total = sum(map(operator.mul, words, _KEYS)) & _MASK
    return splitmix(total ^ splitmix(len(packet)))


def plain_probe(
    probe_id: int, sent_at_us: int, source: bytes, target: bytes, port: int, probe_port: int
) -> bytes:
    """An IPv4 probe. source, target: 4 bytes."""
    shift = splitmix(probe_id)
    words = [0x4259544554524B31, probe_id, sent_at_us, *((word + shift) & _MASK for word in _PATTERN)]
    payload = struct.pack("!64Q", *words)
    tcp = struct.pack("!HHIIBBHHH", port, probe_port, probe_id & 0xFFFFFFFF, 0, 0x50, 2, 1024, 0, 0)
    return _ipv4(source, target, 16, tcp, payload)


def plain_reply(probe_id: int, source: bytes, target: bytes, port: int, probe_port: int) -> bytes:
    """The RST that a Linux kernel answers a probe with. source, target: those of the probe."""
    acknowledged = (probe_id + 513) & 0xFFFFFFFF
    tcp = struct.pack("!HHIIBBHHH", probe_port, port, 0, acknowledged, 0x50, 0x14, 0, 0, 0)
    return _ipv4(target, source, 0, tcp, b"")


def _ipv4(source: bytes, target: bytes, tos: int, tcp: bytes, payload: bytes) -> bytes:
    length = len(tcp) + len(payload)
    ip = struct.pack("!BBHHHBBH4s4s", 0x45, tos, 20 + length, 0, 0x4000, 64, 6, 0, source, target)
    pseudo = source + target + struct.pack("!BBH", 0, 6, length)
    checksum = plain_checksum(pseudo + tcp + payload)
    ip = ip[:10] + struct.pack("!H", plain_checksum(ip)) + ip[12:]
    return ip + tcp[:16] + struct.pack("!H", checksum) + tcp[18:] + payload


def plain_checksum(data: bytes) -> int:
    return (65_535 - int.from_bytes(data, "big") % 65_535) % 65_535


def splitmix(value: int) -> int:
    """Output function of SplitMix64; see schemas.splitmix."""
    return mix(value + 0x9E3779B97F4A7C15 & _MASK)


def mix(value: int) -> int:
    """Its finaliser alone; see schemas.partition."""
    z = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
    return z ^ (z >> 31)

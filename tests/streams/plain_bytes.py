"""Altered bytes in plain Python: what a probe or its reset must be, byte by byte, and what a copy holds."""

from __future__ import annotations

import ipaddress
import struct
from typing import Any

import numpy as np

from schemas.payload import build_payload


def normalised(packet: bytes) -> bytes:
    """TTL, ECN, DSCP and the IPv4 header checksum set to zero."""
    out = bytearray(packet)
    if out[0] >> 4 == 4:
        out[1] = out[8] = out[10] = out[11] = 0
    else:
        out[0] &= 0xF0
        out[1] &= 0x0F
        out[7] = 0
    return bytes(out)


def checksum(data: bytes) -> int:
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def packet(source: bytes, destination: bytes, tcp: bytes, payload: bytes) -> bytes:
    """An IP packet; `tcp`: header with a checksum of 0."""
    length = len(tcp) + len(payload)
    pseudo = source + destination + struct.pack(">HH", 6, length)
    tcp = tcp[:16] + struct.pack(">H", checksum(pseudo + tcp + payload)) + tcp[18:]
    if len(source) == 4:
        ip = struct.pack(">BBHHHBBH", 0x45, 0, 20 + length, 0, 0x4000, 0, 6, 0) + source + destination
    else:
        ip = struct.pack(">IHBB", 6 << 28, length, 6, 0) + source + destination
    return ip + tcp + payload


def expected(probe: dict[str, Any], reply: bool, seen: bytes) -> bytes:
    """The packet as it must be; the Prober's address is that of the copy."""
    target = ipaddress.IPv6Address(probe["target"])
    v4 = target.ipv4_mapped is not None
    server = (target.ipv4_mapped or target).packed
    near, far = (slice(12, 16), slice(16, 20)) if v4 else (slice(8, 24), slice(24, 40))
    ports = probe["source_port"], probe["destination_port"]
    seq = probe["probe_id"] % 2**32
    if reply:
        tcp = struct.pack(">HHIIBBHHH", *reversed(ports), 0, (seq + 513) % 2**32, 0x50, 0x14, 0, 0, 0)
        return packet(server, seen[far], tcp, b"")
    tcp = struct.pack(">HHIIBBHHH", *ports, seq, 0, 0x50, 0x02, 1024, 0, 0)
    payload = bytes(build_payload(np.array([probe["probe_id"]]), np.array([probe["sent_at_us"]]))[0])
    return packet(seen[near], server, tcp, payload)


def altered_bytes(probe: dict[str, Any], reply: bool, seen: bytes) -> list[dict[str, int]]:
    """Bytes of a copy that are not as they must be."""
    v4 = ipaddress.IPv6Address(probe["target"]).ipv4_mapped is not None
    header = 20 if v4 else 40
    if len(seen) != header + 20 + (0 if reply else 512):
        return []
    if reply and seen[header + 13] == 0x12:
        return []
    open_bytes = (range(4, 8) if v4 else range(4)) if reply else ()
    return [
        {"byte_offset": at, "xor_mask": s ^ g, "sent": s, "seen": g}
        for at, (s, g) in enumerate(zip(expected(probe, reply, seen), seen, strict=True))
        if s != g and at not in open_bytes
    ]

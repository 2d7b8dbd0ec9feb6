"""Mirrored packets built with scapy: every format, network layer and oddity that the decoder must read.

scapy knows nothing of our code, so what these frames were built from is what decoding them must give.
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from scapy.contrib.erspan import ERSPAN_II, ERSPAN_III, ERSPAN_PlatformSpecific
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption_NOP
from scapy.layers.inet6 import IPv6, IPv6ExtHdrDestOpt
from scapy.layers.l2 import ARP, GRE, Dot1AD, Dot1Q, Ether
from scapy.packet import Packet, Raw

from schemas.payload import build_payload

PROBE_PORT = 65_111
PROBER_NUMBER = 7
EXPORTER = {4: "192.0.2.1", 6: "2001:db8::1"}
COLLECTOR = {4: "192.0.2.99", 6: "2001:db8::99"}
PROBER = {4: "10.0.0.1", 6: "fd00::1"}
TARGET = {4: "10.1.2.3", 6: "fd00::2:3"}
TOR = {4: "10.0.9.9", 6: "fd00::9:9"}

FORMATS = ("I", "II", "III", "III+platform", "teb", "0x8949")
ERSPAN_TYPE = {"I": 1, "II": 2, "III": 3, "III+platform": 3, "teb": "teb", "0x8949": "0x8949"}
SESSION, INDEX, KEY, TIMESTAMP, HARDWARE_ID, PLATFORM_PORT = 345, 0x54321, 0xCAFE, 0x89ABCDEF, 21, 0x3456


def probe_id_of(seq32: int, prober: int = PROBER_NUMBER) -> int:
    return prober << 32 | seq32


def syn(version: int = 4, seq32: int = 0x1234567, *, ttl: int = 61, source_port: int = 33_000) -> Packet:
    """A probe as it is on leg 1."""
    payload = build_payload(np.array([probe_id_of(seq32)]), np.array([1_790_000_000_000_000]))[0].tobytes()
    tcp = TCP(sport=source_port, dport=PROBE_PORT, seq=seq32, flags="S", window=1024) / Raw(payload)
    return network(version, PROBER[version], TARGET[version], ttl) / tcp


def rst(version: int = 4, seq32: int = 0x1234567, *, ttl: int = 60, source_port: int = 33_000) -> Packet:
    """The reply of a closed port, leg 2."""
    tcp = TCP(sport=PROBE_PORT, dport=source_port, seq=0, ack=(seq32 + 513) % 2**32, flags="RA", window=0)
    return network(version, TARGET[version], PROBER[version], ttl) / tcp


def encapsulated(packet: Packet, version: int = 4, *, ttl: int = 59) -> Packet:
    """A packet in a packet, leg 0."""
    return network(version, PROBER[version], TOR[version], ttl) / packet


def network(version: int, source: str, destination: str, ttl: int) -> Packet:
    if version == 4:
        return IP(src=source, dst=destination, ttl=ttl, tos=0x10, id=0x77)
    return IPv6(src=source, dst=destination, hlim=ttl, tc=0x10, fl=0x12345)


@dataclass(frozen=True)
class Wrap:
    """How a copy is wrapped."""

    format: str = "II"
    outer: int = 4  # IP version
    outer_tags: int = 0  # VLAN tags on the management network
    inner_tags: int = 0  # VLAN tags of the mirrored frame
    outer_options: bool = False  # IPv4 options or an IPv6 extension header before GRE
    checksum: bool = False
    key: int | None = None
    sequence: int | None = 4_000_000_000
    padding: int = 0  # bytes behind the mirrored packet: Ethernet padding and FCS
    outer_padding: int = 0  # bytes behind the outer packet
    session: int = SESSION
    index: int = INDEX
    exporter: str | None = None

    @property
    def has_sequence(self) -> bool:
        if self.format == "I":
            return False
        return self.format == "II" or self.sequence is not None

    def frame(self, packet: Packet | bytes, *, inner_link: Packet | None = None) -> bytes:
        """The whole Ethernet frame with a copy of `packet`, an IP packet (or anything, given its link
        layer)."""
        raw = bytes(packet)
        if inner_link is None:
            inner_link = tagged(Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02"), self.inner_tags)
            inner_link = typed(inner_link, 0x86DD if raw[0] >> 4 == 6 else 0x0800)
        copy = bytes(inner_link) + raw + b"\xa5" * self.padding
        body = self._gre(bytes(self._mirror_header()) + copy)
        link = tagged(Ether(src="02:00:00:00:00:03", dst="02:00:00:00:00:04"), self.outer_tags)
        return bytes(link / self._outer() / Raw(body)) + b"\x5a" * self.outer_padding

    def _outer(self) -> Packet:
        source = self.exporter or EXPORTER[self.outer]
        if self.outer == 4:
            options = [IPOption_NOP()] * 8 if self.outer_options else []
            return IP(src=source, dst=COLLECTOR[4], proto=47, options=options)
        header = IPv6(src=source, dst=COLLECTOR[6], nh=60 if self.outer_options else 47)
        return header / IPv6ExtHdrDestOpt(nh=47) if self.outer_options else header

    def _gre(self, body: bytes) -> bytes:
        """Written by hand: scapy guesses what follows from its tables."""
        protocol = {"I": 0x88BE, "II": 0x88BE, "teb": 0x6558, "0x8949": 0x8949}.get(self.format, 0x22EB)
        flags = self.checksum << 15 | (self.key is not None) << 13 | self.has_sequence << 12
        header = struct.pack("!HH", flags, protocol)
        if self.checksum:
            header += struct.pack("!HH", 0x1234, 0)
        if self.key is not None:
            header += struct.pack("!I", self.key)
        if self.has_sequence:
            header += struct.pack("!I", self.sequence or 0)
        assert bytes(GRE(header))[:4] == header[:4]
        return header + body

    def _mirror_header(self) -> Packet | bytes:
        if self.format == "II":
            return ERSPAN_II(vlan=77, en=3, session_id=self.session, index=self.index)
        if self.format.startswith("III"):
            has_platform = self.format.endswith("platform")
            header = ERSPAN_III(vlan=77, session_id=self.session, timestamp=TIMESTAMP, hw=HARDWARE_ID, d=1)
            header.o = int(has_platform)
            raw = bytes(header)[:12]
            if has_platform:
                raw += bytes(ERSPAN_PlatformSpecific(platf_id=3, info1=PLATFORM_PORT, info2=9))[:8]
            return raw
        return b"\0" * 22 if self.format == "0x8949" else b""


def tagged(link: Packet, tags: int) -> Packet:
    if tags == 2:
        return link / Dot1AD(vlan=100) / Dot1Q(vlan=200)
    return link / Dot1Q(vlan=100) if tags else link


def typed(link: Packet, ethertype: int) -> Packet:
    link.lastlayer().type = ethertype
    return link


def all_wraps() -> Iterator[Wrap]:
    """Every format with every network layer, tags, GRE options and padding: a few hundred combinations."""
    for each, outer, outer_tags, inner_tags in itertools.product(FORMATS, (4, 6), (0, 1, 2), (0, 1, 2)):
        yield Wrap(each, outer, outer_tags, inner_tags)
    for each, outer in itertools.product(FORMATS, (4, 6)):
        plain = Wrap(each, outer)
        yield replace(plain, outer_options=True)
        yield replace(plain, checksum=True)
        yield replace(plain, key=KEY)
        yield replace(plain, checksum=True, key=KEY, padding=4)
        yield replace(plain, sequence=None)
        yield replace(plain, padding=22)
        yield replace(plain, outer_padding=17)


def inner_packets() -> dict[str, Packet]:
    """IP packets of all kinds that may be mirrored."""
    return {
        "syn4": syn(4),
        "syn6": syn(6),
        "rst4": rst(4),
        "rst6": rst(6),
        "4in4": encapsulated(syn(4), 4),
        "6in6": encapsulated(syn(6), 6),
        "4in6": encapsulated(syn(4), 6),
        "6in4": encapsulated(syn(6), 4),
        "udp4": network(4, "10.0.0.5", "10.0.0.6", 9) / UDP(sport=53, dport=5353) / Raw(b"hello"),
        "udp6": network(6, "fd::5", "fd::6", 9) / UDP(sport=53, dport=5353) / Raw(b"hello"),
        "icmp4": network(4, "10.0.0.5", "10.0.0.6", 9) / ICMP() / Raw(b"ping"),
        "options4": IP(src="10.0.0.5", dst="10.0.0.6", options=[IPOption_NOP()] * 12, id=5)
        / TCP(sport=1, dport=2, seq=3, ack=4, flags="PA", options=[("MSS", 1460)])
        / Raw(b"odd"),
        "extension6": IPv6(src="fd::5", dst="fd::6", hlim=3)
        / IPv6ExtHdrDestOpt()
        / TCP(sport=1, dport=2, seq=3, ack=4, flags="PA")
        / Raw(b"odd"),
    }


def arp_frame(wrap: Wrap) -> bytes:
    """A mirrored frame that holds no IP packet."""
    return wrap.frame(ARP(psrc="10.0.0.1", pdst="10.0.0.2"), inner_link=Ether(type=0x0806))

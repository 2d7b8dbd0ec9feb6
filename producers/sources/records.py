"""The record structure of capture files: where each packet lies in a pcap or pcapng file, and when it came.

Sources: draft-ietf-opsawg-pcap, draft-ietf-opsawg-pcapng. Generators of plain values over a buffer: no
files here.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

from producers.packets import LinkType

Buffer = bytes | memoryview

RECORD_BYTES_MAX = 262_144
"""Longest packet that capture tools write; a longer one means that the file is damaged at this place."""

# Numbers that mean the same to us: DLT_RAW as some systems write it, IPv4 only, IPv6 only.
_LINK_TYPES = dict.fromkeys((12, 14, 101, 228, 229), LinkType.RAW_IP)
_LINK_TYPES |= {int(link_type): link_type for link_type in LinkType}

_PCAP_ORDER_AND_FRACTION = {  # magic as it stands in the file -> byte order, units per second
    b"\xa1\xb2\xc3\xd4": (">", 10**6),
    b"\xd4\xc3\xb2\xa1": ("<", 10**6),
    b"\xa1\xb2\x3c\x4d": (">", 10**9),
    b"\x4d\x3c\xb2\xa1": ("<", 10**9),
}
_PCAPNG_MAGIC = b"\x0a\x0d\x0d\x0a"
_SECTION, _INTERFACE, _OLD_PACKET, _SIMPLE_PACKET, _ENHANCED_PACKET = 0x0A0D0D0A, 1, 2, 3, 6
_OPTION_END, _OPTION_TIME_RESOLUTION, _OPTION_TIME_OFFSET = 0, 9, 14


class CaptureError(ValueError):
    """The file is no capture, or it is damaged from some place on; the message says where and how."""


class Record(NamedTuple):
    """One packet of a capture."""

    at: int  # first byte in the file
    length: int  # captured
    wire_length: int
    received_us: int
    link_type: LinkType


def read_records(data: Buffer) -> Iterator[Record]:
    """The packets of a pcap or pcapng file, in file order.

    Raises CaptureError at once if it is neither, and at the place from which on it cannot be read.
    """
    magic = bytes(data[:4])
    if magic == _PCAPNG_MAGIC:
        return _read_pcapng(data)
    if magic in _PCAP_ORDER_AND_FRACTION and len(data) >= 24:
        return _read_pcap(data, *_PCAP_ORDER_AND_FRACTION[magic])
    raise CaptureError("neither a pcap nor a pcapng file")


def _link_type(number: int) -> LinkType:
    try:
        return _LINK_TYPES[number]
    except KeyError:
        known = ", ".join(str(each) for each in sorted(_LINK_TYPES))
        raise CaptureError(f"link type {number} is not supported; known are {known}") from None


def _read_pcap(data: Buffer, order: str, units: int) -> Iterator[Record]:
    # The upper bits of the link type field describe a frame check sequence.
    (network,) = struct.unpack_from(f"{order}I", data, 20)
    return _pcap_packets(data, struct.Struct(f"{order}IIII"), units, _link_type(network & 0xFFFF))


def _pcap_packets(data: Buffer, header: struct.Struct, units: int, link_type: LinkType) -> Iterator[Record]:
    at, size = 24, len(data)
    while at < size:
        if at + 16 > size:
            raise CaptureError(f"the file ends inside the record header at byte {at}")
        seconds, fraction, length, wire_length = header.unpack_from(data, at)
        if length > RECORD_BYTES_MAX:
            raise CaptureError(
                f"the record at byte {at} claims {length} bytes: the file is damaged from there on"
            )
        if at + 16 + length > size:
            raise CaptureError(f"the file ends inside the packet at byte {at}")
        yield Record(at + 16, length, wire_length, seconds * 10**6 + fraction * 10**6 // units, link_type)
        at += 16 + length


@dataclass(frozen=True, slots=True)
class _Interface:
    """What a pcapng interface description block says."""

    link_type: LinkType
    snap_length: int
    units: int  # of time stamps, per second
    offset_s: int

    def time_us(self, high: int, low: int) -> int:
        return (high << 32 | low) * 10**6 // self.units + self.offset_s * 10**6


def _read_pcapng(data: Buffer) -> Iterator[Record]:
    order: Literal["<", ">"] = "<"
    interfaces: list[_Interface] = []
    at, size = 0, len(data)
    while at < size:
        if at + 12 > size:
            raise CaptureError(f"the file ends inside the block header at byte {at}")
        if bytes(data[at : at + 4]) == _PCAPNG_MAGIC:
            order, interfaces = _section_order(data, at), []
        kind, length = struct.unpack_from(f"{order}II", data, at)
        if length < 12 or length % 4 or at + length > size:
            raise CaptureError(
                f"the block at byte {at} claims {length} bytes: the file is damaged from there on"
            )
        body = at + 8
        try:
            if kind == _INTERFACE:
                interfaces.append(_read_interface(data, body, at + length - 4, order))
            elif kind in (_ENHANCED_PACKET, _OLD_PACKET, _SIMPLE_PACKET):
                yield _read_packet(data, kind, slice(body, at + length - 4), order, interfaces)
        except (struct.error, IndexError):
            raise CaptureError(f"the block at byte {at} contradicts itself") from None
        at += length


def _section_order(data: Buffer, at: int) -> Literal["<", ">"]:
    magic = bytes(data[at + 8 : at + 12])
    if magic == b"\x1a\x2b\x3c\x4d":
        return ">"
    if magic == b"\x4d\x3c\x2b\x1a":
        return "<"
    raise CaptureError(f"the section header at byte {at} has no byte order")


def _read_interface(data: Buffer, at: int, end: int, order: str) -> _Interface:
    network, _, snap_length = struct.unpack_from(f"{order}HHI", data, at)
    units, offset_s = 10**6, 0
    at += 8
    while at + 4 <= end:
        code, length = struct.unpack_from(f"{order}HH", data, at)
        if code == _OPTION_END:
            break
        if code == _OPTION_TIME_RESOLUTION and length == 1:
            resolution = data[at + 4]
            units = 2 ** (resolution & 0x7F) if resolution & 0x80 else 10**resolution
        if code == _OPTION_TIME_OFFSET and length == 8:
            (offset_s,) = struct.unpack_from(f"{order}q", data, at + 4)
        at += 4 + -(-length // 4) * 4
    return _Interface(_link_type(network), snap_length or RECORD_BYTES_MAX, units, offset_s)


def _read_packet(data: Buffer, kind: int, block: slice, order: str, interfaces: list[_Interface]) -> Record:
    at, end = block.start, block.stop
    if kind == _SIMPLE_PACKET:
        interface, high, low = interfaces[0], 0, 0
        (wire_length,) = struct.unpack_from(f"{order}I", data, at)
        at += 4
        length = min(wire_length, interface.snap_length, end - at)
    else:
        # The obsolete block: a 16-bit interface number and a drop count instead of 32 bits.
        layout = "IIIII" if kind == _ENHANCED_PACKET else "HxxIIII"
        number, high, low, length, wire_length = struct.unpack_from(f"{order}{layout}", data, at)
        interface = interfaces[number]
        at += 20
    if at + length > end:
        raise IndexError
    return Record(at, length, wire_length, interface.time_us(high, low), interface.link_type)

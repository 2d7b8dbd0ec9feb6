"""IPv4 and IPv6 headers in columns, with IPv6 extension headers. Sources: RFC 791, RFC 8200, RFC 4302."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from producers.addresses import V4_MAPPED, Addresses
from producers.mirror.frames import Bools, Frames, Offsets, settle, some, u16, u32
from producers.packets import I32, U8

PROTOCOL_IPV4 = 4
PROTOCOL_TCP = 6
PROTOCOL_IPV6 = 41
PROTOCOL_GRE = 47

_HOP_BY_HOP, _ROUTING, _FRAGMENT, _AUTHENTICATION, _DESTINATION_OPTIONS = 0, 43, 44, 51, 60
_IS_EXTENSION: NDArray[np.bool_] = np.zeros(256, dtype=np.bool_)  # by protocol
_IS_EXTENSION[[_HOP_BY_HOP, _ROUTING, _FRAGMENT, _AUTHENTICATION, _DESTINATION_OPTIONS]] = True
# RFC 8200 asks for each header once, destination options twice; more is an attack on parsers.
_EXTENSIONS_MAX = 6

HEADER_LENGTH_MIN = {4: 20, 6: 40}


@dataclass(frozen=True, slots=True)
class IpHeaders:
    """The IP header of each row; fields mean nothing where `readable` is false."""

    readable: Bools  # the fixed header is there and does not contradict itself
    cut: Bools  # the row ends inside the fixed header
    version: U8
    header_length: I32  # bytes up to the upper-layer header, IPv4 options and IPv6 extension headers included
    total_length: I32  # bytes of the whole packet according to its header
    protocol: I32  # of the upper layer
    ttl: I32  # or hop limit
    ip_id: I32  # -1: an IPv6 packet
    fragment_offset: I32  # bytes
    more_fragments: Bools
    rerouted: Bools  # an IPv6 routing header: the destination is not (yet) the final one
    source: Addresses
    destination: Addresses

    def replaced(self, rows: Bools, other: IpHeaders) -> IpHeaders:
        """These headers with those of `other` in the given rows."""
        columns = {}
        for field in fields(self):
            mine, theirs = getattr(self, field.name), getattr(other, field.name)
            columns[field.name] = np.where(rows if mine.ndim == 1 else rows[:, None], theirs, mine)
        return IpHeaders(**columns)


def read_ip(frames: Frames, at: Offsets, end: I32, version: U8, rows: Bools) -> IpHeaders:
    """The IP headers at `at`.

    end: i4[n], first byte that no longer belongs to the packet. version: u8[n], what the layer below
    announced: 4 or 6, anything else makes the row unreadable. rows: bool[n], the rows that matter; others
    are unreadable.
    """
    is_v6 = version == 6
    has_v4, has_v6 = some(rows & (version == 4)), some(rows & is_v6)
    if not has_v6:
        return _read_v4(frames, at, end, rows & (version == 4))
    headers = _read_v6(frames, at, end, rows & is_v6)
    if has_v4:
        return _read_v4(frames, at, end, rows & (version == 4)).replaced(is_v6, headers)
    return headers


def announced_version(ethertype: I32) -> U8:
    """4, 6 or 0 for each EtherType. i4[n] -> u8[n]."""
    version: U8 = (ethertype == 0x0800) * np.uint8(4) + (ethertype == 0x86DD) * np.uint8(6)
    return version


def _read_v4(frames: Frames, at: Offsets, end: I32, rows: Bools) -> IpHeaders:
    head = frames.window(at, 20)
    count = len(head)
    version_and_length = head[:, 0]
    header_length = (version_and_length & 15).astype(np.int32) * 4
    total_length = u16(head, 2)
    fragment = u16(head, 6)
    cut = rows & (at + 20 > end)
    sound = (version_and_length >> 4 == 4) & (header_length >= 20) & (total_length >= header_length)
    return IpHeaders(
        readable=rows & ~cut & sound,
        cut=cut,
        version=np.full(count, 4, dtype=np.uint8),
        header_length=header_length,
        total_length=total_length,
        protocol=head[:, 9].astype(np.int32),
        ttl=head[:, 8].astype(np.int32),
        ip_id=u16(head, 4),
        fragment_offset=(fragment & 0x1FFF) * 8,
        more_fragments=(fragment & 0x2000) != 0,
        rerouted=np.zeros(count, dtype=np.bool_),
        source=_v4_address(head, 12),
        destination=_v4_address(head, 16),
    )


def _read_v6(frames: Frames, at: Offsets, end: I32, rows: Bools) -> IpHeaders:
    head = frames.window(at, 40)
    cut = rows & (at + 40 > end)
    readable = rows & ~cut & (head[:, 0] >> 4 == 6)
    upper = _UpperLayer.of(head)
    for _ in range(_EXTENSIONS_MAX):
        # What follows a later fragment's header is not a header.
        extended = readable & _IS_EXTENSION[upper.protocol] & (upper.fragment_offset == 0)
        start = at + upper.header_length
        extended &= start + 8 <= end
        if not some(extended):
            break
        upper = upper.behind(frames.window(settle(start, extended), 8), extended)
    return IpHeaders(
        readable=readable,
        cut=cut,
        version=np.full(len(head), 6, dtype=np.uint8),
        header_length=upper.header_length,
        total_length=u16(head, 4) + 40,
        protocol=upper.protocol,
        ttl=head[:, 7].astype(np.int32),
        ip_id=np.full(len(head), -1, dtype=np.int32),
        fragment_offset=upper.fragment_offset,
        more_fragments=upper.more_fragments,
        rerouted=upper.rerouted,
        source=_v6_address(head, 8),
        destination=_v6_address(head, 24),
    )


@dataclass(frozen=True, slots=True)
class _UpperLayer:
    """How far the walk along the extension headers has come in each row."""

    protocol: I32
    header_length: I32
    fragment_offset: I32
    more_fragments: Bools
    rerouted: Bools

    @classmethod
    def of(cls, head: U8) -> _UpperLayer:
        count = len(head)
        return cls(
            protocol=head[:, 6].astype(np.int32),
            header_length=np.full(count, 40, dtype=np.int32),
            fragment_offset=np.zeros(count, dtype=np.int32),
            more_fragments=np.zeros(count, dtype=np.bool_),
            rerouted=np.zeros(count, dtype=np.bool_),
        )

    def behind(self, extension: U8, extended: Bools) -> _UpperLayer:
        """One extension header further in the rows that have one. extension: u8[n, 8], its first bytes."""
        is_fragment = extended & (self.protocol == _FRAGMENT)
        units = extension[:, 1].astype(np.int32)
        length = (units + 1) * 8
        length = np.where(self.protocol == _AUTHENTICATION, (units + 2) * 4, length)
        length = np.where(is_fragment, 8, length)
        fragment = u16(extension, 2)
        return _UpperLayer(
            protocol=np.where(extended, extension[:, 0].astype(np.int32), self.protocol),
            header_length=np.where(extended, self.header_length + length, self.header_length).astype(
                np.int32
            ),
            fragment_offset=np.where(is_fragment, fragment & 0xFFF8, self.fragment_offset).astype(np.int32),
            more_fragments=np.where(is_fragment, (fragment & 1) != 0, self.more_fragments),
            rerouted=self.rerouted | (extended & (self.protocol == _ROUTING)),
        )


def _v4_address(head: U8, at: int) -> Addresses:
    words: Addresses = np.zeros((len(head), 2), dtype=np.uint64)
    words[:, 1] = u32(head, at)
    words[:, 1] |= V4_MAPPED
    return words


def _v6_address(head: U8, at: int) -> NDArray[np.uint64]:
    return head[:, at : at + 16].view(">u8").astype(np.uint64)

"""What comes back for a probe, and the probe itself, read in columns.

A closed port answers RST with ack = seq + 1 + payload; an open one SYN-ACK, which acknowledges the SYN
alone; a router or host answers ICMP with the head of the packet it could not deliver. All three give back
the 32 bits of the sequence number, and with the Prober's number the probe ID. A server with TCP Fast Open
that accepts data without a cookie would acknowledge the payload too; its SYN-ACK is then another probe's by
number, and the caller tells by the addresses and ports, which `producers.matching` compares.

Sources: RFC 9293 section 3.10.7 (RST and SYN-ACK), RFC 792 and RFC 4443 (ICMP errors).
"""

import numpy as np
from numpy.typing import NDArray

from producers.wire import (
    IPV4_HEADER_LENGTH,
    IPV6_HEADER_LENGTH,
    PROTOCOL_IPV4,
    PROTOCOL_IPV6,
    PROTOCOL_TCP,
    TCP_HEADER_LENGTH,
    TCP_LENGTH,
    U8,
)
from schemas.payload import PAYLOAD_LENGTH
from schemas.rows import Leg, ReplyKind

I64 = NDArray[np.int64]

PROTOCOL_ICMP, PROTOCOL_ICMPV6 = 1, 58
_SYN, _RST, _ACK = 0x02, 0x04, 0x10
_NOT_OURS = -1

REPLY_DTYPE = np.dtype(
    [
        ("kind", np.int8),  # schemas.rows.ReplyKind; 0: no reply to a probe
        ("seq32", np.int64),  # the probe's sequence number
        ("prober", "V16"),  # address that sent the probe
        ("target", "V16"),  # inner destination of the probe
        ("source_port", np.int32),  # of the probe
        ("destination_port", np.int32),  # of the probe
        ("ttl", np.int16),  # of the reply
        ("icmp_type", np.int16),  # -1: no ICMP
        ("icmp_code", np.int16),
    ]
)

SEEN_PROBE_DTYPE = np.dtype(
    [
        ("leg", np.int8),  # schemas.rows.Leg 0 or 1; -1: no probe
        ("seq32", np.int64),
        ("prober", "V16"),
        ("target", "V16"),
        ("via", "V16"),  # outer destination, zeros on leg 1
        ("source_port", np.int32),
        ("destination_port", np.int32),
        ("ttl", np.int16),  # of the outermost header
        ("inner_offset", np.int32),  # bytes before the inner IP header
    ]
)


def probe_ids(seq32: I64, prober_number: int | I64) -> I64:
    """The probe ID from its 32 wire bits and the number of its Prober: i64[n] -> i64[n]."""
    return (np.asarray(prober_number, dtype=np.int64) << np.int64(32)) | seq32


def parse_replies(packets: U8, lengths: NDArray[np.integer]) -> NDArray[np.void]:
    """Read replies to probes; whatever is none gets kind 0.

    packets: u8[n, w], rows starting with an IP header. lengths: integers[n], bytes captured of each row.
    Returns REPLY_DTYPE[n]. Any bytes are accepted. Checksums are not verified: a NIC or the kernel did so,
    and on a virtual link they may not be filled in.
    """
    reply = np.zeros(len(packets), REPLY_DTYPE)
    reply["icmp_type"] = reply["icmp_code"] = -1
    if not len(packets):
        return reply
    ip = _IpHeaders(packets, lengths, np.zeros(len(packets), np.int64))
    reply["ttl"] = ip.ttl
    tcp = ip.whole & (ip.protocol == PROTOCOL_TCP) & (ip.held >= 20)
    if tcp.all():
        _read_tcp(reply, packets, ip)
        return reply
    rows = np.flatnonzero(tcp)
    if len(rows):
        part = reply[rows]
        _read_tcp(part, packets[rows], ip.take(rows))
        reply[rows] = part
    icmp = ip.protocol == np.where(ip.v4, PROTOCOL_ICMP, PROTOCOL_ICMPV6)
    rows = np.flatnonzero(ip.whole & icmp & (ip.held >= 8 + IPV4_HEADER_LENGTH + 8))
    if len(rows):
        part = reply[rows]
        _read_icmp(part, packets[rows], lengths[rows], ip.take(rows))
        reply[rows] = part
    return reply


def parse_probes(packets: U8, lengths: NDArray[np.integer]) -> NDArray[np.void]:
    """Read probes, bare or encapsulated; whatever is none gets leg -1.

    packets, lengths: as for `parse_replies`. Returns SEEN_PROBE_DTYPE[n]. Any bytes are accepted. A probe is
    a SYN without ACK whose IP packet has exactly the length of a probe; its payload is not read here.
    """
    seen = np.zeros(len(packets), SEEN_PROBE_DTYPE)
    seen["leg"] = _NOT_OURS
    if not len(packets):
        return seen
    outer = _IpHeaders(packets, lengths, np.zeros(len(packets), np.int64))
    tunnelled = outer.whole & ((outer.protocol == PROTOCOL_IPV4) | (outer.protocol == PROTOCOL_IPV6))
    offset = np.where(tunnelled, outer.payload, 0)
    inner = _IpHeaders(packets, lengths, offset) if tunnelled.any() else outer
    syn = inner.whole & (inner.protocol == PROTOCOL_TCP) & (inner.end - inner.payload == TCP_LENGTH)
    syn &= inner.held >= TCP_HEADER_LENGTH
    tcp = np.where(syn, inner.payload, 0)
    flags = _number(packets, tcp + 13, 1)
    found = syn & (flags & (_SYN | _ACK | _RST) == _SYN)
    seen["leg"] = np.where(found, np.where(tunnelled, Leg.ENCAPSULATED, Leg.PROBE), _NOT_OURS)
    seen["seq32"] = _number(packets, tcp + 4, 4)
    seen["source_port"] = _number(packets, tcp, 2)
    seen["destination_port"] = _number(packets, tcp + 2, 2)
    seen["prober"] = inner.source(packets)
    seen["target"] = inner.destination(packets)
    seen["via"] = np.where(tunnelled, outer.destination(packets), np.zeros(1, "V16"))
    seen["ttl"] = outer.ttl
    seen["inner_offset"] = offset
    return seen


class _IpHeaders:
    """The IP headers at a byte offset of each row; fields mean something where `whole` is true."""

    __slots__ = ("end", "held", "offset", "payload", "protocol", "ttl", "v4", "whole")

    def __init__(self, packets: U8, lengths: NDArray[np.integer], offset: I64) -> None:
        captured = np.asarray(lengths).astype(np.int64)
        first = _number(packets, offset, 1)
        self.offset = offset
        self.v4 = first >> 4 == 4
        v6 = first >> 4 == 6
        header = np.where(self.v4, (first & 0xF) * 4, IPV6_HEADER_LENGTH)
        self.payload: I64 = offset + header
        total = np.where(self.v4, _number(packets, offset + 2, 2), _number(packets, offset + 4, 2) + header)
        self.end: I64 = offset + total
        self.protocol: I64 = np.where(
            self.v4, _number(packets, offset + 9, 1), _number(packets, offset + 6, 1)
        )
        self.ttl: I64 = np.where(self.v4, _number(packets, offset + 8, 1), _number(packets, offset + 7, 1))
        # A fragment (offset or MF set) has no whole TCP header; probes and replies are never fragmented.
        fragment = self.v4 & (_number(packets, offset + 6, 2) & 0x3FFF != 0)
        self.whole = (self.v4 | v6) & (header >= IPV4_HEADER_LENGTH) & (total >= header) & ~fragment
        self.whole &= self.payload <= captured
        # A ring may keep only the first bytes of a packet.
        self.held: I64 = np.minimum(self.end, captured) - self.payload

    def take(self, rows: NDArray[np.intp]) -> "_IpHeaders":
        part = object.__new__(_IpHeaders)
        for name in self.__slots__:
            setattr(part, name, getattr(self, name)[rows])
        return part

    def source(self, packets: U8) -> NDArray[np.void]:
        """V16[n]"""
        return self._address(packets, 12, 8)

    def destination(self, packets: U8) -> NDArray[np.void]:
        """V16[n]"""
        return self._address(packets, 16, 24)

    def _address(self, packets: U8, v4_column: int, v6_column: int) -> NDArray[np.void]:
        words = np.zeros((len(packets), 2), dtype=">u8")
        if self.v4.any():
            words[:, 1] = 0xFFFF_0000_0000 | _number(packets, self.offset + v4_column, 4)
        if not self.v4.all():
            rows = np.flatnonzero(~self.v4)
            six = packets[rows]
            for half in (0, 1):
                high = _number(six, self.offset[rows] + v6_column + 8 * half, 4).astype(np.uint64)
                low = _number(six, self.offset[rows] + v6_column + 8 * half + 4, 4).astype(np.uint64)
                words[rows, half] = high << np.uint64(32) | low
        return words.view("V16").reshape(-1)


def _number(packets: U8, column: I64, size: int) -> I64:
    """The big-endian number of `size` bytes (1, 2 or 4) at a byte column of each row; outside bytes are 0."""
    width = packets.shape[1]
    first = int(column[0]) if len(column) else 0
    if first + size <= width and (column == first).all():
        part = packets[:, first : first + size]  # the usual case: all rows alike
        value = part[:, 0].astype(np.int64)
        for byte in range(1, size):
            value = value << 8 | part[:, byte]
        return value
    value = np.zeros(len(packets), dtype=np.int64)
    rows = np.arange(len(packets))
    for byte in range(size):
        at = column + byte
        inside = at < width
        value = value << 8 | np.where(inside, packets[rows, np.where(inside, at, 0)], 0)
    return value


def _read_tcp(reply: NDArray[np.void], packets: U8, ip: _IpHeaders) -> None:
    flags = _number(packets, ip.payload + 13, 1) & (_SYN | _RST | _ACK)
    ack = _number(packets, ip.payload + 8, 4)
    rst = flags & _RST != 0
    syn_ack = flags == _SYN | _ACK
    acknowledged = np.where(rst, 1 + PAYLOAD_LENGTH, 1)
    reply["kind"] = np.where(rst, ReplyKind.RST, np.where(syn_ack, ReplyKind.SYN_ACK, ReplyKind.NONE))
    reply["seq32"] = (ack - acknowledged) & 0xFFFFFFFF
    reply["prober"] = ip.destination(packets)
    reply["target"] = ip.source(packets)
    reply["source_port"] = _number(packets, ip.payload + 2, 2)
    reply["destination_port"] = _number(packets, ip.payload, 2)


def _read_icmp(reply: NDArray[np.void], packets: U8, lengths: NDArray[np.integer], ip: _IpHeaders) -> None:
    kind = _number(packets, ip.payload, 1)
    # Errors that quote a packet: unreachable, too big, time exceeded, parameter problem.
    error = np.where(ip.v4, np.isin(kind, (3, 11, 12)), np.isin(kind, (1, 2, 3, 4)))
    quote = _Quote(packets, lengths, ip.payload + 8)
    tunnelled = (quote.protocol == PROTOCOL_IPV4) | (quote.protocol == PROTOCOL_IPV6)
    if tunnelled.any():  # the encapsulated probe was quoted; read the packet inside
        inner = _Quote(packets, lengths, np.where(tunnelled, quote.payload, quote.offset))
        quote = inner
    found = error & quote.legible
    reply["kind"] = np.where(found, ReplyKind.ICMP, ReplyKind.NONE)
    reply["seq32"] = _number(packets, quote.payload + 4, 4)
    reply["prober"] = quote.source(packets)
    reply["target"] = quote.destination(packets)
    reply["source_port"] = _number(packets, quote.payload, 2)
    reply["destination_port"] = _number(packets, quote.payload + 2, 2)
    reply["icmp_type"] = kind
    reply["icmp_code"] = _number(packets, ip.payload + 1, 1)


class _Quote(_IpHeaders):
    """The IP header of a quoted packet, of which only the first bytes may be there."""

    __slots__ = ("legible",)

    def __init__(self, packets: U8, lengths: NDArray[np.integer], offset: I64) -> None:
        super().__init__(packets, lengths, offset)
        first = _number(packets, offset, 1)
        known = (first >> 4 == 6) | (self.v4 & (first & 0xF >= 5))
        enough = self.payload + 8 <= np.asarray(lengths)
        self.legible = known & enough & (self.protocol == PROTOCOL_TCP)

"""TCP and its relatives with ports: the header fields, and the TCP checksum. Sources: RFC 9293, RFC 1071."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from producers.mirror.frames import Bools, Frames, Offsets, u16, u32
from producers.mirror.ip import PROTOCOL_TCP
from producers.packets import I32, I64, U8
from schemas.splitmix import U64

TCP_SYN, TCP_RST, TCP_ACK = 0x02, 0x04, 0x10
TCP_HEADER_LENGTH_MIN = 20

# TCP, UDP, DCCP, SCTP, UDP-Lite: all start with source and destination port.
_HAS_PORTS: NDArray[np.bool_] = np.zeros(256, dtype=np.bool_)  # by protocol
_HAS_PORTS[[PROTOCOL_TCP, 17, 33, 132, 136]] = True
_MODULUS = np.uint64(65535)


@dataclass(frozen=True, slots=True)
class TransportHeaders:
    """Fields of the upper-layer header of each row; -1 where there is none or the copy ends before it."""

    source_port: I32
    destination_port: I32
    tcp_seq: I64
    tcp_ack: I64
    tcp_flags: I32  # 12 bits
    tcp_header_length: I32


def read_transport(frames: Frames, at: Offsets, end: I32, protocol: I32) -> TransportHeaders:
    """The upper-layer headers at `at`.

    end: i4[n], first byte beyond the packet. protocol: i4[n], -1 where there is no such header (e.g. in a
    later fragment).
    """
    head = frames.window(at, TCP_HEADER_LENGTH_MIN)
    # An absent protocol, -1, reads the last entry: none of ours.
    has_ports = _HAS_PORTS[protocol] & (at + 4 <= end)
    is_tcp = (protocol == PROTOCOL_TCP) & (at + 14 <= end)
    offset_and_flags = u16(head, 12)
    return TransportHeaders(
        source_port=np.where(has_ports, u16(head, 0), -1),
        destination_port=np.where(has_ports, u16(head, 2), -1),
        tcp_seq=np.where(is_tcp, u32(head, 4), -1),
        tcp_ack=np.where(is_tcp, u32(head, 8), -1),
        tcp_flags=np.where(is_tcp, offset_and_flags & 0xFFF, -1),
        tcp_header_length=np.where(is_tcp, (offset_and_flags >> 12) * 4, -1),
    )


def tcp_checksum_is_right(
    words: U64, version: U8, header_length: I32, total_length: I32, rows: Bools
) -> NDArray[np.bool_]:
    """Whether the TCP checksum of whole, normalised packets is right; false outside `rows`.

    words: u64[n, k], the normalised packets as numbers (`content.as_words`). header_length: i4[n], up to TCP.

    The ones' complement sum is a sum modulo 65535, and 2**16 is 1 modulo 65535: so 32-bit pieces can be
    added up as they are. From byte 8 on a normalised packet consists of just what TCP sums up (both
    addresses, the segment, for IPv4 also the protocol), and of options and extension headers, which are
    taken out again.
    """
    # All ones sum to 0 modulo 65535, the value a right checksum gives together with what it covers.
    total = words.view(np.uint32)[:, 2:].sum(axis=1, dtype=np.uint64)
    is_v6 = version == 6
    total += (total_length - header_length).astype(np.uint64)
    total += is_v6 * np.uint64(PROTOCOL_TCP)
    fixed_length = np.where(is_v6, 40, 20)
    extended = np.flatnonzero(rows & (header_length > fixed_length))
    if len(extended):
        total[extended] += _MODULUS - _sum_between(
            words[extended], fixed_length[extended], header_length[extended]
        )
    right: NDArray[np.bool_] = rows & (total % _MODULUS == 0)
    return right


def _sum_between(words: U64, start: I32, end: I32) -> U64:
    """Sum modulo 65535 of the bytes start..end of each packet; both multiples of 4. u64[n]."""
    pieces = words.astype(">u8").view(">u4").astype(np.uint64)
    columns = np.arange(pieces.shape[1]) * 4
    inside = (columns >= start[:, None]) & (columns < end[:, None])
    sums: U64 = np.where(inside, pieces, np.uint64(0)).sum(axis=1, dtype=np.uint64)
    return sums % _MODULUS

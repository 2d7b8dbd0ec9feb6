"""The probe on the wire: a TCP SYN with the keyed payload, bare or IP-in-IP, built in columns.

What comes back is read by `producers.replies`.

A packet is a row of u8[n, w] that starts with its outermost IP header. Nothing is sent twice, so the
IPv4 identification is 0 and DF is set. Checksums are sums modulo 65535, and the pattern of the payload is
known, so they are computed from the header words and the probe ID alone, never by reading the payload
again; the same holds for the content hash of an IPv4 probe (`content_hash_as_sent`).

Sources: RFC 791, RFC 8200, RFC 9293 (headers), RFC 1071 (checksum), RFC 2003 (IPv4 in IPv4), RFC 2473 and
4213 (protocol 41 for IPv6 inside, 4 for IPv4 inside).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fabric.model import DEFAULT_DSCP
from producers.content import HASH_KEYS, content_hash, finish_hash, normalise
from schemas.payload import MAGIC, PATTERN, PAYLOAD_LENGTH, pattern_shift
from schemas.splitmix import U64

U8 = NDArray[np.uint8]
Words = tuple[U64, U64]

IPV4_HEADER_LENGTH = 20
IPV6_HEADER_LENGTH = 40
TCP_HEADER_LENGTH = 20
TCP_LENGTH = TCP_HEADER_LENGTH + PAYLOAD_LENGTH
PROTOCOL_IPV4, PROTOCOL_TCP, PROTOCOL_IPV6 = 4, 6, 41
TTL = 64
WINDOW = 1024
DSCP = DEFAULT_DSCP
"""Default of the one code point that marks probes; switches mirror what carries it."""

PROBE_DTYPE = np.dtype(
    [
        ("probe_id", np.int64),
        ("sent_at_us", np.int64),
        ("source", "V16"),  # inner source: the Prober, in the family of the target
        ("target", "V16"),  # inner destination
        ("outer_source", "V16"),  # the Prober in the family of `via`; unused without one
        ("via", "V16"),  # outer destination, the decapsulating ToR; zeros: not encapsulated
        ("source_port", np.int32),
        ("destination_port", np.int32),
    ]
)
"""What `build` reads; any structured array with these names will do. Addresses are IPv6 or IPv4-mapped."""

_V4_PREFIX = np.uint64(0xFFFF)
_LOW32 = np.uint64(0xFFFFFFFF)
_MOD = np.uint64(65535)
_PATTERN_SORTED = np.sort(PATTERN)
_PATTERN_SUM = sum(int(word) % 65535 for word in PATTERN) % 65535
# Payload words in the content hash of an IPv4 probe: they start at word 5, behind 20 + 20 bytes of headers.
_V4_PAYLOAD_WORD = (IPV4_HEADER_LENGTH + TCP_HEADER_LENGTH) // 8
_V4_PATTERN_KEYS = HASH_KEYS[_V4_PAYLOAD_WORD + 3 : _V4_PAYLOAD_WORD + PAYLOAD_LENGTH // 8]
_V4_HASH_SLOPE = _V4_PATTERN_KEYS.sum(dtype=np.uint64)
# Everything that is the same in all of them: word 0 (length and DF; TOS masked), the magic, the pattern.
_V4_WORD_0 = 0x4500 << 48 | (IPV4_HEADER_LENGTH + TCP_LENGTH) << 32 | 0x4000
_V4_HASH_CONSTANT = np.uint64(
    (
        int((PATTERN * _V4_PATTERN_KEYS).sum(dtype=np.uint64))
        + MAGIC * int(HASH_KEYS[_V4_PAYLOAD_WORD])
        + _V4_WORD_0 * int(HASH_KEYS[0])
    )
    % 2**64
)


@dataclass(frozen=True, slots=True)
class Frames:
    """Packets ready to send, right-aligned, so that payloads and TCP headers stand below one another.

    data: u8[n, w]; packet i is data[i, start[i]:], what stands before it is the caller's. start: i64[n].
    lengths: i32[n], bytes of each packet. content_hash: u64[n], of the inner packet as sent.
    """

    data: U8
    start: NDArray[np.int64]
    lengths: NDArray[np.int32]
    content_hash: U64


def address_words(addresses: NDArray[np.void]) -> Words:
    """High and low 64 bits of each V16 address: V16[n] -> u64[n], u64[n]."""
    words = np.ascontiguousarray(addresses).view(">u8").reshape(-1, 2).astype(np.uint64)
    return words[:, 0], words[:, 1]


def is_ipv4(addresses: NDArray[np.void]) -> NDArray[np.bool_]:
    """Which addresses are IPv4-mapped: V16[n] -> bool[n]."""
    high, low = address_words(addresses)
    mapped: NDArray[np.bool_] = (high == 0) & (low >> np.uint64(32) == _V4_PREFIX)
    return mapped


def is_set(addresses: NDArray[np.void]) -> NDArray[np.bool_]:
    """Which addresses are not all zeros: V16[n] -> bool[n]."""
    high, low = address_words(addresses)
    found: NDArray[np.bool_] = (high | low) != 0
    return found


def build(probes: NDArray[np.void], dscp: int = DSCP) -> tuple[U8, NDArray[np.int32]]:
    """The packets of n probes, each from column 0 of its row.

    probes: structured[n] with the fields of PROBE_DTYPE. dscp: 0..63, used in the inner and the outer header.
    Returns u8[n, w] and i32[n]: packets and their lengths in bytes; w is the longest, the rest of a row
    is zero. Raises ValueError if source and target (or outer source and via) are not of one family.
    """
    built = frames(probes, dscp)
    if not built.start.any():
        return built.data, built.lengths
    width = built.data.shape[1]
    column = np.arange(width) + built.start[:, None]
    packets = np.take_along_axis(built.data, np.minimum(column, width - 1), axis=1)
    packets[column >= width] = 0
    return packets, built.lengths


def frames(probes: NDArray[np.void], dscp: int = DSCP, headroom: int = 0) -> Frames:
    """As `build`, with at least `headroom` bytes before each packet, and with the content hashes."""
    shapes = inner_v4, outer, outer_v4 = _shapes(probes)
    values = _Values(probes)
    if (values.source_is_v4 != inner_v4).any():
        raise ValueError("source and target of a probe must be of one address family")
    if outer.any() and (is_ipv4(probes["outer_source"][outer]) != outer_v4[outer]).any():
        raise ValueError("outer source and decapsulating ToR of a probe must be of one address family")
    lengths = _lengths(shapes)
    width = headroom + int(lengths.max(initial=0))
    data = np.zeros((len(probes), width), dtype=np.uint8)
    checksum = values.tcp_checksum()
    tcp = width - TCP_LENGTH
    if len(probes):
        _write_tcp(data[:, tcp:], values, checksum)
        _write_headers(data[:, :tcp], values, inner_v4, dscp)
        if outer.any():
            _write_tunnels(data[:, :tcp], probes, shapes, dscp)
    hashes = values.content_hash_v4(checksum)
    if not inner_v4.all():
        six = np.flatnonzero(~inner_v4)
        packets = data[six, tcp - IPV6_HEADER_LENGTH :]
        length = np.full(len(six), packets.shape[1])
        hashes[six] = content_hash(normalise(packets, length), length)
    return Frames(data, (width - lengths).astype(np.int64), lengths, hashes)


def content_hash_as_sent(probes: NDArray[np.void]) -> U64:
    """`producers.content.content_hash` of the inner packet of each probe, as it leaves the Prober.

    For IPv4 no packet is built: the words of payload and header are known, and the hash is a sum over
    them. An IPv6 header is 4 bytes off the word grid, so those packets are built and hashed.
    probes: structured[n] as for `build`. Returns u64[n].
    """
    if not is_ipv4(probes["target"]).all():
        return frames(probes).content_hash
    values = _Values(probes)
    return values.content_hash_v4(values.tcp_checksum())


def packet_lengths(probes: NDArray[np.void]) -> NDArray[np.int32]:
    """Bytes of each probe's packet, encapsulation included. probes: structured[n] as for `build`."""
    return _lengths(_shapes(probes))


Shapes = tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_]]
"""IPv4 inside, encapsulated, IPv4 outside: what decides which headers a probe has."""


def _shapes(probes: NDArray[np.void]) -> Shapes:
    outer = is_set(probes["via"])
    outer_v4 = outer & is_ipv4(probes["via"]) if outer.any() else outer
    return is_ipv4(probes["target"]), outer, outer_v4


def _lengths(shapes: Shapes) -> NDArray[np.int32]:
    inner_v4, outer, outer_v4 = shapes
    # Indexed by a truth value: the length of an IPv6 header, of an IPv4 header.
    header = np.array([IPV6_HEADER_LENGTH, IPV4_HEADER_LENGTH], dtype=np.int32)
    lengths: NDArray[np.int32] = header[inner_v4.view(np.int8)] + np.int32(TCP_LENGTH)
    return lengths + header[outer_v4.view(np.int8)] * outer


class _Values:
    """The numbers that go into headers, checksums and hashes, each converted once. All u64[n]."""

    __slots__ = (
        "destination_port",
        "probe_id",
        "sent_at_us",
        "seq32",
        "shift",
        "source",
        "source_port",
        "target",
    )

    def __init__(self, probes: NDArray[np.void]) -> None:
        self.probe_id = probes["probe_id"].astype(np.uint64)
        self.seq32 = self.probe_id & _LOW32
        self.shift = pattern_shift(self.probe_id)
        self.sent_at_us = probes["sent_at_us"].astype(np.uint64)
        self.source_port = probes["source_port"].astype(np.uint64)
        self.destination_port = probes["destination_port"].astype(np.uint64)
        self.source = address_words(probes["source"])
        self.target = address_words(probes["target"])

    @property
    def source_is_v4(self) -> NDArray[np.bool_]:
        high, low = self.source
        mapped: NDArray[np.bool_] = (high == 0) & (low >> np.uint64(32) == _V4_PREFIX)
        return mapped

    def tcp_checksum(self) -> U64:
        """Checksum of pseudo header, TCP header and payload.

        A 64-bit word is congruent to the sum of its four 16-bit words modulo 65535. Payload words are
        (PATTERN + shift) mod 2**64, and 2**64 is 1 modulo 65535: so each wrap of the addition subtracts 1.
        """
        wraps = len(PATTERN) - np.searchsorted(_PATTERN_SORTED, ~self.shift, side="right")
        constant = _PATTERN_SUM + MAGIC % 65535 + TCP_LENGTH + PROTOCOL_TCP + 0x5002 + WINDOW + 65535
        total = np.uint64(len(PATTERN)) * (self.shift % _MOD) + np.uint64(constant)
        total -= wraps.astype(np.uint64)
        total += self.probe_id % _MOD + self.sent_at_us % _MOD
        total += self.source_port + self.destination_port + self.seq32
        for high, low in (self.source, self.target):
            # An IPv4-mapped address adds ffff, which is 0 modulo 65535: no case for the family.
            total += high % _MOD + low % _MOD
        return _checksum(total)

    def content_hash_v4(self, tcp_checksum: U64) -> U64:
        """Hashes of the inner packets, if they are IPv4. The header words follow RFC 791 and RFC 9293."""
        keys = HASH_KEYS
        total = ((self.source[1] & _LOW32) | np.uint64(PROTOCOL_TCP << 48)) * keys[1]
        ports = self.source_port << np.uint64(16) | self.destination_port
        total += ((self.target[1] & _LOW32) << np.uint64(32) | ports) * keys[2]
        total += (self.seq32 << np.uint64(32)) * keys[3]
        total += (np.uint64(0x5002 << 48 | WINDOW << 32) | tcp_checksum << np.uint64(16)) * keys[4]
        total += _V4_HASH_CONSTANT + self.shift * _V4_HASH_SLOPE
        total += self.probe_id * keys[_V4_PAYLOAD_WORD + 1] + self.sent_at_us * keys[_V4_PAYLOAD_WORD + 2]
        return finish_hash(total, np.full(len(total), IPV4_HEADER_LENGTH + TCP_LENGTH))


def _write_headers(out: U8, values: _Values, inner_v4: NDArray[np.bool_], dscp: int) -> None:
    """The inner IP headers, which end where `out` ends."""
    for v4, length, header_of in (
        (True, IPV4_HEADER_LENGTH, _ipv4_headers),
        (False, IPV6_HEADER_LENGTH, _ipv6_headers),
    ):
        chosen = inner_v4 == v4
        if chosen.all():
            header_of(out[:, -length:], values.source, values.target, dscp, PROTOCOL_TCP, TCP_LENGTH)
        elif chosen.any():
            rows = np.flatnonzero(chosen)
            headers = np.empty((len(rows), length), dtype=np.uint8)
            source = (values.source[0][rows], values.source[1][rows])
            target = (values.target[0][rows], values.target[1][rows])
            header_of(headers, source, target, dscp, PROTOCOL_TCP, TCP_LENGTH)
            out[rows, out.shape[1] - length :] = headers


def _write_tunnels(out: U8, probes: NDArray[np.void], shapes: Shapes, dscp: int) -> None:
    """The outer headers of encapsulated probes; inner headers end where `out` ends."""
    inner_v4, outer, outer_v4 = shapes
    for in_v4 in (True, False):
        inner = IPV4_HEADER_LENGTH if in_v4 else IPV6_HEADER_LENGTH
        for out_v4 in (True, False):
            rows = np.flatnonzero(outer & (inner_v4 == in_v4) & (outer_v4 == out_v4))
            if not len(rows):
                continue
            length = IPV4_HEADER_LENGTH if out_v4 else IPV6_HEADER_LENGTH
            headers = np.empty((len(rows), length), dtype=np.uint8)
            (_ipv4_headers if out_v4 else _ipv6_headers)(
                headers,
                address_words(probes["outer_source"][rows]),
                address_words(probes["via"][rows]),
                dscp,
                PROTOCOL_IPV4 if in_v4 else PROTOCOL_IPV6,
                inner + TCP_LENGTH,
            )
            end = out.shape[1] - inner
            out[rows, end - length : end] = headers


def _ipv4_headers(
    out: U8, source: Words, target: Words, dscp: int, protocol: int, payload_length: int
) -> None:
    total_length = IPV4_HEADER_LENGTH + payload_length
    source32, target32 = source[1] & _LOW32, target[1] & _LOW32
    fixed = 0x4500 + (dscp << 2) + total_length + 0x4000 + (TTL << 8) + protocol
    out[:, :10] = np.array(
        [0x45, dscp << 2, total_length >> 8, total_length & 0xFF, 0, 0, 0x40, 0, TTL, protocol],
        dtype=np.uint8,
    )
    _put(out, 10, ">u2", _checksum(source32 + target32 + np.uint64(fixed)))
    _put(out, 12, ">u8", source32 << np.uint64(32) | target32)


def _ipv6_headers(
    out: U8, source: Words, target: Words, dscp: int, protocol: int, payload_length: int
) -> None:
    first = 6 << 28 | dscp << 22
    out[:, :8] = np.frombuffer(
        (first << 32 | payload_length << 16 | protocol << 8 | TTL).to_bytes(8, "big"), np.uint8
    )
    for column, words in ((8, source[0]), (16, source[1]), (24, target[0]), (32, target[1])):
        _put(out, column, ">u8", words)


def _write_tcp(out: U8, values: _Values, checksum: U64) -> None:
    """TCP header and payload of each probe: all of out, u8[n, 532]."""
    ports = values.source_port << np.uint64(16) | values.destination_port
    _put(out, 0, ">u8", ports << np.uint64(32) | values.seq32)
    _put(out, 8, ">u8", np.full(len(out), 0x5002 << 16 | WINDOW, np.uint64))
    _put(out, 16, ">u4", checksum << np.uint64(16))
    # The payload as schemas.payload.build_payload makes it, written in place: a copy of 512 bytes
    # would be a sixth of the time that a probe takes.
    words = out[:, TCP_HEADER_LENGTH:].view(">u8")
    words[:, 0] = MAGIC
    words[:, 1] = values.probe_id
    words[:, 2] = values.sent_at_us
    np.add(PATTERN, values.shift[:, None], out=words[:, 3:], casting="unsafe")


def _checksum(total: U64) -> U64:
    """Internet checksum from a sum that is right modulo 65535 (of words that are not all zero)."""
    return (_MOD - total % _MOD) % _MOD


def _put(out: U8, column: int, format_: str, values: NDArray[np.generic]) -> None:
    """Write one big-endian number per row at a byte column of `out`."""
    size = np.dtype(format_).itemsize
    out[:, column : column + size] = values.astype(format_).view(np.uint8).reshape(-1, size)

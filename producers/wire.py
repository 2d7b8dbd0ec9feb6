"""The probe on the wire: a TCP SYN with the keyed payload, bare or IP-in-IP, built in columns.

What comes back is read by `producers.replies`.

A packet is a row of u8[n, w] that starts with its outermost IP header. Nothing is sent twice, so the
IPv4 identification is 0 and DF is set. Checksums are sums modulo 65535, and the pattern of the payload is
known, so they are computed from the header words and the probe ID alone, never by reading the payload
again; the same holds for the content hash of an IPv4 probe (`content_hash_as_sent`).

Sources: RFC 791, RFC 8200, RFC 9293 (headers), RFC 1071 (checksum), RFC 2003 (IPv4 in IPv4), RFC 2473 and
4213 (protocol 41 for IPv6 inside, 4 for IPv4 inside).
"""

import numpy as np
from numpy.typing import NDArray

from producers.content import HASH_KEYS, content_hash, finish_hash, normalise
from producers.payload import MAGIC, PATTERN, PAYLOAD_LENGTH, build_payload, pattern_shift
from producers.splitmix import U64

U8 = NDArray[np.uint8]

IPV4_HEADER_LENGTH = 20
IPV6_HEADER_LENGTH = 40
TCP_HEADER_LENGTH = 20
TCP_LENGTH = TCP_HEADER_LENGTH + PAYLOAD_LENGTH
PROTOCOL_IPV4, PROTOCOL_TCP, PROTOCOL_IPV6 = 4, 6, 41
TTL = 64
WINDOW = 1024
DSCP = 46
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
_MOD = np.uint64(65535)
_PATTERN_SORTED = np.sort(PATTERN)
_PATTERN_SUM = int(sum(int(word) % 65535 for word in PATTERN) % 65535)
_MAGIC_SUM = MAGIC % 65535
# Payload words in the content hash of an IPv4 probe: they start at word 5, behind 20 + 20 bytes of headers.
_V4_PAYLOAD_WORD = (IPV4_HEADER_LENGTH + TCP_HEADER_LENGTH) // 8
_V4_PATTERN_KEYS = HASH_KEYS[_V4_PAYLOAD_WORD + 3 : _V4_PAYLOAD_WORD + PAYLOAD_LENGTH // 8]
_V4_MAGIC_SHARE = np.uint64(MAGIC * int(HASH_KEYS[_V4_PAYLOAD_WORD]) % 2**64)
_V4_HASH_CONSTANT = (PATTERN * _V4_PATTERN_KEYS).sum(dtype=np.uint64)
_V4_HASH_SLOPE = _V4_PATTERN_KEYS.sum(dtype=np.uint64)


def address_words(addresses: NDArray[np.void]) -> tuple[U64, U64]:
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
    """The packets of n probes.

    probes: structured[n] with the fields of PROBE_DTYPE. dscp: 0..63, used in the inner and the outer header.
    Returns u8[n, w] and i32[n]: packets and their lengths in bytes; w is the longest, the rest of a row
    is zero.
    Raises ValueError if source and target (or outer source and via) are not of one family.
    """
    inner_v4, outer, outer_v4 = _shapes(probes)
    if (is_ipv4(probes["source"]) != inner_v4).any():
        raise ValueError("source and target of a probe must be of one address family")
    if outer.any() and (is_ipv4(probes["outer_source"][outer]) != outer_v4[outer]).any():
        raise ValueError("outer source and decapsulating ToR of a probe must be of one address family")
    outer_length = _outer_length(outer, outer_v4)
    lengths = packet_lengths(probes)
    shape = inner_v4 * 4 + outer * 2 + outer_v4
    shapes = np.unique(shape)
    if len(shapes) == 1:
        return _build_alike(probes, dscp, bool(inner_v4[0]), int(outer_length[0])), lengths
    packets = np.zeros((len(probes), int(lengths.max(initial=0))), dtype=np.uint8)
    for value in shapes:  # at most six shapes
        rows = np.flatnonzero(shape == value)
        alike = _build_alike(probes[rows], dscp, bool(inner_v4[rows[0]]), int(outer_length[rows[0]]))
        packets[rows, : alike.shape[1]] = alike
    return packets, lengths


def packet_lengths(probes: NDArray[np.void]) -> NDArray[np.int32]:
    """Bytes of each probe's packet, encapsulation included. probes: structured[n] as for `build`."""
    inner_v4, outer, outer_v4 = _shapes(probes)
    inner_length = np.where(inner_v4, IPV4_HEADER_LENGTH, IPV6_HEADER_LENGTH) + TCP_LENGTH
    lengths: NDArray[np.int32] = (_outer_length(outer, outer_v4) + inner_length).astype(np.int32)
    return lengths


def _shapes(
    probes: NDArray[np.void],
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_]]:
    """IPv4 inside, encapsulated, IPv4 outside."""
    outer = is_set(probes["via"])
    outer_v4 = outer & is_ipv4(probes["via"]) if outer.any() else outer
    return is_ipv4(probes["target"]), outer, outer_v4


def _outer_length(outer: NDArray[np.bool_], outer_v4: NDArray[np.bool_]) -> NDArray[np.int64]:
    return np.where(outer, np.where(outer_v4, IPV4_HEADER_LENGTH, IPV6_HEADER_LENGTH), 0)


def content_hash_as_sent(probes: NDArray[np.void]) -> U64:
    """`producers.content.content_hash` of the inner packet of each probe, as it leaves the Prober.

    For IPv4 the payload's share is predicted (its words are PATTERN + shift, and the hash is a sum); an IPv6
    header is 4 bytes off the word grid, so those packets are built and hashed.
    probes: structured[n] as for `build`. Returns u64[n].
    """
    hashes = np.empty(len(probes), dtype=np.uint64)
    v4 = is_ipv4(probes["target"])
    if v4.all():
        return _content_hash_v4(probes)
    hashes[v4] = _content_hash_v4(probes[v4])
    rest = probes[~v4]
    packets = _build_alike(rest, 0, False, 0)
    lengths = np.full(len(rest), packets.shape[1], dtype=np.int32)
    hashes[~v4] = content_hash(normalise(packets, lengths), lengths)
    return hashes


def _content_hash_v4(probes: NDArray[np.void]) -> U64:
    head = np.zeros((len(probes), IPV4_HEADER_LENGTH + TCP_HEADER_LENGTH), dtype=np.uint8)
    _write_ipv4(
        head,
        0,
        PROTOCOL_TCP,
        IPV4_HEADER_LENGTH + TCP_LENGTH,
        source=probes["source"],
        target=probes["target"],
    )
    _write_tcp(head[:, IPV4_HEADER_LENGTH:], probes)
    head[:, [1, 8, 10, 11]] = 0  # what routers may change, as content.mask_mutable_fields
    probe_id = probes["probe_id"].astype(np.uint64)
    total = head.view(">u8").astype(np.uint64) @ HASH_KEYS[:_V4_PAYLOAD_WORD]
    total += _V4_MAGIC_SHARE
    total += _V4_HASH_CONSTANT + pattern_shift(probe_id) * _V4_HASH_SLOPE
    total += probe_id * HASH_KEYS[_V4_PAYLOAD_WORD + 1]
    total += probes["sent_at_us"].astype(np.uint64) * HASH_KEYS[_V4_PAYLOAD_WORD + 2]
    return finish_hash(total, np.full(len(probes), IPV4_HEADER_LENGTH + TCP_LENGTH))


def _build_alike(probes: NDArray[np.void], dscp: int, inner_v4: bool, outer_length: int) -> U8:
    """Packets of one shape: all of one inner family, outer header of `outer_length` bytes (0: none)."""
    header_length = IPV4_HEADER_LENGTH if inner_v4 else IPV6_HEADER_LENGTH
    inner_length = header_length + TCP_LENGTH
    packets = np.empty((len(probes), outer_length + inner_length), dtype=np.uint8)
    inner_protocol = PROTOCOL_IPV4 if inner_v4 else PROTOCOL_IPV6
    if outer_length == IPV4_HEADER_LENGTH:
        _write_ipv4(
            packets,
            dscp,
            inner_protocol,
            packets.shape[1],
            source=probes["outer_source"],
            target=probes["via"],
        )
    elif outer_length:
        _write_ipv6(
            packets, dscp, inner_protocol, inner_length, source=probes["outer_source"], target=probes["via"]
        )
    inner = packets[:, outer_length:]
    if inner_v4:
        _write_ipv4(inner, dscp, PROTOCOL_TCP, inner_length, source=probes["source"], target=probes["target"])
    else:
        _write_ipv6(inner, dscp, PROTOCOL_TCP, TCP_LENGTH, source=probes["source"], target=probes["target"])
    _write_tcp(inner[:, header_length:], probes)
    inner[:, header_length + TCP_HEADER_LENGTH :] = build_payload(probes["probe_id"], probes["sent_at_us"])
    return packets


def _write_ipv4(
    out: U8,
    dscp: int,
    protocol: int,
    total_length: int,
    *,
    source: NDArray[np.void],
    target: NDArray[np.void],
) -> None:
    source32 = address_words(source)[1] & np.uint64(0xFFFFFFFF)
    target32 = address_words(target)[1] & np.uint64(0xFFFFFFFF)
    fixed = 0x4500 + (dscp << 2) + total_length + 0x4000 + (TTL << 8) + protocol
    out[:, :12] = np.array(
        [0x45, dscp << 2, total_length >> 8, total_length & 0xFF, 0, 0, 0x40, 0, TTL, protocol, 0, 0],
        dtype=np.uint8,
    )
    _put(out, 10, ">u2", _checksum(source32 + target32 + np.uint64(fixed)))
    _put(out, 12, ">u4", source32)
    _put(out, 16, ">u4", target32)


def _write_ipv6(
    out: U8,
    dscp: int,
    protocol: int,
    payload_length: int,
    *,
    source: NDArray[np.void],
    target: NDArray[np.void],
) -> None:
    traffic_class = dscp << 2
    out[:, :8] = np.array(
        [
            0x60 | traffic_class >> 4,
            (traffic_class & 0xF) << 4,
            0,
            0,
            payload_length >> 8,
            payload_length & 0xFF,
            protocol,
            TTL,
        ],
        dtype=np.uint8,
    )
    out[:, 8:24] = np.ascontiguousarray(source).view(np.uint8).reshape(-1, 16)
    out[:, 24:40] = np.ascontiguousarray(target).view(np.uint8).reshape(-1, 16)


def _write_tcp(out: U8, probes: NDArray[np.void]) -> None:
    """TCP header of each probe into out[:, :20]."""
    seq32 = probes["probe_id"].astype(np.uint64) & np.uint64(0xFFFFFFFF)
    _put(out, 0, ">u2", probes["source_port"])
    _put(out, 2, ">u2", probes["destination_port"])
    _put(out, 4, ">u4", seq32)
    out[:, 8:16] = np.array([0, 0, 0, 0, 0x50, 0x02, WINDOW >> 8, WINDOW & 0xFF], dtype=np.uint8)
    _put(out, 16, ">u2", _checksum(_tcp_sum(probes, seq32)))
    out[:, 18:20] = 0


def _tcp_sum(probes: NDArray[np.void], seq32: U64) -> U64:
    """Sum of the 16-bit words of pseudo header, TCP header and payload, up to a multiple of 65535.

    A 64-bit word is congruent to the sum of its four 16-bit words modulo 65535. Payload words are
    (PATTERN + shift) mod 2**64, and 2**64 is 1 modulo 65535: so each wrap of the addition subtracts 1.
    """
    probe_id = probes["probe_id"].astype(np.uint64)
    shift = pattern_shift(probe_id)
    wraps = len(PATTERN) - np.searchsorted(_PATTERN_SORTED, ~shift, side="right")
    total = np.uint64(_PATTERN_SUM + _MAGIC_SUM) + np.uint64(len(PATTERN)) * (shift % _MOD)
    total += _MOD - wraps.astype(np.uint64)
    total += probe_id % _MOD + probes["sent_at_us"].astype(np.uint64) % _MOD
    total += np.uint64(TCP_LENGTH + PROTOCOL_TCP + 0x5002 + WINDOW)
    total += probes["source_port"].astype(np.uint64) + probes["destination_port"].astype(np.uint64) + seq32
    for name in ("source", "target"):
        high, low = address_words(probes[name])
        # An IPv4-mapped address adds ffff, which is 0 modulo 65535: no case for the family.
        total += high % _MOD + low % _MOD
    return total


def _checksum(total: U64) -> U64:
    """Internet checksum from a sum that is right modulo 65535 (of words that are not all zero)."""
    return (_MOD - total % _MOD) % _MOD


def _put(out: U8, column: int, format_: str, values: NDArray[np.generic]) -> None:
    """Write one big-endian number per row at a byte column of `out`."""
    size = np.dtype(format_).itemsize
    out[:, column : column + size] = values.astype(format_).view(np.uint8).reshape(-1, size)

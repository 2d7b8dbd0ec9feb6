"""Which mirrored packets are probes or their replies, and of which probe.

The sequence number of a probe carries the lower half of its ID. A closed port answers RST with
ack = seq + 1 + 512, an open one SYN-ACK with ack = seq + 1 (the data of a SYN is not accepted yet).
Source: RFC 9293, section 3.10.7.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from producers.mirror.decode import Decoded
from producers.mirror.frames import Bools
from producers.mirror.inventory import ProbeMap
from producers.mirror.transport import TCP_ACK, TCP_RST, TCP_SYN
from producers.packets import I64
from producers.payload import MAGIC, PATTERN, PAYLOAD_LENGTH, PAYLOAD_WORDS, pattern_shift
from producers.splitmix import U64, splitmix64
from schemas.rows import Leg

_PATTERN_KEYS = splitmix64(np.arange(len(PATTERN), dtype=np.uint64)) | np.uint64(1)
_PATTERN_SUM = np.uint64(sum(int(p) * int(k) for p, k in zip(PATTERN, _PATTERN_KEYS, strict=True)) % 2**64)
_KEYS_SUM = np.uint64(sum(int(k) for k in _PATTERN_KEYS) % 2**64)

_HEADER_WORDS = 3  # magic, probe ID, send time


@dataclass(frozen=True, slots=True)
class Probes:
    """The probes among decoded packets."""

    leg: NDArray[np.int8]  # schemas.rows.Leg; -1: no probe
    probe_id: I64  # -1: no probe


def recognise(decoded: Decoded, probes: ProbeMap) -> Probes:
    """Leg and probe ID of each packet by addresses, ports and TCP fields; damaged payloads do not matter."""
    tcp = decoded.transport
    handshake = tcp.tcp_flags & (TCP_SYN | TCP_RST | TCP_ACK)
    good = (decoded.errors == 0) & (tcp.tcp_flags >= 0)
    is_probe = good & (handshake == TCP_SYN) & (tcp.destination_port == probes.probe_port)
    is_probe &= decoded.length - decoded.segment_at == PAYLOAD_LENGTH
    is_reset = (handshake & TCP_RST) != 0
    is_reply = good & (tcp.source_port == probes.probe_port) & (is_reset | (handshake == TCP_SYN | TCP_ACK))
    acknowledged = np.where(is_reset, 1 + PAYLOAD_LENGTH, 1)
    seq32 = np.where(is_reply, tcp.tcp_ack - acknowledged, tcp.tcp_seq) & 0xFFFFFFFF
    prober = probes.probers.lookup(np.where(is_reply[:, None], decoded.destination, decoded.source))
    known = (is_probe | is_reply) & (prober >= 0)
    leg = np.where(is_reply, Leg.REPLY, np.where(decoded.encapsulated, Leg.ENCAPSULATED, Leg.PROBE))
    return Probes(
        leg=np.where(known, leg, -1).astype(np.int8),
        probe_id=np.where(known, prober << 32 | seq32, -1),
    )


def written_probe_id(decoded: Decoded) -> I64:
    """The probe ID that the payload of each SYN names, -1 where it names none; needs no inventory."""
    tcp = decoded.transport
    captured = decoded.captured - decoded.segment_at
    rows = (decoded.errors == 0) & (tcp.tcp_flags >= 0) & (captured >= 8 * _HEADER_WORDS)
    rows &= (tcp.tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN
    rows &= decoded.length - decoded.segment_at == PAYLOAD_LENGTH
    probe_id = np.full(len(decoded), -1, dtype=np.int64)
    for selected, payload in _payloads(decoded, rows, _HEADER_WORDS):
        found = (payload[:, 0] == MAGIC) & (payload[:, 1] & np.uint64(0xFFFFFFFF) == tcp.tcp_seq[selected])
        found &= payload[:, 1] >> np.uint64(63) == 0
        probe_id[selected] = np.where(found, payload[:, 1].astype(np.int64), -1)
    return probe_id


def payload_is_altered(decoded: Decoded, probe_id: I64, rows: Bools) -> Bools:
    """Whether the payload of whole probes differs from what was sent; false outside `rows`.

    rows: bool[n], untruncated copies of probes (legs 0 and 1). The send time is taken as it stands: the TCP
    checksum and the content hash cover it. The pattern is compared by one weighted sum, which the probe ID
    predicts: its weights are odd, so a change confined to one word always shows, any other with probability
    1 - 2**-64.
    """
    altered = np.zeros(len(decoded), dtype=np.bool_)
    for selected, payload in _payloads(decoded, rows, PAYLOAD_WORDS):
        expected_id = probe_id[selected].astype(np.uint64)
        weighted: U64 = np.einsum("ij,j->i", payload[:, _HEADER_WORDS:], _PATTERN_KEYS)
        intact = weighted == _PATTERN_SUM + pattern_shift(expected_id) * _KEYS_SUM
        altered[selected] = ~intact | (payload[:, 0] != MAGIC) | (payload[:, 1] != expected_id)
    return altered & rows


def _payloads(decoded: Decoded, rows: Bools, count: int) -> list[tuple[slice | NDArray[np.intp], U64]]:
    """The first `count` words of the TCP payload: pieces of rows that agree on where it starts.

    Returns (rows, u64[len(rows), count]) pairs that cover at least `rows`. There are as few pieces as there
    are kinds of headers: usually one.
    """
    at = decoded.segment_at
    if not rows.any():
        return []
    if isinstance(at, int):
        return [(slice(None), _shifted(decoded.words, at, count))]
    pieces: list[tuple[slice | NDArray[np.intp], U64]] = []
    for start in np.unique(at[rows]).tolist():
        selected = np.flatnonzero(rows & (at == start))
        pieces.append((selected, _shifted(decoded.words[selected], start, count)))
    return pieces


def _shifted(words: U64, at: int, count: int) -> U64:
    """`count` big-endian words from byte `at` of each packet on; zeros beyond the table."""
    first, odd = divmod(at, 8)
    needed = first + count + (odd > 0)
    if words.shape[1] < needed:
        words = np.pad(words, ((0, 0), (0, needed - words.shape[1])))
    high = words[:, first : first + count]
    if not odd:
        return high
    low = words[:, first + 1 : first + 1 + count]
    return (high << np.uint64(8 * odd)) | (low >> np.uint64(64 - 8 * odd))

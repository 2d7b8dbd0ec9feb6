"""Content hashes of untouched replies, by arithmetic: every word of an IPv4 RST is known."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fabric.simulator.content import RST_ACK, build_replies
from producers.content import HASH_KEYS, content_hash, finish_hash
from producers.wire import IPV4_HEADER_LENGTH, PROTOCOL_TCP, TCP_HEADER_LENGTH, address_words, is_ipv4
from schemas.payload import PAYLOAD_LENGTH

U8 = NDArray[np.uint64]

_LOW_32 = np.uint64(0xFFFFFFFF)
_MOD = np.uint64(0xFFFF)
_LENGTH = IPV4_HEADER_LENGTH + TCP_HEADER_LENGTH
_OFFSET_AND_FLAGS = 0x5000 | RST_ACK
# What is the same in all of them: length and DF, the protocol, the TCP header's length and flags.
_CONSTANT = np.uint64(
    (
        (0x4500 << 48 | _LENGTH << 32 | 0x4000) * int(HASH_KEYS[0])
        + (PROTOCOL_TCP << 48) * int(HASH_KEYS[1])
        + (_OFFSET_AND_FLAGS << 48) * int(HASH_KEYS[4])
    )
    % 2**64
)


def reply_hash(probes: NDArray[np.void]) -> U8:
    """Content hash of the RST that each probe draws from a Linux kernel: structured[n] -> u8[n].

    The same as of `build_replies`, which IPv6 replies are still built with: their words are off the grid.
    """
    if not is_ipv4(probes["target"]).all():
        packets, lengths = build_replies(probes)
        return content_hash(packets, lengths)
    source = address_words(probes["target"])[1] & _LOW_32
    target = address_words(probes["source"])[1] & _LOW_32
    ports = probes["destination_port"].astype(np.uint64) << np.uint64(16)
    ports |= probes["source_port"].astype(np.uint64)
    acknowledged = (probes["probe_id"].astype(np.uint64) + np.uint64(1 + PAYLOAD_LENGTH)) & _LOW_32
    # A word of 32 bits is congruent to the sum of its halves modulo 65535 (RFC 1071).
    total = source + target + ports + acknowledged
    total += np.uint64(PROTOCOL_TCP + TCP_HEADER_LENGTH + _OFFSET_AND_FLAGS)
    checksum = (_MOD - total % _MOD) % _MOD
    weighted = source * HASH_KEYS[1]
    weighted += (target << np.uint64(32) | ports) * HASH_KEYS[2]
    weighted += acknowledged * HASH_KEYS[3]
    weighted += (checksum << np.uint64(16)) * HASH_KEYS[4]
    return finish_hash(weighted + _CONSTANT, np.full(len(probes), _LENGTH))

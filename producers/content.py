"""What two copies of one packet must have in common, and its 64-bit hash.

Routers change a packet legitimately: TTL or hop limit, ECN, DSCP, and with them the IPv4 header checksum.
These are masked (zeroed); everything else, the TCP checksum included, must arrive as sent. So equal hashes
along a path mean an unaltered packet, and the first hop whose hash differs is where to look.

The hash reads the masked packet, zero-padded to whole words, as *big-endian* 64-bit words:

    H = splitmix64(sum(word[i] * HASH_KEYS[i]) xor splitmix64(length))   (mod 2**64)

Its keys are odd, hence invertible: a change confined to one word always changes the hash.
"""

import numpy as np
from numpy.typing import NDArray

from schemas.splitmix import U64, splitmix64

PACKET_BYTES_MAX = 65_600
"""The longest packet that can be hashed: an IPv6 header and 65,535 bytes, rounded up to words."""

HASH_KEYS: U64 = splitmix64(
    np.arange(PACKET_BYTES_MAX // 8, dtype=np.uint64) ^ np.uint64(0xC0FFEE)
) | np.uint64(1)
"""u64[8200]: the multiplier of each word, counted from the start of the IP packet."""
HASH_KEYS.flags.writeable = False


def normalise(packets: NDArray[np.uint8], lengths: NDArray[np.integer]) -> NDArray[np.uint8]:
    """Mask what routers may change, and zero what lies beyond each packet.

    packets: u8[n, w], an IPv4 or IPv6 packet from column 0 of each row. Anything else is only cut to its
    length. lengths: integers[n], bytes of the row that belong to the packet (w at most). Returns u8[n, w
    rounded up to a multiple of 8], C-contiguous and always a copy.
    """
    rows, width = packets.shape
    normalised = np.empty((rows, -(-width // 8) * 8), dtype=np.uint8)
    normalised[:, :width] = packets
    normalised[:, width:] = 0
    mask_mutable_fields(normalised)
    zero_beyond(normalised, lengths)
    return normalised


def mask_mutable_fields(packets: NDArray[np.uint8]) -> None:
    """Zero TTL, ECN, DSCP and the IPv4 header checksum in place. packets: u8[n, w], IP from column 0."""
    if packets.shape[1] < 12 or not len(packets):
        return
    version = packets[:, 0] >> 4
    if (version == 4).all():
        packets[:, [1, 8, 10, 11]] = 0
        return
    if (version == 6).all():
        packets[:, [0, 1, 7]] &= _KEEP[6, [0, 1, 7]]
        return
    head = packets[:, :12]
    head &= _KEEP[version]


def zero_beyond(packets: NDArray[np.uint8], lengths: NDArray[np.integer]) -> None:
    """Zero in place the bytes of each row from its length on. packets: u8[n, w], lengths: integers[n]."""
    if not len(packets):
        return
    shortest, longest = max(int(lengths.min()), 0), max(int(lengths.max()), 0)
    packets[:, longest:] = 0
    if shortest < longest:
        # 16 bits suffice relative to the shortest, and make this pass several times faster than 64.
        columns = np.arange(min(longest, packets.shape[1]) - shortest, dtype=np.uint16)
        inside = columns < np.maximum(lengths - shortest, 0).astype(np.uint16)[:, None]
        packets[:, shortest:longest] *= inside


def content_hash(normalised: NDArray[np.uint8], lengths: NDArray[np.integer]) -> U64:
    """The content hash of each packet.

    normalised: u8[n, w] as `normalise` returns it (w a multiple of 8, at most PACKET_BYTES_MAX).
    lengths: integers[n], the lengths given to `normalise`. Returns u64[n].
    """
    return hash_words(as_words(normalised), lengths)


def as_words(normalised: NDArray[np.uint8]) -> U64:
    """Normalised packets as numbers, the first byte of a word highest: u8[n, w] -> u64[n, w / 8]."""
    return np.ascontiguousarray(normalised).view(">u8").astype(np.uint64)


def hash_words(words: U64, lengths: NDArray[np.integer]) -> U64:
    """`content_hash` of packets that are words already. words: u64[n, k], lengths: integers[n]."""
    weighted_sums: U64 = np.einsum("ij,j->i", words, HASH_KEYS[: words.shape[1]])
    return finish_hash(weighted_sums, lengths)


def finish_hash(weighted_sums: U64, lengths: NDArray[np.integer]) -> U64:
    """From sum(word * key) to the hash. weighted_sums: u64[n], lengths: integers[n]. Returns u64[n]."""
    return splitmix64(weighted_sums ^ splitmix64(np.asarray(lengths).astype(np.uint64)))


_KEEP = np.full(
    (16, 12), 0xFF, dtype=np.uint8
)  # by IP version: the bits of the first bytes that must not change
_KEEP[4, [1, 8, 10, 11]] = 0
_KEEP[6, [0, 1, 7]] = (0xF0, 0x0F, 0)

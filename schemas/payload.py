"""The 512 bytes a probe carries: a pattern that is known from the probe ID alone.

As 64 big-endian 64-bit words:

    word 0       MAGIC ("BYTETRK1")
    word 1       probe_id
    word 2       sent_at_us
    word 3..63   PATTERN[i] + splitmix64(probe_id)  (mod 2**64)

Any single copy of a probe therefore shows whether it was altered, and where, bit by bit. The pattern is a
*sum* on purpose: every sum-like check of the whole payload (our content hash, the TCP checksum) can be
predicted from the probe ID and the send time in a few operations, so verifying an intact payload needs no
second pass over its bytes.
"""

import numpy as np
from numpy.typing import NDArray

from schemas.splitmix import U64, splitmix64

PAYLOAD_LENGTH = 512
PAYLOAD_WORDS = PAYLOAD_LENGTH // 8
MAGIC = int.from_bytes(b"BYTETRK1", "big")

_FIRST_PATTERN_WORD = 3

PATTERN: U64 = splitmix64(np.arange(_FIRST_PATTERN_WORD, PAYLOAD_WORDS, dtype=np.uint64))
"""u64[61]: the part of words 3..63 that is the same in every probe."""
PATTERN.flags.writeable = False


def pattern_shift(probe_id: U64) -> U64:
    """What is added to PATTERN in the payload of each probe. u64[n] -> u64[n]."""
    return splitmix64(probe_id)


def build_payload(probe_id: NDArray[np.integer], sent_at_us: NDArray[np.integer]) -> NDArray[np.uint8]:
    """The payloads of n probes.

    probe_id: integers[n], sent_at_us: integers[n] (microseconds since 1970). Returns u8[n, 512].
    """
    ids: U64 = np.asarray(probe_id).astype(np.uint64)
    words = np.empty((len(ids), PAYLOAD_WORDS), dtype=">u8")
    words[:, 0] = MAGIC
    words[:, 1] = ids
    words[:, 2] = sent_at_us
    words[:, _FIRST_PATTERN_WORD:] = PATTERN + pattern_shift(ids)[:, None]
    return words.view(np.uint8)


def read_payload_header(payload: NDArray[np.uint8]) -> tuple[NDArray[np.bool_], U64, NDArray[np.int64]]:
    """Magic present, probe ID and send time (us), as written in each payload.

    payload: u8[n, >=24]. Returns bool[n], u64[n], i64[n]; ID and time mean nothing where the magic is absent.
    """
    words = np.ascontiguousarray(payload[:, :24]).view(">u8")
    return (
        words[:, 0] == MAGIC,
        words[:, 1].astype(np.uint64),
        words[:, 2].astype(np.int64),
    )


def payload_is_intact(payload: NDArray[np.uint8], probe_id: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Whether each payload is the one that its probe was sent with, compared word by word.

    The send time is taken as it stands: only the sender knows it.
    payload: u8[n, 512], probe_id: integers[n]. Returns bool[n].
    """
    _, _, sent_at_us = read_payload_header(payload)
    intact: NDArray[np.bool_] = (payload == build_payload(probe_id, sent_at_us)).all(axis=1)
    return intact

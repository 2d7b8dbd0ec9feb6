"""The bytes of whole packets: content hash, TCP checksum, keyed payload.

Headers are read for thousands of rows at once, because there the cost is per operation; here it is per
byte. So rows are taken in pieces that stay in the processor's cache from the first operation on them to
the last.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from producers.content import as_words, hash_words, normalise
from producers.mirror.frames import Bools, Frames, Offsets, settle, some
from producers.mirror.transport import tcp_checksum_is_right
from producers.packets import I32, I64, U8
from schemas.payload import MAGIC, PATTERN, PAYLOAD_LENGTH, PAYLOAD_WORDS, pattern_shift
from schemas.splitmix import U64, splitmix64

PIECE_ROWS = 1024
"""Rows per piece: their tables (600-byte packets, as bytes and as words) fill half of a 2 MB cache."""

HEADER_WORDS = 3
"""Words of the payload before the pattern: magic, probe ID, send time."""

NO_PROBE_ID = -1

_KEYS = splitmix64(np.arange(len(PATTERN), dtype=np.uint64)) | np.uint64(1)
_PATTERN_SUM = np.uint64(sum(int(p) * int(k) for p, k in zip(PATTERN, _KEYS, strict=True)) % 2**64)
_KEYS_SUM = np.uint64(sum(int(k) for k in _KEYS) % 2**64)


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the innermost packet of each row lies, and what of it is to be checked."""

    at: Offsets
    captured: I32  # bytes, 0: none
    version: U8
    header_length: I32  # up to the upper layer
    total_length: I32
    segment_at: I32  # where TCP's payload starts in the packet
    has_checksum: Bools  # whole TCP segments
    has_payload: Bools  # where a probe's payload may be expected; at least its first words are captured

    def rows(self, piece: slice) -> Layout:
        """The layout of consecutive rows."""
        captured = self.captured[piece]
        return Layout(
            at=self.at if isinstance(self.at, int) else settle(self.at[piece], captured > 0),
            captured=captured,
            version=self.version[piece],
            header_length=self.header_length[piece],
            total_length=self.total_length[piece],
            segment_at=self.segment_at[piece],
            has_checksum=self.has_checksum[piece],
            has_payload=self.has_payload[piece],
        )


@dataclass(frozen=True, slots=True)
class Contents:
    """What the bytes of each row say."""

    content_hash: U64  # of what is captured
    checksum_is_right: Bools  # false where there is none to check
    written_id: I64  # the probe ID in the payload; NO_PROBE_ID: no probe's payload
    payload_is_intact: Bools  # all of it was captured, and is what `written_id` demands


def read_contents(frames: Frames, layout: Layout) -> Contents:
    """Read the packets of all rows. Columns are of the length of the layout's."""
    count = len(layout.captured)
    contents = Contents(
        content_hash=np.empty(count, dtype=np.uint64),
        checksum_is_right=np.empty(count, dtype=np.bool_),
        written_id=np.full(count, NO_PROBE_ID, dtype=np.int64),
        payload_is_intact=np.zeros(count, dtype=np.bool_),
    )
    for start in range(0, count, PIECE_ROWS):
        piece = slice(start, start + PIECE_ROWS)
        part = layout.rows(piece)
        piece_frames = frames.rows(piece)
        words = _read_words(piece_frames, part)
        contents.content_hash[piece] = hash_words(words, part.captured)
        contents.checksum_is_right[piece] = tcp_checksum_is_right(
            words, part.version, part.header_length, part.total_length, part.has_checksum
        )
        if some(part.has_payload):
            written_id, is_intact = _check(_payloads(piece_frames, part, words))
            contents.written_id[piece] = np.where(part.has_payload, written_id, NO_PROBE_ID)
            is_whole = part.captured - part.segment_at >= PAYLOAD_LENGTH
            contents.payload_is_intact[piece] = is_intact & part.has_payload & is_whole
    return contents


def _read_words(frames: Frames, layout: Layout) -> U64:
    width = int(layout.captured.max(initial=0))
    return as_words(normalise(frames.window(layout.at, width), layout.captured))


def _check(payload: U64) -> tuple[I64, Bools]:
    """The probe ID that each payload names, and whether the rest is what it demands.

    payload: u64[n, 64]. The pattern is compared by one weighted sum, which the probe ID predicts: its
    weights are odd, so a change confined to one word always shows, any other with probability 1 - 2**-64.
    The send time is taken as it stands: the TCP checksum and the content hash cover it.
    """
    written = payload[:, 1]
    weighted: U64 = np.einsum("ij,j->i", payload[:, HEADER_WORDS:], _KEYS)
    is_intact = weighted == _PATTERN_SUM + pattern_shift(written) * _KEYS_SUM
    is_payload = (payload[:, 0] == MAGIC) & (written < np.uint64(2**63))
    return np.where(is_payload, written.astype(np.int64), NO_PROBE_ID), is_intact & is_payload


def _payloads(frames: Frames, layout: Layout, words: U64) -> U64:
    """The payloads as words, u64[n, 64]; unspecified in rows without."""
    start = settle(layout.segment_at, layout.has_payload)
    if isinstance(start, int) and start % 8 == 0 and start + PAYLOAD_LENGTH <= 8 * words.shape[1]:
        return words[:, start // 8 : start // 8 + PAYLOAD_WORDS]
    at = settle(layout.at + layout.segment_at, layout.has_payload)
    return as_words(frames.window(at, PAYLOAD_LENGTH))

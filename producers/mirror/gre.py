"""GRE headers in columns. Sources: RFC 2784 (base), RFC 2890 (key, sequence), RFC 1701 (routing bit)."""

from dataclasses import dataclass

import numpy as np

from producers.mirror.frames import Bools, Frames, Offsets, settle, some, u16, u32
from producers.packets import I32, I64

_CHECKSUM, _ROUTING, _KEY, _SEQUENCE, _VERSION = 0x8000, 0x4000, 0x2000, 0x1000, 0x0007


@dataclass(frozen=True, slots=True)
class GreHeaders:
    """The GRE header of each row; fields mean nothing where it is cut."""

    protocol: I32
    has_sequence: Bools
    key: I64  # -1: none
    sequence: I64  # -1: none
    payload_at: Offsets
    is_version_0: Bools  # version 1 is PPTP's
    has_routing: Bools
    cut: Bools


def read_gre(frames: Frames, at: Offsets, end: I32, rows: Bools) -> GreHeaders:
    """The GRE headers at `at`. end: i4[n], first byte beyond the packet. rows: those that matter."""
    base = frames.window(at, 4)
    flags = u16(base, 0)
    has_checksum, has_key, has_sequence = ((flags & bit) != 0 for bit in (_CHECKSUM, _KEY, _SEQUENCE))
    # The optional fields follow in this order, four bytes each (the checksum brings two reserved bytes).
    key_at = settle(at + 4 + 4 * has_checksum.astype(np.int32), rows)
    sequence_at = settle(key_at + 4 * has_key.astype(np.int32), rows)
    payload_at = settle(sequence_at + 4 * has_sequence.astype(np.int32), rows)
    return GreHeaders(
        protocol=u16(base, 2),
        has_sequence=has_sequence,
        key=_optional(frames, key_at, has_key & rows),
        sequence=_optional(frames, sequence_at, has_sequence & rows),
        payload_at=payload_at,
        is_version_0=(flags & _VERSION) == 0,
        has_routing=(flags & _ROUTING) != 0,
        cut=payload_at > end,
    )


def _optional(frames: Frames, at: Offsets, present: Bools) -> I64:
    if not some(present):
        return np.full(len(present), -1, dtype=np.int64)
    return np.where(present, u32(frames.window(at, 4), 0), -1)

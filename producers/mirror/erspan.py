"""The mirror headers inside GRE: ERSPAN Type I, II, III, Ethernet bridging, and one vendor's 0x8949.

    Type II   Ver4 VLAN12 | COS3 En2 T1 Session10 | Rsvd12 Index20 Type III  Ver4 VLAN12 | COS3 BSO2 T1
    Session10 | Timestamp32 | SGT16 | P1 FT5 Hw6 D1 Gra2 O1 [| Platform64]

Type I has no header and shares Type II's GRE protocol; the GRE sequence bit alone tells them apart.
Sources: draft-foschiano-erspan-03; 0x8949 with 22 opaque bytes: SONiC's mirror tests for Mellanox ASICs.
"""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from producers.mirror.errors import MirrorError, Verdicts
from producers.mirror.frames import Bools, Frames, Offsets, settle, some, u16, u32
from producers.mirror.gre import GreHeaders
from producers.packets import I32, I64, U8


class MirrorFormat(IntEnum):
    """How a switch wraps its copies."""

    NONE = 0
    TYPE_I = 1
    TYPE_II = 2
    TYPE_III = 3
    TEB = 4
    OPAQUE_22 = 5


GRE_PROTOCOL_ERSPAN = 0x88BE
GRE_PROTOCOL_ERSPAN_III = 0x22EB
GRE_PROTOCOL_TEB = 0x6558
GRE_PROTOCOL_OPAQUE_22 = 0x8949

_HEADER_LENGTH = np.array([0, 0, 8, 12, 0, 22], dtype=np.int32)  # by MirrorFormat
_VERSION_TYPE_II, _VERSION_TYPE_III = 1, 2
_PLATFORM_LENGTH = 8
_FRAME_TYPE_ETHERNET, _FRAME_TYPE_IP = 0, 2

# Where the platform sub-header keeps the port, by platform ID: (which of its two words, mask).
_PLATFORM_PORT = {1: (1, 0xFFFFFFFF), 3: (0, 0x3FFF), 5: (0, 0xFFFF), 6: (0, 0xFFFF), 7: (0, 0xFFFFF)}


@dataclass(frozen=True, slots=True)
class MirrorHeaders:
    """What the exporter says about each copy; -1 where its format does not say it."""

    format: U8  # MirrorFormat
    session: I32
    index: I32  # Type II
    hardware_id: I32  # Type III
    platform_port: I64  # Type III with a platform sub-header that has one
    key: I64  # of GRE
    exporter_time: I64  # Type III timestamp, raw ticks
    cut_by_exporter: Bools  # the T bit
    is_egress: Bools  # the D bit of Type III
    starts_with_ip: Bools  # no Ethernet header inside
    payload_at: Offsets


def mirror_format(gre: GreHeaders, rows: Bools) -> U8:
    """The format of each row, NONE where GRE carries something else. rows: bool[n], the rows that matter."""
    formats: U8 = (gre.protocol == GRE_PROTOCOL_ERSPAN) * np.where(
        gre.has_sequence, np.uint8(MirrorFormat.TYPE_II), np.uint8(MirrorFormat.TYPE_I)
    )
    formats += (gre.protocol == GRE_PROTOCOL_ERSPAN_III) * np.uint8(MirrorFormat.TYPE_III)
    formats += (gre.protocol == GRE_PROTOCOL_TEB) * np.uint8(MirrorFormat.TEB)
    formats += (gre.protocol == GRE_PROTOCOL_OPAQUE_22) * np.uint8(MirrorFormat.OPAQUE_22)
    return formats * rows


def read_mirror_headers(
    frames: Frames, formats: U8, gre: GreHeaders, end: I32, verdicts: Verdicts
) -> MirrorHeaders:
    """The mirror headers behind the GRE headers; rows that cannot be read are failed in `verdicts`.

    formats: u8[n] from `mirror_format`. end: i4[n], first byte beyond the packet.
    """
    at = gre.payload_at
    head = frames.window(at, 12)
    is_ii, is_iii = formats == MirrorFormat.TYPE_II, formats == MirrorFormat.TYPE_III
    has_header = is_ii | is_iii
    length = _HEADER_LENGTH[formats]
    verdicts.fail(at + length > end, MirrorError.ERSPAN_CUT)
    version = head[:, 0] >> 4
    expected = np.where(is_ii, _VERSION_TYPE_II, _VERSION_TYPE_III)
    verdicts.fail(has_header & (version != expected), MirrorError.ERSPAN_VERSION)
    flags_and_session = u16(head, 2)
    second_word = u32(head, 4)
    extra = _read_type_iii(frames, at, end, is_iii & verdicts.good, verdicts)
    return MirrorHeaders(
        format=formats,
        session=np.where(has_header, flags_and_session & 0x3FF, -1),
        index=np.where(is_ii, second_word & 0xFFFFF, -1).astype(np.int32),
        hardware_id=extra.hardware_id,
        platform_port=extra.platform_port,
        key=gre.key,
        exporter_time=np.where(is_iii, second_word, -1),
        cut_by_exporter=has_header & ((flags_and_session & 0x400) != 0),
        is_egress=extra.is_egress,
        starts_with_ip=extra.starts_with_ip,
        payload_at=settle(at + length + extra.length, verdicts.good),
    )


@dataclass(frozen=True, slots=True)
class _TypeIII:
    """What only Type III has."""

    length: I32  # of the platform sub-header
    hardware_id: I32
    platform_port: I64
    is_egress: Bools
    starts_with_ip: Bools


def _read_type_iii(frames: Frames, at: Offsets, end: I32, rows: Bools, verdicts: Verdicts) -> _TypeIII:
    if not some(rows):
        no, absent = np.zeros(len(end), dtype=np.bool_), np.full(len(end), -1, dtype=np.int32)
        return _TypeIII(no.astype(np.int32), absent, absent.astype(np.int64), no, no)
    bits = u16(frames.window(at, 12), 10)
    frame_type = bits >> 10 & 0x1F
    has_platform = rows & ((bits & 1) != 0)
    is_known = (frame_type == _FRAME_TYPE_ETHERNET) | (frame_type == _FRAME_TYPE_IP)
    verdicts.fail(rows & ~is_known, MirrorError.ERSPAN_FRAME_TYPE)
    verdicts.fail(has_platform & (at + 12 + _PLATFORM_LENGTH > end), MirrorError.ERSPAN_CUT)
    return _TypeIII(
        length=has_platform.astype(np.int32) * _PLATFORM_LENGTH,
        hardware_id=np.where(rows, bits >> 4 & 0x3F, -1),
        platform_port=_platform_port(frames, at, has_platform),
        is_egress=rows & ((bits & 8) != 0),
        starts_with_ip=rows & (frame_type == _FRAME_TYPE_IP),
    )


def _platform_port(frames: Frames, at: Offsets, rows: Bools) -> I64:
    port = np.full(len(rows), -1, dtype=np.int64)
    if not some(rows):
        return port
    head = frames.window(at, 20)
    words = (u32(head, 12), u32(head, 16))
    platform = np.where(rows, words[0] >> 26, -1)
    for known, (word, mask) in _PLATFORM_PORT.items():
        port = np.where(platform == known, words[word] & mask, port)
    return port

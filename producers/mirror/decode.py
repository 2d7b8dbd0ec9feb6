"""Any mirrored packet to columns: the walk through its headers, from the frame to the innermost IP packet.

Each step reads one header of all rows at once and says where the next one starts. A row that cannot be read
keeps going with whatever bytes there are, but its first error is recorded and its columns are blanked at
the end; so no input raises, and no step needs a loop over rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from producers.addresses import Addresses
from producers.content import normalise
from producers.mirror.contents import HEADER_WORDS, Contents, Layout, read_contents
from producers.mirror.errors import MirrorError, Verdicts
from producers.mirror.erspan import MirrorFormat, MirrorHeaders, mirror_format, read_mirror_headers
from producers.mirror.frames import Bools, Frames, Offsets, settle
from producers.mirror.gre import GreHeaders, read_gre
from producers.mirror.inner import read_inner
from producers.mirror.ip import (
    PROTOCOL_GRE,
    PROTOCOL_TCP,
    IpHeaders,
    announced_version,
    read_ip,
)
from producers.mirror.link import network_layer
from producers.mirror.transport import (
    TCP_HEADER_LENGTH_MIN,
    TransportHeaders,
    read_transport,
)
from producers.packets import I32, I64, U8, PacketBatch
from schemas.payload import PAYLOAD_LENGTH

BLOCK_ROWS = 8192
"""Rows per call that decode fastest: reading headers costs per operation, not per row."""

CHECKSUM_UNKNOWN, CHECKSUM_WRONG, CHECKSUM_RIGHT = -1, 0, 1


@dataclass(frozen=True, slots=True)
class Decoded:
    """What n frames held, one row per frame. Where `errors` is not 0, nothing else means anything.

    Of packets in packets (IP-in-IP), everything but `hop_ttl` is about the innermost one.
    """

    errors: U8  # MirrorError
    received_us: I64
    exporter: Addresses
    mirror: MirrorHeaders
    sequence: I64  # of GRE, -1: none
    version: U8  # IP version inside: 4, 6; 0: no IP packet, and all that follows is absent
    encapsulated: Bools  # an IP packet inside an IP packet was mirrored
    source: Addresses
    destination: Addresses
    protocol: I32
    ttl: I32
    hop_ttl: I32  # TTL of the outermost mirrored header, the one that routers on the way count down
    ip_id: I32  # -1: an IPv6 packet
    length: I32  # total length of the IP packet
    captured: I32  # bytes of it that are in the copy
    truncated: Bools
    transport: TransportHeaders
    segment_length: I32  # bytes that TCP carries, -1: no TCP
    checksum: NDArray[np.int8]  # CHECKSUM_*; unknown if no TCP, truncated or a fragment
    contents: Contents
    frames: Frames
    packet_at: Offsets  # where the innermost packet starts in its frame

    def __len__(self) -> int:
        return len(self.errors)

    def packets(self, rows: NDArray[np.intp]) -> list[bytes]:
        """The normalised IP packets of the given rows, as far as they were captured."""
        at = self.packet_at if isinstance(self.packet_at, int) else self.packet_at[rows]
        lengths = self.captured[rows]
        windows = self.frames.rows(rows).window(at, int(lengths.max(initial=0)))
        normalised = normalise(windows, lengths)
        return [
            packet[:length].tobytes() for packet, length in zip(normalised, lengths.tolist(), strict=True)
        ]


def decode(batch: PacketBatch) -> Decoded:
    """Decode all frames of a batch; blocks of BLOCK_ROWS are fastest. Never raises, whatever the bytes."""
    frames, verdicts = Frames(batch.data), Verdicts(len(batch))
    outer, gre, mirror, end = _unwrap(frames, batch, verdicts)
    inner = read_inner(frames, mirror, end, verdicts)
    headers, is_ip = inner.headers, inner.headers.readable
    is_first = is_ip & (headers.fragment_offset == 0)
    # A later fragment has no upper-layer header.
    protocol = np.where(is_first, headers.protocol, -1)
    packet_end = (inner.at + inner.captured).astype(np.int32)
    transport_at = settle((inner.at + headers.header_length).astype(np.int32), is_ip)
    transport = read_transport(frames, transport_at, packet_end, protocol)
    segment_at = headers.header_length + transport.tcp_header_length
    segment_length = np.where(transport.tcp_flags >= 0, headers.total_length - segment_at, -1)
    is_whole_tcp = is_first & (protocol == PROTOCOL_TCP) & ~headers.more_fragments & ~headers.rerouted
    is_whole_tcp &= headers.total_length - headers.header_length >= TCP_HEADER_LENGTH_MIN
    is_whole_tcp &= ~inner.truncated
    layout = Layout(
        at=inner.at,
        captured=inner.captured,
        version=headers.version,
        header_length=headers.header_length,
        total_length=headers.total_length,
        segment_at=segment_at,
        has_checksum=is_whole_tcp,
        has_payload=(segment_length == PAYLOAD_LENGTH) & (inner.captured - segment_at >= 8 * HEADER_WORDS),
    )
    contents = read_contents(frames, layout)
    checksum = np.where(is_whole_tcp, contents.checksum_is_right, np.int8(CHECKSUM_UNKNOWN)).astype(np.int8)
    return Decoded(
        errors=verdicts.errors,
        received_us=batch.received_us,
        exporter=outer.source,
        mirror=mirror,
        sequence=gre.sequence,
        version=np.where(is_ip, headers.version, np.uint8(0)),
        encapsulated=inner.encapsulated,
        source=headers.source,
        destination=headers.destination,
        protocol=np.where(is_ip, headers.protocol, -1),
        ttl=headers.ttl,
        hop_ttl=inner.hop_ttl,
        ip_id=headers.ip_id,
        length=headers.total_length,
        captured=inner.captured,
        truncated=inner.truncated,
        transport=transport,
        segment_length=segment_length,
        checksum=checksum,
        contents=contents,
        frames=frames,
        packet_at=inner.at,
    )


def _unwrap(
    frames: Frames, batch: PacketBatch, verdicts: Verdicts
) -> tuple[IpHeaders, GreHeaders, MirrorHeaders, I32]:
    """From the frame to what was mirrored. The last column is the first byte beyond it in each row."""
    ethertype, at = network_layer(frames, batch.link_type, 0, verdicts.good)
    version = announced_version(ethertype)
    outer = read_ip(frames, at, batch.lengths, version, verdicts.good)
    is_gre = outer.protocol == PROTOCOL_GRE
    verdicts.fail((version == 0) | outer.cut | ~is_gre, MirrorError.NOT_A_MIRROR)
    verdicts.fail(~outer.readable, MirrorError.OUTER_IP_INVALID)
    verdicts.fail(outer.fragment_offset > 0, MirrorError.OUTER_FRAGMENT)
    end = np.minimum(batch.lengths, at + outer.total_length)
    gre_at = settle(at + outer.header_length, verdicts.good)
    gre = read_gre(frames, gre_at, end, verdicts.good)
    verdicts.fail(gre_at + 4 > end, MirrorError.GRE_CUT)
    formats = mirror_format(gre, verdicts.good)
    verdicts.fail((formats == MirrorFormat.NONE) | ~gre.is_version_0, MirrorError.NOT_A_MIRROR)
    verdicts.fail(gre.has_routing, MirrorError.GRE_ROUTING)
    verdicts.fail(gre.cut, MirrorError.GRE_CUT)
    return outer, gre, read_mirror_headers(frames, formats, gre, end, verdicts), end

"""What was mirrored: from the start of the copy to the innermost IP packet."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from producers.mirror.errors import MirrorError, Verdicts
from producers.mirror.erspan import MirrorHeaders
from producers.mirror.frames import Bools, Frames, Offsets, settle, some
from producers.mirror.ip import PROTOCOL_IPV4, PROTOCOL_IPV6, IpHeaders, announced_version, read_ip
from producers.mirror.link import network_layer
from producers.packets import I32, LinkType


@dataclass(frozen=True, slots=True)
class Inner:
    """The innermost IP packet of each row; `headers.readable` says where there is one."""

    headers: IpHeaders
    at: Offsets  # where it starts in its frame
    captured: I32  # bytes of it that are in the copy
    encapsulated: Bools  # it was inside another IP packet
    hop_ttl: I32  # TTL of the outermost mirrored header

    @property
    def truncated(self) -> Bools:
        """Where the copy is shorter than the packet."""
        return self.headers.readable & (self.captured < self.headers.total_length)


def read_inner(frames: Frames, mirror: MirrorHeaders, end: I32, verdicts: Verdicts) -> Inner:
    """The innermost packets; rows that cannot be read are failed in `verdicts`.

    end: i4[n], first byte beyond the copy.
    """
    ethertype, at = network_layer(frames, LinkType.ETHERNET, mirror.payload_at, verdicts.good)
    version = announced_version(ethertype)
    if some(mirror.starts_with_ip):
        at = settle(np.where(mirror.starts_with_ip, mirror.payload_at, at).astype(np.int32), verdicts.good)
        version = np.where(mirror.starts_with_ip, frames.window(at, 1)[:, 0] >> 4, version)
    verdicts.fail(at > end, MirrorError.INNER_CUT)
    headers = read_ip(frames, at, end, version, verdicts.good)
    verdicts.fail(headers.cut, MirrorError.INNER_CUT)
    is_ip = (version != 0) | mirror.starts_with_ip
    verdicts.fail(is_ip & ~headers.readable, MirrorError.INNER_IP_INVALID)
    inner = Inner(
        headers=headers,
        at=settle(at, headers.readable),
        captured=_captured(headers, at, end),
        encapsulated=np.zeros(len(end), dtype=np.bool_),
        hop_ttl=headers.ttl,
    )
    return _descend(frames, inner)


def _descend(frames: Frames, inner: Inner) -> Inner:
    """From an IP packet to the one that it carries, in the rows where it carries one that can be read."""
    outer = inner.headers
    is_tunnel = outer.readable & ((outer.protocol == PROTOCOL_IPV4) | (outer.protocol == PROTOCOL_IPV6))
    is_tunnel &= (outer.fragment_offset == 0) & ~outer.more_fragments
    if not some(is_tunnel):
        return inner
    version = np.where(outer.protocol == PROTOCOL_IPV4, np.uint8(4), np.uint8(6))
    at = settle(inner.at + outer.header_length, is_tunnel)
    end = (inner.at + inner.captured).astype(np.int32)
    headers = read_ip(frames, at, end, version, is_tunnel)
    found = headers.readable
    return Inner(
        headers=outer.replaced(found, headers),
        at=settle(np.where(found, at, inner.at).astype(np.int32), outer.readable),
        captured=np.where(found, _captured(headers, at, end), inner.captured),
        encapsulated=found,
        hop_ttl=outer.ttl,
    )


def _captured(headers: IpHeaders, at: Offsets, end: I32) -> I32:
    return np.where(headers.readable, np.minimum(end - at, headers.total_length), 0).astype(np.int32)

"""Mirror packets that outgrew the management network's MTU: IPv4 fragments put together again.

For reports on captures. A collector needs none of it: probes are far shorter than any MTU, and a fragment
gives what its headers show or a counted error. A slow path by design, entered only by batches that hold
fragments. Source: RFC 791, section 3.2. IPv6 fragments are left as they are.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from producers.mirror.frames import Frames
from producers.mirror.ip import PROTOCOL_GRE, IpHeaders, announced_version, read_ip
from producers.mirror.link import network_layer
from producers.packets import I64, PacketBatch

PENDING_MAX = 1_024
"""Incomplete packets that are remembered; then the oldest is given up."""


class _Key(NamedTuple):
    source: bytes
    destination: bytes
    ip_id: int


@dataclass(slots=True)
class _Pending:
    """A packet of which some fragments have come."""

    pieces: dict[int, bytes] = field(default_factory=dict)  # offset -> what it carries
    head: bytes | None = None  # everything up to the end of the IP header, from the first fragment
    ip_at: int = 0
    length: int | None = None  # of all that is carried, known from the last fragment
    frames: list[int] = field(default_factory=list)

    def whole(self) -> bytes | None:
        """The packet without fragmentation, once there are no gaps."""
        if self.head is None or self.length is None:
            return None
        carried = bytearray()
        for offset, piece in sorted(self.pieces.items()):
            if offset > len(carried):
                return None
            carried[offset:] = piece
        header_length = len(self.head) - self.ip_at
        if len(carried) != self.length or header_length + self.length > 0xFFFF:
            return None
        head = bytearray(self.head)
        head[self.ip_at + 2 : self.ip_at + 4] = (header_length + self.length).to_bytes(2, "big")
        head[self.ip_at + 6 : self.ip_at + 8] = b"\0\0"
        return bytes(head + carried)


class Reassembly:
    """Replaces the fragments of GRE packets by the packets, in the place of the fragment that came last."""

    def __init__(self) -> None:
        self._pending: dict[_Key, _Pending] = {}
        self._given_up: list[int] = []

    def resolve(self, batch: PacketBatch, frames: I64) -> tuple[PacketBatch, I64]:
        """The batch with whole packets only, and its frames. frames: i8[n], the frame number of each row."""
        ethertype, at = network_layer(Frames(batch.data), batch.link_type, 0, np.ones(len(batch), np.bool_))
        is_v4 = announced_version(ethertype) == 4
        headers = read_ip(Frames(batch.data), at, batch.lengths, is_v4 * np.uint8(4), is_v4)
        is_fragment = headers.readable & (headers.protocol == PROTOCOL_GRE)
        is_fragment &= headers.more_fragments | (headers.fragment_offset > 0)
        if not is_fragment.any():
            return batch, frames
        ip_at = np.broadcast_to(np.asarray(at), (len(batch),))
        packets: dict[int, bytes] = {row: batch.packet(row) for row in np.flatnonzero(~is_fragment).tolist()}
        for row in np.flatnonzero(is_fragment).tolist():
            whole = self._add(batch.packet(row), int(ip_at[row]), headers, row, int(frames[row]))
            if whole is not None:
                packets[row] = whole
        kept = sorted(packets)
        resolved = PacketBatch.of(
            [packets[row] for row in kept],
            received_us=batch.received_us[kept].tolist(),
            link_type=batch.link_type,
        )
        return resolved, frames[kept]

    def incomplete(self) -> list[int]:
        """Numbers of the frames whose packets never became whole, in order."""
        return sorted(self._given_up + [frame for p in self._pending.values() for frame in p.frames])

    def _add(self, packet: bytes, ip_at: int, headers: IpHeaders, row: int, frame: int) -> bytes | None:
        key = _Key(headers.source[row].tobytes(), headers.destination[row].tobytes(), int(headers.ip_id[row]))
        pending = self._pending.setdefault(key, _Pending())
        offset, carried_at = int(headers.fragment_offset[row]), ip_at + int(headers.header_length[row])
        carried = packet[carried_at : ip_at + int(headers.total_length[row])]
        pending.pieces[offset] = carried
        pending.frames.append(frame)
        if offset == 0:
            pending.head, pending.ip_at = packet[:carried_at], ip_at
        if not headers.more_fragments[row]:
            pending.length = offset + len(carried)
        whole = pending.whole()
        if whole is not None:
            del self._pending[key]
        elif len(self._pending) > PENDING_MAX:
            self._given_up += self._pending.pop(next(iter(self._pending))).frames
        return whole

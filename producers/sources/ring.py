"""Packets from a live interface, through a ring of frames that the kernel fills and NumPy reads in place.

Version 2 of the kernel's packet ring, not 3: its frames have a fixed size, so that the ring is a table and
everything about a thousand packets (are they there? how long? when?) is a column of it. Version 3 packs
frames tightly behind one another, which needs a walk from packet to packet; for mirror copies of one size
it saves no memory worth that.

Source: Linux Documentation/networking/packet_mmap.rst, include/uapi/linux/if_packet.h. Linux on
little-endian or big-endian machines; needs CAP_NET_RAW.
"""

from __future__ import annotations

import ctypes
import math
import mmap
import select
import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from producers.packets import U8, LinkType, PacketBatch
from producers.sources.source import ROWS_MAX

_SOL_PACKET = 263
_PACKET_RX_RING, _PACKET_STATISTICS, _PACKET_VERSION = 5, 6, 10
_PACKET_FANOUT, _PACKET_IGNORE_OUTGOING = 18, 23
_TPACKET_V2 = 1
# By the hash of a flow. A group has its own switch for outgoing packets (Linux 5.12).
_FANOUT_BY_FLOW, _FANOUT_IGNORE_OUTGOING = 0, 0x4000
_SO_ATTACH_FILTER = 26
_ETH_P_ALL = 0x0003
_STATUS_USER = 1
_ARPHRD_WITH_ETHERNET_HEADER = (1, 772)  # Ethernet, loopback
_ARPHRD_NONE = 65534  # tunnels: packets start with their IP header

_BLOCK_BYTES_MAX = 1 << 20
_HEADER = np.dtype(
    [
        ("status", np.uint32),
        ("wire_length", np.uint32),
        ("length", np.uint32),
        ("packet_at", np.uint16),
        ("network_at", np.uint16),
        ("seconds", np.uint32),
        ("nanoseconds", np.uint32),
    ]
)

Instruction = tuple[int, int, int, int]
"""One instruction of a classic BPF program: code, jump if true, jump if false, operand."""

GRE_ONLY: tuple[Instruction, ...] = (
    # IPv4 with protocol 47, or any IPv6 (GRE may stand behind extension headers). The kernel has taken VLAN
    # tags off.
    (0x28, 0, 0, 12),  # load the EtherType
    (0x15, 3, 0, 0x86DD),
    (0x15, 0, 3, 0x0800),
    (0x30, 0, 0, 23),  # load the IPv4 protocol
    (0x15, 0, 1, 47),
    (0x06, 0, 0, 0xFFFFFFFF),
    (0x06, 0, 0, 0),
)
"""Filter for Ethernet interfaces: what cannot be a mirror packet does not enter the ring."""


@dataclass(frozen=True, slots=True)
class RingOptions:
    """How large a ring is, and what enters it."""

    frames: int = 32_768  # packets the ring holds while nobody reads; rounded up to whole blocks
    # Per packet, the kernel's 66 bytes of header included; what does not fit is cut. An odd number of
    # cache lines, because columns of frames whose size is a power of 2 fight over a few sets of the
    # cache.
    frame_bytes: int = 17 * 64
    packet_filter: Sequence[Instruction] = ()  # classic BPF; empty: everything
    # Sources of one group share the packets of an interface, each flow in one of them. None: no sharing.
    fanout_group: int | None = None

    def __post_init__(self) -> None:
        if self.frame_bytes % 16 or not 256 <= self.frame_bytes <= _BLOCK_BYTES_MAX // 16:
            limits = f"a multiple of 16 from 256 to {_BLOCK_BYTES_MAX // 16}"
            raise ValueError(f"frame_bytes must be {limits}, not {self.frame_bytes}")
        if self.frames < 1:
            raise ValueError(f"frames must be at least 1, not {self.frames}")
        if self.fanout_group is not None and not 0 <= self.fanout_group < 1 << 16:
            raise ValueError(f"fanout_group must be from 0 to 65535, not {self.fanout_group}")


class RingSource:
    """The packets that arrive on one interface, stamped by the kernel as it received them."""

    def __init__(self, interface: str, options: RingOptions | None = None) -> None:
        """Opens the ring. Raises PermissionError without CAP_NET_RAW, OSError for other reasons."""
        options = options or RingOptions()
        self._lost = 0
        self._head = 0
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        try:
            frames = self._configure(options)
            self._socket.bind((interface, _ETH_P_ALL))
            self._link_type = _link_type(interface, self._socket.getsockname()[3])
            if options.fanout_group is not None:
                mode = _FANOUT_BY_FLOW | _FANOUT_IGNORE_OUTGOING
                self._socket.setsockopt(_SOL_PACKET, _PACKET_FANOUT, options.fanout_group | mode << 16)
            # Populated now: page faults would cost most just when the first burst arrives.
            memory = mmap.mmap(
                self._socket.fileno(),
                frames * options.frame_bytes,
                flags=mmap.MAP_SHARED | mmap.MAP_POPULATE,
            )
        except BaseException:
            self._socket.close()
            raise
        self._ring: U8 = np.frombuffer(memory, dtype=np.uint8).reshape(frames, options.frame_bytes)
        self._headers: NDArray[np.void] = self._ring[:, : _HEADER.itemsize].view(_HEADER)[:, 0]
        self._poll = select.poll()
        self._poll.register(self._socket, select.POLLIN | select.POLLERR)

    def next_batch(self, rows_max: int = ROWS_MAX, timeout_s: float = 0.0) -> PacketBatch | None:
        """See PacketSource. Raises OSError when the interface goes down or away."""
        waiting = self._waiting(rows_max)
        if not waiting and timeout_s > 0:
            self._poll.poll(timeout_s * 1000)
            waiting = self._waiting(rows_max)
        if not waiting:
            error = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if error:
                raise OSError(error, "the interface cannot be read any more")
            return None
        frames = slice(self._head, self._head + waiting)
        batch = self._copied(frames)
        # Only now may the kernel write there again.
        self._headers["status"][frames] = 0
        self._head = (self._head + waiting) % len(self._ring)
        return batch

    def lost(self) -> int:
        """Packets dropped because the ring was full; the kernel forgets its count when asked, so add up."""
        if self._socket.fileno() >= 0:
            _, dropped = struct.unpack("II", self._socket.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8))
            self._lost += dropped
        return self._lost

    def close(self) -> None:
        """Close the socket. The ring itself is freed with this object."""
        self.lost()
        self._socket.close()

    def _configure(self, options: RingOptions) -> int:
        """Set up the unbound socket, so that nothing unfiltered gets in. Returns the number of frames."""
        option = self._socket.setsockopt
        if options.packet_filter:
            program = b"".join(struct.pack("HBBI", *instruction) for instruction in options.packet_filter)
            buffer = ctypes.create_string_buffer(program)
            address = struct.pack("HxxxxxxP", len(options.packet_filter), ctypes.addressof(buffer))
            option(socket.SOL_SOCKET, _SO_ATTACH_FILTER, address)
        option(_SOL_PACKET, _PACKET_VERSION, _TPACKET_V2)
        # Otherwise the loopback interface shows each packet twice.
        option(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
        # Blocks are whole pages and whole frames, so that the frames of all blocks form one table.
        unit = math.lcm(mmap.PAGESIZE, options.frame_bytes)
        block_bytes = max(_BLOCK_BYTES_MAX // unit, 1) * unit
        blocks = -(-options.frames * options.frame_bytes // block_bytes)
        frames = blocks * block_bytes // options.frame_bytes
        request = struct.pack("IIII", block_bytes, blocks, options.frame_bytes, frames)
        option(_SOL_PACKET, _PACKET_RX_RING, request)
        return frames

    def _waiting(self, rows_max: int) -> int:
        """Packets ready in one piece of the ring, at most rows_max."""
        status = self._headers["status"][self._head : self._head + rows_max]
        ready = (status & _STATUS_USER) != 0
        return len(ready) if ready.all() else int(ready.argmin())

    def _copied(self, frames: slice) -> PacketBatch:
        headers = self._headers[frames].copy()
        lengths = headers["length"].astype(np.int32)
        # Where a packet starts in its frame depends on the link layer alone, so it is the same for all.
        at = int(headers["packet_at"][0])
        width = int(lengths.max(initial=0))
        return PacketBatch(
            data=self._ring[frames, at : at + width].copy(),
            lengths=lengths,
            wire_lengths=headers["wire_length"].astype(np.int32),
            received_us=headers["seconds"].astype(np.int64) * 1_000_000 + headers["nanoseconds"] // 1000,
            link_type=self._link_type,
        )


def _link_type(interface: str, hardware_type: int) -> LinkType:
    if hardware_type in _ARPHRD_WITH_ETHERNET_HEADER:
        return LinkType.ETHERNET
    if hardware_type == _ARPHRD_NONE:
        return LinkType.RAW_IP
    raise OSError(f"{interface}: hardware type {hardware_type} is neither Ethernet nor a bare IP tunnel")

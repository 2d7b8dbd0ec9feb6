"""Handing probes to the kernel: one system call for many packets, straight from the rows of a table.

`sendmmsg` reads an array of message headers; here the headers are a NumPy table, filled by columns. Two
implementations: `IpSender` leaves routing to the kernel, `EthernetSender` addresses one next hop and skips
routing, netfilter and queueing. A transmit ring (PACKET_TX_RING) was measured too and gains nothing over
`sendmmsg` on packets of this size.

Sources: sendmmsg(2), raw(7), ipv6(7), packet(7).
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from producers.wire import Frames, is_ipv4, is_set

CHUNK = 64
"""Packets per system call: some 0.1 ms, within which send times are interpolated."""

_ERRORS_IN_A_ROW_MAX = 16
_PATIENCE_NS = 2_000_000  # of one call, with an interface whose queue is full
_PAUSE_S = 50e-6
_SOL_PACKET, _PACKET_QDISC_BYPASS = 263, 20
_SEND_BUFFER_BYTES = 4 << 20
_ETHERNET_HEADER = 14
_MESSAGE = np.dtype(  # struct mmsghdr on 64-bit Linux
    {
        "names": ["name", "name_length", "iov", "iov_count"],
        "formats": [np.uint64, np.uint32, np.uint64, np.uint64],
        "offsets": [0, 8, 16, 24],
        "itemsize": 64,
    }
)
_IOVEC = np.dtype([("base", np.uint64), ("length", np.uint64)])


class ProbeSender(Protocol):
    """Sends packets; the interface of real and in-memory senders."""

    headroom: int
    """Bytes that the sender needs before each packet."""

    errors: Counter[str]
    """Packets that the kernel did not take, by the name of the error."""

    def send(self, frames: Frames, probes: NDArray[np.void]) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
        """Send packets in order. probes: what `frames` was built from.

        Returns bool[n], which were taken by the kernel, and i64[n], when (ns since 1970, ascending).
        Blocks while the socket's buffer is full. May write into the headroom.
        """

    def close(self) -> None:
        """Release the sockets. Closing twice is harmless."""


class _Messages:
    """Message headers for one socket."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._messages = np.zeros(0, _MESSAGE)
        self._iovecs = np.zeros(0, _IOVEC)

    def send(
        self,
        descriptor: int,
        base: NDArray[np.uint64],
        lengths: NDArray[np.int64],
        names: NDArray[np.uint8] | None,
        errors: Counter[str],
    ) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
        """base: u64[n], addresses of the packets. names: u8[n, k], a socket address each, or None."""
        count = len(base)
        if count > len(self._messages):
            self._messages, self._iovecs = np.zeros(count, _MESSAGE), np.zeros(count, _IOVEC)
            self._messages["iov"] = self._iovecs.ctypes.data + np.arange(count) * _IOVEC.itemsize
            self._messages["iov_count"] = 1
        self._iovecs["base"][:count] = base
        self._iovecs["length"][:count] = lengths
        if names is not None:
            self._messages["name"][:count] = names.ctypes.data + np.arange(count) * names.strides[0]
            self._messages["name_length"][:count] = names.shape[1]
        taken = np.zeros(count, np.bool_)
        sent_ns = np.zeros(count, np.int64)
        at, failed_in_a_row = 0, 0
        before_ns = time.time_ns()
        patience_ns = before_ns + _PATIENCE_NS
        while at < count and failed_in_a_row < _ERRORS_IN_A_ROW_MAX:
            size = min(CHUNK, count - at)
            header = ctypes.c_void_p(self._messages.ctypes.data + at * _MESSAGE.itemsize)
            done = self._libc.sendmmsg(descriptor, header, size, 0)
            after_ns = time.time_ns()
            if done > 0:
                taken[at : at + done] = True
                sent_ns[at : at + done] = before_ns + (after_ns - before_ns) * np.arange(done) // done
                at, failed_in_a_row = at + done, 0
            elif (code := ctypes.get_errno()) == errno.ENOBUFS and after_ns < patience_ns:
                time.sleep(_PAUSE_S)  # the interface's queue is full: let it drain
                after_ns = time.time_ns()
            elif code != errno.EINTR:
                # An error belongs to the first packet of the call: leave it out and go on.
                errors[errno.errorcode.get(code, str(code))] += 1
                sent_ns[at] = after_ns
                at, failed_in_a_row = at + 1, failed_in_a_row + 1
            before_ns = after_ns
        if at < count:
            errors["given up"] += count - at
            sent_ns[at:] = before_ns
        # A clock that is set back must not turn the order round.
        return taken, np.maximum.accumulate(sent_ns)


def _base(frames: Frames, rows: NDArray[np.intp] | slice, before: int) -> NDArray[np.uint64]:
    """Address of the byte `before` bytes ahead of each packet."""
    offset = np.arange(len(frames.data))[rows] * frames.data.strides[0] + frames.start[rows] - before
    return (frames.data.ctypes.data + offset).astype(np.uint64)


class IpSender:
    """Raw IP sockets: the kernel routes each packet by its outermost destination. Needs CAP_NET_RAW."""

    headroom = 0

    def __init__(self, interface: str | None = None) -> None:
        """interface: bind to it, or None. Raises PermissionError without CAP_NET_RAW."""
        self.errors: Counter[str] = Counter()
        self._messages = _Messages()
        self._sockets = {
            family: socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_RAW)
            for family in (socket.AF_INET, socket.AF_INET6)
        }
        for each in self._sockets.values():
            each.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
            if interface is not None:
                each.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())

    def send(self, frames: Frames, probes: NDArray[np.void]) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
        """See ProbeSender."""
        destination = np.where(is_set(probes["via"]), probes["via"], probes["target"])
        v4 = is_ipv4(destination)
        if v4.all():
            return self._send(socket.AF_INET, frames, slice(None), destination)
        taken, sent_ns = np.zeros(len(probes), np.bool_), np.zeros(len(probes), np.int64)
        for family, chosen in ((socket.AF_INET, v4), (socket.AF_INET6, ~v4)):
            rows = np.flatnonzero(chosen)
            if len(rows):
                taken[rows], sent_ns[rows] = self._send(family, frames, rows, destination[rows])
        # Both families leave one after the other, not interleaved; the times must ascend all the same.
        return taken, np.minimum.accumulate(sent_ns[::-1])[::-1]

    def close(self) -> None:
        """See ProbeSender."""
        for each in self._sockets.values():
            each.close()

    def _send(
        self,
        family: socket.AddressFamily,
        frames: Frames,
        rows: NDArray[np.intp] | slice,
        destination: NDArray[np.void],
    ) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
        names = np.zeros((len(destination), 16 if family == socket.AF_INET else 28), np.uint8)
        names[:, :2] = np.frombuffer(int(family).to_bytes(2, sys.byteorder), np.uint8)
        packed = np.ascontiguousarray(destination).view(np.uint8).reshape(-1, 16)
        if family == socket.AF_INET:
            names[:, 4:8] = packed[:, 12:]
        else:
            names[:, 8:24] = packed
        base, lengths = _base(frames, rows, 0), frames.lengths[rows].astype(np.int64)
        return self._messages.send(self._sockets[family].fileno(), base, lengths, names, self.errors)


class EthernetSender:
    """A packet socket on one interface, all probes to one next hop, past the queueing discipline."""

    headroom = _ETHERNET_HEADER

    def __init__(self, interface: str, next_hop: str) -> None:
        """next_hop: IPv4 address or MAC address. Raises PermissionError without CAP_NET_RAW, OSError if
        the next hop does not answer ARP."""
        self.errors: Counter[str] = Counter()
        self._messages = _Messages()
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self._socket.setsockopt(_SOL_PACKET, _PACKET_QDISC_BYPASS, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
        self._socket.bind((interface, 0))
        source = self._socket.getsockname()[4]
        self._addresses = np.frombuffer(mac_of(interface, next_hop) + source, np.uint8)

    def send(self, frames: Frames, probes: NDArray[np.void]) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
        """See ProbeSender."""
        outer = np.where(is_set(probes["via"]), probes["via"], probes["target"])
        v4 = is_ipv4(outer)
        for start in np.unique(frames.start).tolist():
            rows = np.flatnonzero(frames.start == start)
            at: slice | NDArray[np.intp] = slice(None) if len(rows) == len(frames.start) else rows
            frames.data[at, start - 14 : start - 2] = self._addresses
            ether_type = np.where(v4[at], 0x0800, 0x86DD).astype(">u2")
            frames.data[at, start - 2 : start] = ether_type.view(np.uint8).reshape(-1, 2)
        base, lengths = _base(frames, slice(None), 14), frames.lengths.astype(np.int64) + 14
        return self._messages.send(self._socket.fileno(), base, lengths, None, self.errors)

    def close(self) -> None:
        """See ProbeSender."""
        self._socket.close()


def mac_of(interface: str, next_hop: str, timeout_s: float = 3.0) -> bytes:
    """The MAC address of a next hop: as given, or from the kernel's ARP table after waking it.

    Raises OSError if nothing answers within timeout_s.
    """
    if next_hop.count(":") == 5:
        return bytes.fromhex(next_hop.replace(":", ""))
    deadline_s = time.monotonic() + timeout_s
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as waker:
        waker.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())
        while time.monotonic() < deadline_s:
            waker.sendto(b"", (next_hop, 9))  # the discard port; what counts is that the kernel asks ARP
            for line in Path("/proc/thread-self/net/arp").read_text().splitlines()[1:]:
                address, _, flags, mac, _, device = line.split()
                if (address, device) == (next_hop, interface) and int(flags, 16) & 2:
                    return bytes.fromhex(mac.replace(":", ""))
            time.sleep(0.02)
    raise OSError(
        errno.EHOSTUNREACH, f"{next_hop} does not answer on {interface}: {os.strerror(errno.EHOSTUNREACH)}"
    )

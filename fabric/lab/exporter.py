"""The mirroring hardware of all switches of a lab, and the decapsulating hardware of its ToRs: one process.

Per switch port a packet socket takes what comes *in* with the probes' DSCP; the frame leaves in GRE, from the
switch's exporter address, over the management network. A socket that asks for one protocol, unlike one that
asks for all, is never shown outgoing packets, nor those that a fault has dropped on arrival.

Per ToR a raw socket takes IP-in-IP that is addressed to it and writes the inner packet to a TUN device, from
where the kernel forwards it as if it had just been received: so the ToR counts as a hop of the outer packet,
and the next switch is the first hop of the inner one, one TTL lower.

Run as `python -m fabric.lab.exporter`: reads one JSON line (`ExporterTasks`), writes the line `ready`, works
until its standard input ends (which it also does when the parent is killed), then writes its counters as one
JSON line.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import select
import signal
import socket
import struct
import sys
import time
from dataclasses import asdict, dataclass, field
from typing import Protocol

from fabric.lab.enter import open_in_namespace
from fabric.lab.mirror_header import TIMESTAMP_UNIT_NS, mirror_header
from fabric.lab.tasks import Decapsulator, ExporterTasks, Tap
from fabric.lab.topology import DECAPSULATION_DEVICE

READY = "ready"
_ETH_P_IP = 0x0800
_SO_ATTACH_FILTER = 26
_SO_RCVBUFFORCE = 33
_SOL_PACKET, _PACKET_STATISTICS = 263, 6
_IPPROTO_GRE = 47
_TUNSETIFF, _IFF_TUN, _IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
_RECEIVE_BUFFER_BYTES = 4 << 20
_FRAME_BYTES_MAX = 2048
_PACKETS_PER_TURN = 64  # so that one busy port does not starve the others


@dataclass(slots=True)
class ExporterCounters:
    """What was done, by switch and in all."""

    mirrored: dict[str, int] = field(default_factory=dict)
    decapsulated: dict[str, int] = field(default_factory=dict)
    not_captured: int = 0  # came faster than this process reads
    not_sent: int = 0  # the management network took no more
    not_forwarded: int = 0  # protocol 4 without a whole IPv4 packet inside, or refused by the kernel


class _Worker(Protocol):
    def fileno(self) -> int: ...

    def work(self) -> None:
        """Handle what is there, a bounded amount of it, without blocking."""

    def finish(self) -> None:
        """Add the kernel's own counts to the counters."""


class _Mirror:
    """One port: frames in, copies out."""

    def __init__(
        self, tap: Tap, dscp: int, sequences: dict[int | None, int], counters: ExporterCounters
    ) -> None:
        header = mirror_header(tap.dialect, tap.port_field, tap.switch_number, tap.port)
        self._tap, self._header, self._counters = tap, header, counters
        self._sequences = sequences  # shared by the ports of a switch: they count per session
        self._receiver = open_in_namespace(tap.namespace, lambda: _packet_socket(tap.device, dscp))
        self._sender = open_in_namespace(tap.namespace, lambda: _gre_socket(tap.source, tap.collector))
        self._copy = bytearray(header.template) + bytearray(_FRAME_BYTES_MAX)
        self._view = memoryview(self._copy)
        self._frame = self._view[len(header.template) :]
        counters.mirrored.setdefault(tap.switch, 0)
        sequences.setdefault(header.session, 0)

    def fileno(self) -> int:
        return self._receiver.fileno()

    def work(self) -> None:
        header, sequences = self._header, self._sequences
        for _ in range(_PACKETS_PER_TURN):
            try:
                length = self._receiver.recv_into(self._frame)
            except BlockingIOError:
                return
            # A copy that does not get away has used up its number, as on a switch: the gap shows the loss.
            sequence = sequences[header.session]
            sequences[header.session] = (sequence + 1) & 0xFFFFFFFF
            if header.sequence_at is not None:
                struct.pack_into(">I", self._copy, header.sequence_at, sequence)
            if header.timestamp_at is not None:
                ticks = time.monotonic_ns() // TIMESTAMP_UNIT_NS
                struct.pack_into(">I", self._copy, header.timestamp_at, ticks & 0xFFFFFFFF)
            try:
                self._sender.send(self._view[: len(header.template) + length])
                self._counters.mirrored[self._tap.switch] += 1
            except OSError:
                self._counters.not_sent += 1

    def finish(self) -> None:
        statistics = self._receiver.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8)
        self._counters.not_captured += struct.unpack("II", statistics)[1]


class _Decapsulation:
    """One ToR: outer packets in, inner packets into its kernel's forwarding."""

    def __init__(self, task: Decapsulator, counters: ExporterCounters) -> None:
        self._task, self._counters = task, counters
        self._receiver = open_in_namespace(task.namespace, lambda: _ip_in_ip_socket(task.address))
        self._device = open_in_namespace(task.namespace, _tun_device)
        self._packet = bytearray(_FRAME_BYTES_MAX)
        counters.decapsulated.setdefault(task.switch, 0)

    def fileno(self) -> int:
        return self._receiver.fileno()

    def work(self) -> None:
        for _ in range(_PACKETS_PER_TURN):
            try:
                length = self._receiver.recv_into(self._packet)
            except BlockingIOError:
                return
            inner = memoryview(self._packet)[(self._packet[0] & 0x0F) * 4 : length]
            try:
                if len(inner) < 20 or inner[0] >> 4 != 4:
                    raise OSError("no IPv4 packet inside")
                os.write(self._device, inner)
                self._counters.decapsulated[self._task.switch] += 1
            except OSError:
                self._counters.not_forwarded += 1

    def finish(self) -> None:
        os.close(self._device)


def _packet_socket(device: str, dscp: int) -> socket.socket:
    opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)
    # Filter before bind: nothing else ever gets in. Byte 15 of the frame is the TOS byte of the outer header.
    program = b"".join(
        struct.pack("HBBI", *instruction)
        for instruction in (
            (0x30, 0, 0, 15),  # load the TOS byte
            (0x54, 0, 0, 0xFC),  # without the ECN bits
            (0x15, 0, 1, dscp << 2),  # if it is the probes' code point
            (0x06, 0, 0, 0xFFFF),  # take the whole frame,
            (0x06, 0, 0, 0),  # else nothing
        )
    )
    code = ctypes.create_string_buffer(program)
    opened.setsockopt(
        socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HL", len(program) // 8, ctypes.addressof(code))
    )
    opened.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _RECEIVE_BUFFER_BYTES)
    opened.bind((device, _ETH_P_IP))
    return opened


def _gre_socket(source: str, collector: str) -> socket.socket:
    opened = socket.socket(socket.AF_INET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, _IPPROTO_GRE)
    opened.bind((source, 0))
    opened.connect((collector, 0))
    return opened


def _ip_in_ip_socket(address: str) -> socket.socket:
    opened = socket.socket(socket.AF_INET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.IPPROTO_IPIP)
    opened.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _RECEIVE_BUFFER_BYTES)
    opened.bind((address, 0))
    return opened


def _tun_device() -> int:
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
    request = struct.pack("16sH22x", DECAPSULATION_DEVICE.encode(), _IFF_TUN | _IFF_NO_PI)
    fcntl.ioctl(device, _TUNSETIFF, request)
    return device


def export(tasks: ExporterTasks) -> ExporterCounters:
    """Work until standard input ends. Returns the counters."""
    counters = ExporterCounters()
    sequences: dict[str, dict[int | None, int]] = {}
    workers: list[_Worker] = [
        _Mirror(tap, tasks.dscp, sequences.setdefault(tap.switch, {}), counters) for tap in tasks.taps
    ]
    workers += [_Decapsulation(task, counters) for task in tasks.decapsulators]
    by_descriptor = {worker.fileno(): worker for worker in workers}
    with select.epoll() as poll:
        for descriptor in (sys.stdin.fileno(), *by_descriptor):
            poll.register(descriptor, select.EPOLLIN | select.EPOLLHUP)
        print(READY, flush=True)  # noqa: T201 - the protocol of this process
        stopping = False
        while not stopping:
            for descriptor, _ in poll.poll():
                worker = by_descriptor.get(descriptor)
                if worker is None:
                    stopping = True
                else:
                    worker.work()
    for worker in workers:
        worker.work()
        worker.finish()
    return counters


def main() -> None:
    # Ctrl-C reaches the whole process group; the parent decides when mirroring ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    tasks = ExporterTasks.from_json(sys.stdin.readline())
    print(json.dumps(asdict(export(tasks))), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()

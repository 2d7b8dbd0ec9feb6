"""The live Prober: opens the sockets, gives up its privileges and runs the loop of producers.probe_loop."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import cast

from fabric.model import Fabric
from producers.probe_loop import ProbeLoop, ProberReport
from producers.prober_safety import controller_gone, drop_privileges, prober_of
from producers.prober_settings import ProberRefused, ProberSettings
from producers.publish import BatchPublisher
from producers.send import EthernetSender, IpSender, ProbeSender
from producers.sources.ring import Instruction, RingOptions, RingSource

__all__ = ["ProbeLoop", "ProberReport", "prober_of", "reply_filter", "run_prober"]

#: Calls a factory where sockets shall be opened, and returns what it made.
Opening = Callable[[Callable[[], object]], object]

_REPLY_FRAME_BYTES = 256  # the kernel's header, a RST, or the quoted head of an ICMP error
_TUNNEL = "65534"  # ARPHRD_NONE: packets start with their IP header


def run_prober(
    settings: ProberSettings,
    fabric: Fabric,
    publisher: BatchPublisher,
    stop: Event,
    read_fabric: Callable[[], Fabric] | None = None,
    started: Callable[[ProbeLoop], None] | None = None,
    opening: Opening | None = None,
    complain: Callable[[str], None] = lambda problem: None,
) -> ProberReport:
    """Run the Prober of `settings.prober` on this machine until `stop` is set, or until it is not safe.

    The publisher is closed at the end, so that readers know that the source has ended; after an error it
    is not. started: called once with the loop, whose `report` is then up to date while it runs. opening:
    where to open the sockets, e.g. in a network namespace; None: here. complain: see ProbeLoop.
    Raises ProberRefused or PlanRefused before anything is sent, PermissionError without CAP_NET_RAW,
    OSError if the interface fails, DeliveryError if outcomes cannot be stored.
    """
    if reason := controller_gone(settings, time.time_ns() // 1000):
        raise ProberRefused(reason)
    prober_of(fabric, settings.prober)
    # The filter reads Ethernet headers; on a tunnel interface every packet is looked at after the ring.
    kind = Path(f"/sys/class/net/{settings.interface}/type")
    is_tunnel = kind.exists() and kind.read_text().strip() == _TUNNEL
    ring = RingOptions(
        frames=settings.ring_frames,
        frame_bytes=_REPLY_FRAME_BYTES,
        packet_filter=() if is_tunnel else reply_filter(fabric.probe_port),
    )
    opening = opening or _open_here
    source = cast(RingSource, opening(lambda: RingSource(settings.interface, ring)))
    try:
        sender = cast(ProbeSender, opening(lambda: _open_sender(settings)))
        try:
            if settings.user is not None:
                drop_privileges(settings.user)
            loop = ProbeLoop(
                settings,
                fabric,
                sender=sender,
                source=source,
                publisher=publisher,
                clock_us=lambda: time.time_ns() // 1000,
                read_fabric=read_fabric,
                complain=complain,
            )
            if started is not None:
                started(loop)
            return loop.run(stop)
        finally:
            sender.close()
    finally:
        source.close()


def reply_filter(probe_port: int) -> tuple[Instruction, ...]:
    """BPF program for Ethernet: TCP from the probed port, ICMP, ICMPv6; all else stays out of the ring."""
    return (
        (0x28, 0, 0, 12),  # EtherType
        (0x15, 0, 6, 0x0800),
        (0x30, 0, 0, 23),  # IPv4 protocol
        (0x15, 8, 0, 1),
        (0x15, 0, 8, 6),
        (0xB1, 0, 0, 14),  # x = length of the IPv4 header
        (0x48, 0, 0, 14),  # source port
        (0x15, 4, 5, probe_port),
        (0x15, 0, 4, 0x86DD),
        (0x30, 0, 0, 20),  # IPv6 next header
        (0x15, 1, 0, 58),
        (0x15, 0, 1, 6),  # TCP over IPv6 is looked at more closely after the ring
        (0x06, 0, 0, 0xFFFFFFFF),
        (0x06, 0, 0, 0),
    )


def _open_here(factory: Callable[[], object]) -> object:
    return factory()


def _open_sender(settings: ProberSettings) -> ProbeSender:
    if settings.transport == "ethernet":
        assert settings.next_hop is not None  # ProberSettings refuses it otherwise
        return EthernetSender(settings.interface, settings.next_hop)
    return IpSender(settings.interface)

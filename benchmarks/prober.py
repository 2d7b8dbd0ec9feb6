"""Probes per second and core: planned, built, sent, answered by a real kernel, matched and published.

Two network namespaces joined by a veth pair. The far one owns all server addresses of a fat-tree-48
(27,648) and its kernel answers each SYN to the closed port with a RST. The near one runs the Prober's real
loop: plan, packets, `sendmmsg`, receive ring, matching, outcome batches (encoded, and then dropped).

What is counted. `rate_per_core` is answered probes per second of CPU time that this process used, in user
and kernel mode. A veth pair has no wire: the far kernel's whole work (receive the SYN, look for a socket,
build the RST, send it) and the near kernel's receive path run inside our `sendmmsg` and are in that time,
though a NIC and another machine would do most of it. So the figure is a lower bound. `machine_rate` divides
by the CPU time of all cores of the machine, whatever else ran included. `timeouts` are probes or replies
that were dropped on the way, `skipped` what the plan offered and one core did not manage.

Steering the far kernel's work to another core (RPS) was tried. It saves some 10 % of our CPU time, but
the queue between the cores holds 1,000 packets and overflows when that core has anything else to do.

`answered_per_s` is per second of wall time, the second of waiting for the last replies included.

The baseline does the same for one probe at a time: packet and content hash by struct and integers, one raw
`sendto` a packet, one `recv` and `struct.unpack` a reply, a dictionary of outstanding probes, one packed
outcome row a probe.
"""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Timer

import numpy as np

from benchmarks.plain_packets import plain_hash, plain_probe
from fabric.builtin import builtin_fabric
from fabric.lab.enter import open_in_namespace
from fabric.model import Fabric
from producers.plan import PlanSettings, build_plan
from producers.prober import ProbeLoop, run_prober
from producers.prober_settings import ProberSettings
from producers.publish import BatchPublisher
from producers.wire import content_hash_as_sent, is_set
from schemas import topics
from schemas.rows import OUTCOME, Kind, ReplyKind

_FABRIC = "fat-tree-48"
_FAR_ADDRESS = "10.254.0.1"
_BASELINE_PROBES = 20_000
_BASELINE_WINDOW = 64


def run(seconds_max: float = 20.0) -> dict[str, object]:
    """Measure; needs root. Takes about seconds_max, the building of the fabric included."""
    if os.geteuid() != 0:
        raise PermissionError("the prober's benchmark makes network namespaces and needs root")
    fabric = builtin_fabric(_FABRIC)
    each_s = max(1.0, (seconds_max - 10) / 4)
    with _veth_pair() as near:
        baseline = open_in_namespace(near, lambda: _baseline(fabric))
        runs = {
            (transport, offered): _measure(near, fabric, transport, offered, each_s)
            for transport, offered in (
                ("ethernet", 150_000),
                ("ethernet", 350_000),
                ("ip", 150_000),
                ("ip", 350_000),
            )
        }
    best = max(runs.values(), key=lambda each: each.rate_per_core)
    return {
        "name": "prober",
        "unit": "probes/s",
        "rate_per_core": round(best.rate_per_core),
        "baseline": round(baseline),
        "ratio": round(best.rate_per_core / baseline, 1),
        "by_workload": {
            f"{transport}, {offered} offered": {
                "rate_per_core": round(each.rate_per_core),
                "machine_rate": round(each.machine_rate),
                "answered_per_s": round(each.answered_per_s),
                "kernel_share": round(each.kernel_share, 2),
                "timeouts": each.timeouts,
                "skipped": each.skipped,
                "replies_lost": each.replies_lost,
            }
            for (transport, offered), each in runs.items()
        },
    }


@dataclass(frozen=True, slots=True)
class Measured:
    rate_per_core: float
    machine_rate: float
    answered_per_s: float
    kernel_share: float  # of our CPU time
    timeouts: int
    skipped: int
    replies_lost: int


class _Dropped:
    """A sink of messages that keeps nothing."""

    fill = 0.0

    def produce(self, partition: int, message: bytes) -> None:
        pass

    def poll(self) -> None:
        pass

    def flush(self) -> None:
        pass


def _measure(near: str, fabric: Fabric, transport: str, offered_pps: int, seconds: float) -> Measured:
    """One run of the real Prober at an offered rate."""
    interval_us = build_plan(fabric, fabric.probers[0], PlanSettings()).groups * 3 * 1_000_000 // offered_pps
    settings = ProberSettings(
        prober=fabric.probers[0].name,
        interface="near",
        transport="ip" if transport == "ip" else "ethernet",
        next_hop=_FAR_ADDRESS,
        plan=PlanSettings(interval_us=interval_us, rate_max_pps=2 * offered_pps, kinds=_ANSWERED),
        tick_us=4_000,
        ring_frames=65_536,
    )
    now_us = time.time_ns() // 1000
    publisher = BatchPublisher(topics.OUTCOMES, "prober-1", now_us, 8, _Dropped())
    stop = Event()
    loops: list[ProbeLoop] = []
    marks: list[tuple[float, float, float, float]] = []

    def mark(loop: ProbeLoop) -> None:
        loops.append(loop)
        marks.append(_clocks())
        Timer(seconds, stop.set).start()

    report = open_in_namespace(near, lambda: run_prober(settings, fabric, publisher, stop, started=mark))
    wall_s, process_s, kernel_s, machine_s = (b - a for a, b in zip(marks[0], _clocks(), strict=True))
    return Measured(
        rate_per_core=report.answered / process_s,
        machine_rate=report.answered / machine_s,
        answered_per_s=report.answered / wall_s,
        kernel_share=kernel_s / process_s,
        timeouts=report.timeouts,
        skipped=report.skipped_late + report.skipped_full + report.skipped_queue,
        replies_lost=report.replies_lost,
    )


_ANSWERED = frozenset({Kind.NORTH_SOUTH})


def _clocks() -> tuple[float, float, float, float]:
    """Wall, CPU of this process, its part in the kernel, CPU of the machine, s."""
    return time.perf_counter(), time.process_time(), os.times().system, _machine_cpu_s()


def _machine_cpu_s() -> float:
    """CPU time of all cores since boot, all that was not idle."""
    fields = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
    return (sum(fields[:8]) - fields[3] - fields[4]) / os.sysconf("SC_CLK_TCK")


@contextmanager
def _veth_pair() -> Iterator[str]:
    """Two namespaces; yields the name of the near one. The far one answers for all of 10.0.0.0/8."""
    tag = f"bt-bench-{os.getpid()}"
    near, far = f"{tag}-near", f"{tag}-far"
    commands = (
        f"ip netns add {near}",
        f"ip netns add {far}",
        f"ip -n {near} link add near type veth peer name far netns {far}",
        f"ip -n {near} address add 10.255.0.1/32 dev near",
        f"ip -n {far} address add {_FAR_ADDRESS}/32 dev far",
        f"ip -n {near} link set near up",
        f"ip -n {far} link set lo up",
        f"ip -n {far} link set far up",
        f"ip -n {near} route add {_FAR_ADDRESS}/32 dev near",
        f"ip -n {near} route add 10.0.0.0/8 via {_FAR_ADDRESS} dev near",
        f"ip -n {far} route add 10.255.0.1/32 dev far",
        # "local" for a whole prefix: this kernel takes every address in it for its own.
        f"ip -n {far} route add local 10.0.0.0/9 dev lo",
    )
    try:
        for command in commands:
            subprocess.run(command.split(), check=True)
        yield near
    finally:
        for namespace in (near, far):
            subprocess.run(["ip", "netns", "del", namespace], check=False)


def _baseline(fabric: Fabric) -> float:
    """Probes per CPU second of the plain loop; runs inside the near namespace."""
    plan = build_plan(fabric, fabric.probers[0], PlanSettings(kinds=_ANSWERED))
    now_us = time.time_ns() // 1_000_000 * 1_000_000 // 1000
    probes = plan.due(now_us, now_us + 1_000_000)
    probes = probes[~is_set(probes["via"])][:_BASELINE_PROBES]
    table = [
        (
            int(p["probe_id"]),
            int(p["sent_at_us"]),
            bytes(p["source"])[12:],
            bytes(p["target"])[12:],
            int(p["source_port"]),
        )
        for p in probes
    ]
    with (
        socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as out,
        socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP) as back,
    ):
        back.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        back.settimeout(0.5)
        waiting: dict[int, _Waiting] = {}
        rows: list[bytes] = []
        started_s = time.process_time()
        for number, (probe_id, sent_at_us, source, target, port) in enumerate(table):
            packet = plain_probe(probe_id, sent_at_us, source, target, port, fabric.probe_port)
            sent_ns = time.time_ns()
            waiting[probe_id & 0xFFFFFFFF] = probe_id, sent_at_us, sent_ns, target, port, plain_hash(packet)
            out.sendto(packet, (socket.inet_ntoa(target), 0))
            if number % _BASELINE_WINDOW == _BASELINE_WINDOW - 1:
                _plain_replies(back, waiting, rows, fabric.probe_port)
        _plain_replies(back, waiting, rows, fabric.probe_port)
        rate = len(rows) / (time.process_time() - started_s)
    found = np.frombuffer(b"".join(rows), OUTCOME.dtype)
    expected = content_hash_as_sent(probes)[np.argsort(probes["probe_id"])]
    assert found[np.argsort(found["probe_id"])]["content_hash"].tolist() == expected.tolist()
    return rate


_Waiting = tuple[int, int, int, bytes, int, int]


def _plain_replies(
    back: socket.socket, waiting: dict[int, _Waiting], rows: list[bytes], probe_port: int
) -> None:
    while waiting:
        packet = back.recv(2_048)
        received_ns = time.time_ns()
        header = (packet[0] & 15) * 4
        _, _, _, ack, _, flags = struct.unpack_from("!HHIIBB", packet, header)
        seq32 = (ack - 513) & 0xFFFFFFFF
        sent = waiting.get(seq32)
        if flags & 4 and sent is not None and sent[3] == packet[12:16]:
            del waiting[seq32]
            probe_id, sent_at_us, sent_ns, target, port, content_hash = sent
            rtt_ns = received_ns - sent_ns
            mapped = b"\0" * 10 + b"\xff\xff" + target
            rows.append(
                struct.pack(
                    "!qqqQ16s16siihbbb",
                    *(probe_id, sent_at_us, rtt_ns, content_hash, mapped, b"", port, probe_port),
                    *(packet[8], Kind.NORTH_SOUTH, 3, ReplyKind.RST),
                )
            )

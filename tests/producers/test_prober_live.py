"""The Prober against real kernels: a pair of network namespaces, a closed port, an open port, no host."""

from __future__ import annotations

import json
import os
import pwd
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event, Timer

import numpy as np
import pytest
from numpy.typing import NDArray

from fabric.address import pack_address
from fabric.builtin import builtin_fabric
from fabric.lab.enter import open_in_namespace
from fabric.model import Fabric
from producers.content import content_hash, normalise
from producers.plan import PlanSettings
from producers.prober import ProbeLoop, reply_filter, run_prober
from producers.prober_settings import ProberSettings
from producers.publish import BatchPublisher, MemorySink
from producers.replies import parse_probes, probe_ids
from producers.sources.ring import RingOptions, RingSource
from schemas import topics
from schemas.batch import decode_batch
from schemas.rows import Kind, ReplyKind

pytestmark = pytest.mark.root

SMALL = builtin_fabric("small")
CLOSED, OPEN, DOWN = range(3)  # of SMALL.servers; none but the first two exists in the far namespace


@dataclass(frozen=True)
class Wire:
    """A veth pair: `near` in the namespace of the Prober, `far` in that of the servers."""

    near_namespace: str
    namespace: str
    near: str = "near"
    far: str = "far"

    def there(self, command: str) -> list[str]:
        return ["ip", "netns", "exec", self.namespace, "sh", "-c", command]


@pytest.fixture
def wire() -> Iterator[Wire]:
    if os.geteuid() != 0:
        if os.environ.get("CI") == "true":
            pytest.fail("raw sockets and namespaces need root, and CI must not skip")
        pytest.skip("raw sockets and namespaces need root")
    tag = f"bt-{os.getpid()}-{time.monotonic_ns() % 100_000}"
    made = Wire(f"{tag}-prober", f"{tag}-servers")
    try:
        for command in (
            f"ip netns add {made.near_namespace}",
            f"ip netns add {made.namespace}",
            f"ip -n {made.near_namespace} link add near type veth peer name far netns {made.namespace}",
            f"ip -n {made.near_namespace} address add 10.255.0.1/8 dev near",
            f"ip -n {made.near_namespace} -6 address add 2001:db8::1/64 dev near nodad",
            f"ip -n {made.near_namespace} link set near up",
            f"ip -n {made.namespace} link set lo up",
            f"ip -n {made.namespace} link set far up",
            f"ip -n {made.namespace} address add {address_of(CLOSED)}/8 dev far",
            f"ip -n {made.namespace} address add {address_of(OPEN)}/8 dev far",
        ):
            subprocess.run(command.split(), check=True)
        yield made
    finally:
        for namespace in (made.near_namespace, made.namespace):
            subprocess.run(["ip", "netns", "del", namespace], check=False)


def address_of(server: int) -> str:
    return SMALL.servers[server].addresses[0]


def settings_for(wire: Wire, **changes: object) -> ProberSettings:
    plan = PlanSettings(interval_us=50_000, kinds=frozenset({Kind.NORTH_SOUTH}), rate_max_pps=1_000)
    base = ProberSettings(prober="prober-1", interface=wire.near, plan=plan, ring_frames=4_096)
    return replace(base, **changes)  # type: ignore[arg-type]


def probe_for(
    wire: Wire, seconds: float, settings: ProberSettings, which: Fabric = SMALL
) -> tuple[NDArray[np.void], ProbeLoop]:
    sink = MemorySink(4)
    publisher = BatchPublisher(topics.OUTCOMES, "prober-1", time.time_ns() // 1000, 4, sink)
    stop = Event()
    loops: list[ProbeLoop] = []
    timer = Timer(seconds, stop.set)
    timer.start()
    try:
        report = open_in_namespace(
            wire.near_namespace,
            lambda: run_prober(settings, which, publisher, stop, started=loops.append),
        )
    finally:
        timer.cancel()
    assert report.stopped_because == "stopped"
    rows = np.concatenate([decode_batch(topics.OUTCOMES, m).rows for part in sink.messages for m in part])
    assert report.sent == report.published == len(rows)
    assert report.due == report.sent + report.skipped_late + sum(report.send_errors.values())
    return rows, loops[0]


def rows_to(rows: NDArray[np.void], address: str) -> NDArray[np.void]:
    return rows[[bytes(target) == pack_address(address) for target in rows["target"]]]


def check_outcomes(rows: NDArray[np.void], probe_port: int) -> None:
    closed, open_, down = (rows_to(rows, address_of(server)) for server in (CLOSED, OPEN, DOWN))
    assert min(len(closed), len(open_), len(down)) > 20
    assert set(closed["reply_kind"].tolist()) == {ReplyKind.RST}
    assert set(open_["reply_kind"].tolist()) == {ReplyKind.SYN_ACK}
    assert set(closed["reply_ttl"].tolist()) == {64}
    for answered in (closed, open_):
        assert (answered["rtt_ns"] >= 0).all()
        assert np.median(answered["rtt_ns"]) < 50_000_000
        assert (answered["destination_port"] == probe_port).all()


@pytest.fixture
def open_port(wire: Wire) -> Iterator[None]:
    """The server called open listens on the probe port."""
    script = textwrap.dedent(f"""
        import socket
        listener = socket.create_server(("{address_of(OPEN)}", {SMALL.probe_port}), backlog=4096)
        print("ready", flush=True)
        input()
    """)
    command = ["ip", "netns", "exec", wire.namespace, sys.executable, "-c", script]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as listener:
        assert listener.stdout is not None
        assert listener.stdout.readline() == "ready\n"
        yield
        listener.kill()


@pytest.mark.usefixtures("open_port")
@pytest.mark.parametrize("transport", ["ip", "ethernet"])
def test_closed_open_and_absent(wire: Wire, transport: str) -> None:
    changes = {"transport": transport, "next_hop": address_of(CLOSED)}
    rows, loop = probe_for(wire, 2.0, settings_for(wire, **changes))
    check_outcomes(rows, SMALL.probe_port)
    down = rows_to(rows, address_of(DOWN))
    if transport == "ethernet":  # past ARP, so the packets leave; the far kernel has no such address
        assert set(down["reply_kind"].tolist()) == {ReplyKind.NONE}
    else:
        assert set(down["reply_kind"].tolist()) <= {ReplyKind.NONE, ReplyKind.ICMP}
    assert ReplyKind.NONE in down["reply_kind"]
    report = loop.report
    assert report.replies_lost == report.stray_replies == report.mismatched_replies == 0


def test_ipv6(wire: Wire) -> None:
    subprocess.run(wire.there(f"ip address add 2001:db8::a/64 dev {wire.far} nodad"), check=True)
    six = tuple(
        replace(server, addresses=(f"2001:db8::{number + 10:x}",))
        for number, server in enumerate(SMALL.servers)
    )
    prober = replace(SMALL.probers[0], address="2001:db8::1")
    which = replace(SMALL, servers=six, probers=(prober,), target_prefixes=("2001:db8::/64",))
    rows, _ = probe_for(wire, 1.5, settings_for(wire), which)
    there = rows_to(rows, "2001:db8::a")
    assert len(there) > 20
    assert (
        np.count_nonzero(there["reply_kind"] == ReplyKind.RST) > len(there) - 10
    )  # neighbour discovery first
    assert not (rows_to(rows, "2001:db8::b")["reply_kind"] == ReplyKind.RST).any()


@pytest.mark.parametrize("transport", ["ip", "ethernet"])
def test_packets_on_the_wire_are_what_the_outcome_says(wire: Wire, transport: str, tmp_path: Path) -> None:
    """A capture at the far end: content hash, DSCP and ID of each packet, through either socket."""
    changes = {"transport": transport, "next_hop": address_of(CLOSED)}
    # Captured by a process there: a packet socket belongs to the namespace that it is made in.
    out = tmp_path / "packets.npy"
    script = textwrap.dedent(f"""
        import time, numpy as np
        from producers.sources.ring import RingOptions, RingSource
        source = RingSource("{wire.far}", RingOptions(frames=4096))
        print("ready", flush=True)
        input()
        rows = []
        while (batch := source.next_batch()) is not None:
            for data, length in zip(batch.data, batch.lengths):
                row = np.zeros(2048, np.uint8)
                row[: length - 14] = data[14:length]
                rows.append(row)
        np.save("{out}", np.array(rows))
    """)
    command = ["ip", "netns", "exec", wire.namespace, sys.executable, "-c", script]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as capture:
        assert capture.stdout is not None
        assert capture.stdin is not None
        assert capture.stdout.readline() == "ready\n"
        rows, _ = probe_for(wire, 1.0, settings_for(wire, **changes))
        capture.stdin.write("\n")
        capture.stdin.close()
        assert capture.wait(20) == 0
    packets = np.load(out)
    total = packets[:, 2].astype(np.int64) << 8 | packets[:, 3]
    seen = parse_probes(packets, np.where(packets[:, 0] >> 4 == 4, total, 60))
    packets, total, seen = (column[seen["leg"] == 1] for column in (packets, total, seen))
    assert (packets[:, 1] == SMALL.dscp << 2).all()
    assert (packets[:, 8] == 64).all()
    hashes = content_hash(normalise(packets[:, :552], total), total)
    got = dict(zip(probe_ids(seen["seq32"], 1).tolist(), hashes.tolist(), strict=True))
    expected = dict(zip(rows["probe_id"].tolist(), rows["content_hash"].tolist(), strict=True))
    assert len(got) > 60
    assert {probe_id: expected[probe_id] for probe_id in got} == got


def test_privileges_are_gone_while_probing(wire: Wire) -> None:
    script = textwrap.dedent(f"""
        import json, os, threading, time
        from tests.producers.test_prober_live import probe_for, settings_for, Wire
        wire = Wire("{wire.near_namespace}", "{wire.namespace}")
        rows, loop = probe_for(wire, 0.8, settings_for(wire, user="nobody"))
        status = open("/proc/self/status").read()
        print(json.dumps(dict(
            answered=int((rows["rtt_ns"] >= 0).sum()),
            uid=os.getresuid(),
            capabilities=status.split("CapEff:")[1].split()[0],
            groups=os.getgroups(),
        )))
    """)
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=root, capture_output=True, text=True, timeout=60, check=True
    )
    found = json.loads(done.stdout)
    uid = pwd.getpwnam("nobody").pw_uid
    assert found["answered"] > 20
    assert found["uid"] == [uid] * 3
    assert int(found["capabilities"], 16) == 0
    assert 0 not in found["groups"]


def test_no_such_interface_is_an_error(wire: Wire) -> None:
    with pytest.raises(OSError):
        probe_for(wire, 1.0, settings_for(wire, interface="bt-absent"))


def test_a_cut_wire_makes_timeouts_not_errors(wire: Wire) -> None:
    cut = Timer(0.8, lambda: subprocess.run(wire.there(f"ip link set {wire.far} down"), check=False))
    cut.start()
    try:
        rows, loop = probe_for(wire, 2.0, settings_for(wire))
    finally:
        cut.join()
    closed = rows_to(rows, address_of(CLOSED))
    assert (closed["rtt_ns"] >= 0).any()
    assert (closed["rtt_ns"] < 0).any() or loop.report.send_errors


def test_the_receive_filter_keeps_other_traffic_out(wire: Wire) -> None:
    options = RingOptions(frames=1_024, frame_bytes=256, packet_filter=reply_filter(SMALL.probe_port))
    source = open_in_namespace(wire.near_namespace, lambda: RingSource(wire.near, options))
    send = "import socket; socket.socket(type=socket.SOCK_DGRAM).sendto(b'x', ('10.255.0.1', 9))"
    subprocess.run(["ip", "netns", "exec", wire.namespace, sys.executable, "-c", send], check=True)
    time.sleep(0.1)
    while (batch := source.next_batch()) is not None:  # neighbour discovery is ICMPv6 and may come in
        assert (batch.data[:, 12:14] == (0x86, 0xDD)).all()
    source.close()

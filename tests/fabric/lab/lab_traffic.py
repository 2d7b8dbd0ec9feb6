"""Throw-away sender and receivers for the lab's tests: probes in, replies and mirror copies out."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest

from fabric.address import pack_address
from fabric.lab.run import Lab
from fabric.model import Fabric
from producers.mirror.digests import Digests, digest
from producers.mirror.inventory import ExporterMap, ProbeMap
from producers.packets import PacketBatch
from producers.replies import parse_replies
from producers.wire import PROBE_DTYPE, build

ETH_P_IP = 0x0800
ETHERNET_HEADER = 14
ROUND_TRIP_S = 0.4  # until a burst has been answered and mirrored


def needs_root() -> None:
    """Skip without root, except in CI, where nothing is skipped."""
    if os.geteuid() != 0 and os.environ.get("CI") != "true":
        pytest.skip("needs root for network namespaces")


@dataclass
class Seen:
    """What came of a burst. Digests are those of all switches, in order of arrival."""

    probe_ids: np.ndarray
    replies: np.ndarray  # producers.replies.REPLY_DTYPE
    digests: Digests

    def at(self, fabric: Fabric, switch: str, leg: int) -> np.ndarray:
        """Distinct probe IDs that a switch mirrored on a leg."""
        rows = self.digests.rows
        return np.unique(
            rows["probe_id"][(rows["switch"] == fabric.node(switch)) & (rows["leg"] == leg)]
        ).astype(np.int64)

    def answered(self) -> set[int]:
        return set(self.replies["seq32"].tolist())


class Traffic:
    """Sends probes from the first Prober of a lab and hears its replies and all mirror copies."""

    def __init__(self, lab: Lab) -> None:
        self.fabric = lab.fabric
        prober, collector = lab.fabric.probers[0], lab.fabric.collectors[0]
        self._prober = prober
        self._sender = lab.open_in(
            prober.name, lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
        )
        self._replies = lab.open_in(prober.name, lambda: packet_socket(lab.prober_device))
        self._mirrors = lab.open_in(collector.name, lambda: packet_socket(lab.collector_device))
        self._exporters, self._probes = ExporterMap.of(lab.fabric), ProbeMap.of(lab.fabric)
        self._next = 1

    def close(self) -> None:
        for opened in (self._sender, self._replies, self._mirrors):
            opened.close()

    def probe(self, targets: Sequence[str], flows: int, via: str | None = None) -> Seen:
        """One probe per target (a server) and flow, via a ToR if one is given."""
        probes = np.zeros(len(targets) * flows, PROBE_DTYPE)
        sequence = self._next + np.arange(len(probes))
        self._next += len(probes)
        probes["probe_id"] = (self._prober.number << 32) + sequence
        probes["sent_at_us"] = time.time_ns() // 1000
        probes["source"] = probes["outer_source"] = np.void(pack_address(self._prober.address))
        addresses = [self.fabric.server_by_name[target].addresses[0] for target in targets]
        packed = np.array([pack_address(address) for address in addresses], dtype="V16")
        probes["target"] = np.repeat(packed, flows)
        first_hops = addresses
        if via is not None:
            first_hops = [self.fabric.switch_by_name[via].address] * len(targets)
            probes["via"] = np.void(pack_address(first_hops[0]))
        probes["source_port"] = np.tile(40_000 + np.arange(flows), len(targets))
        probes["destination_port"] = self.fabric.probe_port
        packets, lengths = build(probes, self.fabric.dscp)
        for row, (packet, length) in enumerate(zip(packets, lengths, strict=True)):
            self._sender.sendto(packet[:length].tobytes(), (first_hops[row // flows], 0))
            if row % 20 == 19:
                time.sleep(0.002)  # not faster than one core can mirror
        return self._listen(probes["probe_id"])

    def _listen(self, probe_ids: np.ndarray) -> Seen:
        replies: list[bytes] = []
        mirrors: list[bytes] = []
        last = time.monotonic()
        while time.monotonic() - last < ROUND_TRIP_S:
            more_replies, more_mirrors = packets_waiting(self._replies), packets_waiting(self._mirrors)
            if more_replies or more_mirrors:
                last = time.monotonic()
            replies += more_replies
            mirrors += more_mirrors
            time.sleep(0.01)
        table = PacketBatch.of([reply[ETHERNET_HEADER:] for reply in replies])
        parsed = parse_replies(table.data, table.lengths) if replies else np.zeros(0, [("seq32", "i8")])
        return Seen(probe_ids, parsed, digest(PacketBatch.of(mirrors), self._exporters, self._probes))


def packet_socket(device: str) -> socket.socket:
    opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_IP))
    opened.setsockopt(socket.SOL_SOCKET, 33, 16 << 20)  # SO_RCVBUFFORCE
    opened.bind((device, ETH_P_IP))
    opened.setblocking(False)
    return opened


def packets_waiting(opened: socket.socket) -> list[bytes]:
    packets: list[bytes] = []
    try:
        while True:
            packets.append(opened.recv(2048))
    except BlockingIOError:
        return packets

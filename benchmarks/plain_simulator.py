"""The simulator as one would write it first: one packet after another, hop by hop, in dictionaries.

It knows IPv4, one lossy link and the noise of a healthy network; the real one has many more faults to ask
for. Chance is `random`'s: digests are the same as the real one's where nothing is left to chance.
"""

from __future__ import annotations

import random
import struct
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any

from benchmarks.plain_packets import mix, plain_hash, plain_probe, plain_reply
from fabric.model import Fabric, Switch
from fabric.simulator import SimulatorSettings
from schemas.rows import Leg, ReplyKind

_MASK = 2**64 - 1
_HASH_START = 0x9E3779B97F4A7C15
_V4_PREFIX = 0xFFFF << 32
_TICK_NS = 100_000

Row = bytes


class PlainSimulator:
    """`lossy`: name of the directed link that loses packets, at `rate`."""

    def __init__(
        self, fabric: Fabric, seed: int, settings: SimulatorSettings, *, lossy: str, rate: float
    ) -> None:
        self._fabric, self._settings = fabric, settings
        self._lossy, self._rate = tuple(lossy.split("~")), rate
        self._chance = random.Random(seed)
        self._attached = {s.name: s.tor for s in fabric.servers} | {p.name: p.switch for p in fabric.probers}
        self._peers = {
            s.name: [p.peer for p in s.ports if p.peer in fabric.switch_by_name] for s in fabric.switches
        }
        self._port = {(p.peer, s.name): p.number for s in fabric.switches for p in s.ports}
        self._seed = {s.name: mix(mix(s.node) ^ seed) for s in fabric.switches}
        self._next: dict[tuple[str, str], list[str]] = {}
        self._distance: dict[str, dict[str, int]] = {}

    def run(self, probes: Iterator[Mapping[str, Any]]) -> tuple[list[Row], list[Row]]:
        """Outcome rows and digest rows of probes with the fields of PLANNED_DTYPE, as plain values."""
        outcomes: list[Row] = []
        digests: list[Row] = []
        for probe in probes:
            outcomes.append(self._probe(probe, digests))
        return outcomes, digests

    def _probe(self, probe: Mapping[str, Any], digests: list[Row]) -> Row:
        fabric, settings, number = self._fabric, self._settings, probe["probe_id"]
        source, target = probe["source"][12:], probe["target"][12:]
        ports = probe["source_port"], probe["destination_port"]
        sent = plain_hash(plain_probe(number, probe["sent_at_us"], source, target, *ports))
        prober = fabric.node_name(200_000_000 + (number >> 32))
        server = fabric.node_name(probe["target_node"])
        start_ns = now_ns = probe["sent_at_us"] * 1_000 + (number & 7) * settings.member_gap_ns
        came, here, ttl = prober, self._attached[prober], 64
        copy = number, sent, 552
        arrived = True
        if probe["via_node"] >= 0:
            via = fabric.node_name(probe["via_node"])
            outer = _flow(probe["outer_source"][12:], probe["via"][12:], 0, 0)
            hops = self._walk(outer, came, here, via, None, 64, now_ns)
            arrived, _, now_ns = self._mirrored(hops, Leg.ENCAPSULATED, copy, digests)
            came, here, ttl = via, self._hop(via, self._attached[server], _flow(source, target, *ports)), 63
        if arrived:
            flow = _flow(source, target, *ports)
            hops = self._walk(flow, came, here, self._attached[server], server, ttl, now_ns)
            arrived, _, now_ns = self._mirrored(hops, Leg.PROBE, copy, digests)
        rtt_ns = reply_ttl = -1
        if arrived:
            now_ns += settings.host_base_ns + self._delay(settings.host_jitter_ns)
            copy = number, plain_hash(plain_reply(number, source, target, *ports)), 40
            flow = _flow(target, source, ports[1], ports[0])
            hops = self._walk(
                flow, server, self._attached[server], self._attached[prober], prober, 64, now_ns
            )
            arrived, ttl, now_ns = self._mirrored(hops, Leg.REPLY, copy, digests)
            if arrived and now_ns - start_ns <= settings.timeout_ms * 1_000_000:
                rtt_ns, reply_ttl = now_ns - start_ns, ttl
        kind = ReplyKind.RST if rtt_ns >= 0 else ReplyKind.NONE
        return struct.pack(
            "!qqqQ16s16siihbbb",
            *(number, probe["sent_at_us"], rtt_ns, sent, probe["target"], probe["via"], *ports),
            *(reply_ttl, probe["kind"], probe["group_size"], kind),
        )

    def _walk(
        self, flow: int, came: str, here: str, destination: str, last: str | None, ttl: int, now_ns: int
    ) -> Iterator[tuple[str, str, int, int]]:
        """Each node that a packet reaches, where it came from, its TTL and when; ends where it is lost."""
        settings = self._settings
        while True:
            if (came, here) == self._lossy and self._chance.random() < self._rate:
                return
            if settings.loss_rate > 0 and self._chance.random() < settings.loss_rate:
                return
            now_ns += settings.hop_base_ns + self._delay(settings.hop_jitter_ns)
            yield came, here, ttl, now_ns
            if here == (last or destination):
                return
            if here == destination:
                assert last is not None
                came, here = here, last
            else:
                came, here = here, self._hop(here, destination, flow)
            ttl -= 1

    def _mirrored(
        self,
        hops: Iterator[tuple[str, str, int, int]],
        leg: Leg,
        copy: tuple[int, int, int],
        digests: list[Row],
    ) -> tuple[bool, int, int]:
        """Whether the packet arrived, with which TTL and when; its copies go to `digests`."""
        settings, switches = self._settings, self._fabric.switch_by_name
        number, content_hash, length = copy
        here, ttl, now_ns = "", 0, 0
        for came, here, ttl, now_ns in hops:
            switch = switches.get(here)
            if switch is None:
                continue
            transit_us = settings.mirror_base_us + self._delay(settings.mirror_jitter_us)
            if settings.mirror_loss_rate > 0 and self._chance.random() < settings.mirror_loss_rate:
                continue
            port = self._port[came, here] if switch.port_field != "none" else -1
            digests.append(
                struct.pack(
                    "!qqqQiiihhbb",
                    *(number, now_ns // 1_000 + transit_us, _ticks(switch, now_ns), content_hash),
                    *(switch.node, port, length, ttl, 0, leg, 0),
                )
            )
        arrived = here not in switches if leg != Leg.ENCAPSULATED else here in switches
        return arrived and here != "", ttl, now_ns

    def _hop(self, here: str, destination: str, flow: int) -> str:
        ways = self._next.get((here, destination))
        if ways is None:
            distance = self._distances(destination)
            ways = [peer for peer in self._peers[here] if distance[peer] == distance[here] - 1]
            self._next[here, destination] = ways
        return ways[(mix(flow ^ self._seed[here]) >> 32) * len(ways) >> 32]

    def _distances(self, destination: str) -> dict[str, int]:
        known = self._distance.get(destination)
        if known is None:
            known = self._distance[destination] = {destination: 0}
            queue = deque([destination])
            while queue:
                here = queue.popleft()
                for peer in self._peers[here]:
                    if peer not in known:
                        known[peer] = known[here] + 1
                        queue.append(peer)
        return known

    def _delay(self, mean: int) -> int:
        return int(self._chance.expovariate(1) * mean)


def _ticks(switch: Switch, now_ns: int) -> int:
    """What an exporter's clock shows: each is off by an amount of its own."""
    if switch.dialect != 3:
        return -1
    return (now_ns // _TICK_NS + (mix(switch.node) >> 33)) & 0xFFFFFFFF


def _flow(source: bytes, target: bytes, source_port: int, target_port: int) -> int:
    flow = mix((source_port << 16 | target_port) + _HASH_START & _MASK)
    for address in (source, target):
        flow = mix(flow ^ (_V4_PREFIX | int.from_bytes(address, "big")))
    return flow

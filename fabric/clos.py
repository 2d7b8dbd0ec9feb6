"""A Clos fabric from a few numbers: pods of ToRs and leaves below spines, border leaves for the Probers.

With planes, leaf i of every pod is cabled to the spines of plane i only, as in large fabrics; without,
every leaf to every spine. Multi-chip spines deal their ports to line-card chips, joined by fabric chips.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from itertools import cycle, islice

from fabric.model import (
    DEFAULT_DSCP,
    DEFAULT_PROBE_PORT,
    PORT_FIELD_BY_DIALECT,
    Chip,
    Collector,
    Dialect,
    Fabric,
    Port,
    Prober,
    Server,
    Switch,
    Tier,
)

LOOPBACK_BASE = int(IPv4Address("172.16.0.0"))  # + switch number
EXPORTER_BASE = int(IPv4Address("100.64.0.0"))  # + switch number, on the management network
COLLECTOR_BASE = int(IPv4Address("100.127.0.0"))  # + collector number, on the management network
PROBER_ADDRESS_BASE = int(IPv4Address("10.255.0.0"))  # + Prober number
FIRST_SERVER_OCTET = 10  # server k of ToR t in pod p is 10.p.t.(k + 9)


@dataclass(frozen=True, slots=True)
class ClosShape:
    """The numbers of a Clos fabric. Raises ValueError if they contradict each other."""

    name: str
    pods: int
    tors_per_pod: int
    leaves_per_pod: int
    spines: int
    servers_per_tor: int
    borders: int = 1
    planes: bool = False  # leaf i of each pod reaches only the spines of plane i
    spine_line_cards: int = 0  # 0: single-chip spines
    spine_fabric_chips: int = 0
    probers: int = 1  # dealt to the border switches in turn
    collectors: int = 1
    dialects: Sequence[Dialect] = field(default=(2, 3))  # dealt to the switches in turn

    def __post_init__(self) -> None:
        counts = {
            "pods": (self.pods, 1, 250),
            "tors_per_pod": (self.tors_per_pod, 1, 255),
            "leaves_per_pod": (self.leaves_per_pod, 1, 255),
            "spines": (self.spines, 1, 100_000),
            "servers_per_tor": (self.servers_per_tor, 1, 240),
            "borders": (self.borders, 1, 1_000),
            "spine_line_cards": (self.spine_line_cards, 0, 64),
            "probers": (self.probers, 1, 250),
            "collectors": (self.collectors, 1, 250),
        }
        for name, (value, least, most) in counts.items():
            if not least <= value <= most:
                raise ValueError(f"{self.name}: {name} must be between {least} and {most}, not {value}")
        if self.planes and self.spines % self.leaves_per_pod:
            raise ValueError(
                f"{self.name}: {self.spines} spines do not divide into {self.leaves_per_pod} planes"
            )
        if (self.spine_line_cards > 0) != (self.spine_fabric_chips > 0):
            raise ValueError(f"{self.name}: multi-chip spines need both line cards and fabric chips")
        if not self.dialects:
            raise ValueError(f"{self.name}: at least one mirror dialect is needed")


def fat_tree(k: int) -> ClosShape:
    """The fat-tree of k-port switches (Al-Fares et al., SIGCOMM 2008), with two border switches."""
    if k < 4 or k % 2:
        raise ValueError(f"a fat-tree has an even k of at least 4, not {k}")
    half = k // 2
    return ClosShape(
        f"fat-tree-{k}",
        pods=k,
        tors_per_pod=half,
        leaves_per_pod=half,
        spines=half * half,
        servers_per_tor=half,
        borders=2,
        planes=True,
        probers=2,
        collectors=2,
    )


def build_clos(shape: ClosShape, probe_port: int = DEFAULT_PROBE_PORT, dscp: int = DEFAULT_DSCP) -> Fabric:
    """The fabric of that shape. Numbers, names and addresses depend on the shape alone."""
    pods = range(1, shape.pods + 1)
    tors = [[f"tor-{p}-{t}" for t in range(1, shape.tors_per_pod + 1)] for p in pods]
    leaves = [[f"leaf-{p}-{i}" for i in range(1, shape.leaves_per_pod + 1)] for p in pods]
    spines = [f"spine-{i}" for i in range(1, shape.spines + 1)]
    borders = [f"border-{i}" for i in range(1, shape.borders + 1)]
    servers = _servers(shape, tors)
    probers = tuple(
        Prober(f"prober-{n}", n, str(IPv4Address(PROBER_ADDRESS_BASE + n)), border)
        for n, border in enumerate(islice(cycle(borders), shape.probers), start=1)
    )

    servers_of: dict[str, list[str]] = {}
    for server in servers:
        servers_of.setdefault(server.tor, []).append(server.name)

    maker = _SwitchMaker(shape)
    switches: list[Switch] = []
    for pod, (pod_tors, pod_leaves) in enumerate(zip(tors, leaves, strict=True), start=1):
        for tor in pod_tors:
            switches.append(maker.make(tor, "tor", f"pod-{pod}", [*pod_leaves, *servers_of[tor]]))
        for i, leaf in enumerate(pod_leaves):
            switches.append(
                maker.make(leaf, "leaf", f"pod-{pod}", [*pod_tors, *_spines_of(shape, spines, i)])
            )
    for i, spine in enumerate(spines):
        below = [leaf for pod_leaves in leaves for leaf in _leaves_of(shape, pod_leaves, i)]
        switches.append(maker.make(spine, "spine", None, [*below, *borders]))
    for border in borders:
        attached = [prober.name for prober in probers if prober.switch == border]
        switches.append(maker.make(border, "border", None, [*spines, *attached]))

    return Fabric(
        name=shape.name,
        switches=tuple(switches),
        servers=servers,
        probers=probers,
        collectors=tuple(
            Collector(f"collector-{n}", str(IPv4Address(COLLECTOR_BASE + n)))
            for n in range(1, shape.collectors + 1)
        ),
        target_prefixes=("10.0.0.0/8",),
        probe_port=probe_port,
        dscp=dscp,
    )


def _servers(shape: ClosShape, tors: list[list[str]]) -> tuple[Server, ...]:
    servers: list[Server] = []
    for p, pod_tors in enumerate(tors, start=1):
        for t, tor in enumerate(pod_tors, start=1):
            for k in range(1, shape.servers_per_tor + 1):
                address = f"10.{p}.{t}.{k + FIRST_SERVER_OCTET - 1}"
                servers.append(Server(f"server-{p}-{t}-{k}", len(servers) + 1, tor, (address,)))
    return tuple(servers)


def _spines_of(shape: ClosShape, spines: list[str], leaf: int) -> list[str]:
    if not shape.planes:
        return spines
    per_plane = shape.spines // shape.leaves_per_pod
    return spines[leaf * per_plane : (leaf + 1) * per_plane]


def _leaves_of(shape: ClosShape, pod_leaves: list[str], spine: int) -> list[str]:
    if not shape.planes:
        return pod_leaves
    return [pod_leaves[spine // (shape.spines // shape.leaves_per_pod)]]


class _SwitchMaker:
    """Deals numbers, addresses and dialects to switches in the order that they are made."""

    def __init__(self, shape: ClosShape) -> None:
        self._shape = shape
        self._number = 0

    def make(self, name: str, tier: Tier, pod: str | None, peers: list[str]) -> Switch:
        self._number += 1
        number = self._number
        chips = self._chips(name, tier)
        line_cards = [chip.label for chip in chips if chip.role != "fabric"]
        dialect = self._shape.dialects[(number - 1) % len(self._shape.dialects)]
        return Switch(
            name=name,
            number=number,
            tier=tier,
            pod=pod,
            chips=chips,
            address=str(IPv4Address(LOOPBACK_BASE + number)),
            exporter_addresses=(str(IPv4Address(EXPORTER_BASE + number)),),
            ports=tuple(
                # Dealt in turn, so that traffic between pods crosses line cards and fabric chips.
                Port(i, f"Ethernet{i}", line_cards[(i - 1) % len(line_cards)], peer)
                for i, peer in enumerate(peers, start=1)
            ),
            dialect=dialect,
            port_field=PORT_FIELD_BY_DIALECT[dialect],
            decapsulates=tier == "tor",
        )

    def _chips(self, switch: str, tier: Tier) -> tuple[Chip, ...]:
        if tier != "spine" or not self._shape.spine_line_cards:
            return (Chip(switch, "chip-1"),)
        line_cards = range(1, self._shape.spine_line_cards + 1)
        fabric_chips = range(1, self._shape.spine_fabric_chips + 1)
        return (
            *(Chip(switch, f"lc-{i}", "line_card") for i in line_cards),
            *(Chip(switch, f"fc-{i}", "fabric") for i in fabric_chips),
        )

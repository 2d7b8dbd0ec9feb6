"""From the shape of a Clos fabric, or of a campus of several, to its switches, servers and cables.

Names, numbers and addresses depend on the shape alone. Pods, spines, borders, servers and Probers are
numbered through all sites of a campus: site 2 of two sites with 4 pods each begins with pod-5.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from ipaddress import IPv4Address

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
from fabric.shapes import CampusShape, ClosShape, fat_tree

__all__ = ["CampusShape", "ClosShape", "build_clos", "fat_tree"]

LOOPBACK_BASE = int(IPv4Address("172.16.0.0"))  # + switch number
EXPORTER_BASE = int(IPv4Address("100.64.0.0"))  # + switch number, on the management network
COLLECTOR_BASE = int(IPv4Address("100.127.0.0"))  # + collector number, on the management network
PROBER_ADDRESS_BASE = int(IPv4Address("10.255.0.0"))  # + Prober number
FIRST_SERVER_OCTET = 10  # server k of ToR t in pod p is 10.p.t.(k + 9)


def build_clos(
    shape: ClosShape | CampusShape, probe_port: int = DEFAULT_PROBE_PORT, dscp: int = DEFAULT_DSCP
) -> Fabric:
    """The fabric of that shape."""
    shapes = (shape,) if isinstance(shape, ClosShape) else shape.sites
    dci = () if isinstance(shape, ClosShape) else _names("dci", 0, shape.dci)
    sites: list[_Site] = []
    before = _Before()
    for each in shapes:
        sites.append(_Site(each, before, dci))
        before = before.and_those_of(each)
    maker = _SwitchMaker(shapes[0].dialects)
    switches = [switch for site in sites for switch in site.switches(maker)]
    borders = [border for site in sites for border in site.borders]
    switches += [maker.make(name, "dci", None, borders) for name in dci]
    return Fabric(
        name=shape.name,
        switches=tuple(switches),
        servers=tuple(server for site in sites for server in site.servers),
        probers=tuple(prober for site in sites for prober in site.probers),
        collectors=tuple(
            Collector(f"collector-{n}", str(IPv4Address(COLLECTOR_BASE + n)))
            for n in range(1, shapes[0].collectors + 1)
        ),
        target_prefixes=("10.0.0.0/8",),
        probe_port=probe_port,
        dscp=dscp,
    )


@dataclass(frozen=True, slots=True)
class _Before:
    """How many elements the sites before this one have."""

    pods: int = 0
    spines: int = 0
    borders: int = 0
    servers: int = 0
    probers: int = 0

    def and_those_of(self, shape: ClosShape) -> _Before:
        return _Before(
            self.pods + shape.pods,
            self.spines + shape.spines,
            self.borders + shape.borders,
            self.servers + shape.pods * shape.tors_per_pod * shape.servers_per_tor,
            self.probers + shape.probers,
        )


class _Site:
    """The elements of one site. above: DCI switches, which every border is cabled to."""

    def __init__(self, shape: ClosShape, before: _Before, above: Sequence[str]) -> None:
        self._shape = shape
        self._before = before
        self._above = above
        self._pods = range(before.pods + 1, before.pods + shape.pods + 1)
        self._spines = _names("spine", before.spines, shape.spines)
        self.borders = _names("border", before.borders, shape.borders)

    @cached_property
    def servers(self) -> tuple[Server, ...]:
        shape = self._shape
        servers: list[Server] = []
        for p in self._pods:
            for t in range(1, shape.tors_per_pod + 1):
                for k in range(1, shape.servers_per_tor + 1):
                    number = self._before.servers + len(servers) + 1
                    address = f"10.{p}.{t}.{k + FIRST_SERVER_OCTET - 1}"
                    servers.append(Server(f"server-{p}-{t}-{k}", number, f"tor-{p}-{t}", (address,)))
        return tuple(servers)

    @cached_property
    def probers(self) -> tuple[Prober, ...]:
        numbers = range(self._before.probers + 1, self._before.probers + self._shape.probers + 1)
        return tuple(
            Prober(f"prober-{n}", n, str(IPv4Address(PROBER_ADDRESS_BASE + n)), border)
            for n, border in zip(numbers, self._dealt_borders(), strict=False)
        )

    def switches(self, maker: _SwitchMaker) -> Iterator[Switch]:
        """In the order of pods, then spines, then borders."""
        shape = self._shape
        servers_of: dict[str, list[str]] = {}
        for server in self.servers:
            servers_of.setdefault(server.tor, []).append(server.name)
        for p in self._pods:
            tors, leaves = self._tors(p), self._leaves(p)
            for tor in tors:
                yield maker.make(tor, "tor", f"pod-{p}", [*leaves, *servers_of[tor]])
            for i, leaf in enumerate(leaves):
                yield maker.make(leaf, "leaf", f"pod-{p}", [*tors, *self._spines_above(i)])
        cards, chips = shape.spine_line_cards, shape.spine_fabric_chips
        for i, spine in enumerate(self._spines):
            peers = [*self._leaves_below(i), *self.borders]
            yield maker.make(spine, "spine", None, peers, line_cards=cards, fabric_chips=chips)
        for border in self.borders:
            attached = [prober.name for prober in self.probers if prober.switch == border]
            yield maker.make(border, "border", None, [*self._spines, *self._above, *attached])

    def _tors(self, pod: int) -> list[str]:
        return [f"tor-{pod}-{t}" for t in range(1, self._shape.tors_per_pod + 1)]

    def _leaves(self, pod: int) -> list[str]:
        return [f"leaf-{pod}-{i}" for i in range(1, self._shape.leaves_per_pod + 1)]

    def _spines_above(self, leaf: int) -> Sequence[str]:
        """leaf: place of the leaf in its pod."""
        if not self._shape.planes:
            return self._spines
        return self._spines[leaf * self._per_plane : (leaf + 1) * self._per_plane]

    def _leaves_below(self, spine: int) -> Iterator[str]:
        """spine: place of the spine in the site."""
        for p in self._pods:
            leaves = self._leaves(p)
            yield from [leaves[spine // self._per_plane]] if self._shape.planes else leaves

    @property
    def _per_plane(self) -> int:
        return self._shape.spines // self._shape.leaves_per_pod

    def _dealt_borders(self) -> Iterator[str]:
        while True:
            yield from self.borders


class _SwitchMaker:
    """Deals numbers, addresses and dialects to switches in the order that they are made."""

    def __init__(self, dialects: Sequence[Dialect]) -> None:
        self._dialects = dialects
        self._number = 0

    def make(
        self,
        name: str,
        tier: Tier,
        pod: str | None,
        peers: Sequence[str],
        *,
        line_cards: int = 0,
        fabric_chips: int = 0,
    ) -> Switch:
        """A switch with a port to each peer; of a single chip unless it has line cards."""
        number = self._number = self._number + 1
        chips = _chips(name, line_cards, fabric_chips)
        owners = [chip.label for chip in chips if chip.role != "fabric"]
        dialect = self._dialects[(number - 1) % len(self._dialects)]
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
                Port(i, f"Ethernet{i}", owners[(i - 1) % len(owners)], peer)
                for i, peer in enumerate(peers, start=1)
            ),
            dialect=dialect,
            port_field=PORT_FIELD_BY_DIALECT[dialect],
            decapsulates=tier == "tor",
        )


def _chips(switch: str, line_cards: int, fabric_chips: int) -> tuple[Chip, ...]:
    if not line_cards:
        return (Chip(switch, "chip-1"),)
    return (
        *(Chip(switch, f"lc-{i}", "line_card") for i in range(1, line_cards + 1)),
        *(Chip(switch, f"fc-{i}", "fabric") for i in range(1, fabric_chips + 1)),
    )


def _names(kind: str, before: int, count: int) -> tuple[str, ...]:
    return tuple(f"{kind}-{n}" for n in range(before + 1, before + count + 1))

"""The fabric as the page draws it: switches and cables by number. Pure; made once for each inventory."""

from __future__ import annotations

from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from console.errors import NoSuchThing
from console.models import (
    ChipOf,
    PortOf,
    ProberBrief,
    SwitchBrief,
    SwitchDetail,
    WholeFabric,
    Work,
)
from fabric.model import TIER_RANK, Fabric, Link
from fabric.within import within

I4 = NDArray[np.int32]


class Layout:
    """Numbers of switches and cables of one fabric. Immutable.

    Switches are numbered as in `fabric.switches`. Cables between switches are pairs of them, the lower first,
    sorted. Direction d of cable c (0: from the lower to the higher) has the number 2 * c + d.
    """

    def __init__(self, fabric: Fabric) -> None:
        self.fabric = fabric
        index = fabric.index
        a, b = index.switch_row(index.link_from), index.switch_row(index.link_to)
        between = np.flatnonzero((a >= 0) & (b >= 0))
        low, high = np.minimum(a, b)[between].astype(np.int64), np.maximum(a, b)[between].astype(np.int64)
        keys, cable = np.unique(low << 32 | high, return_inverse=True)
        #: Ends of each cable: i4[C].
        self.low: I4 = (keys >> 32).astype(np.int32)
        self.high: I4 = (keys & 0xFFFF_FFFF).astype(np.int32)
        #: Number of the direction for each link of the fabric, -1 where it leads to a server or Prober:
        #: i4[L].
        self.direction: I4 = np.full(len(a), -1, np.int32)
        self.direction[between] = 2 * cable + (a > b)[between]

    @property
    def cables(self) -> int:
        return len(self.low)

    def direction_of(self, from_node: I4, to_node: I4) -> I4:
        """Nodes of directed links to numbers of directions: i4[n], i4[n] -> i4[n], -1 where there is none."""
        link = self.fabric.index.link_index(from_node, to_node)
        return np.where(link >= 0, self.direction[link], np.int32(-1))

    @cached_property
    def whole(self) -> WholeFabric:
        fabric = self.fabric
        tiers = sorted({s.tier for s in fabric.switches}, key=lambda tier: (-TIER_RANK[tier], tier))
        row = {switch.name: number for number, switch in enumerate(fabric.switches)}
        servers = np.zeros(len(fabric.switches), dtype=np.int64)
        tors = fabric.index.switch_row(fabric.index.server_tor)
        np.add.at(servers, tors[tors >= 0], 1)
        return WholeFabric(
            name=fabric.name,
            tiers=list(tiers),
            pods=list(fabric.index.pods),
            switches=[
                SwitchBrief(
                    name=switch.name,
                    tier=tiers.index(switch.tier),
                    pod=int(pod),
                    chips=len(switch.chips),
                    drained=switch.drained,
                )
                for switch, pod in zip(fabric.switches, fabric.index.pod, strict=True)
            ],
            cables=list(zip(self.low.tolist(), self.high.tolist(), strict=True)),
            servers_by_switch=servers.tolist(),
            probers=[ProberBrief(name=p.name, switch=row[p.switch]) for p in fabric.probers],
        )

    @cached_property
    def servers_of(self) -> dict[str, list[str]]:
        """Names of the servers of each ToR."""
        found: dict[str, list[str]] = {}
        for server in self.fabric.servers:
            found.setdefault(server.tor, []).append(server.name)
        return found

    def switch(self, name: str) -> SwitchDetail:
        """Everything about one switch. Raises NoSuchThing."""
        fabric = self.fabric
        switch = fabric.switch_by_name.get(name)
        if switch is None:
            raise NoSuchThing(f"the inventory has no switch {name!r}")
        around = within(fabric, name)
        return SwitchDetail(
            name=switch.name,
            tier=switch.tier,
            pod=switch.pod,
            drained=switch.drained,
            decapsulates=switch.decapsulates,
            address=switch.address,
            chips=[ChipOf(label=chip.label, role=chip.role) for chip in switch.chips],
            ports=[
                PortOf(
                    number=port.number,
                    name=port.name,
                    chip=port.chip,
                    peer=port.peer,
                    peer_kind=self.kind(port.peer),
                    mirrored=switch.port_field != "none",
                )
                for port in switch.ports
            ],
            servers=self.servers_of.get(name, []),
            exporter_addresses=list(switch.exporter_addresses),
            mirror="gre-teb" if switch.dialect == "teb" else f"erspan-{switch.dialect}",
            maintenance=[
                Work(element=work.element, from_us=work.from_us, until_us=work.until_us, why=work.why)
                for work in fabric.maintenance
                if work.element in around or name in within(fabric, work.element)
            ],
        )

    def kind(self, name: str) -> Literal["switch", "server", "prober"]:
        """switch, server or prober, for the ends of cables."""
        if name in self.fabric.switch_by_name:
            return "switch"
        return "prober" if name in self.fabric.prober_by_name else "server"

    def port_name(self, switch: str, number: int) -> str | None:
        """How a switch calls a port; None where that is not known."""
        return self._ports.get(switch, {}).get(number)

    def kind_of_node(self, name: str) -> Literal["switch", "server", "prober", "unknown"]:
        """The same for names that the inventory may not have."""
        known = name in self.fabric.server_by_name or self.kind(name) != "server"
        return self.kind(name) if known else "unknown"

    def neighbours(self, name: str) -> set[str]:
        """Switches that are cabled to a switch."""
        return self._neighbours.get(name, set())

    def common_neighbours(self, one: str, other: str) -> set[str]:
        """Switches that are cabled to both."""
        return self.neighbours(one) & self.neighbours(other)

    def pod_of(self, name: str) -> str:
        """Pod of a switch; its own name where it is in none."""
        switch = self.fabric.switch_by_name.get(name)
        return name if switch is None or switch.pod is None else switch.pod

    @cached_property
    def _neighbours(self) -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        links: tuple[Link, ...] = self.fabric.switch_links
        for link in links:
            found.setdefault(link.from_name, set()).add(link.to_name)
        return found

    @cached_property
    def _ports(self) -> dict[str, dict[int, str]]:
        return {s.name: {port.number: port.name for port in s.ports} for s in self.fabric.switches}

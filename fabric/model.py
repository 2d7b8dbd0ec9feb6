"""The network as values: switches with chips and ports, servers, Probers, directed links.

Names are what people and reports use: switch `spine-1`, chip `spine-1/lc-1`, pair of chips
`spine-1/lc-1>lc-2`, port `tor-1-1:Ethernet1`, server `server-1-1-1`, directed link `tor-1-1~leaf-1-1`.
Node numbers (see schemas.nodes) are what rows carry. Columns over a whole fabric are in fabric.index.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from schemas.nodes import NODE_LIMIT, PROBER_BASE, SERVER_BASE, SWITCH_BASE

if TYPE_CHECKING:
    from fabric.index import FabricIndex

Tier = Literal["tor", "leaf", "spine", "border", "dci"]
ChipRole = Literal["single", "line_card", "fabric"]
Dialect = Literal[1, 2, 3, "teb"]
PortField = Literal["none", "session", "index", "key", "hardware_id"]

#: Height of a tier. A healthy leg climbs, then descends: ranks rise, then fall, and never rise again.
#: Border switches are border *leaves*: they hang below the spines like any leaf. So Prober -> border ->
#: spine -> leaf -> ToR, its reply, and border -> spine -> border all have one top, while a detour of
#: server traffic through a border switch has a valley. DCI switches are above the borders they join: Probers
#: of two sites reach each other over one top, servers of two sites would not (see docs/decisions/0017).
TIER_RANK: Mapping[Tier, int] = {"tor": 0, "leaf": 1, "border": 1, "spine": 2, "dci": 3}

#: Where an exporter of each dialect puts the port number, unless the inventory says otherwise.
PORT_FIELD_BY_DIALECT: Mapping[Dialect, PortField] = {1: "none", 2: "index", 3: "session", "teb": "key"}

DEFAULT_PROBE_PORT = 65_111
DEFAULT_DSCP = 4
PROBER_NUMBER_MAX = 65_535

LINK_SEPARATOR = "~"
CHIP_SEPARATOR = "/"
PAIR_SEPARATOR = ">"
PORT_SEPARATOR = ":"


class UnknownElement(ValueError):
    """No element of the fabric has that name; the message lists near ones."""


@dataclass(frozen=True, slots=True)
class Chip:
    """A switching chip. Line-card chips own ports; fabric chips join the line cards of one switch."""

    switch: str
    label: str  # unique within the switch, e.g. "lc-1"
    role: ChipRole = "single"

    @property
    def name(self) -> str:
        return f"{self.switch}{CHIP_SEPARATOR}{self.label}"


@dataclass(frozen=True, slots=True)
class Port:
    number: int  # unique within the switch, from 1
    name: str  # as the switch calls it, e.g. "Ethernet1"
    chip: str  # label of the chip that owns it
    peer: str  # name of the switch, server or Prober at the other end of the cable


@dataclass(frozen=True, slots=True)
class Switch:
    name: str
    number: int
    tier: Tier
    pod: str | None
    chips: tuple[Chip, ...]
    address: str  # loopback; of a ToR also the address that it decapsulates IP-in-IP for
    exporter_addresses: tuple[str, ...]  # sources of its mirror packets on the management network
    ports: tuple[Port, ...]
    dialect: Dialect = 2
    port_field: PortField = "index"  # where its mirror packets carry the ingress port
    decapsulates: bool = False
    drained: bool = False  # taken out of service: no path should cross it

    @property
    def node(self) -> int:
        return SWITCH_BASE + self.number

    @property
    def is_multi_chip(self) -> bool:
        return len(self.chips) > 1


@dataclass(frozen=True, slots=True)
class Server:
    name: str
    number: int
    tor: str
    addresses: tuple[str, ...]  # one per interface or address family; each is probed
    answers: bool = True  # False: known not to send RSTs (other stacks, filters); its silence is no fault

    @property
    def node(self) -> int:
        return SERVER_BASE + self.number


@dataclass(frozen=True, slots=True)
class Prober:
    name: str
    number: int  # 1..65535, the upper half of its probe IDs
    address: str
    switch: str  # where it is attached

    @property
    def node(self) -> int:
        return PROBER_BASE + self.number


@dataclass(frozen=True, slots=True)
class Collector:
    name: str
    address: str  # on the management network, where exporters send their mirror packets


@dataclass(frozen=True, slots=True)
class Maintenance:
    """Planned work. Faults at the element, or within it, alarm nobody while it lasts."""

    element: str  # whatever a fault can name, or a pod
    from_us: int  # us since 1970
    until_us: int
    why: str


@dataclass(frozen=True, slots=True)
class Link:
    """One direction of a cable."""

    from_name: str
    to_name: str
    from_port: int  # number of the port it leaves by; 1 for servers and Probers
    to_port: int  # number of the port it arrives at; 1 for servers and Probers

    @property
    def name(self) -> str:
        return f"{self.from_name}{LINK_SEPARATOR}{self.to_name}"


@dataclass(frozen=True, slots=True)
class ChipPair:
    """The way through a switch from one chip to another, or to itself: in by the ports of the first, out by
    those of the second."""

    switch: str
    from_chip: str  # labels of chips that own ports
    to_chip: str

    @property
    def name(self) -> str:
        return f"{self.switch}{CHIP_SEPARATOR}{self.from_chip}{PAIR_SEPARATOR}{self.to_chip}"


@dataclass(frozen=True, slots=True)
class PortRef:
    """One port of a switch: the end of a cable, for both directions."""

    switch: str
    port: Port

    @property
    def name(self) -> str:
        return f"{self.switch}{PORT_SEPARATOR}{self.port.name}"


Element = Switch | Chip | ChipPair | PortRef | Server | Prober | Collector | Link


@dataclass(frozen=True)  # no slots: the lookups below are built once, on first use
class Fabric:
    """A whole network. fabric.clos and fabric.inventory build it and validate; this class trusts its input.

    At most one cable joins two nodes, so that a link is named by its ends.
    """

    name: str
    switches: tuple[Switch, ...]
    servers: tuple[Server, ...]
    probers: tuple[Prober, ...]
    collectors: tuple[Collector, ...] = ()
    target_prefixes: tuple[str, ...] = ()  # what a Prober may send to; anything else is refused
    probe_port: int = DEFAULT_PROBE_PORT  # closed on all servers
    dscp: int = DEFAULT_DSCP  # marks probes, for the switches' mirror filters
    maintenance: tuple[Maintenance, ...] = ()  # planned

    @cached_property
    def switch_by_name(self) -> dict[str, Switch]:
        return {switch.name: switch for switch in self.switches}

    @cached_property
    def server_by_name(self) -> dict[str, Server]:
        return {server.name: server for server in self.servers}

    @cached_property
    def prober_by_name(self) -> dict[str, Prober]:
        return {prober.name: prober for prober in self.probers}

    @cached_property
    def links(self) -> tuple[Link, ...]:
        """Every directed link, those to servers and Probers included, both directions of each cable."""
        port_to = {(s.name, p.peer): p.number for s in self.switches for p in s.ports}
        links: list[Link] = []
        for switch in self.switches:
            for port in switch.ports:
                links.append(
                    Link(switch.name, port.peer, port.number, port_to.get((port.peer, switch.name), 1))
                )
                if port.peer not in self.switch_by_name:
                    links.append(Link(port.peer, switch.name, 1, port.number))
        return tuple(links)

    @cached_property
    def switch_links(self) -> tuple[Link, ...]:
        """The directed links between switches."""
        names = self.switch_by_name
        return tuple(link for link in self.links if link.from_name in names and link.to_name in names)

    @cached_property
    def link_by_name(self) -> dict[str, Link]:
        return {link.name: link for link in self.links}

    @cached_property
    def index(self) -> FabricIndex:
        """The same fabric as columns."""
        from fabric.index import FabricIndex  # noqa: PLC0415 - the index builds on this module

        return FabricIndex(self)

    def node(self, name: str) -> int:
        """Node number of a switch, server or Prober. Raises UnknownElement."""
        number = self._node_by_name.get(name)
        if number is None:
            raise UnknownElement(self._unknown(name, self._node_by_name))
        return number

    def node_name(self, node: int) -> str:
        """Name of a node number; `node:N` if there is none in this fabric (evidence outlives inventories)."""
        return self._name_by_node.get(int(node), f"node:{int(node)}")

    def element(self, name: str) -> Element:
        """The switch, chip `S/C`, chip pair `S/C1>C2`, port `S:PORT`, server, Prober, collector or directed
        link `A~B` of that name.

        Raises UnknownElement.
        """
        if LINK_SEPARATOR in name:
            return self._link(name)
        if PORT_SEPARATOR in name:
            return self._port(name)
        if PAIR_SEPARATOR in name:
            return self._chip_pair(name)
        if CHIP_SEPARATOR in name:
            return self._chip(name)
        element = (
            self.switch_by_name.get(name)
            or self.server_by_name.get(name)
            or self.prober_by_name.get(name)
            or next((collector for collector in self.collectors if collector.name == name), None)
        )
        if element is None:
            collectors = [collector.name for collector in self.collectors]
            raise UnknownElement(self._unknown(name, [*collectors, *self._node_by_name]))
        return element

    def collector_of(self, switch: Switch) -> Collector | None:
        """Where that switch sends its mirror packets: exporters are dealt to collectors in turn."""
        if not self.collectors:
            return None
        return self.collectors[switch.number % len(self.collectors)]

    @cached_property
    def _node_by_name(self) -> dict[str, int]:
        nodes: list[Switch | Server | Prober] = [*self.switches, *self.servers, *self.probers]
        return {node.name: node.node for node in nodes}

    @cached_property
    def _name_by_node(self) -> dict[int, str]:
        return {node: name for name, node in self._node_by_name.items() if node < NODE_LIMIT}

    def _link(self, name: str) -> Link:
        link = self.link_by_name.get(name)
        if link is not None:
            return link
        for end in name.split(LINK_SEPARATOR, 1):
            if end not in self._node_by_name:
                raise UnknownElement(self._unknown(end, self._node_by_name, f"no link {name!r}: "))
        near = name.split(LINK_SEPARATOR, 1)[0]
        neighbours = [link.name for link in self.links if link.from_name == near]
        raise UnknownElement(f"no cable {name!r} in fabric {self.name!r}; from {near}: {_some(neighbours)}")

    def _chip(self, name: str) -> Chip:
        switch_name = name.split(CHIP_SEPARATOR, 1)[0]
        switch = self.switch_by_name.get(switch_name)
        if switch is None:
            raise UnknownElement(self._unknown(switch_name, self.switch_by_name, f"no chip {name!r}: "))
        for chip in switch.chips:
            if chip.name == name:
                return chip
        raise UnknownElement(f"no chip {name!r}; {switch_name} has {_some([c.name for c in switch.chips])}")

    def _chip_pair(self, name: str) -> ChipPair:
        near, _, to_chip = name.partition(PAIR_SEPARATOR)
        switch, _, from_chip = near.partition(CHIP_SEPARATOR)
        for label in (from_chip, to_chip):
            if self._chip(f"{switch}{CHIP_SEPARATOR}{label}").role == "fabric":
                raise UnknownElement(
                    f"{label} of {name!r} owns no ports: packets pass it, none come in by it"
                )
        return ChipPair(switch, from_chip, to_chip)

    def _port(self, name: str) -> PortRef:
        switch_name, _, port_name = name.partition(PORT_SEPARATOR)
        switch = self.switch_by_name.get(switch_name)
        if switch is None:
            raise UnknownElement(self._unknown(switch_name, self.switch_by_name, f"no port {name!r}: "))
        for port in switch.ports:
            if port.name == port_name:
                return PortRef(switch_name, port)
        raise UnknownElement(f"no port {name!r}; {switch_name} has {_some([p.name for p in switch.ports])}")

    def _unknown(self, name: str, known: Iterable[str], prefix: str = "") -> str:
        near = difflib.get_close_matches(name, list(known)[:20_000], n=5, cutoff=0.5)
        hint = f"did you mean {', '.join(near)}?" if near else f"known: {_some(list(known))}"
        return (
            f"{prefix}no element {name!r} in fabric {self.name!r}; {hint} "
            f"(`bytetracker fabric show` lists all)"
        )


def _some(names: list[str], at_most: int = 12) -> str:
    shown = ", ".join(names[:at_most]) or "none"
    return shown if len(names) <= at_most else f"{shown} and {len(names) - at_most} more"

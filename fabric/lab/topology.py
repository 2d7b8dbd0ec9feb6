"""From a fabric to the namespaces, cables, addresses and routes of a lab: a plan, as data.

Every node becomes one network namespace, every cable one veth pair. Interfaces have no addresses: a node has
one address, on its loopback, and a route names the neighbour by a fixed link-local gateway whose hardware
address is known beforehand. So there is no ARP to wait for, and a server that falls silent stays a black hole
instead of becoming "host unreachable" messages from its ToR.

Mirror packets travel over a management network of their own: each switch and collector has one more cable, to
a router that knows nothing but their management addresses.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from ipaddress import ip_address

from fabric.lab.routes import next_hops
from fabric.model import Fabric, Link

RUN_PATTERN = re.compile(r"btlab-[0-9a-f]{8}")
"""Names of runs. Namespaces are called RUN-NODE, so whose they are can be told from the name."""

GATEWAY = "169.254.0.1"  # stands for "the other end of this cable", on every cable
HOST_DEVICE = "eth0"
MANAGEMENT_DEVICE = "mgmt"
DECAPSULATION_DEVICE = "decap"
MANAGEMENT_NODE = "mgmt"
NODES_MAX = 250

_DROP_GRE = """table ip mirrors {
 chain input {
  type filter hook input priority 0; policy accept;
  ip protocol gre drop
 }
}
"""


@dataclass(frozen=True, slots=True)
class NamespacePlan:
    """What to do inside one namespace once its interfaces exist."""

    name: str
    sysctls: tuple[tuple[str, str], ...]  # path below /proc/sys (may hold *), value
    ip_lines: tuple[str, ...]  # for `ip -batch`
    nft: str = ""  # for `nft -f`


@dataclass(frozen=True, slots=True)
class LabPlan:
    run: str
    namespaces: tuple[NamespacePlan, ...]
    cables: tuple[str, ...]  # for `ip -batch` in any namespace

    @property
    def namespace_names(self) -> tuple[str, ...]:
        return tuple(namespace.name for namespace in self.namespaces)


def namespace_of(run: str, node: str) -> str:
    """Name of the namespace of a switch, server, Prober or collector."""
    return f"{run}-{node}"


def port_device(number: int) -> str:
    """Name of the interface of a switch port."""
    return f"p{number}"


def device_towards(fabric: Fabric, from_node: str, to_node: str) -> str:
    """The interface by which from_node sends to to_node. Raises UnknownElement if no cable joins them."""
    link = fabric.element(f"{from_node}~{to_node}")
    if not isinstance(link, Link) or from_node not in fabric.switch_by_name:
        return HOST_DEVICE
    return port_device(link.from_port)


def plan_lab(fabric: Fabric, run: str) -> LabPlan:
    """The plan of a whole lab. Raises ValueError for a fabric that a lab cannot be made of."""
    _refuse(fabric, run)
    nodes = _Nodes(fabric, run)
    nodes.add_nodes()
    nodes.add_cables()
    nodes.add_routes()
    nodes.add_decapsulation()
    nodes.add_management()
    return nodes.plan()


def _refuse(fabric: Fabric, run: str) -> None:
    if not RUN_PATTERN.fullmatch(run):
        raise ValueError(f"run name {run!r} is not of the form {RUN_PATTERN.pattern}")
    count = len(fabric.switches) + len(fabric.servers) + len(fabric.probers)
    if count > NODES_MAX:
        raise ValueError(f"fabric {fabric.name!r} has {count} nodes; a lab has at most {NODES_MAX}")
    addresses = [p.address for p in fabric.probers] + [a for s in fabric.servers for a in s.addresses]
    if any(ip_address(address).version != 4 for address in addresses):
        raise ValueError(f"fabric {fabric.name!r} has IPv6 addresses; a lab forwards IPv4 only")
    if any(len(server.addresses) != 1 for server in fabric.servers):
        raise ValueError(f"fabric {fabric.name!r} has servers with several interfaces; in a lab each has one")


class _Nodes:
    """Collects the lines of every namespace."""

    def __init__(self, fabric: Fabric, run: str) -> None:
        self._fabric = fabric
        self._run = run
        self._plans: dict[str, NamespacePlan] = {}
        self._lines: dict[str, list[str]] = {}
        self._cables: list[str] = []

    def add_nodes(self) -> None:
        for switch in self._fabric.switches:
            # The kernel's hash has one key per boot. Without a seed of its own every switch would choose
            # alike, and the second tier would use only some of its links (polarisation).
            seed = (switch.number * 0x9E3779B1) & 0xFFFFFFFF or 1
            self._add(
                switch.name,
                switch.address,
                ("net/ipv4/ip_forward", "1"),
                ("net/ipv4/fib_multipath_hash_policy", "1"),
                ("net/ipv4/fib_multipath_hash_seed", str(seed)),
            )
        for server in self._fabric.servers:
            self._add(server.name, server.addresses[0])
        for prober in self._fabric.probers:
            self._add(prober.name, prober.address)

    def add_cables(self) -> None:
        switches = self._fabric.switch_by_name
        for link in self._fabric.links:
            # Both directions are listed, of switches from both ends; one cable each.
            if link.from_name not in switches:
                continue
            if link.to_name not in switches:
                self._cable(link.from_name, port_device(link.from_port), link.to_name, HOST_DEVICE)
            elif link.from_name < link.to_name:
                self._cable(
                    link.from_name, port_device(link.from_port), link.to_name, port_device(link.to_port)
                )

    def add_routes(self) -> None:
        for switch in self._fabric.switches:
            # Destinations behind the same switch share its routes.
            hosts = [(s.name, s.addresses[0]) for s in self._fabric.servers if s.tor == switch.name]
            hosts += [(p.name, p.address) for p in self._fabric.probers if p.switch == switch.name]
            addresses = [switch.address, *(address for _, address in hosts)]
            for name, hops in next_hops(self._fabric, switch.name).items():
                self._route(name, addresses, [device_towards(self._fabric, name, hop) for hop in hops])
            for host, address in hosts:
                self._route(switch.name, [address], [device_towards(self._fabric, switch.name, host)])
                self._lines[host].append(
                    f"route add default src {address} via {GATEWAY} dev {HOST_DEVICE} onlink"
                )

    def add_decapsulation(self) -> None:
        for switch in self._fabric.switches:
            if switch.decapsulates:
                # What is written to it enters the kernel as received, and is forwarded like any packet.
                self._lines[switch.name] += [
                    f"tuntap add dev {DECAPSULATION_DEVICE} mode tun",
                    f"link set {DECAPSULATION_DEVICE} up",
                ]

    def add_management(self) -> None:
        self._add(MANAGEMENT_NODE, None, ("net/ipv4/ip_forward", "1"))
        members = [(s.name, s.exporter_addresses) for s in self._fabric.switches]
        for collector in self._fabric.collectors:
            # Nothing in the kernel takes GRE; it would complain to the exporters. The collector's packet
            # socket sees a packet before this rule does.
            self._add(collector.name, None)
            self._plans[collector.name] = replace(self._plans[collector.name], nft=_DROP_GRE)
            members.append((collector.name, (collector.address,)))
        for number, (name, addresses) in enumerate(members, start=1):
            self._cable(name, MANAGEMENT_DEVICE, MANAGEMENT_NODE, port_device(number))
            self._lines[name] += [
                f"address add {address}/32 dev {MANAGEMENT_DEVICE}" for address in addresses
            ]
            self._route(MANAGEMENT_NODE, list(addresses), [port_device(number)])
        collectors = [collector.address for collector in self._fabric.collectors]
        for switch in self._fabric.switches:
            self._route(switch.name, collectors, [MANAGEMENT_DEVICE], f" src {switch.exporter_addresses[0]}")
        for collector in self._fabric.collectors:
            exporters = [a for s in self._fabric.switches for a in s.exporter_addresses]
            self._route(collector.name, exporters, [MANAGEMENT_DEVICE])

    def plan(self) -> LabPlan:
        return LabPlan(
            self._run,
            tuple(replace(plan, ip_lines=tuple(self._lines[node])) for node, plan in self._plans.items()),
            tuple(self._cables),
        )

    def _add(self, node: str, address: str | None, *sysctls: tuple[str, str]) -> None:
        always = (
            ("net/ipv6/conf/all/disable_ipv6", "1"),  # no router solicitations on the cables
            # A decapsulated probe comes from a device that does not lead back to the Prober.
            ("net/ipv4/conf/*/rp_filter", "0"),
            ("net/ipv4/conf/*/send_redirects", "0"),
        )
        self._plans[node] = NamespacePlan(namespace_of(self._run, node), (*always, *sysctls), ())
        self._lines[node] = ["link set lo up"]
        if address is not None:
            self._lines[node].append(f"address add {address}/32 dev lo")

    def _cable(self, near: str, near_device: str, far: str, far_device: str) -> None:
        number = len(self._cables)
        near_mac, far_mac = (f"02:00:00:{number >> 8:02x}:{number & 255:02x}:0{end}" for end in (1, 2))
        for node, device, other in ((near, near_device, far_mac), (far, far_device, near_mac)):
            self._lines[node] += [
                f"link set {device} up",
                f"neighbour add {GATEWAY} lladdr {other} dev {device} nud permanent",
            ]
        self._cables.append(
            f"link add {near_device} netns {namespace_of(self._run, near)} address {near_mac} type veth "
            f"peer name {far_device} netns {namespace_of(self._run, far)} address {far_mac}"
        )

    def _route(self, node: str, addresses: list[str], devices: list[str], suffix: str = "") -> None:
        hops = [f"via {GATEWAY} dev {device} onlink" for device in devices]
        how = hops[0] if len(hops) == 1 else " ".join(f"nexthop {hop}" for hop in hops)
        self._lines[node] += [f"route add {address}/32{suffix} {how}" for address in addresses]

"""Faults as nftables rules: in which namespace, on which hook. Text only; nothing is executed here.

Where a packet is hit decides who still mirrors it. A switch mirrors what comes in, so:

- what a link loses or alters, it loses or alters as it leaves the near end: the far end never sees it, or
  sees it altered. On links from servers and Probers it does so as it arrives: a kernel tells the sender when
  a packet is dropped on its way out, and a cable does not;
- what a switch or a chip loses or alters, it loses or alters between its ports, after its own mirror;
- a link that is down drops everything as it leaves either end. The interfaces stay up: routing would
  otherwise walk around it, and a black hole that routing does not know about is the case worth finding;
- a switch that is down drops all that comes in, before its mirror sees it;
- a stopped server drops all that comes in and all that would leave.

Altered bytes keep their old checksum, as they do in a broken switch. A black hole hashes the five-tuple as
the kernel does; of encapsulated probes, like a router that knows no inner header, the outer addresses.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from random import Random

from fabric.faults import FLIP_OFFSET_FIRST, FLIP_OFFSET_LAST, FaultError, FaultSpec
from fabric.lab.topology import HOST_DEVICE, MANAGEMENT_DEVICE, device_towards, port_device
from fabric.model import Chip, ChipPair, Element, Fabric, Link, PortRef, Switch

_RATE_STEPS = 1_000_000_000
_TCP_HEADER_LENGTH = 20
_IPV4_HEADER_LENGTH = 20
_LONG_PACKET = 500  # bytes; between a reply (40) and a probe (552)
_FLIP_POSITIONS = 64  # drawn when the fault starts; every hit packet gets one of them

Position = tuple[int, int]
"""Byte of the TCP segment, and the bits of it to invert."""


@dataclass(frozen=True, slots=True)
class FaultRules:
    """One table in the namespace of one node."""

    node: str
    family: str
    table: str
    text: str  # for `nft -f`

    @property
    def removal(self) -> str:
        return f"delete table {self.family} {self.table}\n"


def fault_rules(spec: FaultSpec, fabric: Fabric, table: str, random: Random) -> tuple[FaultRules, ...]:
    """The rules that make a fault happen until they are removed. `after` and `for` are the caller's.

    Raises FaultError for what a lab cannot do.
    """
    element = fabric.element(spec.element)
    rate = spec.params.get("rate", 1.0)
    if spec.kind in ("loss", "link_down", "black_hole"):
        return _traffic_rules(
            fabric, element, table, _drops(spec, random), both_ways=spec.kind == "link_down"
        )
    if spec.kind == "flip":
        body, chains = _flip(spec, random)
        return _traffic_rules(fabric, element, table, [f"{_chance(rate)} {body}"], chains)
    if isinstance(element, Switch) and spec.kind in ("switch_down", "reboot"):
        ports = [port_device(port.number) for port in element.ports]
        chains = "".join(
            _chain(f"{port}_arriving", f"hook ingress device {port}", ["drop"]) for port in ports
        )
        return (_table("netdev", element.name, table, chains),)
    if spec.kind in ("host_down", "reboot"):
        chains = _chain("arriving", f"hook ingress device {HOST_DEVICE}", ["drop"])
        chains += _chain("leaving", f"hook egress device {HOST_DEVICE}", ["drop"])
        return (_table("netdev", spec.element, table, chains),)
    if spec.kind == "rst_limit":
        rules = [f"{_chance(1 - rate)} drop"] if rate < 1 else []
        chains = _chain("arriving", f"hook ingress device {HOST_DEVICE}", rules)
        return (_table("netdev", spec.element, table, chains),)
    if isinstance(element, Switch) and spec.kind in ("mirror_loss", "mirror_outage"):
        rule = f"ip protocol gre {_chance(rate)} drop"
        chains = _chain("leaving", f"hook egress device {MANAGEMENT_DEVICE}", [rule])
        return (_table("netdev", spec.element, table, chains),)
    raise FaultError(f"fault {spec.text!r}: the lab cannot do {spec.kind} to {spec.element}")


def _drops(spec: FaultSpec, random: Random) -> list[str]:
    """The statements that drop what a fault hits, one per sort of packet."""
    if spec.kind == "link_down":
        return ["drop"]
    if spec.kind == "black_hole":
        steps = max(1, round(spec.params["share"] * _RATE_STEPS))
        hashed = f"mod {_RATE_STEPS} seed 0x{random.randrange(1, 1 << 32):x} < {steps} drop"
        return [
            f"ip protocol tcp jhash ip saddr . ip daddr . tcp sport . tcp dport {hashed}",
            f"ip protocol 4 jhash ip saddr . ip daddr {hashed}",
        ]
    lengths = [
        f"ip length {sign} {int(spec.params[key])}"
        for key, sign in (("min_bytes", ">="), ("max_bytes", "<="))
        if key in spec.params
    ]
    return [" ".join(filter(None, [*lengths, _chance(spec.params["rate"]), "drop"]))]


def _traffic_rules(
    fabric: Fabric,
    element: Element,
    table: str,
    rules: Sequence[str],
    chains: str = "",
    *,
    both_ways: bool = False,
) -> tuple[FaultRules, ...]:
    """Apply rules to what crosses a link, a port, a switch, a chip or a pair of chips."""
    if isinstance(element, PortRef):
        element, both_ways = fabric.link_by_name[f"{element.switch}~{element.port.peer}"], True
    if isinstance(element, Link) and both_ways:
        back = fabric.link_by_name[f"{element.to_name}~{element.from_name}"]
        ways = (("there", element), ("back", back))  # both may be tables of one node
        return tuple(_link_rules(fabric, link, f"{table}_{way}", rules, chains) for way, link in ways)
    if isinstance(element, Link):
        return (_link_rules(fabric, element, table, rules, chains),)
    if not isinstance(element, Switch | Chip | ChipPair):
        raise FaultError(f"the lab cannot harm {element.name}")
    switch = element.name if isinstance(element, Switch) else element.switch
    crossing = [f"{match} {rule}".strip() for match in _inside(fabric, element) for rule in rules]
    return (_table("ip", switch, table, chains + _chain("crossing", "hook forward", crossing)),)


def _link_rules(fabric: Fabric, link: Link, table: str, rules: Sequence[str], chains: str) -> FaultRules:
    node, hook, device = _place(fabric, link)
    return _table("netdev", node, table, chains + _chain(hook, f"hook {hook} device {device}", rules))


def _inside(fabric: Fabric, element: Switch | Chip | ChipPair) -> list[str]:
    """What matches packets that cross it; no packet is matched twice."""
    if isinstance(element, Switch):
        return [""]
    switch = fabric.switch_by_name[element.switch]

    def ports(label: str) -> str:
        devices = ", ".join(port_device(port.number) for port in switch.ports if port.chip == label)
        return f"{{ {devices} }}"

    if isinstance(element, ChipPair):
        return [f"iifname {ports(element.from_chip)} oifname {ports(element.to_chip)}"]
    if element.role == "fabric":
        raise FaultError(f"{element.name}: a switch of the lab has no fabric chips of its own")
    # In by the chip, or in by another one and out by this one: either way it crosses the chip once.
    mine = ports(element.label)
    return [f"iifname {mine}", f"iifname != {mine} oifname {mine}"]


def _place(fabric: Fabric, link: Link) -> tuple[str, str, str]:
    """Node, hook and interface where a packet is on its way over a link, still unseen by its far end."""
    if link.from_name in fabric.switch_by_name:
        return link.from_name, "egress", device_towards(fabric, link.from_name, link.to_name)
    # The far end is a switch, whose exporter sees a packet after this hook (see fabric.lab.exporter).
    return link.to_name, "ingress", device_towards(fabric, link.to_name, link.from_name)


def _flip(spec: FaultSpec, random: Random) -> tuple[str, str]:
    """The statement that alters a packet, and the chains it needs."""
    probe = _positions(spec, random, FLIP_OFFSET_LAST)
    reply = _positions(spec, random, _TCP_HEADER_LENGTH - 1)
    rules: list[str] = []
    chains = ""
    for name, match, positions, segment in (
        ("probe", f"ip protocol tcp ip length > {_LONG_PACKET}", probe, 0),
        ("reply", f"ip protocol tcp ip length <= {_LONG_PACKET}", reply, 0),
        ("tunnel", f"ip protocol 4 ip length > {_LONG_PACKET}", probe, _IPV4_HEADER_LENGTH),
    ):
        if not positions:
            continue  # a reply has no byte at that offset
        targets = ", ".join(f"{i} : goto {name}_{i}" for i in range(len(positions)))
        rules.append(f"{match} numgen random mod {len(positions)} vmap {{ {targets} }}")
        for i, (offset, mask) in enumerate(positions):
            byte = f"@th,{(segment + offset) * 8},8"
            chains += _chain(f"{name}_{i}", "", [f"{byte} set {byte} {_altering(spec, mask)}"])
    chains += _chain("alter", "", rules)
    return "jump alter", chains


def _altering(spec: FaultSpec, mask: int) -> str:
    """The operation on a byte: inverts bits, or makes them what they are stuck at."""
    stuck = spec.params.get("stuck")
    if stuck is None:
        return f"^ 0x{mask:02x}"
    return f"| 0x{mask:02x}" if stuck else f"& 0x{0xFF ^ mask:02x}"


def _positions(spec: FaultSpec, random: Random, last: int) -> list[Position]:
    if "offset" in spec.params:
        offsets = [int(spec.params["offset"])] if spec.params["offset"] <= last else []
    else:
        offsets = [random.randint(FLIP_OFFSET_FIRST, last) for _ in range(_FLIP_POSITIONS)]
    if offsets and "mask" not in spec.params and len(offsets) == 1:
        offsets *= 8
        return [(offset, 1 << bit) for bit, offset in enumerate(offsets)]
    return [(offset, int(spec.params.get("mask", 1 << random.randrange(8)))) for offset in offsets]


def _chance(rate: float) -> str:
    if rate >= 1:
        return ""
    return f"numgen random mod {_RATE_STEPS} < {max(1, round(rate * _RATE_STEPS))}"


def _chain(name: str, hook: str, rules: Iterable[str]) -> str:
    head = f"  type filter {hook} priority 0; policy accept;\n" if hook else ""
    return f" chain {name} {{\n{head}" + "".join(f"  {rule}\n" for rule in rules) + " }\n"


def _table(family: str, node: str, table: str, chains: str) -> FaultRules:
    return FaultRules(node, family, table, f"table {family} {table} {{\n{chains}}}\n")

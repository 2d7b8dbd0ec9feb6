"""Faults as nftables rules: in which namespace, on which hook. Text only; nothing is executed here.

Where a packet is hit decides who still mirrors it. A switch mirrors what comes in, so:

- what a link loses or alters, it loses or alters as it leaves the near end: the far end never sees it, or
  sees it altered. On links from servers and Probers it does so as it arrives: a kernel tells the sender when
  a packet is dropped on its way out, and a cable does not;
- what a switch or a chip loses or alters, it loses or alters between its ports, after its own mirror;
- a link that is down drops everything as it leaves either end. The interfaces stay up: routing would
  otherwise walk around it, and a black hole that routing does not know about is the case worth finding;
- a stopped server drops all that comes in and all that would leave.

Altered bytes keep their old checksum, as they do in a broken switch.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from random import Random

from fabric.faults import FLIP_OFFSET_FIRST, FLIP_OFFSET_LAST, FaultError, FaultSpec
from fabric.lab.topology import HOST_DEVICE, MANAGEMENT_DEVICE, device_towards, port_device
from fabric.model import Chip, Fabric, Link, Switch

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
    unknown = sorted(set(spec.params) - {"rate", "offset", "mask"})
    if unknown:
        raise FaultError(f"fault {spec.text!r}: the lab cannot do {spec.kind} with {unknown[0]}")
    element = fabric.element(spec.element)
    rate = spec.params.get("rate", 1.0)
    if spec.kind == "loss":
        return (_traffic_rules(fabric, element, table, f"{_chance(rate)} drop"),)
    if spec.kind == "flip":
        body, chains = _flip(spec, random)
        return (_traffic_rules(fabric, element, table, f"{_chance(rate)} {body}", chains),)
    if spec.kind == "link_down" and isinstance(element, Link):
        back = fabric.link_by_name[f"{element.to_name}~{element.from_name}"]
        ways = (("there", element), ("back", back))  # both may be tables of one node
        return tuple(_traffic_rules(fabric, link, f"{table}_{way}", "drop") for way, link in ways)
    if spec.kind == "host_down":
        chains = _chain("arriving", f"hook ingress device {HOST_DEVICE}", ["drop"])
        chains += _chain("leaving", f"hook egress device {HOST_DEVICE}", ["drop"])
        return (_table("netdev", spec.element, table, chains),)
    if spec.kind == "mirror_loss":
        rule = f"ip protocol gre {_chance(rate)} drop"
        chains = _chain("leaving", f"hook egress device {MANAGEMENT_DEVICE}", [rule])
        return (_table("netdev", spec.element, table, chains),)
    raise FaultError(f"fault {spec.text!r}: the lab cannot do {spec.kind}")


def _traffic_rules(fabric: Fabric, element: object, table: str, rule: str, chains: str = "") -> FaultRules:
    """Apply a rule to what crosses a link, a switch or a chip."""
    if isinstance(element, Link):
        node, hook, device = _place(fabric, element)
        return _table("netdev", node, table, chains + _chain(hook, f"hook {hook} device {device}", [rule]))
    if isinstance(element, Switch):
        return _table("ip", element.name, table, chains + _chain("crossing", "hook forward", [rule]))
    if not isinstance(element, Chip):
        raise FaultError(f"the lab cannot harm {element}")
    if element.role == "fabric":
        raise FaultError(f"{element.name}: a switch of the lab has no fabric chips of its own")
    switch = fabric.switch_by_name[element.switch]
    devices = ", ".join(port_device(p.number) for p in switch.ports if p.chip == element.label)
    # In by the chip, or in by another one and out by this one: either way it crosses the chip once.
    crossing = [
        f"iifname {{ {devices} }} {rule}",
        f"iifname != {{ {devices} }} oifname {{ {devices} }} {rule}",
    ]
    return _table("ip", switch.name, table, chains + _chain("crossing", "hook forward", crossing))


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
            chains += _chain(f"{name}_{i}", "", [f"{byte} set {byte} ^ 0x{mask:02x}"])
    chains += _chain("alter", "", rules)
    return "jump alter", chains


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

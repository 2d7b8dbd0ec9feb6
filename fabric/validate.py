"""What must hold for a fabric to be usable, whoever made it.

Each rule is a generator of problems; a problem points at the element by its path in the inventory document,
such as ("switches", 3, "ports", 0), so that the reader of a file can name the line.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address, ip_network

from fabric.maintenance import wrong_with
from fabric.model import PROBER_NUMBER_MAX, Dialect, Fabric, Port, PortField, Prober, Server, Switch
from schemas.nodes import PROBER_BASE, SERVER_BASE

Where = tuple[str | int, ...]

#: Stands in an imported inventory where the import knew nothing (see fabric.importing).
GAP = "MISSING"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")

#: Which fields a dialect has room for a port number in.
_PORT_FIELDS: dict[Dialect, tuple[PortField, ...]] = {
    1: ("none",),
    2: ("none", "session", "index"),
    3: ("none", "session", "hardware_id"),
    "teb": ("none", "key"),
}


@dataclass(frozen=True, slots=True)
class Problem:
    where: Where
    message: str


def problems_of(fabric: Fabric) -> Iterator[Problem]:
    """Everything that is wrong with a fabric, nothing if it can be used."""
    yield from _settings(fabric)
    yield from _names_and_numbers(fabric)
    yield from _addresses(fabric)
    for row, switch in enumerate(fabric.switches):
        yield from _switch(switch, ("switches", row))
    yield from _cabling(fabric)
    for row, entry in enumerate(fabric.maintenance):
        for message in wrong_with(entry, fabric):
            yield Problem(("maintenance", row), message)


def _settings(fabric: Fabric) -> Iterator[Problem]:
    if not 1 <= fabric.probe_port <= 65_535:
        yield Problem(("probe_port",), f"probe_port must be between 1 and 65535, not {fabric.probe_port}")
    if not 1 <= fabric.dscp <= 63:
        yield Problem(
            ("dscp",), f"dscp must be between 1 and 63 to tell probes from other traffic, not {fabric.dscp}"
        )
    for prefix in fabric.target_prefixes:
        try:
            ip_network(prefix)
        except ValueError as error:
            yield Problem(("target_prefixes",), f"target prefix: {error}")


def _names_and_numbers(fabric: Fabric) -> Iterator[Problem]:
    taken_names: dict[str, str] = {}
    groups: tuple[tuple[str, Sequence[Switch | Server | Prober], int, int], ...] = (
        ("switches", fabric.switches, 0, SERVER_BASE - 1),
        ("servers", fabric.servers, 0, PROBER_BASE - SERVER_BASE - 1),
        ("probers", fabric.probers, 1, PROBER_NUMBER_MAX),
    )
    for key, elements, least, most in groups:
        taken_numbers: dict[int, str] = {}
        for row, element in enumerate(elements):
            name, number, where = element.name, element.number, (key, row)
            if name == GAP:
                yield Problem(where, f"name {GAP} stands for one that is not known; write its name")
            if not _NAME.fullmatch(name):
                yield Problem(where, f"name {name!r} may hold letters, digits and . _ - only")
            if name in taken_names:
                yield Problem(where, f"name {name!r} is taken by one of the {taken_names[name]}")
            if not least <= number <= most:
                yield Problem(where, f"{name}: number must be between {least} and {most}, not {number}")
            if number in taken_numbers:
                yield Problem(where, f"{name}: number {number} is taken by {taken_numbers[number]}")
            taken_names.setdefault(name, key)
            taken_numbers.setdefault(number, name)
    for name, count in Counter(c.name for c in fabric.collectors).items():
        if count > 1:
            yield Problem(("collectors",), f"collector {name!r} is listed {count} times")


def _addresses(fabric: Fabric) -> Iterator[Problem]:
    data: list[tuple[Where, str, str]] = [
        (("switches", row), switch.name, switch.address) for row, switch in enumerate(fabric.switches)
    ]
    data += [
        (("servers", row), server.name, address)
        for row, server in enumerate(fabric.servers)
        for address in server.addresses
    ]
    data += [(("probers", row), prober.name, prober.address) for row, prober in enumerate(fabric.probers)]
    yield from _distinct(data)
    # The management network is a space of its own.
    yield from _distinct(
        [
            (("switches", row), switch.name, address)
            for row, switch in enumerate(fabric.switches)
            for address in switch.exporter_addresses
        ]
        + [(("collectors", row), c.name, c.address) for row, c in enumerate(fabric.collectors)]
    )
    for row, server in enumerate(fabric.servers):
        if not server.addresses:
            yield Problem(("servers", row), f"{server.name} has no address")
    yield from _targets_allowed(fabric)


def _targets_allowed(fabric: Fabric) -> Iterator[Problem]:
    prefixes = [ip_network(p) for p in fabric.target_prefixes if _is_network(p)]
    for row, server in enumerate(fabric.servers):
        for address in filter(_is_address, server.addresses):
            if not any(ip_address(address) in prefix for prefix in prefixes):
                yield Problem(("servers", row), f"{server.name}: {address} is in none of the target_prefixes")


def _distinct(owned: Iterable[tuple[Where, str, str]]) -> Iterator[Problem]:
    owners: dict[str, str] = {}
    for where, name, written in owned:
        if written == GAP:
            yield Problem(where, f"{name}: an address is {GAP}; write it down")
            continue
        try:
            address = str(ip_address(written))
        except ValueError:
            yield Problem(where, f"{name}: {written!r} is no IP address")
            continue
        if address in owners:
            yield Problem(where, f"{name}: address {address} is taken by {owners[address]}")
        owners.setdefault(address, name)


def _switch(switch: Switch, where: Where) -> Iterator[Problem]:
    if switch.tier in ("tor", "leaf") and not switch.pod:
        yield Problem(where, f"{switch.name}: a {switch.tier} needs a pod")
    if switch.pod == GAP:
        yield Problem(where, f"{switch.name}: its pod is {GAP}; write which one it is in")
    if switch.port_field not in _PORT_FIELDS[switch.dialect]:
        known = ", ".join(_PORT_FIELDS[switch.dialect])
        yield Problem(
            where,
            f"{switch.name}: dialect {switch.dialect} has no port_field {switch.port_field!r}, only {known}",
        )
    roles = Counter(chip.role for chip in switch.chips)
    if roles["single"] + roles["line_card"] < 1 or (roles["single"] and len(switch.chips) > 1):
        yield Problem(where, f"{switch.name}: chips must be one single chip, or line cards and fabric chips")
    if roles["line_card"] > 1 and not roles["fabric"]:
        yield Problem(where, f"{switch.name}: several line cards need a fabric chip that joins them")
    labels = [chip.label for chip in switch.chips]
    if len(set(labels)) != len(labels):
        yield Problem(where, f"{switch.name}: chip labels must be distinct")
    owners = {chip.label for chip in switch.chips if chip.role != "fabric"}
    numbers: set[int] = set()
    for row, port in enumerate(switch.ports):
        at = (*where, "ports", row)
        if port.number < 1 or port.number in numbers:
            yield Problem(at, f"{switch.name}: port number {port.number} must be positive and distinct")
        numbers.add(port.number)
        if port.chip not in owners:
            known = ", ".join(sorted(owners))
            yield Problem(
                at, f"{switch.name}: port {port.number} is on chip {port.chip!r}; chips with ports: {known}"
            )


def _cabling(fabric: Fabric) -> Iterator[Problem]:
    cables = Counter((s.name, p.peer) for s in fabric.switches for p in s.ports)
    attached = {s.name: s.tor for s in fabric.servers} | {p.name: p.switch for p in fabric.probers}
    ends: list[tuple[Where, Server | Prober]] = [(("servers", i), s) for i, s in enumerate(fabric.servers)]
    ends += [(("probers", i), p) for i, p in enumerate(fabric.probers)]
    for where, end in ends:
        owner = fabric.switch_by_name.get(attached[end.name])
        if attached[end.name] == GAP:
            yield Problem(where, f"{end.name}: its switch is {GAP}; write where it is attached")
        elif owner is None:
            yield Problem(where, f"{end.name}: there is no switch {attached[end.name]!r}")
        elif isinstance(end, Server) and owner.tier not in ("tor", GAP):
            yield Problem(where, f"{end.name}: {owner.name} is a {owner.tier}, not a ToR")
    for row, switch in enumerate(fabric.switches):
        for port_row, port in enumerate(switch.ports):
            message = _port_problem(fabric, switch, port, cables, attached)
            if message:
                yield Problem(("switches", row, "ports", port_row), f"{switch.name}: {message}")
    for where, end in ends:
        if attached[end.name] != GAP and not cables[attached[end.name], end.name]:
            yield Problem(where, f"{end.name}: {attached[end.name]} has no port to it")


def _port_problem(
    fabric: Fabric,
    switch: Switch,
    port: Port,
    cables: Counter[tuple[str, str]],
    attached: Mapping[str, str],
) -> str | None:
    end = f"port {port.number}"
    if port.peer == switch.name:
        return f"{end} is cabled to its own switch"
    if cables[switch.name, port.peer] > 1:
        return f"{end}: more than one cable to {port.peer}; links are named by their ends"
    if port.peer in attached:
        claimed = attached[port.peer]
        return None if claimed == switch.name else f"{end}: {port.peer} says it is attached to {claimed}"
    if port.peer not in fabric.switch_by_name:
        return f"{end}: there is no {port.peer!r}"
    if not cables[port.peer, switch.name]:
        return f"{end} goes to {port.peer}, which has no port back to {switch.name}"
    return None


def _is_network(text: str) -> bool:
    try:
        ip_network(text)
    except ValueError:
        return False
    return True


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True

"""Names, addresses and port numbers as an inventory may have them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Network, IPv6Network, collapse_addresses, ip_interface

from fabric.importing.report import ImportReport
from fabric.validate import GAP

#: A wider network than this is not taken for where servers are: it would allow probes to almost anywhere.
_WIDEST_PREFIX = {4: 8, 6: 32}


def spelled_name(name: str) -> str:
    """The name with `-` for what an inventory's names cannot have; GAP if nothing is left of it."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-._") or GAP


def spelled_names(names: Sequence[str], report: ImportReport) -> dict[str, str]:
    """As they are written, by the source's name; two may come out the same, and are then a gap."""
    spelled = {name: spelled_name(name) for name in names}
    for name, written in spelled.items():
        if name != written:
            report.add(
                "assumed",
                "name-spelled",
                "written with - for what a name cannot have",
                f"{name} -> {written}",
            )
    return spelled


def spelled_port(name: str) -> str:
    """A port's name without what separates the two ends of a link."""
    return name.replace("~", "-").strip() or GAP


def bare_address(text: str) -> str | None:
    """`10.0.0.1` of `10.0.0.1/24`; None if it is no address that can be probed or sent from."""
    try:
        address = ip_interface(text.strip()).ip
    except ValueError:
        return None
    unusable = address.is_loopback or address.is_multicast or address.is_unspecified or address.is_link_local
    return None if unusable else str(address)


def bare_addresses(texts: Sequence[str], owner: str, report: ImportReport) -> tuple[str, ...]:
    """Each address once; what is none is in the report."""
    found: dict[str, None] = {}
    for text in texts:
        address = bare_address(text)
        if address is None:
            report.add("left_out", "no-address", "not an address to use", f"{owner}: {text}")
        else:
            found[address] = None
    return tuple(found)


def networks_of(texts: Sequence[str]) -> tuple[str, ...]:
    """The networks that these addresses say they are in (`10.0.0.1/24`: 10.0.0.0/24), as few as possible."""
    networks: list[IPv4Network | IPv6Network] = []
    for text in texts:
        try:
            interface = ip_interface(text.strip())
        except ValueError:
            continue
        network = interface.network
        if network.prefixlen < _WIDEST_PREFIX[network.version]:
            network = ip_interface(interface.ip).network
        networks.append(network)
    fours = collapse_addresses(network for network in networks if isinstance(network, IPv4Network))
    sixes = collapse_addresses(network for network in networks if isinstance(network, IPv6Network))
    return (*map(str, fours), *map(str, sixes))


def port_numbers(names: Sequence[str], kept: Mapping[str, int]) -> dict[str, int]:
    """A number for each port of a switch: those in `kept` have one, the others the last number in their name.

    Where that is taken or there is none, the next free number.
    """
    numbers = {name: kept[name] for name in names if name in kept}
    taken = set(numbers.values())
    rest = sorted((name for name in names if name not in numbers), key=_naturally)
    wanted = {name: _last_number(name) for name in rest}
    distinct = len(set(wanted.values())) == len(wanted)
    free = 1
    for name in rest:
        number = wanted[name]
        if not distinct or number is None or number in taken:
            while free in taken:
                free += 1
            number = free
        taken.add(number)
        numbers[name] = number
    return numbers


def _last_number(name: str) -> int | None:
    found = re.findall(r"[0-9]{1,6}", name)
    return int(found[-1]) if found and int(found[-1]) > 0 else None


def _naturally(name: str) -> list[tuple[int, str]]:
    """Ethernet2 before Ethernet10."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"([0-9]{1,9})", name)]

"""What lies within what: a chip in its switch, a link at both its ends, a server behind its ToR.

Whoever works on an element disturbs all that is within it.
"""

from __future__ import annotations

import difflib

from fabric.model import (
    LINK_SEPARATOR,
    Chip,
    ChipPair,
    Fabric,
    Link,
    PortRef,
    Prober,
    Server,
    Switch,
    UnknownElement,
)


def check_element(fabric: Fabric, name: str) -> None:
    """Raises UnknownElement, which lists near names, unless `name` is an element of the fabric or a pod."""
    pods = {switch.pod for switch in fabric.switches if switch.pod is not None}
    if name in pods:
        return
    try:
        fabric.element(name)
    except UnknownElement as error:
        near = difflib.get_close_matches(name, sorted(pods), n=3)
        if not near:
            raise
        raise UnknownElement(f"{error}; there are also pods: {', '.join(near)}") from None


def within(fabric: Fabric, name: str) -> frozenset[str]:
    """Names of everything that an element lies within, itself included: `name` alone if it is not known.

    A directed link or a port lies within both ends of its cable, their chips and pods, and is the same
    cable as the link back. A server lies within its ToR, a Prober within the switch that it hangs on.
    """
    found = {name}
    try:
        element = fabric.element(name)
    except UnknownElement:
        return frozenset(found)
    match element:
        case Switch():
            found |= _switch(element)
        case Chip():
            found |= _switch_named(fabric, element.switch)
        case ChipPair():
            found |= _switch_named(fabric, element.switch)
            found |= {Chip(element.switch, label).name for label in (element.from_chip, element.to_chip)}
        case Link():
            found |= _cable(fabric, element)
        case PortRef():
            found |= _cable(
                fabric, fabric.link_by_name[f"{element.switch}{LINK_SEPARATOR}{element.port.peer}"]
            )
        case Server():
            found |= _switch_named(fabric, element.tor)
        case Prober():
            found |= _switch_named(fabric, element.switch)
    return frozenset(found)


def _switch(switch: Switch) -> set[str]:
    """A switch of one chip is that chip."""
    found = {switch.name} if switch.is_multi_chip else {switch.name, switch.chips[0].name}
    return found | ({switch.pod} if switch.pod is not None else set())


def _switch_named(fabric: Fabric, name: str) -> set[str]:
    switch = fabric.switch_by_name.get(name)
    return {name} if switch is None else _switch(switch)


def _cable(fabric: Fabric, link: Link) -> set[str]:
    found = {link.name, Link(link.to_name, link.from_name, link.to_port, link.from_port).name}
    for end, number in ((link.from_name, link.from_port), (link.to_name, link.to_port)):
        switch = fabric.switch_by_name.get(end)
        if switch is None:
            found.add(end)
            continue
        found |= _switch(switch)
        for port in switch.ports:
            if port.number == number:
                found |= {PortRef(end, port).name, Chip(end, port.chip).name}
    return found

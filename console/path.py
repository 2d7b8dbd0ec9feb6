"""The way of one probe as a line of nodes: those that saw it, and those that should have. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from console.layout import Layout
from console.models import Leg, PathNode

_LEGS = ("encapsulated", "probe", "reply")


@dataclass(frozen=True, slots=True)
class Hop:
    """A mirrored copy, as the store has it."""

    leg: str
    switch: str
    port: int
    ttl: int
    at_us: int
    altered: bool


@dataclass(frozen=True, slots=True)
class Way:
    """What is known of where a probe went. `learnt`: the switches of each leg of its flow, where its way is
    known."""

    kind: str
    prober: str
    target: str
    via: str
    answered: bool
    last_seen: str
    next_node: str
    fault_leg: str
    hops: tuple[Hop, ...]
    learnt: Mapping[str, tuple[str, ...]]


def legs_of(way: Way, layout: Layout) -> list[Leg]:
    """The legs that the probe came to, in order, each from its first to its last node."""
    return [
        Leg(leg=leg, nodes=_nodes(way, leg, layout))
        for leg in _LEGS
        if any(hop.leg == leg for hop in way.hops) or leg == way.fault_leg or _is_told(way, leg)
    ]


def _is_told(way: Way, leg: str) -> bool:
    """Legs on which nothing was seen, but which it must have gone."""
    if leg == "encapsulated":
        return way.via != ""
    if leg == "probe":
        return way.via == "" or way.answered
    return way.answered


def _nodes(way: Way, leg: str, layout: Layout) -> list[PathNode]:
    seen = [hop for hop in way.hops if hop.leg == leg]
    names = _line([hop.switch for hop in seen], way.learnt.get(leg, ()), layout)
    if leg == way.fault_leg and way.next_node and way.next_node not in names[-1:]:
        names = _with_next(names, way)
    nodes: list[PathNode] = []
    rest = list(seen)
    for name in names:
        hop = rest.pop(0) if rest and rest[0].switch == name else None
        nodes.append(_switch(name, hop, layout))
    first, last = _ends(way, leg)
    if first and (not nodes or nodes[0].name != first):
        # A server that is heard of again has seen the probe; a Prober has sent it.
        nodes.insert(0, _end(first, layout, seen=True))
    if last and (not nodes or nodes[-1].name != last):
        nodes.append(_end(last, layout, seen=way.answered or (leg != "reply" and _went_on(way, leg))))
    return nodes


def _went_on(way: Way, leg: str) -> bool:
    """Whether a later leg was seen."""
    return any(_LEGS.index(hop.leg) > _LEGS.index(leg) for hop in way.hops)


def _ends(way: Way, leg: str) -> tuple[str, str]:
    if leg == "encapsulated":
        return way.prober, way.via
    if leg == "probe":
        return way.via or way.prober, way.target
    return way.target, way.prober


def _line(seen: Sequence[str], learnt: Sequence[str], layout: Layout) -> list[str]:
    """The switches of a leg in order: the way that its flow is known to take if what was seen lies on it,
    else what was seen, with what must lie in between."""
    if learnt and _lies_on(seen, learnt):
        return list(learnt)
    line: list[str] = []
    for name in seen:
        if line and line[-1] != name:
            between = layout.common_neighbours(line[-1], name)
            if name not in layout.neighbours(line[-1]) and len(between) == 1:
                line += between
        line.append(name)
    return line


def _lies_on(seen: Sequence[str], learnt: Sequence[str]) -> bool:
    rest = iter(learnt)
    return all(name in rest for name in seen)


def _with_next(names: list[str], way: Way) -> list[str]:
    """The node that it should have come to next stands behind the one that saw it last."""
    if way.last_seen in names:
        at = len(names) - 1 - names[::-1].index(way.last_seen)
        if names[at + 1 : at + 2] == [way.next_node]:
            return names
        if at == len(names) - 1:
            return [*names, way.next_node]
        return names
    return [*names, way.next_node]


def _switch(name: str, hop: Hop | None, layout: Layout) -> PathNode:
    if hop is None:
        return _end(name, layout, seen=False)
    return PathNode(
        name=name,
        kind=layout.kind_of_node(name),
        port=layout.port_name(name, hop.port),
        ttl=hop.ttl,
        at_us=hop.at_us,
        altered=hop.altered,
        seen=True,
        expected=True,
    )


def _end(name: str, layout: Layout, *, seen: bool) -> PathNode:
    """A node of which there is no copy."""
    kind = layout.kind_of_node(name)
    return PathNode(
        name=name,
        kind=kind,
        port=None,
        ttl=None,
        at_us=None,
        altered=False,
        seen=seen,
        expected=kind == "switch",
    )

"""What would be right to say about an injected fault: which kinds of event, and which names.

Exactness has two levels. `exact` is link or chip level: the names that no better answer than which can be
given. `switches` is switch level: an answer is right if it names one of these or a part of one. See
docs/evaluation.md for the reasons.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fabric.faults import FaultSpec
from fabric.model import CHIP_SEPARATOR, LINK_SEPARATOR, Chip, Fabric, Link, Switch

LOSSES_MIN = 5
ALTERED_MIN = 2

_DROPS = frozenset({"network_loss", "black_hole"})
_HOST = frozenset({"host_silent"})
#: Kinds of events that say that the network is broken; of all others that something else is.
NETWORK_KINDS = frozenset({"network_loss", "black_hole", "alteration", "loop", "wrong_route"})

Expected = Literal["yes", "may"]


@dataclass(frozen=True, slots=True)
class Rule:
    """How events about one kind of fault are judged.

    `families`: kinds of event that fit. `hits`: probes that it must have hit to be observable. `expected`:
    whether somebody has to report it, or may.
    """

    families: frozenset[str]
    hits: int = LOSSES_MIN
    expected: Expected = "yes"


RULES: dict[str, Rule] = {
    "loss": Rule(_DROPS),
    "link_down": Rule(_DROPS),
    "flip": Rule(frozenset({"alteration"}), ALTERED_MIN),
    "host_down": Rule(_HOST),
    # Mirrors that lose copies are no fault of the network; that they do may be said.
    "mirror_loss": Rule(frozenset({"mirror_outage"}), 0, "may"),
}


@dataclass(frozen=True, slots=True)
class Cause:
    """An injected fault and what is right about it."""

    number: int  # as the simulator counts
    spec: FaultSpec
    start_us: int
    end_us: int  # end of the fault or of the run
    tier: str
    rule: Rule
    families: frozenset[str]
    exact: frozenset[str]
    switches: frozenset[str]  # names of switches, servers and Probers
    #: Elements that hash alike and that nothing can tell apart: right if the top suspects tie within them.
    sisters: frozenset[str]

    def fits(self, kind: str, element: str) -> bool:
        """Whether an event of this kind whose top suspect is this element is about this cause."""
        return kind in self.families and self.is_right_switch(element)

    def is_right_switch(self, element: str) -> bool:
        """At switch level. For a link A~B that is A, B, a chip of these, or the cable itself; for a switch
        or a chip of it also a link that ends there."""
        if LINK_SEPARATOR in element:
            ends = set(element.split(LINK_SEPARATOR, 1))
            return ends == self.switches if self._is_link else bool(ends & self.switches)
        return element.split(CHIP_SEPARATOR, 1)[0] in self.switches

    @property
    def _is_link(self) -> bool:
        return LINK_SEPARATOR in self.spec.element


def cause_of(number: int, spec: FaultSpec, start_us: int, run_end_us: int, fabric: Fabric) -> Cause:
    """The cause that an injected specification is."""
    rule = RULES[spec.kind]
    end_us = run_end_us if spec.for_s is None else min(run_end_us, start_us + round(spec.for_s * 1e6))
    exact, switches, sisters = _names(spec, fabric)
    families = rule.families
    if spec.kind in ("loss", "link_down") and _is_host_link(spec, fabric):
        # The ToR sees the probe and no reply: a lossy cable and a server that is silent look the same.
        families |= _HOST
    return Cause(
        number,
        spec,
        start_us,
        end_us,
        tier_of(spec.element, fabric),
        rule,
        families,
        exact,
        switches,
        sisters,
    )


def tier_of(name: str, fabric: Fabric) -> str:
    """Where an element is, for tables: `leaf-spine` (of links: from, to), `spine chip`, `tor`, `server`."""
    match fabric.element(name):
        case Link(from_name=near, to_name=far):
            return f"{_tier(near, fabric)}-{_tier(far, fabric)}"
        case Chip(switch=switch, role=role):
            return f"{_tier(switch, fabric)} {'fabric chip' if role == 'fabric' else 'chip'}"
        case other:
            return _tier(other.name, fabric)


def _tier(name: str, fabric: Fabric) -> str:
    switch = fabric.switch_by_name.get(name)
    if switch is not None:
        return switch.tier
    return "server" if name in fabric.server_by_name else "prober"


def _is_host_link(spec: FaultSpec, fabric: Fabric) -> bool:
    return any(end in fabric.server_by_name for end in spec.element.split(LINK_SEPARATOR))


def _names(spec: FaultSpec, fabric: Fabric) -> tuple[frozenset[str], frozenset[str], frozenset[str]]:
    """Exact names, switches, sisters."""
    match fabric.element(spec.element):
        case Link(from_name=near, to_name=far) as link:
            exact = {link.name}
            if spec.kind == "link_down":
                exact |= {f"{far}{LINK_SEPARATOR}{near}"}
            for end in (near, far):
                if end in fabric.server_by_name:
                    exact |= {end, f"{near}{LINK_SEPARATOR}{far}", f"{far}{LINK_SEPARATOR}{near}"}
            return frozenset(exact), frozenset({near, far}), frozenset()
        case Chip(switch=name, role=role) as chip:
            switch = fabric.switch_by_name[name]
            if not switch.is_multi_chip:
                return frozenset({chip.name, name}), frozenset({name}), frozenset()
            alike = [c.name for c in switch.chips if c.role == "fabric"] if role == "fabric" else []
            return frozenset({chip.name}), frozenset({name}), frozenset(alike)
        case Switch() as switch:
            alone = () if switch.is_multi_chip else [c.name for c in switch.chips]
            return frozenset({switch.name, *alone}), frozenset({switch.name}), frozenset()
        case other:
            return frozenset({other.name}), frozenset({other.name}), frozenset()

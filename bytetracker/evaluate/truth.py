"""What would be right to say about an injected fault: which kinds of event, and which names.

There are two levels. `exact` is link or chip level: names that no better answer than which can be given.
`switches` is switch level: an answer is right if it names one of these or a part of one. The reasons are in
docs/evaluation.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from bytetracker.evaluate.rules import COLLECTOR_OUTAGE, DROPS, HOST, RULES, SWITCH_REBOOT, Rule
from fabric.faults import FaultSpec
from fabric.model import (
    CHIP_SEPARATOR,
    LINK_SEPARATOR,
    PORT_SEPARATOR,
    Chip,
    ChipPair,
    Collector,
    Fabric,
    Link,
    PortRef,
    Switch,
)
from fabric.simulator.tally import FaultTally

_NOTHING: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Names:
    """Of an element at fault. `sisters`: elements among which traffic is spread alike, so that nothing can
    tell them apart: right if the top suspects tie within them. `nearby`: what else an event may name to be
    about this fault, though not right."""

    exact: frozenset[str]
    switches: frozenset[str]
    is_link: bool = False
    sisters: frozenset[str] = _NOTHING
    nearby: frozenset[str] = _NOTHING


@dataclass(frozen=True, slots=True)
class Cause:
    """An injected fault and what is right about it."""

    number: int  # as the simulator counts
    spec: FaultSpec
    start_us: int
    end_us: int  # end of the fault or of the run
    tier: str
    rule: Rule
    names: Names
    pairs: frozenset[str] = _NOTHING  # of switches that it harmed probes of; for methods that know only pairs

    def fits(self, kind: str, element: str) -> bool:
        """Whether an event of this kind whose top suspect is this element is right at switch level, or
        names a pair of switches of which a probe was harmed."""
        if element in self.pairs:
            return bool(self.rule.families)
        return kind in self.rule.families and self.is_right_switch(element)

    def is_about(self, kind: str, element: str) -> bool:
        """Whether such an event is at least about this cause: right, or said beside what is right."""
        if element in self.pairs:
            return True
        if kind not in self.rule.families | self.rule.beside:
            return False
        return element in self.names.nearby or self.is_right_switch(element)

    def is_right_switch(self, element: str) -> bool:
        """For a link A~B that is A, B, a part of these, or the cable itself; for a switch or a chip also a
        link that ends there."""
        touched = nodes_of(element)
        if LINK_SEPARATOR in element and self.names.is_link:
            return touched == self.names.switches
        return bool(touched & self.names.switches)


def nodes_of(element: str) -> frozenset[str]:
    """Names of the switches, servers, Probers or collectors that an element is, lies in, or joins."""
    if LINK_SEPARATOR in element:
        return frozenset(element.split(LINK_SEPARATOR, 1))
    return frozenset({element.split(CHIP_SEPARATOR, 1)[0].split(PORT_SEPARATOR, 1)[0]})


def cause_of(number: int, spec: FaultSpec, start_us: int, run_end_us: int, fabric: Fabric) -> Cause:
    """The cause that an injected specification is."""
    names = _names(spec, fabric)
    rule = _rule(spec, names, fabric)
    end_us = run_end_us if spec.for_s is None else min(run_end_us, start_us + round(spec.for_s * 1e6))
    return Cause(number, spec, start_us, end_us, tier_of(spec.element, fabric), rule, names)


def _rule(spec: FaultSpec, names: Names, fabric: Fabric) -> Rule:
    element, rule = fabric.element(spec.element), RULES[spec.kind]
    if spec.kind == "reboot" and isinstance(element, Switch):
        return SWITCH_REBOOT
    if spec.kind == "mirror_outage" and isinstance(element, Collector):
        return COLLECTOR_OUTAGE
    if names.is_link and names.switches & fabric.server_by_name.keys():
        # The ToR sees the probe and no reply: a lossy cable and a silent server look the same.
        rule = replace(rule, families=rule.families | HOST)
    if names.is_link and names.switches & fabric.prober_by_name.keys():
        # A Prober whose cable is cut cannot be told from a Prober that sends nothing.
        rule = replace(rule, families=rule.families | {"prober_outage"})
    if spec.kind == "flip" and isinstance(element, Link) and element.to_name not in fabric.switch_by_name:
        # Behind the last mirror nobody sees what was altered, at most that what was altered is missing.
        rule = replace(rule, expected="may", families=rule.families | DROPS)
    if spec.kind == "flip" and not names.is_link and _is_tor(names, fabric):
        # So it is with half of what a ToR alters.
        rule = replace(rule, beside=DROPS)
    return rule


def _is_tor(names: Names, fabric: Fabric) -> bool:
    return any(fabric.switch_by_name[name].tier == "tor" for name in names.switches)


def with_whole_pods(
    causes: Sequence[Cause], tallies: Sequence[FaultTally], fabric: Fabric
) -> tuple[list[Cause], list[FaultTally]]:
    """Where all leaves of a pod are down there is one cause, the pod; it takes the place of the first."""
    kept = {cause.number: (cause, tally) for cause, tally in zip(causes, tallies, strict=True)}
    down = {cause.spec.element: cause for cause in causes if cause.rule is SWITCH_REBOOT}
    for pod in fabric.index.pods:
        leaves = [s.name for s in fabric.switches if s.pod == pod and s.tier == "leaf"]
        if len(leaves) < 2 or not all(name in down for name in leaves):
            continue
        parts = [kept.pop(down[name].number) for name in leaves]
        whole = replace(
            parts[0][0],
            spec=FaultSpec(f"pod_down:{pod}", "pod_down", pod, {}),
            tier="pod",
            names=Names(frozenset({pod}), frozenset({pod, *leaves})),
            pairs=frozenset(pair for part, _ in parts for pair in part.pairs),
        )
        kept[whole.number] = (whole, sum((tally for _, tally in parts), FaultTally()))
    ordered = [kept[number] for number in sorted(kept)]
    return [cause for cause, _ in ordered], [tally for _, tally in ordered]


def tier_of(name: str, fabric: Fabric) -> str:
    """Where an element is, for tables: `leaf-spine` (of links: from, to), `spine chip`, `tor`, `server`."""
    match fabric.element(name):
        case Link(from_name=near, to_name=far):
            return f"{_tier(near, fabric)}-{_tier(far, fabric)}"
        case PortRef(switch=switch):
            return f"{_tier(switch, fabric)} port"
        case ChipPair(switch=switch):
            return f"{_tier(switch, fabric)} chip pair"
        case Chip(switch=switch, role=role):
            return f"{_tier(switch, fabric)} {'fabric chip' if role == 'fabric' else 'chip'}"
        case other:
            return _tier(other.name, fabric)


def _tier(name: str, fabric: Fabric) -> str:
    switch = fabric.switch_by_name.get(name)
    if switch is not None:
        return switch.tier
    if name in fabric.server_by_name:
        return "server"
    return "prober" if name in fabric.prober_by_name else "collector"


def _names(spec: FaultSpec, fabric: Fabric) -> Names:
    match fabric.element(spec.element):
        case Link(from_name=near, to_name=far):
            return _link_names(spec.kind, near, far, fabric)
        case PortRef(switch=near, port=port) as here:
            both = _link_names("link_down", near, port.peer, fabric)
            return replace(both, exact=both.exact | {here.name})
        case Chip() as chip:
            return _chip_names(chip, fabric)
        case ChipPair(switch=name) as pair:
            return Names(frozenset({pair.name}), frozenset({name}))
        case Collector() as collector:
            mine = frozenset(s.name for s in fabric.switches if fabric.collector_of(s) == collector)
            return Names(frozenset({collector.name}), frozenset({collector.name}), nearby=mine)
        case other:
            chips = fabric.switch_by_name[other.name].chips if isinstance(other, Switch) else ()
            only_chip = [chip.name for chip in chips] if len(chips) == 1 else []
            return Names(frozenset({other.name, *only_chip}), frozenset({other.name}))


def _chip_names(chip: Chip, fabric: Fabric) -> Names:
    switch = fabric.switch_by_name[chip.switch]
    here = frozenset({switch.name})
    if not switch.is_multi_chip:
        return Names(here | {chip.name}, here)
    alike = frozenset(each.name for each in switch.chips if each.role == "fabric")
    return Names(frozenset({chip.name}), here, sisters=alike if chip.role == "fabric" else _NOTHING)


def _link_names(kind: str, near: str, far: str, fabric: Fabric) -> Names:
    there, back = f"{near}{LINK_SEPARATOR}{far}", f"{far}{LINK_SEPARATOR}{near}"
    ends = frozenset({near, far})
    if kind == "wrong_route":
        # It is the near switch that chooses wrongly.
        return Names(frozenset({there, near}), frozenset({near}))
    exact = {there}
    if kind in ("link_down", "loop"):
        exact.add(back)
    if kind == "loop":
        # It is the far switch that sends back what it got.
        exact.add(far)
    if servers := ends & fabric.server_by_name.keys():
        exact |= {back, *servers}
    exact |= ends & fabric.prober_by_name.keys()
    return Names(frozenset(exact), ends, is_link=True)

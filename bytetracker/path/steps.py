"""The legs of a probe, step by step: what was seen, what was not, and where it went wrong.

What was not seen is known from the way that the same flow takes: where a copy is missing before the last
one, a mirror lost it; what comes after the last one, a lost packet never reached.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from bytetracker.path.probe import LEGS, Hop, Probe, Way

#: end: a Prober or server, which mirrors nothing. unseen: no copy, though later ones prove that it passed.
#: beyond: where it would have gone. break: not a node; the place where it went wrong.
Mark = Literal["end", "seen", "unseen", "beyond", "break"]


@dataclass(frozen=True, slots=True)
class Step:
    """One line of a drawing."""

    mark: Mark
    node: str  # empty for a break
    hop: Hop | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class LegSteps:
    """One leg from its beginning to where it ended."""

    leg: str
    steps: tuple[Step, ...]
    moved: Way | None = None  # the flow takes another way than this probe did


#: What a verdict says at the place where it went wrong.
_BROKEN = {
    "network_loss": "lost",
    "corrupted": "altered, then lost",
    "altered": "altered",
    "loop": "sent in circles",
    "unexpected_path": "sent astray",
    "unobserved": "lost before any switch saw it",
    "host_silent": "not answered",
}


def legs_of(probe: Probe, ways: Iterable[Way]) -> tuple[LegSteps, ...]:
    """The legs that the probe came to, in order."""
    known = {
        way.leg: way
        for way in ways
        if (way.prober, way.via, way.source_port) == (probe.prober, probe.via, probe.source_port)
    }
    reached = {hop.leg for hop in probe.hops} | {"encapsulated" if probe.via else "probe"}
    if probe.rtt_ns is not None or probe.fault_leg == "reply":
        reached.add("reply")
    # A leg that was reached had the ones before it, mirrored or not.
    last = max(LEGS.index(leg) for leg in reached)
    legs = [leg for leg in LEGS[: last + 1] if leg != "encapsulated" or probe.via]
    return tuple(_leg(probe, leg, known.get(leg), is_last=leg == legs[-1]) for leg in legs)


def _leg(probe: Probe, leg: str, way: Way | None, is_last: bool) -> LegSteps:
    start, end = _ends(probe, leg)
    hops = [hop for hop in probe.hops if hop.leg == leg]
    seen = [hop.switch for hop in hops]
    moved = way if way is not None and not _is_part(seen, way.switches) else None
    came_through = not is_last or (probe.rtt_ns is not None and leg == "reply")
    planned = way.switches if way is not None and moved is None else tuple(seen)
    steps = [Step("end", start), *_merged(hops, planned, came_through, _is_broken(probe, leg), end)]
    if came_through or (probe.verdict == "host_silent" and leg == "probe"):
        steps.append(Step("end", end))
    return LegSteps(leg, _with_break(probe, leg, steps), moved)


def _ends(probe: Probe, leg: str) -> tuple[str, str]:
    match leg:
        case "encapsulated":
            return probe.prober, probe.via
        case "probe":
            return probe.via or probe.prober, probe.target
    return probe.target, probe.prober


def _is_part(seen: list[str], way: tuple[str, ...]) -> bool:
    """Whether all that was seen lies on the way, in order."""
    rest = iter(way)
    return all(name in rest for name in seen)


def _is_broken(probe: Probe, leg: str) -> bool:
    return probe.fault_leg == leg and probe.verdict in _BROKEN


def _merged(
    hops: list[Hop], planned: tuple[str, ...], came_through: bool, broken: bool, end: str
) -> Iterable[Step]:
    """Hops and what the way has between and after them."""
    waiting = list(hops)
    for node in planned:
        if waiting and waiting[0].switch == node:
            yield Step("seen", node, waiting.pop(0))
        elif waiting or came_through:
            yield Step("unseen", node, note="no copy")
        else:
            yield Step("beyond", node, note="not reached" if broken else "not seen")
    if not came_through and planned and len(planned) > len(hops):
        yield Step("beyond", end, note="not reached" if broken else "not seen")


def _with_break(probe: Probe, leg: str, steps: list[Step]) -> tuple[Step, ...]:
    """With a line where it went wrong: behind the last step at which the probe was seen before it."""
    if not _is_broken(probe, leg):
        return tuple(steps)
    after = [
        at for at, step in enumerate(steps) if step.mark in ("seen", "end") and step.node == probe.last_seen
    ]
    at = after[-1] if after else max((n for n, step in enumerate(steps) if step.mark == "seen"), default=0)
    where = f" after {probe.last_seen}" if probe.last_seen else ""
    where += f", on the way to {probe.next_node}" if probe.next_node else ""
    return (*steps[: at + 1], Step("break", "", note=f"{_BROKEN[probe.verdict]}{where}"), *steps[at + 1 :])

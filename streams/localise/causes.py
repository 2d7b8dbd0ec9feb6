"""One fault per cause: which findings of a slot are one, and which open fault each belongs to.

Findings of one family of kinds that share an element have one cause. A cause belongs to the open faults of
its family with which it shares an element: the oldest takes it over, the others turn out to be part of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from streams.localise.finding import Finding, Kind

#: Kinds that one cause may show as; the others are families of their own.
_FAMILIES: dict[Kind, str] = {
    "network_loss": "network",
    "black_hole": "network",
    "loop": "network",
    "wrong_route": "network",
    "mirror_outage": "outage",
    "prober_outage": "outage",
    "source_silent": "outage",
}
#: Of findings of one cause the first of these says most about it.
_TELLING: tuple[Kind, ...] = (
    *("loop", "black_hole", "network_loss", "wrong_route"),
    *("mirror_outage", "prober_outage", "source_silent"),
)

SERVERS_MAX = 100
EXAMPLES_MAX = 5
BITS_MAX = 64


def family_of(kind: Kind) -> str:
    """The kinds that a fault may change between."""
    return _FAMILIES.get(kind, kind)


class Open(Protocol):
    """What is asked of an open fault. Of one family no two hold the same element in `where`."""

    @property
    def family(self) -> str: ...

    @property
    def where(self) -> Mapping[str, int]: ...

    @property
    def suspect(self) -> str: ...


@dataclass(slots=True)
class Assigned:
    """A cause, the position of the fault that takes it over (None: a new one), and of those that turned
    out to be part of that."""

    finding: Finding
    fault: int | None
    parts: list[int]


def causes_of(findings: Iterable[Finding]) -> list[Finding]:
    """Findings of a slot, those of one cause put together; in an order that is a function of their set."""
    groups: dict[tuple[str, str], list[Finding]] = {}
    for finding in sorted((_somewhere(finding) for finding in findings), key=_order):
        family = family_of(finding.kind)
        members = [finding]
        for name in finding.where:
            found = groups.get((family, name), members)
            if found is not members:
                members = found + [each for each in members if all(each is not known for known in found)]
        for each in members:
            for name in each.where:
                groups[family, name] = members
    distinct = {id(members): members for members in groups.values()}
    return sorted((_one(members) for members in distinct.values()), key=_order)


def assign(causes: Sequence[Finding], faults: Sequence[Open]) -> list[Assigned]:
    """Which of the open faults, oldest first, each cause belongs to; disjoint `causes` as `causes_of` gives.

    Where an open fault matches several causes it keeps one, the likest, and the others are new.
    """
    touching: dict[tuple[str, str], int] = {
        (family_of(cause.kind), name): number for number, cause in enumerate(causes) for name in cause.where
    }
    matches = [
        sorted({touching[key] for name in fault.where if (key := (fault.family, name)) in touching})
        for fault in faults
    ]
    claims: dict[int, int] = {}
    for numbers in matches:
        for number in numbers:
            claims[number] = claims.get(number, 0) + 1
    assigned = [Assigned(cause, None, []) for cause in causes]
    for position, fault in enumerate(faults):
        free = [number for number in matches[position] if assigned[number].fault is None]
        chosen = free or matches[position]
        if not chosen:
            continue
        ranks = [(*_likeness(causes[number], fault), -claims[number]) for number in chosen]
        best = chosen[ranks.index(max(ranks))]
        if free:
            assigned[best].fault = position
        else:
            assigned[best].parts.append(position)
    return assigned


def _likeness(cause: Finding, fault: Open) -> tuple[bool, int]:
    return cause.suspects[0][0] == fault.suspect, len(cause.where & fault.where.keys())


def _order(finding: Finding) -> tuple[object, ...]:
    """Equal only for equal findings."""
    bits = tuple((b.byte_offset, b.bit, b.to_one, b.to_zero) for b in finding.bits)
    return (
        *(family_of(finding.kind), finding.first_seen_us, min(finding.where), finding.kind),
        *(finding.suspects, finding.bad, finding.total, finding.last_seen_us, sorted(finding.where)),
        *(finding.direction, finding.servers, finding.examples, finding.legs, bits),
        *(finding.note, finding.flows),
    )


def _somewhere(finding: Finding) -> Finding:
    return finding if finding.where else replace(finding, where=frozenset({finding.suspects[0][0]}))


def _one(members: Sequence[Finding]) -> Finding:
    """The most telling of several findings, with what the others add to it."""
    if len(members) == 1:
        return members[0]
    members = sorted(members, key=_order)
    best = max(members, key=lambda f: (-_telling(f.kind), f.bad, f.suspects[0][1], _order(f)))
    rest = [best, *(f for f in members if f is not best)]
    return replace(
        best,
        where=frozenset().union(*(f.where for f in members)),
        first_seen_us=min(f.first_seen_us for f in members),
        last_seen_us=max(f.last_seen_us for f in members),
        servers=tuple(dict.fromkeys(s for f in rest for s in f.servers))[:SERVERS_MAX],
        examples=tuple(dict.fromkeys(e for f in rest for e in f.examples))[:EXAMPLES_MAX],
        legs=tuple(dict.fromkeys(leg for f in rest for leg in f.legs)),
    )


def _telling(kind: Kind) -> int:
    return _TELLING.index(kind) if kind in _TELLING else len(_TELLING)

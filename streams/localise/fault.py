"""What is kept of a fault while it is open and after it was resolved, and what its signs imply."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

from streams.localise.describe import SEVERITIES
from streams.localise.finding import Finding

#: Without a new sign for so much event time a fault is resolved; longer if its signs are rare.
RESOLVE_AFTER_US = 15_000_000
#: A fault whose signs are rare is resolved after so many times their usual distance.
GAPS_WITHOUT_SIGN = 5
#: Nor does it wait longer than this, however rare they are and however often it came back.
RESOLVE_AFTER_MAX_US = 600_000_000
#: An open fault is published again after so much event time if its numbers changed.
UPDATE_EVERY_US = 10_000_000
#: Lesser changes of its suspects are published no sooner after the event before.
UPDATE_SOONEST_US = 1_000_000
CONFIDENCE_STEP = 0.2
#: The suspects whose order and confidence matter.
SUSPECTS_TOLD = 3
#: An element belongs to a fault for so long after the last finding of it that named it.
WHERE_KEPT_US = 60_000_000


@dataclass(slots=True)
class OpenFault:
    """A fault that is not resolved. `where`: element -> when a finding named it last. `event`: what is known
    of it; `told`: what of that the last event said. Times are event time, us since 1970."""

    fault_id: str
    family: str
    version: int
    flaps: int
    where: dict[str, int]
    first_seen_us: int
    last_seen_us: int
    quiet_us: int
    event: dict[str, Any]
    published_us: int = 0
    told: dict[str, Any] = field(default_factory=dict)

    @property
    def suspect(self) -> str:
        name: str = self.event["suspects"][0]["element"]
        return name

    def hold(self, names: frozenset[str], now_us: int) -> None:
        """Take elements as its own; those that no finding has named for long are let go."""
        held = {**self.where, **dict.fromkeys(sorted(names), now_us)}
        self.where = {name: at for name, at in held.items() if now_us - at <= WHERE_KEPT_US}

    def tell(self, silenced: str, now_us: int) -> None:
        """Remember what an event says that goes out now."""
        self.version += 1
        self.published_us = now_us
        self.told = {
            **{name: self.event[name] for name in ("kind", "severity", "direction", "probes_bad")},
            "suspects": _first_suspects(self.event),
            "silenced": silenced,
        }

    def is_news(self, silenced: str, now_us: int) -> bool:
        """Whether what is known now is worth another event. The main suspect counts at once, lesser changes
        wait a moment, and numbers alone longer."""
        told, event, since_us = self.told, self.event, now_us - self.published_us
        if (
            event["kind"] != told["kind"]
            or self.suspect != told["suspects"][0][0]
            or (event["direction"] and not told["direction"])
            or SEVERITIES.index(event["severity"]) > SEVERITIES.index(told["severity"])
            or silenced != told["silenced"]
        ):
            return True
        if since_us < UPDATE_SOONEST_US:
            return False
        before, after = dict(told["suspects"]), dict(_first_suspects(event))
        return (
            list(before) != list(after)
            or any(abs(confidence - before[name]) > CONFIDENCE_STEP for name, confidence in after.items())
            or (since_us >= UPDATE_EVERY_US and event["probes_bad"] != told["probes_bad"])
        )


@dataclass(slots=True)
class ClosedFault:
    """What is remembered of a fault after it was resolved, in case it comes back."""

    fault_id: str
    family: str
    version: int
    flaps: int
    where: list[str]
    suspect: str
    first_seen_us: int
    last_seen_us: int
    resolved_us: int

    def is_back(self, finding: Finding) -> bool:
        """Whether a finding that shares an element is this fault, and not another one within what it had
        touched."""
        shared = len(finding.where.intersection(self.where))
        return finding.suspects[0][0] == self.suspect or 2 * shared >= max(
            len(finding.where), len(self.where)
        )


def quiet_us(finding: Finding, flaps: int) -> int:
    """How long there must be no sign until a fault is resolved: longer where signs are rare, twice as long
    each time it came back."""
    gap_us = (finding.last_seen_us - finding.first_seen_us) // max(1, finding.bad - 1)
    quiet = max(RESOLVE_AFTER_US, GAPS_WITHOUT_SIGN * gap_us if finding.bad else 0)
    return min(RESOLVE_AFTER_MAX_US, quiet << min(flaps, 10))


def as_values(fault: OpenFault | ClosedFault) -> dict[str, Any]:
    """Plain values that later steps do not change."""
    values = {each.name: getattr(fault, each.name) for each in fields(fault)}
    return {name: dict(value) if isinstance(value, dict) else value for name, value in values.items()}


def _first_suspects(event: dict[str, Any]) -> list[list[Any]]:
    return [[suspect["element"], suspect["confidence"]] for suspect in event["suspects"][:SUSPECTS_TOLD]]

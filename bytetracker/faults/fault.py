"""A fault at one moment, whether the store or the topic tells of it, and which ones are asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bytetracker.moments import us_since_1970
from fabric.model import Fabric
from fabric.within import within

#: Worst first.
SEVERITIES = ("critical", "warning", "info")


@dataclass(frozen=True, slots=True)
class Fault:
    """One event in the life of a fault; in a listing its newest one. Times are us since 1970."""

    fault_id: str
    version: int
    state: str  # open, updated, resolved
    kind: str
    severity: str
    suspects: tuple[tuple[str, float], ...]  # element and confidence, most likely first
    direction: str
    loss_rate: float | None
    loss_rate_low: float | None
    loss_rate_high: float | None
    probes_bad: int
    probes_total: int
    first_seen_us: int
    last_seen_us: int
    detected_at_us: int  # when the event was decided
    affected_servers: tuple[str, ...]
    silenced: str  # why nobody is to be alerted; empty: alert
    flaps: int
    part_of: str
    story: str

    @property
    def is_over(self) -> bool:
        return self.state == "resolved"

    @property
    def suspect(self) -> str:
        """The first one; empty if there is none."""
        return self.suspects[0][0] if self.suspects else ""

    def document(self) -> dict[str, Any]:
        """For JSON, as in the topic."""
        found = {name: getattr(self, name) for name in self.__dataclass_fields__}
        found["suspects"] = [{"element": name, "confidence": share} for name, share in self.suspects]
        found["affected_servers"] = list(self.affected_servers)
        return found


_SAME = tuple(
    name for name in Fault.__dataclass_fields__ if name not in ("suspects", "affected_servers")
)  # called alike in the topic


def fault_of_event(event: Mapping[str, Any]) -> Fault:
    """From a decoded message of the topic `faults`."""
    return Fault(
        **{name: event[name] for name in _SAME},
        suspects=tuple((s["element"], s["confidence"]) for s in event["suspects"]),
        affected_servers=tuple(event["affected_servers"]),
    )


def fault_of_row(row: Mapping[str, Any]) -> Fault:
    """From a row of the table fault_events."""
    times = {f"{name}_us": us_since_1970(row[name]) for name in ("first_seen", "last_seen", "detected_at")}
    same: dict[str, Any] = {name: row[name] for name in _SAME if name not in times} | times
    return Fault(
        **same,
        suspects=tuple(zip(row["suspects.element"], row["suspects.confidence"], strict=True)),
        affected_servers=tuple(row["affected_servers"]),
    )


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which faults are asked for; None and empty: all."""

    since_us: int | None = None  # those with a sign of life, or an event, since then
    state: str | None = None  # open (updated included), resolved
    kinds: frozenset[str] = frozenset()
    severity_min: str = "info"
    element: str | None = None
    fabric: Fabric | None = None  # knows what lies within the element; None: only the element itself

    def takes(self, fault: Fault) -> bool:
        """Whether a fault is one of those."""
        if self.since_us is not None and max(fault.last_seen_us, fault.detected_at_us) < self.since_us:
            return False
        if self.state is not None and fault.is_over != (self.state == "resolved"):
            return False
        if self.kinds and fault.kind not in self.kinds:
            return False
        if SEVERITIES.index(fault.severity) > SEVERITIES.index(self.severity_min):
            return False
        return self.element is None or self._concerns(fault)

    def _concerns(self, fault: Fault) -> bool:
        """A fault concerns what its suspects are and lie within, and the servers that it affects."""
        assert self.element is not None
        if self.element in fault.affected_servers:
            return True
        for name, _ in fault.suspects:
            if self.element == name or (self.fabric and self.element in within(self.fabric, name)):
                return True
        return False

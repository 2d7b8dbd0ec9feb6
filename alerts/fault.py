"""A fault as its newest event shows it, with what decides whether anybody is told of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

#: Least severe first, as in the schema.
SEVERITIES = ("info", "warning", "critical")
#: As the localiser names them.
KINDS = (
    *("network_loss", "black_hole", "alteration", "loop", "wrong_route", "host_silent"),
    *("mirror_outage", "prober_outage", "source_silent", "coverage_gap"),
)


@dataclass(frozen=True, slots=True)
class Fault:
    """One event of the topic `faults`. `event`: all of its fields; times are us since 1970."""

    fault_id: str
    version: int
    is_over: bool
    kind: str
    severity: str
    element: str  # the first suspect; empty: none
    silenced: str  # why nobody is to be alerted; empty: alert
    part_of: str  # the fault that it turned out to be part of; empty: none
    starts_at_us: int
    event: Mapping[str, Any]

    @property
    def ends_at_us(self) -> int:
        """When it ended, if it has: its last sign, which is never before its first."""
        return max(self.starts_at_us, int(self.event["last_seen_us"]))


def fault_of(event: Mapping[str, Any]) -> Fault:
    """The fault of a decoded event."""
    suspects = event["suspects"]
    return Fault(
        fault_id=event["fault_id"],
        version=event["version"],
        is_over=event["state"] == "resolved",
        kind=event["kind"],
        severity=event["severity"],
        element=suspects[0]["element"] if suspects else "",
        silenced=event["silenced"],
        part_of=event["part_of"],
        starts_at_us=event["first_seen_us"],
        event=MappingProxyType(dict(event)),
    )


@dataclass(frozen=True, slots=True)
class Rule:
    """Which faults a receiver is told of."""

    severity_min: str = "info"
    kinds: frozenset[str] = frozenset()  # empty: all

    def why_not(self, fault: Fault) -> str:
        """Why the receiver is not to believe that this fault is open: resolved, part_of, silenced, severity
        (below the least), kind (none of its own). Empty: it is to be told."""
        if fault.part_of:
            return "part_of"
        if fault.is_over:
            return "resolved"
        if fault.silenced:
            return "silenced"
        if SEVERITIES.index(fault.severity) < SEVERITIES.index(self.severity_min):
            return "severity"
        if self.kinds and fault.kind not in self.kinds:
            return "kind"
        return ""

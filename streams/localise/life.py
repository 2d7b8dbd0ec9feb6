"""The life of a fault: open, updated, resolved. One fault per cause.

A finding belongs to an open fault of its kind that shares an element with it; else it opens one.
Its identity is that of its first finding, so that a fault keeps its number while suspects change.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import asdict, dataclass, field
from typing import Any

from streams.localise.finding import Finding

#: Without a new sign for so much event time a fault is resolved.
RESOLVE_AFTER_US = 15_000_000
#: An open fault is published again after so much event time if its numbers changed.
UPDATE_EVERY_US = 10_000_000

_SEVERITY = {
    "network_loss": "critical",
    "alteration": "critical",
    "host_silent": "info",
    "source_silent": "warning",
}


@dataclass(slots=True)
class OpenFault:
    """A fault that is not resolved yet."""

    fault_id: str
    kind: str
    version: int
    where: list[str]
    first_seen_us: int
    last_seen_us: int
    published_us: int
    event: dict[str, Any]


@dataclass(slots=True)
class FaultLives:
    """Open faults, by identity. JSON-able."""

    open: list[OpenFault] = field(default_factory=list)

    def step(self, findings: list[Finding], now_us: int) -> list[dict[str, Any]]:
        """Records of the topic `faults` that the findings of a slot give; `now_us` is event time."""
        events: list[dict[str, Any]] = []
        for finding in findings:
            fault = self._match(finding)
            if fault is None:
                events.append(self._open(finding, now_us))
            else:
                events += self._update(fault, finding, now_us)
        for fault in [f for f in self.open if now_us - f.last_seen_us > RESOLVE_AFTER_US]:
            self.open.remove(fault)
            events.append(self._publish(fault, "resolved", now_us))
        return events

    def _match(self, finding: Finding) -> OpenFault | None:
        for fault in self.open:
            if fault.kind == finding.kind and finding.where & set(fault.where):
                return fault
        return None

    def _open(self, finding: Finding, now_us: int) -> dict[str, Any]:
        identity = f"{finding.kind}|{finding.suspects[0][0]}|{finding.first_seen_us}"
        fault = OpenFault(
            fault_id=hashlib.blake2b(identity.encode(), digest_size=8).hexdigest(),
            kind=finding.kind,
            version=0,
            where=sorted(finding.where),
            first_seen_us=finding.first_seen_us,
            last_seen_us=finding.last_seen_us,
            published_us=now_us,
            event=_describe(finding),
        )
        self.open.append(fault)
        return self._publish(fault, "open", now_us)

    def _update(self, fault: OpenFault, finding: Finding, now_us: int) -> list[dict[str, Any]]:
        sharper = finding.direction and not fault.event["direction"]
        fault.last_seen_us = max(fault.last_seen_us, finding.last_seen_us)
        fault.where = sorted({*fault.where, *finding.where})
        changed = finding.bad != fault.event["probes_bad"]
        if not sharper and not (changed and now_us - fault.published_us >= UPDATE_EVERY_US):
            return []
        if finding.direction or not fault.event["direction"]:
            fault.event = _describe(finding)
        return [self._publish(fault, "updated", now_us)]

    def _publish(self, fault: OpenFault, state: str, now_us: int) -> dict[str, Any]:
        fault.version += 1
        fault.published_us = now_us
        return {
            **fault.event,
            "fault_id": fault.fault_id,
            "version": fault.version,
            "state": state,
            "first_seen_us": fault.first_seen_us,
            "last_seen_us": fault.last_seen_us,
            "detected_at_us": now_us,
        }

    def snapshot(self) -> list[dict[str, Any]]:
        """Plain values."""
        return [asdict(fault) for fault in self.open]

    @classmethod
    def restore(cls, values: list[dict[str, Any]]) -> FaultLives:
        """Reverse of `snapshot`."""
        return cls([OpenFault(**value) for value in values])


def _describe(finding: Finding) -> dict[str, Any]:
    rate = low = high = None
    if finding.total:
        rate = finding.bad / finding.total
        low, high = wilson(finding.bad, finding.total)
    return {
        "kind": finding.kind,
        "severity": _SEVERITY.get(finding.kind, "warning"),
        "suspects": [{"element": e, "confidence": c} for e, c in finding.suspects],
        "direction": finding.direction,
        "loss_rate": rate,
        "loss_rate_low": low,
        "loss_rate_high": high,
        "probes_bad": finding.bad,
        "probes_total": finding.total,
        "affected_servers": list(finding.servers),
        "example_probes": [{"probe_id": p, "sent_at_us": s} for p, s in finding.examples],
        "story": _story(finding, rate),
    }


def _story(finding: Finding, rate: float | None) -> str:
    suspect = finding.suspects[0][0]
    share = "" if rate is None else f" ({rate:.1%} of those that crossed it)"
    match finding.kind:
        case "network_loss":
            return f"{finding.bad} probes were lost at {suspect}{share}."
        case "alteration":
            return f"{finding.bad} packets changed their content at {suspect}."
        case "host_silent":
            return f"{suspect} does not answer: its switch saw {finding.bad} probes go to it, and no reply."
        case "source_silent":
            return f"Nothing has come from {suspect} for 10 s; its probes or mirrors are missing."
        case _:
            return f"{finding.kind} at {suspect}{': ' + finding.note if finding.note else ''}."


def wilson(bad: int, total: int) -> tuple[float, float]:
    """95 % interval of a share. Source: Wilson, JASA 1927."""
    z = 1.959964
    share = bad / total
    centre = share + z * z / (2 * total)
    half = z * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    scale = 1 + z * z / total
    return max(0.0, (centre - half) / scale), min(1.0, (centre + half) / scale)

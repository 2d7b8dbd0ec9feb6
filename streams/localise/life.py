"""The life of a fault: open, updated, resolved; and open again if it comes back soon.

A cause (see streams.localise.causes) belongs to an open fault of its family that shares an element with
it; else to one that was resolved a moment ago, at the same place; else it is a new fault. A fault's identity
is that of its first finding, so that it keeps its number while suspects change.

Everything here is a function of the findings of each slot, of commands, and of event time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fabric.model import Fabric
from streams.localise.causes import Assigned, assign, causes_of, family_of
from streams.localise.describe import describe
from streams.localise.fault import ClosedFault, OpenFault, as_values, quiet_us
from streams.localise.finding import Finding
from streams.localise.silences import Silences
from streams.localise.story import over, part_of

#: A fault that comes back so soon after it was resolved is the same fault.
FLAP_WITHIN_US = 300_000_000
#: Open faults, and those of them that may be of severity `info`. Findings beyond are not reported until
#: others are resolved: the state of all has to fit into one message.
OPEN_MAX = 1_000
INFO_MAX = 500
#: Resolved faults that are remembered in case they come back.
CLOSED_MAX = 1_000


class FaultLives:
    """All faults that are open or were a moment ago, and silences. JSON-able through `snapshot`."""

    def __init__(self, fabric: Fabric) -> None:
        self.open: list[OpenFault] = []  # oldest first
        self.closed: list[ClosedFault] = []  # in the order in which they were resolved
        self.silences = Silences(fabric)
        self.refused = 0  # findings that were not reported because too many faults were open
        self._now_us = 0

    def apply(self, command: Mapping[str, Any]) -> None:
        """Do what a checked command says; what follows from it shows in the next step. Raises BadMessage."""
        self.silences.apply(command)

    def step(self, findings: Iterable[Finding], now_us: int) -> list[dict[str, Any]]:
        """Records of the topic `faults` that follow from all findings that hold in a slot; `now_us` is event
        time."""
        self._now_us = now_us = max(self._now_us, now_us)
        self.silences.expire(now_us)
        self.closed = [c for c in self.closed if now_us - c.resolved_us <= FLAP_WITHIN_US][-CLOSED_MAX:]
        events: list[dict[str, Any]] = []
        known = list(self.open)
        assigned = assign(causes_of(findings), known)
        for each in assigned:
            if each.fault is None:
                events += self._begin(each.finding)
            else:
                self._take(known[each.fault], each.finding)
                events += [self._absorb(known[part], known[each.fault]) for part in each.parts]
        _part_ways(assigned, known)
        for fault in list(self.open):
            if now_us - fault.last_seen_us > fault.quiet_us:
                events.append(self._resolve(fault))
            elif fault.is_news(self.silences.reason(fault.suspect, now_us), now_us):
                events.append(self._publish(fault, "updated"))
        return events

    def _begin(self, finding: Finding) -> list[dict[str, Any]]:
        """A fault that was not open: new, or one that is back. Nothing if the finding only repeats what is
        over, or if too many faults are open."""
        now_us, family = self._now_us, family_of(finding.kind)
        near = [c for c in self.closed if c.family == family and not finding.where.isdisjoint(c.where)]
        if now_us - finding.last_seen_us > quiet_us(finding, 0) or any(
            finding.last_seen_us <= c.last_seen_us for c in near
        ):
            return []
        event = describe(finding)
        info = sum(fault.event["severity"] == "info" for fault in self.open)
        if len(self.open) >= OPEN_MAX or (event["severity"] == "info" and info >= INFO_MAX):
            self.refused += 1
            return []
        back = next((c for c in reversed(near) if c.is_back(finding)), None)
        if back is not None:
            self.closed.remove(back)
        flaps = back.flaps + 1 if back else 0
        fault = OpenFault(
            fault_id=back.fault_id if back else self._identity(finding),
            family=family,
            version=back.version if back else 0,
            flaps=flaps,
            where=dict.fromkeys(sorted(finding.where), now_us),
            first_seen_us=back.first_seen_us if back else finding.first_seen_us,
            last_seen_us=finding.last_seen_us,
            quiet_us=quiet_us(finding, flaps),
            event=event,
        )
        self.open.append(fault)
        return [self._publish(fault, "open")]

    def _identity(self, finding: Finding) -> str:
        """Two faults that open at once differ in where they are."""
        parts = (
            finding.kind,
            finding.suspects[0][0],
            min(finding.where),
            finding.first_seen_us,
            self._now_us,
        )
        return hashlib.blake2b("|".join(map(str, parts)).encode(), digest_size=8).hexdigest()

    def _take(self, fault: OpenFault, finding: Finding) -> None:
        """A finding of an open fault."""
        fault.hold(finding.where, self._now_us)
        is_new = finding.last_seen_us > fault.last_seen_us
        # Signs that leave the detector's window one by one must not blur what they had shown.
        if is_new or finding.bad >= fault.event["probes_bad"]:
            fault.event = describe(finding)
        if is_new:
            fault.last_seen_us = finding.last_seen_us
            fault.quiet_us = quiet_us(finding, fault.flaps)

    def _resolve(self, fault: OpenFault) -> dict[str, Any]:
        self.open.remove(fault)
        told = over(fault.event["story"], (self._now_us - fault.last_seen_us) / 1e6)
        event = self._publish(fault, "resolved") | {"story": told}
        self.closed.append(
            ClosedFault(
                fault_id=fault.fault_id,
                family=fault.family,
                version=fault.version,
                flaps=fault.flaps,
                where=sorted(fault.where),
                suspect=fault.suspect,
                first_seen_us=fault.first_seen_us,
                last_seen_us=fault.last_seen_us,
                resolved_us=self._now_us,
            )
        )
        return event

    def _absorb(self, fault: OpenFault, whole: OpenFault) -> dict[str, Any]:
        """A fault that turned out to be part of another."""
        self.open.remove(fault)
        story = part_of(whole.suspect, whole.fault_id)
        return self._publish(fault, "resolved") | {"story": story, "part_of": whole.fault_id}

    def _publish(self, fault: OpenFault, state: str) -> dict[str, Any]:
        silenced = self.silences.reason(fault.suspect, self._now_us)
        fault.tell(silenced, self._now_us)
        return {
            **fault.event,
            "fault_id": fault.fault_id,
            "version": fault.version,
            "state": state,
            "first_seen_us": fault.first_seen_us,
            "last_seen_us": fault.last_seen_us,
            "detected_at_us": self._now_us,
            "silenced": silenced,
            "flaps": fault.flaps,
            "part_of": "",
        }

    def snapshot(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "open": [as_values(fault) for fault in self.open],
            "closed": [as_values(fault) for fault in self.closed],
            "silences": self.silences.snapshot(),
            "now_us": self._now_us,
        }

    @classmethod
    def restore(cls, fabric: Fabric, values: dict[str, Any]) -> FaultLives:
        """Reverse of `snapshot`."""
        lives = cls(fabric)
        lives.open = [OpenFault(**value) for value in values["open"]]
        lives.closed = [ClosedFault(**value) for value in values["closed"]]
        lives.silences = Silences.restore(fabric, values["silences"])
        lives._now_us = values["now_us"]
        return lives


def _part_ways(assigned: Sequence[Assigned], known: Sequence[OpenFault]) -> None:
    """What one cause holds now no other fault holds on to: of one family no two hold the same element."""
    takers: dict[tuple[str, str], int | None] = {
        (family_of(each.finding.kind), name): each.fault for each in assigned for name in each.finding.where
    }
    for number, fault in enumerate(known):
        fault.where = {
            name: at for name, at in fault.where.items() if takers.get((fault.family, name), number) == number
        }

"""What a receiver is told, and what it was told last."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from alerts.fault import Fault

Identity = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Told:
    """What a receiver was told of a fault last."""

    fault_id: str
    version: int
    offset: int  # of that event
    firing: bool
    identity: Identity  # labels that the receiver knows the alert by
    starts_at_us: int
    sure: bool = True  # False: it was about to be told, and may have been


@dataclass(frozen=True, slots=True)
class Message:
    """A fault is open, or is over, as far as a receiver is concerned."""

    fault: Fault
    offset: int  # of the event in the topic
    firing: bool
    reason: str  # why it is over, as Rule.why_not has it, or `forgotten`; empty while it fires
    identity: Identity
    starts_at_us: int
    ended: Told | None = None  # the alert that this one takes the place of, under other labels

    @property
    def status(self) -> str:
        return "firing" if self.firing else "resolved"

    @property
    def delivery_id(self) -> str:
        """The same for a message that is sent again: receivers may tell repeats by it."""
        return f"{self.fault.fault_id}-{self.fault.version}-{self.status}"

    def told(self, *, sure: bool = True) -> Told:
        """What the receiver was told once it has this."""
        return Told(
            self.fault.fault_id,
            self.fault.version,
            self.offset,
            self.firing,
            self.identity,
            self.starts_at_us,
            sure,
        )


def firing(fault: Fault, offset: int, identity: Identity, believed: Told | None) -> Message:
    """The fault is open. `believed`: the open alert that the receiver knows, or may know."""
    ended = believed if believed is not None and dict(believed.identity) != dict(identity) else None
    return Message(fault, offset, True, "", identity, fault.starts_at_us, ended)


def resolved(fault: Fault, offset: int, reason: str, believed: Told) -> Message:
    """What the receiver believes to be open is not, or not its concern any more."""
    return Message(fault, offset, False, reason, believed.identity, believed.starts_at_us)


def forgotten(told: Told) -> Message:
    """The receiver believes in a fault of which the topic holds nothing any more."""
    event: dict[str, Any] = {
        "fault_id": told.fault_id,
        "version": told.version,
        "state": "resolved",
        "kind": told.identity.get("kind", ""),
        "severity": told.identity.get("severity", "info"),
        "suspects": [],
        "direction": "",
        "loss_rate": None,
        "loss_rate_low": None,
        "loss_rate_high": None,
        "probes_bad": 0,
        "probes_total": 0,
        "first_seen_us": told.starts_at_us,
        "last_seen_us": told.starts_at_us,
        "detected_at_us": told.starts_at_us,
        "affected_servers": [],
        "example_probes": [],
        "story": "Nothing is known of this fault any more: the topic `faults` does not hold it.",
        "legs": [],
        "bits": [],
        "silenced": "",
        "flaps": 0,
        "part_of": "",
    }
    fault = Fault(
        fault_id=told.fault_id,
        version=told.version,
        is_over=True,
        kind=event["kind"],
        severity=event["severity"],
        element=told.identity.get("element", ""),
        silenced="",
        part_of="",
        starts_at_us=told.starts_at_us,
        event=event,
    )
    return resolved(fault, told.offset, "forgotten", told)

"""Events of a few faults of the fabric `demo`."""

from __future__ import annotations

from typing import Any

from bytetracker.faults.fault import Fault, fault_of_event
from tests.sinks.cookbook.records import fault

START_US = 1_773_000_000_000_000


def event(
    fault_id: str, version: int, state: str, suspect: str, after_s: float = 0, **changes: Any
) -> dict[str, Any]:
    """A loss whose last sign was `after_s` seconds after START_US."""
    at_us = START_US + int(after_s * 1e6)
    times = {"first_seen_us": START_US, "last_seen_us": at_us, "detected_at_us": at_us}
    return fault(fault_id, version, state, "network_loss", suspect, **times) | changes


LINK = event("a1", 1, "open", "leaf-1-1~spine-1", 2, loss_rate=0.3125, affected_servers=["server-1-1-1"])
LINK_LATER = LINK | {"version": 2, "state": "updated", "detected_at_us": START_US + 12_000_000}
SERVER = event("b2", 1, "open", "server-4-1-2", 5, kind="host_silent", severity="info")
SERVER_OVER = SERVER | {"version": 2, "state": "resolved", "detected_at_us": START_US + 40_000_000}
SILENCED = event(
    "c3", 1, "open", "spine-3/lc-1", 60, severity="warning", silenced="silence of spine-3: optics (by alice)"
)
EVENTS = [LINK, SERVER, LINK_LATER, SERVER_OVER, SILENCED]


def as_fault(value: dict[str, Any]) -> Fault:
    return fault_of_event(value)

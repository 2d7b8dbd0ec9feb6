"""Faults as their newest events show them. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from console.models import Bit, Fault, ProbeKey, Suspect

#: Resolved faults that are remembered; older ones are in the store.
RESOLVED_MAX = 2_000


class FaultsNow:
    """The newest event of each fault. One thread."""

    def __init__(self) -> None:
        self.by_id: dict[str, Fault] = {}
        self._opened_us: dict[str, int] = {}

    def take(self, event: dict[str, Any]) -> Fault | None:
        """An event of the topic `faults`; returns the fault if that is news."""
        fault_id = str(event["fault_id"])
        known = self.by_id.get(fault_id)
        if known is not None and known.version >= event["version"]:
            return None
        if event["version"] == 1:
            self._opened_us[fault_id] = event["detected_at_us"]
        # Compaction may have left only the newest event; its fault began when its first probe was hit.
        fault = fault_of_event(event, self._opened_us.get(fault_id, event["first_seen_us"]))
        self.by_id.pop(fault_id, None)
        self.by_id[fault_id] = fault
        if fault.state == "resolved":
            self._forget()
        return fault

    def open(self) -> list[Fault]:
        """Those that are not resolved, newest first."""
        return newest_first(fault for fault in self.by_id.values() if fault.state != "resolved")

    def _forget(self) -> None:
        resolved = [fault_id for fault_id, fault in self.by_id.items() if fault.state == "resolved"]
        for fault_id in resolved[:-RESOLVED_MAX]:
            del self.by_id[fault_id]
            self._opened_us.pop(fault_id, None)


def newest_first(faults: Iterable[Fault]) -> list[Fault]:
    return sorted(faults, key=lambda fault: (-fault.opened_at_us, fault.fault_id))


def fault_of_event(event: dict[str, Any], opened_at_us: int) -> Fault:
    """An event as the API tells it."""
    return Fault(
        **{
            **event,
            "suspects": [Suspect(**suspect) for suspect in event["suspects"]],
            "example_probes": [
                ProbeKey(probe_id=str(key["probe_id"]), sent_at_us=key["sent_at_us"])
                for key in event["example_probes"]
            ],
            "bits": [Bit(**bit) for bit in event["bits"]],
            "opened_at_us": opened_at_us,
            "resolved_at_us": event["detected_at_us"] if event["state"] == "resolved" else None,
        }
    )


def concerns(fault: Fault, element: str) -> bool:
    """Whether a suspect is the element, a part of it, or a link at it (from either end)."""
    return any(_is_at(suspect.element, element) for suspect in fault.suspects)


def _is_at(name: str, element: str) -> bool:
    if name == element or name.startswith((f"{element}/", f"{element}:")):
        return True
    near, found, far = name.partition("~")
    return bool(found) and (element in (near, far) or element == f"{far}~{near}")

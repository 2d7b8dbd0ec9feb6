"""Fault events put together by fault: what a method found, and when it said so."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from bytetracker.evaluate.pipeline import LoggedEvent


@dataclass(slots=True)
class Found:
    """One fault as a method tells it; events in the order of their log times."""

    fault_id: str
    events: list[LoggedEvent] = field(default_factory=list)

    @property
    def kind(self) -> str:
        """What it was taken for in the end: a loss may turn out to be a black hole."""
        return str(self.live[-1].event["kind"])

    @property
    def live(self) -> list[LoggedEvent]:
        """Events that claim something: open and updated ones."""
        return [each for each in self.events if each.event["state"] != "resolved"]

    @property
    def part_of(self) -> str:
        """The fault that this one turned out to be part of; empty: none."""
        return str(next((e.event["part_of"] for e in reversed(self.events) if e.event.get("part_of")), ""))

    def last_until(self, time_us: int) -> LoggedEvent:
        """The newest live event not later than that, else the first one."""
        live = self.live
        return next((each for each in reversed(live) if each.log_us <= time_us), live[0])


def top(event: dict[str, Any]) -> str:
    """The first suspect."""
    return str(event["suspects"][0]["element"]) if event["suspects"] else ""


def top_tie(event: dict[str, Any]) -> frozenset[str]:
    """All suspects that are as likely as the first."""
    suspects = event["suspects"]
    if not suspects:
        return frozenset()
    best = suspects[0]["confidence"]
    return frozenset(s["element"] for s in suspects if s["confidence"] >= best - 1e-9)


def group_events(events: Iterable[LoggedEvent]) -> list[Found]:
    """Faults in the order in which they were opened."""
    found: dict[str, Found] = {}
    for each in events:
        fault_id = each.event["fault_id"]
        found.setdefault(fault_id, Found(fault_id)).events.append(each)
    return [each for each in found.values() if each.live]

"""Other methods, run on the same data, so that there is something to compare with."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, Protocol

from bytetracker.evaluate.pipeline import LoggedEvent
from fabric.model import Fabric
from schemas.framing import SingleObject
from streams.localise.align import SlotAlignment
from streams.localise.finding import Finding
from streams.localise.marks import Marks
from streams.localise.reading import read

OURS = "bytetracker"

#: A fault that is not said again for so much event time is over.
FORGOTTEN_AFTER_US = 15_000_000


class Method(Protocol):
    """Something that finds faults. `events`: what it has said so far, as records of the topic `faults`
    with their log times."""

    name: str
    events: list[LoggedEvent]

    def read(self, offset: int, timestamp_ms: int, value: bytes) -> None:
        """The next message of `link-evidence`."""


@dataclass(slots=True)
class _Open:
    fault_id: str
    kind: str
    where: set[str]
    top: str
    seen_us: int


class PlainLives:
    """The least life that makes findings into faults: same kind and a common element is the same fault."""

    def __init__(self) -> None:
        self._open: list[_Open] = []
        self._count = 0

    def step(self, findings: list[Finding], now_us: int) -> list[dict[str, Any]]:
        """Records for what is new: a fault, or another first suspect of a known one."""
        self._open = [each for each in self._open if now_us - each.seen_us <= FORGOTTEN_AFTER_US]
        events = []
        for finding in findings:
            name = finding.suspects[0][0]
            known = next((o for o in self._open if o.kind == finding.kind and o.where & finding.where), None)
            if known is None:
                self._count += 1
                fault_id = hashlib.blake2b(f"{finding.kind}{self._count}".encode(), digest_size=8).hexdigest()
                self._open.append(_Open(fault_id, finding.kind, set(finding.where), name, now_us))
                events.append(_record(fault_id, "open", finding, now_us))
                continue
            known.seen_us = now_us
            known.where |= finding.where
            if known.top != name:
                known.top = name
                events.append(_record(known.fault_id, "updated", finding, now_us))
        return events


class MarksMethod:
    """The published rule: 5 marks within 10 s. See streams.localise.marks."""

    name = "5 marks"

    def __init__(self, fabric: Fabric, partitions: int) -> None:
        self.events: list[LoggedEvent] = []
        self._marks = Marks(fabric)
        self._align = SlotAlignment(partitions)
        self._partitions = partitions
        self._lives = PlainLives()

    def read(self, offset: int, timestamp_ms: int, value: bytes) -> None:
        head, rows = read(value, timestamp_ms, self._partitions, SingleObject())
        self._align.offer(head, rows, timestamp_ms)
        for slot in self._align.complete():
            records = self._lives.step(self._marks.add(slot), slot.decided_at_us)
            self.events += [LoggedEvent(timestamp_ms * 1_000, record) for record in records]


def _record(fault_id: str, state: str, finding: Finding, now_us: int) -> dict[str, Any]:
    return {
        "fault_id": fault_id,
        "state": state,
        "kind": finding.kind,
        "suspects": [{"element": e, "confidence": c} for e, c in finding.suspects],
        "detected_at_us": now_us,
    }

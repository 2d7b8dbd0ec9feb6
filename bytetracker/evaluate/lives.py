"""The least life that turns what a method says again and again into faults with a beginning."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from bytetracker.evaluate.pipeline import LoggedEvent

#: A fault that is not said again for so much time is over; the next one is another.
FORGOTTEN_AFTER_US = 15_000_000


@dataclass(frozen=True, slots=True)
class Claim:
    """What a method holds to be wrong now. `where`: names that make it the same as an earlier one."""

    kind: str
    suspects: Sequence[tuple[str, float]]
    where: frozenset[str]


@dataclass(slots=True)
class _Open:
    fault_id: str
    kind: str
    where: frozenset[str]
    top: str
    said_us: int


class PlainLives:
    """Same kind and a common name: the same fault. `forget_us`: see FORGOTTEN_AFTER_US."""

    def __init__(self, forget_us: int = FORGOTTEN_AFTER_US) -> None:
        self._open: list[_Open] = []
        self._forget_us = forget_us
        self._count = 0

    def step(self, claims: Iterable[Claim], log_us: int) -> list[LoggedEvent]:
        """Events for what is new: a fault, or another first suspect of a known one."""
        self._open = [each for each in self._open if log_us - each.said_us <= self._forget_us]
        events = []
        for claim in claims:
            top = claim.suspects[0][0]
            known = next((o for o in self._open if o.kind == claim.kind and o.where & claim.where), None)
            if known is None:
                self._count += 1
                known = _Open(str(self._count), claim.kind, claim.where, top, log_us)
                self._open.append(known)
                events.append(_event(known, "open", claim, log_us))
            elif known.top != top:
                known.top = top
                events.append(_event(known, "updated", claim, log_us))
            known.said_us = log_us
            known.where |= claim.where
        return events


def _event(fault: _Open, state: str, claim: Claim, log_us: int) -> LoggedEvent:
    record: dict[str, Any] = {
        "fault_id": fault.fault_id,
        "state": state,
        "kind": claim.kind,
        "suspects": [{"element": e, "confidence": c} for e, c in claim.suspects],
        "detected_at_us": log_us,
    }
    return LoggedEvent(log_us, record)

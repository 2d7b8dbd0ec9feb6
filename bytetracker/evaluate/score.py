"""Faults that a method found against the causes that were injected, by the rules of docs/evaluation.md."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bytetracker.evaluate.events import Found, top, top_tie
from bytetracker.evaluate.pipeline import LoggedEvent
from bytetracker.evaluate.rules import NETWORK_KINDS
from bytetracker.evaluate.tally import FaultTally, harmed, nth_us
from bytetracker.evaluate.truth import Cause

#: What is said so long after a fault ended may still be about it: its last probes close that much later.
GRACE_US = 2_000_000
#: Kinds of events that tell of the probing and claim no fault.
NO_CLAIMS = frozenset({"coverage_gap"})
IPV4_HEADER_BYTES = 20


@dataclass(frozen=True, slots=True)
class CauseScore:
    """One cause, as one method saw it. Times are None if it was not found."""

    cause: Cause
    observable: bool
    found: Found | None
    correct_link: bool  # by the last event before it ended
    correct_switch: bool
    first_correct_link: bool  # by the first event that was right at switch level
    correct_bits: bool | None  # of flips of known bits: whether all bits named are among them
    onset_to_fault_ms: float | None  # from its injection
    first_hit_to_fault_ms: float | None  # from the first probe that it hit
    fifth_loss_to_fault_ms: float | None  # from the fifth; of alterations from the second


@dataclass(frozen=True, slots=True)
class Score:
    """All causes of a scenario, and what was found besides.

    extra: further faults about a cause that another one is matched to. false: faults about nothing. suspects:
    confidence of every suspect of network faults in the end, and whether it was the cause.
    """

    causes: tuple[CauseScore, ...]
    extra: tuple[Found, ...]
    false: tuple[Found, ...]
    suspects: tuple[tuple[float, bool], ...]


def score(causes: Sequence[Cause], tallies: Sequence[FaultTally], found: Sequence[Found]) -> Score:
    """tallies: of each cause. found: see bytetracker.evaluate.events.group_events."""
    claims = [f for f in found if f.kind not in NO_CLAIMS]
    matched = _match(causes, claims)
    cause_of = {id(fault): next(c for c in causes if c.number == n) for n, fault in matched.items()}
    rest = [f for f in claims if id(f) not in cause_of]
    about = [[c for c in causes if _events_about(c, f)] for f in rest]
    return Score(
        causes=tuple(_cause_score(c, t, matched.get(c.number)) for c, t in zip(causes, tallies, strict=True)),
        extra=tuple(
            f for f, near in zip(rest, about, strict=True) if any(f.kind in c.rule.families for c in near)
        ),
        false=tuple(f for f, near in zip(rest, about, strict=True) if not near),
        suspects=tuple(
            pair
            for f in claims
            if f.kind in NETWORK_KINDS and not f.part_of
            for pair in _suspects(f, cause_of.get(id(f)))
        ),
    )


def _in_time(cause: Cause, logged: LoggedEvent) -> bool:
    return cause.start_us <= logged.log_us <= cause.end_us + GRACE_US


def _events_right(cause: Cause, fault: Found) -> list[LoggedEvent]:
    """Events of a fault that are right about a cause at switch level."""
    return [e for e in fault.live if _in_time(cause, e) and cause.fits(e.event["kind"], top(e.event))]


def _events_about(cause: Cause, fault: Found) -> list[LoggedEvent]:
    return [e for e in fault.live if _in_time(cause, e) and cause.is_about(e.event["kind"], top(e.event))]


def is_exact(cause: Cause, logged: LoggedEvent) -> bool:
    """At link or chip level."""
    names = cause.names
    if top(logged.event) in names.exact:
        return True
    tie = top_tie(logged.event)
    return bool(names.sisters) and bool(tie & names.exact) and tie <= names.sisters


def _match(causes: Sequence[Cause], found: Sequence[Found]) -> dict[int, Found]:
    """One fault for each cause at most, and the reverse: as many as can be, first those that are exact in
    the end, then those at the right switch in the end, then those that once were."""
    ranks: dict[int, list[tuple[int, Found]]] = {}
    for cause in causes:
        for fault in found:
            if _events_right(cause, fault):
                last = fault.last_until(cause.end_us + GRACE_US)
                rank = 2 - is_exact(cause, last) - cause.fits(last.event["kind"], top(last.event))
                ranks.setdefault(cause.number, []).append((rank, fault))
    owner: dict[int, int] = {}  # id of the fault -> number of the cause
    by_id = {id(f): f for f in found}

    def place(number: int, rank_max: int, tried: set[int]) -> bool:
        for rank, fault in sorted(ranks.get(number, []), key=lambda pair: pair[0]):
            if rank > rank_max or id(fault) in tried:
                continue
            tried.add(id(fault))
            if id(fault) not in owner or place(owner[id(fault)], rank_max, tried):
                owner[id(fault)] = number
                return True
        return False

    for rank_max in range(3):
        for cause in causes:
            if cause.number not in owner.values():
                place(cause.number, rank_max, set())
    return {number: by_id[fault] for fault, number in owner.items()}


def _cause_score(cause: Cause, tally: FaultTally, fault: Found | None) -> CauseScore:
    needed = cause.rule.hits
    observable = cause.rule.expected == "yes" and harmed(tally) >= needed
    if fault is None:
        return CauseScore(cause, observable, None, False, False, False, None, None, None, None)
    last, first = fault.last_until(cause.end_us + GRACE_US), _events_right(cause, fault)[0]
    right = cause.fits(last.event["kind"], top(last.event))

    def since(time_us: int | None) -> float | None:
        return None if time_us is None else (first.log_us - time_us) / 1_000

    return CauseScore(
        cause,
        observable,
        fault,
        correct_link=right and is_exact(cause, last),
        correct_switch=right,
        first_correct_link=is_exact(cause, first),
        correct_bits=_bits_right(cause, last),
        onset_to_fault_ms=since(cause.start_us),
        first_hit_to_fault_ms=since(nth_us(tally, 1)),
        fifth_loss_to_fault_ms=since(nth_us(tally, needed)) if cause.rule.costs_probes else None,
    )


def _bits_right(cause: Cause, logged: LoggedEvent) -> bool | None:
    """Of a flip with a known offset, seen by a method that names bits: all that it names are of that byte
    and mask, and it names one."""
    params = cause.spec.params
    if "offset" not in params or "bits" not in logged.event:
        return None
    byte = IPV4_HEADER_BYTES + int(params["offset"])
    mask = int(params.get("mask", 0xFF))
    named = [(bit["byte_offset"], bit["bit"]) for bit in logged.event["bits"]]
    return bool(named) and all(offset == byte and mask >> bit & 1 for offset, bit in named)


def _suspects(fault: Found, cause: Cause | None) -> list[tuple[float, bool]]:
    """Names of one and the same answer count as one suspect."""
    last = fault.live[-1] if cause is None else fault.last_until(cause.end_us + GRACE_US)
    exact = cause.names.exact if cause is not None else frozenset()
    suspects = [(str(s["element"]), float(s["confidence"])) for s in last.event["suspects"]]
    right = sum(confidence for element, confidence in suspects if element in exact)
    wrong = [(confidence, False) for element, confidence in suspects if element not in exact]
    return ([(min(1.0, right), True)] if right else []) + wrong

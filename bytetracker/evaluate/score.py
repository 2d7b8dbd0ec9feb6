"""Faults that a method found against the causes that were injected, by the rules of docs/evaluation.md."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bytetracker.evaluate.events import Found, top, top_tie
from bytetracker.evaluate.pipeline import LoggedEvent
from bytetracker.evaluate.tally import Tally
from bytetracker.evaluate.truth import NETWORK_KINDS, Cause

#: What is said so long after a fault ended may still be about it: its last probes close that much later.
GRACE_US = 2_000_000
#: Kinds of events that tell of the probing and claim no fault.
NO_CLAIMS = frozenset({"coverage_gap"})


@dataclass(frozen=True, slots=True)
class CauseScore:
    """One cause, as one method saw it. Times are None if it was not found."""

    cause: Cause
    observable: bool
    found: Found | None
    correct_link: bool  # by the last event before it ended
    correct_switch: bool
    first_correct_link: bool  # by the first event that was about it
    onset_to_fault_ms: float | None  # from its injection
    first_hit_to_fault_ms: float | None  # from the first probe that it hit
    fifth_loss_to_fault_ms: float | None  # from the fifth; of alterations from the second


@dataclass(frozen=True, slots=True)
class Score:
    """All causes of a scenario, and what was found besides. `extra`: further faults about a cause that
    another one is matched to. `false`: faults about nothing. `suspects`: confidence of every suspect of
    network faults at the end, and whether it was the cause."""

    causes: tuple[CauseScore, ...]
    extra: tuple[Found, ...]
    false: tuple[Found, ...]
    suspects: tuple[tuple[float, bool], ...]


def score(causes: Sequence[Cause], tallies: Sequence[Tally], found: Sequence[Found]) -> Score:
    """tallies: of each cause. found: see bytetracker.evaluate.events.group_events."""
    claims = [f for f in found if f.kind not in NO_CLAIMS]
    matched = _match(causes, claims)
    taken = {id(fault) for fault in matched.values()}
    rest = [f for f in claims if id(f) not in taken]
    about = [any(_fit(cause, f) for cause in causes) for f in rest]
    scores = [_cause_score(c, t, matched.get(c.number)) for c, t in zip(causes, tallies, strict=True)]
    cause_of = {id(fault): next(c for c in causes if c.number == n) for n, fault in matched.items()}
    return Score(
        causes=tuple(scores),
        extra=tuple(f for f, fits in zip(rest, about, strict=True) if fits),
        false=tuple(f for f, fits in zip(rest, about, strict=True) if not fits),
        suspects=tuple(
            pair
            for f in claims
            if f.kind in NETWORK_KINDS and not f.part_of
            for pair in _suspects(f, cause_of.get(id(f)))
        ),
    )


def _fit(cause: Cause, fault: Found) -> list[LoggedEvent]:
    """Events of a fault that are about a cause."""
    return [
        each
        for each in fault.live
        if cause.start_us <= each.log_us <= cause.end_us + GRACE_US
        and cause.fits(each.event["kind"], top(each.event))
    ]


def is_exact(cause: Cause, logged: LoggedEvent) -> bool:
    """At link or chip level."""
    if top(logged.event) in cause.exact:
        return True
    tie = top_tie(logged.event)
    return bool(cause.sisters) and bool(tie & cause.exact) and tie <= cause.sisters


def _match(causes: Sequence[Cause], found: Sequence[Found]) -> dict[int, Found]:
    """One fault for each cause at most, and the reverse: as many as can be, first those that are exact in
    the end, then those at the right switch in the end, then those that once were."""
    ranks: dict[int, list[tuple[int, Found]]] = {}
    for cause in causes:
        for fault in found:
            if _fit(cause, fault):
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


def _cause_score(cause: Cause, tally: Tally, fault: Found | None) -> CauseScore:
    needed = cause.rule.hits
    observable = cause.rule.expected == "yes" and tally.hit >= needed
    if fault is None:
        return CauseScore(cause, observable, None, False, False, False, None, None, None)
    last, first = fault.last_until(cause.end_us + GRACE_US), _fit(cause, fault)[0]
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
        onset_to_fault_ms=since(cause.start_us),
        first_hit_to_fault_ms=since(tally.nth_us(1)),
        fifth_loss_to_fault_ms=since(tally.nth_us(needed)) if needed else None,
    )


def _suspects(fault: Found, cause: Cause | None) -> list[tuple[float, bool]]:
    last = fault.live[-1] if cause is None else fault.last_until(cause.end_us + GRACE_US)
    return [
        (float(s["confidence"]), cause is not None and s["element"] in cause.exact)
        for s in last.event["suspects"]
    ]

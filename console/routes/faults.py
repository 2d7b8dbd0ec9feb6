"""Faults: open ones from the topic, past ones from the store."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query

from console.context import Console
from console.errors import Away, NoSuchThing
from console.live.faults import concerns
from console.models import Evidence, Fault, FaultPage, Faults
from console.queries.faults import Wanted, ask_events, ask_evidence, ask_faults, ask_parts
from console.queries.probes import ask_examples

_KEEP_S = 1.0
LISTED_MAX = 1_000

State = Literal["", "open", "resolved", "all"]
Severity = Literal["", "info", "warning", "critical"]


def fault_routes(console: Console) -> APIRouter:
    router = APIRouter(prefix="/faults", tags=["faults"])

    @router.get("")
    def faults(
        state: State = "",
        kind: str = "",
        severity: Severity = "",
        element: str = "",
        since_us: Annotated[int, Query(ge=0)] = 0,
        until_us: Annotated[int | None, Query(ge=0)] = None,
        limit: Annotated[int, Query(ge=1, le=LISTED_MAX)] = 100,
    ) -> Faults:
        """Newest first. `element`: at it, at a part of it, or at a link of it. Times: those with a sign of
        life between them. Open ones are known without the store."""
        wanted = Wanted(
            state="" if state == "all" else state,
            kind=kind,
            severity=severity,
            element=element,
            since_us=since_us,
            **({} if until_us is None else {"until_us": until_us}),
            limit=limit,
        )
        if state == "open" and console.live is not None and console.live.broker and console.live.complete:
            found = [fault for fault in console.live.open_faults() if _fits(fault, wanted)]
            return Faults(faults=found[:limit], total=len(found))
        stored, total = console.moments.get(
            ("faults", wanted), _KEEP_S, lambda: ask_faults(console.ask, wanted)
        )
        return Faults(faults=[_newer(console, fault) for fault in stored], total=total)

    @router.get("/{fault_id}")
    def fault(fault_id: str) -> FaultPage:
        """One fault, its life, and what to look at."""
        return fault_page(console, fault_id)

    @router.get("/{fault_id}/evidence")
    def evidence(fault_id: str) -> Evidence:
        """What happened at its suspects, step by step."""
        newest = _newest(console, fault_id)
        return console.moments.get(
            ("evidence", fault_id, newest.version), 2 * _KEEP_S, lambda: ask_evidence(console.ask, newest)
        )

    return router


def fault_page(console: Console, fault_id: str) -> FaultPage:
    """From the store, with what the topic knows already. Raises NoSuchThing, Away."""
    live = console.live.fault(fault_id) if console.live is not None else None
    try:
        events = ask_events(console.ask, fault_id)
        parts = ask_parts(console.ask, fault_id)
    except Away:
        if live is None:
            raise
        return FaultPage(fault=live, events=[live], parts=[], bits=live.bits, examples=[])
    if live is not None and (not events or live.version > events[-1].version):
        opened_us = events[0].opened_at_us if events else live.opened_at_us
        events.append(live.model_copy(update={"opened_at_us": opened_us}))
    if not events:
        raise NoSuchThing(f"there is no fault {fault_id!r}")
    # Later events may carry fewer examples; all that were ever named are of interest.
    keys = {(key.probe_id, key.sent_at_us): key for event in events for key in event.example_probes}
    return FaultPage(
        fault=events[-1],
        events=events,
        parts=parts,
        bits=events[-1].bits,
        examples=ask_examples(console.ask, list(keys.values())[-20:]),
    )


def _newest(console: Console, fault_id: str) -> Fault:
    live = console.live.fault(fault_id) if console.live is not None else None
    if live is not None:
        return live
    events = ask_events(console.ask, fault_id)
    if not events:
        raise NoSuchThing(f"there is no fault {fault_id!r}")
    return events[-1]


def _newer(console: Console, fault: Fault) -> Fault:
    """The fault as the topic shows it, where that is ahead of the store."""
    live = console.live.fault(fault.fault_id) if console.live is not None else None
    if live is None or live.version <= fault.version:
        return fault
    return live.model_copy(update={"opened_at_us": fault.opened_at_us})


def _fits(fault: Fault, wanted: Wanted) -> bool:
    return (
        wanted.kind in ("", fault.kind)
        and wanted.severity in ("", fault.severity)
        and (not wanted.element or concerns(fault, wanted.element))
        and fault.last_seen_us >= wanted.since_us
        and fault.first_seen_us < wanted.until_us
    )

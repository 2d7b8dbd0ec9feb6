"""What is so now: overview, links, events; and the fabric itself."""

from __future__ import annotations

import gzip
import hashlib
import json
from typing import Annotated

import numpy as np
from fastapi import APIRouter, Header, Request
from fastapi.responses import Response

from console.context import Console
from console.errors import Away, Busy
from console.live.stream import EventStream
from console.live.window import links_now
from console.models import Found, LinksNow, Overview, SwitchDetail, WholeFabric
from console.queries.faults import Wanted, ask_faults
from console.queries.health import ask_links, ask_newest_us

#: Answers from the store are kept for so long.
_KEEP_S = 2.0
_STALE_S = 10.0


def now_routes(console: Console) -> APIRouter:
    router = APIRouter(tags=["now"])
    whole = _Whole(console)

    @router.get("/overview")
    def overview(request: Request) -> Overview:
        """The state of everything in a few numbers. Answered whatever else is away."""
        return make_overview(console, request.state.user)

    @router.get("/fabric", response_model=WholeFabric)
    def fabric(request: Request) -> Response:
        """Switches and cables by number; the same until another inventory is loaded."""
        return whole.answer(request)

    @router.get("/fabric/switches/{name}")
    def switch(name: str) -> SwitchDetail:
        """One switch."""
        return console.layout.switch(name)

    @router.get("/links/now")
    def links() -> LinksNow:
        """Which links are crossed, and which lose or alter something, in the last seconds."""
        return current_links(console)

    @router.get(
        "/events",
        response_class=Response,
        responses={200: {"description": "server-sent events", "content": {"text/event-stream": {}}}},
    )
    async def events(last_event_id: Annotated[str | None, Header()] = None) -> Response:
        """`hello`, then `fault`, `links` and `clock` as they come. With `Last-Event-ID` faults that were
        missed come first, as far as they are remembered; whoever was away longer asks for `faults`
        again."""
        last = int(last_event_id) if last_event_id and last_event_id.isdecimal() else None
        listener = console.hub.listen(last)
        if listener is None:
            raise Busy(
                f"{console.hub.listeners} pages listen already; close one, or raise console.listeners_max"
            )
        return EventStream(console.hub, listener, json.dumps({"number": console.hub.number}))

    @router.get("/search")
    def search(q: str = "") -> list[Found]:
        """Elements whose name begins with or contains it, at most 20."""
        return console.search(q)

    return router


class _Whole:
    """The fabric as bytes, made once."""

    def __init__(self, console: Console) -> None:
        self._plain = console.layout.whole.model_dump_json().encode()
        self._packed = gzip.compress(self._plain, 6, mtime=0)
        self._tag = f'"{hashlib.sha256(self._plain).hexdigest()[:20]}"'

    def answer(self, request: Request) -> Response:
        headers = {"ETag": self._tag, "Vary": "Accept-Encoding"}
        if request.headers.get("if-none-match") == self._tag:
            return Response(status_code=304, headers=headers)
        if "gzip" in request.headers.get("accept-encoding", ""):
            return Response(
                self._packed, headers={**headers, "Content-Encoding": "gzip"}, media_type="application/json"
            )
        return Response(self._plain, headers=headers, media_type="application/json")


def make_overview(console: Console, user: str) -> Overview:
    fabric, live = console.fabric, console.live
    pace = live.pace() if live is not None else None
    now_us = pace.now_us if pace is not None else 0
    try:
        if not now_us and console.reader is not None:
            now_us = console.moments.get("newest", _KEEP_S, lambda: ask_newest_us(console.ask))
        elif console.reader is not None:
            console.moments.get("store", 5.0, lambda: console.ask("SELECT 1", {}), _STALE_S)
    except Away:
        pass  # `store_advice` says so
    faults = _open_faults(console)
    by_severity = dict.fromkeys(("critical", "warning", "info"), 0)
    for severity, silenced in faults:
        by_severity[severity] += not silenced
    return Overview(
        name=fabric.name,
        switches=len(fabric.switches),
        servers=len(fabric.servers),
        probers=len(fabric.probers),
        now_us=now_us,
        lag_us=pace.lag_us if pace is not None else 0,
        probes_per_s=round(pace.probes_per_s, 1) if pace is not None else 0.0,
        loss_rate=pace.loss_rate if pace is not None else 0.0,
        silent_rate=pace.silent_rate if pace is not None else 0.0,
        coverage_share=_coverage_share(console),
        faults=by_severity,
        silenced=sum(silenced for _, silenced in faults),
        broker=live is not None and live.broker,
        store=console.reader is not None and not console.store_advice,
        broker_advice=live.advice
        if live is not None
        else "this console shows a finished run, without a broker",
        store_advice=console.store_advice if console.reader is not None else "there is no store",
        read_only=console.settings.read_only or console.silencing is None,
        user=user,
    )


def _open_faults(console: Console) -> list[tuple[str, bool]]:
    """(severity, whether it is silenced) of each."""
    if console.live is not None and console.live.complete:
        found = console.live.open_faults()
    elif console.reader is None or console.store_advice:
        found = []
    else:
        try:
            wanted = Wanted(state="open", limit=1_000)
            found, _ = console.moments.get("open faults", _KEEP_S, lambda: ask_faults(console.ask, wanted))
        except Away:
            found = []
    return [(fault.severity, bool(fault.silenced)) for fault in found]


def _coverage_share(console: Console) -> float | None:
    report = console.live.coverage() if console.live is not None else None
    for each in report["classes"] if report is not None else ():
        if each["element_class"] == "link" and each["crossable"]:
            return float(each["seen"] / each["crossable"])
    return None


def current_links(console: Console) -> LinksNow:
    """From the topic; of a finished run the end of it, from the store."""
    live = console.live
    if live is not None and (live.broker or live.links().at_us or console.reader is None):
        return live.links()
    return console.moments.get("last links", 5.0, lambda: _stored_links(console))


def _stored_links(console: Console) -> LinksNow:
    window_us = console.settings.links_window_ms * 1_000
    end_us = ask_newest_us(console.ask)
    layout = console.layout
    sums = np.zeros((2 * layout.cables, 4), dtype=np.int64)
    names = console.fabric.index.fabric.switch_by_name
    for near, far, *counts in ask_links(console.ask, end_us - window_us, end_us):
        if near in names and far in names:
            nodes = (np.array([names[name].node], dtype=np.int32) for name in (near, far))
            (direction,) = layout.direction_of(*nodes)
            if direction >= 0:
                sums[direction] += counts
    return links_now(sums, end_us, window_us)

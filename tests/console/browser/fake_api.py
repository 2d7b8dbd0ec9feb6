"""Serves a FakeWorld and the real page, on a loopback port, in a thread."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any

import uvicorn
from fastapi import APIRouter, Body, FastAPI, HTTPException, Request
from fastapi.responses import FileResponse, JSONResponse, Response, StreamingResponse
from fastapi.staticfiles import StaticFiles

import console
from tests.console.browser.fake_world import NOW_US, FakeWorld

STATIC = Path(console.__file__).parent / "static"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
START_TIMEOUT_S = 10.0
API = "/api/v1"
#: What is answered from topics and the inventory alone, store or not.
WITHOUT_STORE = ("/overview", "/fabric", "/links/now", "/events", "/login")

Given = Annotated[dict[str, Any], Body()]


class FakeConsole:
    """A context manager; has `url`. What the world holds may change while it serves."""

    def __init__(self, world: FakeWorld, port: int = 0) -> None:
        self.world = world
        self._news: list[tuple[str, Any]] = []
        config = uvicorn.Config(_app(world, self._news), host="127.0.0.1", port=port, log_level="warning")
        config.timeout_graceful_shutdown = 1
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, daemon=True)
        self.port = 0

    def __enter__(self) -> FakeConsole:
        self._thread.start()
        deadline_s = time.monotonic() + START_TIMEOUT_S
        while not self._server.started:
            assert time.monotonic() < deadline_s, "the fake console does not start"
            time.sleep(0.02)
        self.port = self._server.servers[0].sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join(10)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def tell(self, event: str, data: Any) -> None:
        """Send an event to every page that listens."""
        self._news.append((event, data))


def _app(world: FakeWorld, news: list[tuple[str, Any]]) -> FastAPI:
    app = FastAPI()

    @app.middleware("http")
    async def guard(request: Request, go_on: Any) -> Response:
        answer: Response = _refusal(world, request) or await go_on(request)
        answer.headers["Content-Security-Policy"] = POLICY
        answer.headers["Cache-Control"] = "no-store"
        return answer

    @app.get(f"{API}/events")
    async def events() -> StreamingResponse:
        return StreamingResponse(_stream(news), media_type="text/event-stream")

    for router in (_state(world), _faults(world), _history(world), _sql(world), _changes(world)):
        app.include_router(router, prefix=API)
    app.mount("/static", StaticFiles(directory=STATIC))
    app.add_api_route("/", lambda: FileResponse(STATIC / "index.html"))
    return app


def _refusal(world: FakeWorld, request: Request) -> Response | None:
    path = request.url.path
    if not path.startswith(API):
        return None
    if world.token and not path.endswith("/login") and request.cookies.get("token") != world.token:
        return JSONResponse({"detail": "a token is needed"}, 401)
    open_faults = path.endswith("/faults") and request.query_params.get("state") == "open"
    live = path.endswith(WITHOUT_STORE) or path.startswith(f"{API}/fabric/") or open_faults
    if "store" in world.away and not live:
        return JSONResponse({"detail": "the store does not answer; start ClickHouse"}, 503)
    return None


def _state(world: FakeWorld) -> APIRouter:
    router = APIRouter()
    router.add_api_route("/overview", world.overview)
    router.add_api_route("/fabric", lambda: JSONResponse(world.whole()))
    router.add_api_route("/links/now", world.links_now)
    router.add_api_route("/coverage", world.coverage)
    router.add_api_route("/health", world.health)
    router.add_api_route("/silences", lambda: world.silences)

    @router.get("/fabric/switches/{name:path}")
    def switch(name: str) -> Any:
        return _or_404(world.switch(name), f"no switch {name}")

    @router.get("/search")
    def search(q: str) -> Any:
        return world.search(q)

    return router


def _faults(world: FakeWorld) -> APIRouter:
    router = APIRouter()

    @router.get("/faults")
    def faults(state: str = "", kind: str = "", severity: str = "", element: str = "") -> Any:
        found = [
            fault
            for fault in world.faults
            if (state not in ("open", "resolved") or (fault["state"] == "resolved") == (state == "resolved"))
            and kind in ("", fault["kind"])
            and severity in ("", fault["severity"])
            and (not element or any(s["element"] == element for s in fault["suspects"]))
        ]
        return {"faults": found, "total": len(found)}

    @router.get("/faults/{fault_id}/evidence")
    def evidence(fault_id: str) -> Any:
        return world.evidence()

    @router.get("/faults/{fault_id}")
    def fault(fault_id: str) -> Any:
        found = next((f for f in world.faults if f["fault_id"] == fault_id), None)
        return world.fault_page(_or_404(found, f"no fault {fault_id}"))

    return router


def _history(world: FakeWorld) -> APIRouter:
    router = APIRouter()
    router.add_api_route("/probes", lambda: {"probes": world.probes()})
    router.add_api_route("/matrix/span", world.span)

    @router.get("/probes/{probe_id}")
    def probe(probe_id: str) -> Any:
        return world.probe(probe_id)

    @router.get("/matrix")
    def matrix(level: str = "pod", pod_from: str = "", pod_to: str = "") -> Any:
        found = world.matrix(level, pod_from, pod_to)
        if found is None:
            raise HTTPException(400, "More than 50,000 pairs are more than can be looked at. Choose a pod")
        return found

    return router


def _sql(world: FakeWorld) -> APIRouter:
    router = APIRouter()
    router.add_api_route("/sql/examples", lambda: [world.question()])
    router.add_api_route("/sql/tables", lambda: [world.table()])

    @router.post("/sql")
    def sql(asked: Given) -> Any:
        if "DROP" in asked["sql"].upper():
            raise HTTPException(
                400, "Code: 164. DB::Exception: Cannot execute query in readonly mode. (READONLY)"
            )
        return world.answer()

    @router.post("/sql/csv")
    def csv() -> Response:
        return Response("a,b\n1,2\n", media_type="text/csv")

    return router


def _changes(world: FakeWorld) -> APIRouter:
    router = APIRouter()

    @router.post("/login")
    def login(given: Given) -> Response:
        if given.get("token") != world.token:
            raise HTTPException(401, "that is not the token")
        answer = JSONResponse({})
        answer.set_cookie("token", world.token, httponly=True, samesite="strict")
        return answer

    @router.post("/silences")
    def silence(asked: Given) -> Any:
        made = {
            "what": "silence",
            "element": asked["element"],
            "why": asked["why"],
            "by": asked["by"],
            "from_us": NOW_US,
            "until_us": NOW_US + asked["for_s"] * 1_000_000,
        }
        world.silences.append(made)
        return made

    @router.delete("/silences/{element:path}")
    def unsilence(element: str) -> Any:
        world.silences[:] = [one for one in world.silences if one["element"] != element]
        return {}

    return router


def _or_404(found: Any, detail: str) -> Any:
    if found is None:
        raise HTTPException(404, detail)
    return found


async def _stream(news: list[tuple[str, Any]]) -> AsyncIterator[str]:
    told, started_s = len(news), time.monotonic()
    yield _event("hello", {})
    ticks = 0
    while True:
        if time.monotonic() - started_s >= ticks:
            now_us = NOW_US + int((time.monotonic() - started_s) * 1e6)
            yield _event("clock", {"now_us": now_us, "lag_us": 1_250_000})
            ticks += 1
        while told < len(news):
            yield _event(*news[told])
            told += 1
        await asyncio.sleep(0.05)


def _event(name: str, data: Any) -> str:
    return f"event: {name}\ndata: {json.dumps(data)}\n\n"

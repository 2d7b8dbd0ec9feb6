"""Serves a FakeWorld and the real page, on a loopback port, in a thread."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import Body, FastAPI, HTTPException, Request
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


class FakeConsole:
    """A context manager; has `url`. What the world holds may change while it serves."""

    def __init__(self, world: FakeWorld) -> None:
        self.world = world
        self._news: list[tuple[str, Any]] = []
        config = uvicorn.Config(_app(world, self._news), host="127.0.0.1", port=0, log_level="warning")
        config.timeout_graceful_shutdown = 1
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, daemon=True)
        self.url = ""

    def __enter__(self) -> FakeConsole:
        self._thread.start()
        deadline_s = time.monotonic() + START_TIMEOUT_S
        while not self._server.started:
            assert time.monotonic() < deadline_s, "the fake console does not start"
            time.sleep(0.02)
        port = self._server.servers[0].sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{port}/"
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join(10)

    def tell(self, event: str, data: Any) -> None:
        """Send an event to every page that listens."""
        self._news.append((event, data))


def _app(world: FakeWorld, news: list[tuple[str, Any]]) -> FastAPI:
    app = FastAPI()
    api = "/api/v1"

    @app.middleware("http")
    async def guard(request: Request, go_on: Any) -> Response:
        path = request.url.path
        if world.token and path.startswith(api) and not path.endswith("/login"):
            given = request.cookies.get("token", "")
            if given != world.token:
                return JSONResponse({"detail": "a token is needed"}, 401)
        live = path.endswith(("/overview", "/fabric", "/links/now", "/events", "/login"))
        if "store" in world.away and path.startswith(api) and not live and "fabric/" not in path:
            if not path.endswith("/faults") or request.query_params.get("state") != "open":
                return JSONResponse({"detail": "the store does not answer; start ClickHouse"}, 503)
        answer: Response = await go_on(request)
        answer.headers["Content-Security-Policy"] = POLICY
        answer.headers["Cache-Control"] = "no-store"
        return answer

    def get(path: str, answer: Any) -> None:
        app.add_api_route(api + path, answer, methods=["GET"])

    get("/overview", lambda: world.overview())
    get("/fabric", lambda: JSONResponse(world.whole()))
    get("/links/now", lambda: world.links_now())
    get("/matrix/span", lambda: world.span())
    get("/coverage", lambda: world.coverage())
    get("/health", lambda: world.health())
    get("/silences", lambda: world.silences)

    @app.post(f"{api}/login")
    def login(given: dict[str, str] = Body()) -> Response:  # noqa: B008
        if given.get("token") != world.token:
            raise HTTPException(401, "that is not the token")
        answer = JSONResponse({})
        answer.set_cookie("token", world.token, httponly=True, samesite="strict")
        return answer

    @app.get(f"{api}/fabric/switches/{{name:path}}")
    def switch(name: str) -> Any:
        return _or_404(world.switch(name), f"no switch {name}")

    @app.get(f"{api}/faults")
    def faults(state: str = "", kind: str = "", severity: str = "", element: str = "") -> Any:
        found = [
            fault
            for fault in world.faults
            if (state in ("", "all") or (fault["state"] == "resolved") == (state == "resolved"))
            and kind in ("", fault["kind"])
            and severity in ("", fault["severity"])
            and (not element or any(s["element"] == element for s in fault["suspects"]))
        ]
        return {"faults": found, "total": len(found)}

    @app.get(f"{api}/faults/{{fault_id}}/evidence")
    def evidence(fault_id: str) -> Any:
        return world.evidence()

    @app.get(f"{api}/faults/{{fault_id}}")
    def fault(fault_id: str) -> Any:
        found = next((f for f in world.faults if f["fault_id"] == fault_id), None)
        return world.fault_page(_or_404(found, f"no fault {fault_id}"))

    @app.get(f"{api}/probes")
    def probes() -> Any:
        return {"probes": world.probes()}

    @app.get(f"{api}/probes/{{probe_id}}")
    def probe(probe_id: str) -> Any:
        return world.probe(probe_id)

    @app.get(f"{api}/matrix")
    def matrix(level: str = "pod", pod_from: str = "", pod_to: str = "") -> Any:
        return world.matrix(level, pod_from, pod_to)

    @app.get(f"{api}/search")
    def search(q: str) -> Any:
        return world.search(q)

    @app.post(f"{api}/sql")
    def sql(asked: dict[str, Any] = Body()) -> Any:  # noqa: B008
        if "DROP" in asked["sql"].upper():
            raise HTTPException(400, "Code: 164. DB::Exception: Cannot execute query in readonly mode. (READONLY)")
        names, types = ["minute", "target", "probes", "loss"], ["DateTime64(6)", "String", "UInt64", "Float64"]
        rows = [
            [f"2026-03-01 10:{i:02}:00", world.rename(f"server-{i}"), i * 10, i / 100 if i % 7 else None]
            for i in range(40)
        ]
        return {"names": names, "types": types, "rows": rows, "truncated": False, "elapsed_ms": 12.5}

    @app.post(f"{api}/sql/csv")
    def csv() -> Response:
        return Response("a,b\n1,2\n", media_type="text/csv")

    @app.get(f"{api}/sql/tables")
    def tables() -> Any:
        columns = [{"name": "kind", "type": "String", "meaning": world.rename("what it is")}]
        return [{"name": "fault_history", "kind": "view", "meaning": "one row a fault", "columns": columns}]

    @app.get(f"{api}/sql/examples")
    def examples() -> Any:
        return [{"question": world.rename("What is wrong now?"), "sql": "SELECT 1"}]

    @app.post(f"{api}/silences")
    def silence(asked: dict[str, Any] = Body()) -> Any:  # noqa: B008
        made = {
            **{"what": "silence", "element": asked["element"], "why": asked["why"], "by": asked["by"]},
            **{"from_us": NOW_US, "until_us": NOW_US + asked["for_s"] * 1_000_000},
        }
        world.silences.append(made)
        return made

    @app.delete(f"{api}/silences/{{element:path}}")
    def unsilence(element: str) -> Any:
        world.silences[:] = [one for one in world.silences if one["element"] != element]
        return {}

    @app.get(f"{api}/events")
    async def events() -> StreamingResponse:
        return StreamingResponse(_stream(news), media_type="text/event-stream")

    app.mount("/static", StaticFiles(directory=STATIC))

    @app.get("/")
    def page() -> FileResponse:
        return FileResponse(STATIC / "index.html")

    return app


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

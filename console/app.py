"""The application: the API and the page, behind the guard."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.middleware.gzip import GZipMiddleware
from fastapi.responses import FileResponse, JSONResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

from console.context import Console
from console.errors import ApiError
from console.guard import GuardMiddleware
from console.metrics import ConsoleMetrics, Counted
from console.models import Detail
from console.routes.changes import change_routes
from console.routes.faults import fault_routes
from console.routes.history import history_routes
from console.routes.now import now_routes
from console.routes.typed import sql_routes
from console.security import API, Guard

STATIC = Path(__file__).parent / "static"
_DESCRIPTION = (
    "What ByteTracker's page asks. Times are integers, us since 1970; probe IDs are decimal strings. "
    "Errors are `{detail}`."
)
_ERRORS = {
    status: {"model": Detail, "description": what}
    for status, what in (
        (400, "what was asked is wrong"),
        (401, "no token"),
        (403, "not from here"),
        (404, "no such thing"),
        (503, "the broker or the store is away"),
    )
}


def create_app(console: Console, metrics: ConsoleMetrics | None = None) -> FastAPI:
    """One console as an ASGI application. Nothing is fetched from elsewhere, so FastAPI's own pages, which
    would, are off."""
    guard = Guard(console.settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        console.hub.open(asyncio.get_running_loop())
        yield

    app = FastAPI(
        title="ByteTracker console",
        version="1",
        description=_DESCRIPTION,
        openapi_url=f"{API}/openapi.json",
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    for router in (
        now_routes(console),
        fault_routes(console),
        history_routes(console),
        sql_routes(console),
        change_routes(console, guard),
    ):
        app.include_router(router, prefix=API, responses=_ERRORS)  # type: ignore[arg-type]
    app.add_exception_handler(ApiError, _api_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, _bug)
    app.mount("/static", StaticFiles(directory=STATIC))
    app.add_api_route("/", _page, include_in_schema=False, methods=["GET", "HEAD"])
    # The last one added is the outermost.
    app.add_middleware(GZipMiddleware, minimum_size=1_000, compresslevel=4)
    app.add_middleware(GuardMiddleware, guard=guard)
    if metrics is not None:
        metrics.count_listeners(lambda: console.hub.listeners)
        app.add_middleware(Counted, metrics=metrics)
    return app


async def _page() -> FileResponse:
    # A page that is cached would show yesterday's modules after an upgrade; they say by ETag whether they
    # changed.
    return FileResponse(STATIC / "index.html", headers={"Cache-Control": "no-cache"})


async def _api_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    headers = {"Retry-After": "2"} if error.status in (429, 503) else None
    return JSONResponse({"detail": error.detail}, error.status, headers)


async def _http_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse({"detail": str(error.detail)}, error.status_code)


async def _bug(_: Request, error: Exception) -> Response:
    # Starlette logs the trace; it is no business of who asks.
    return JSONResponse({"detail": "the console failed at this; its log says why"}, 500)

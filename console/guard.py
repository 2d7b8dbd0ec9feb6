"""The guard in front of the application: refuses, limits what comes in, and puts the headers on what goes
out."""

from __future__ import annotations

import json
from collections.abc import MutableMapping
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from console.security import API, BODY_BYTES_MAX, HEADERS, Asked, Guard

_HEADERS = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]


class GuardMiddleware:
    """Plain ASGI, so that streams pass through as they are. `request.state.user` is whom a proxy has let
    in."""

    def __init__(self, app: ASGIApp, guard: Guard) -> None:
        self._app = app
        self._guard = guard

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return  # nothing here speaks websockets
        path: str = scope["path"]
        # Of the page's files the browser asks each time whether they changed: an upgrade shows at once.
        own = [*_HEADERS, (b"cache-control", b"no-store" if path.startswith(API) else b"no-cache")]

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                names = {name for name, _ in own}
                message["headers"] = [
                    *((name, value) for name, value in message["headers"] if name.lower() not in names),
                    *own,
                ]
            await send(message)

        verdict = self._guard(_asked(scope))
        if verdict.status:
            await _refuse(with_headers, verdict.status, verdict.detail)
            return
        scope.setdefault("state", {})["user"] = verdict.user
        await self._app(scope, _limited(receive), with_headers)


def _asked(scope: MutableMapping[str, Any]) -> Asked:
    headers: dict[str, str] = {}
    for name, value in scope["headers"]:
        headers.setdefault(name.decode("latin-1").lower(), value.decode("latin-1"))
    client = scope.get("client")
    return Asked(scope["method"], scope["path"], client[0] if client else "", headers)


def _limited(receive: Receive) -> Receive:
    """A body without a declared length ends where it becomes too long."""
    taken = 0

    async def limited() -> Message:
        nonlocal taken
        message = await receive()
        if message["type"] == "http.request":
            taken += len(message.get("body", b""))
            if taken > BODY_BYTES_MAX:
                return {"type": "http.disconnect"}
        return message

    return limited


async def _refuse(send: Send, status: int, detail: str) -> None:
    body = json.dumps({"detail": detail}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if status == 401:
        headers.append((b"www-authenticate", b'Bearer realm="bytetracker"'))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})

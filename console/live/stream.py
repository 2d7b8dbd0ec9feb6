"""Server-sent events: what a listener has not seen yet, as the format of HTML's EventSource."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from console.live.hub import Hub, Listener

#: A page that does not take what it is sent for so long is let go; it connects again when it wakes.
TAKE_S = 20.0
#: Something is said at least that often, so that proxies keep the connection.
QUIET_S = 10.0
RETRY_MS = 1_000


class EventStream(Response):
    """The answer of GET events."""

    media_type = "text/event-stream"

    def __init__(self, hub: Hub, listener: Listener, hello: str) -> None:
        super().__init__(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        self._hub, self._listener, self._hello = hub, listener, hello

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # A stream has no length.
        headers = [(name, value) for name, value in self.raw_headers if name != b"content-length"]
        gone = asyncio.create_task(_gone(receive))
        try:
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await self._send(send, f"retry: {RETRY_MS}\n" + event("hello", None, self._hello))
            while not (gone.done() or self._listener.closed):
                await self._wait(gone)
                news = self._listener.take()
                text = "".join(event(*each) for each in news) or ": still here\n\n"
                await self._send(send, text)
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        except (TimeoutError, OSError):
            pass  # it does not take what it is sent, or is gone
        finally:
            gone.cancel()
            self._hub.leave(self._listener)

    async def _wait(self, gone: asyncio.Task[None]) -> None:
        news = asyncio.create_task(self._listener.news.wait())
        try:
            await asyncio.wait({news, gone}, timeout=QUIET_S, return_when=asyncio.FIRST_COMPLETED)
        finally:
            news.cancel()

    async def _send(self, send: Send, text: str) -> None:
        body = {"type": "http.response.body", "body": text.encode(), "more_body": True}
        await asyncio.wait_for(send(body), TAKE_S)


def event(name: str, number: int | None, data: str) -> str:
    """One event. `data` is JSON, which has no line breaks of its own."""
    numbered = f"id: {number}\n" if number is not None else ""
    return f"{numbered}event: {name}\ndata: {data}\n\n"


async def _gone(receive: Receive) -> None:
    while True:
        message: Any = await receive()
        if message["type"] == "http.disconnect":
            return

"""A TCP proxy that can be cut: between a client and a server, to show what a broken network does."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, Literal

_HOST = "127.0.0.1"
# One chunk is all that is held per direction while nothing passes; beyond it TCP holds the sender.
_CHUNK_BYTES = 64 * 1024
_CONNECTIONS_MAX = 256
_CALL_TIMEOUT_S = 5.0


# `refuse`: nobody listens, open connections are reset; the server sees them end in order, because ClickHouse
# run from its library aborts when an idle connection is reset. `black_hole`: connections open and stay open,
# but not a byte passes; when it passes again, everything held does, as after a network's outage.
Mode = Literal["pass", "refuse", "black_hole"]


class CuttableProxy:
    """Forwards a loopback port to ``upstream_port``, in a thread of its own, until told otherwise."""

    def __init__(self, upstream_port: int, port: int = 0) -> None:
        """Listen on ``port`` (0 takes a free one); the upstream need not be there yet."""
        self.upstream_port = upstream_port
        self.port = port
        # Connections turned away because 256 were open: a test that meets this is not testing a cut.
        self.turned_away = 0
        self._mode: Mode = "refuse"
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._endings: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        # Set while bytes may pass.
        self._flow = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_forever, name="cuttable-proxy", daemon=True)
        self._thread.start()
        self.cut("pass")

    @property
    def host(self) -> str:
        """Address it listens on."""
        return _HOST

    @property
    def address(self) -> str:
        """``host:port`` it listens on."""
        return f"{_HOST}:{self.port}"

    @property
    def mode(self) -> Mode:
        """What it does at present."""
        return self._mode

    def cut(self, mode: Mode) -> None:
        """Change what it does; in effect when this returns."""
        self._call(lambda: self._apply(mode))
        self._mode = mode

    def close(self) -> None:
        """Reset all connections, stop listening and end the thread."""
        self._call(self._shut)
        self._call(self._end)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_CALL_TIMEOUT_S)
        self._loop.close()

    def _call(self, coroutine: Callable[[], Coroutine[Any, Any, None]]) -> None:
        asyncio.run_coroutine_threadsafe(coroutine(), self._loop).result(_CALL_TIMEOUT_S)

    async def _apply(self, mode: Mode) -> None:
        if mode == "refuse":
            await self._shut()
            return
        if self._server is None:
            self._server = await asyncio.start_server(self._serve, _HOST, self.port, limit=_CHUNK_BYTES)
            self.port = self._server.sockets[0].getsockname()[1]
        if mode == "pass":
            self._flow.set()
        else:
            self._flow.clear()

    async def _shut(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in list(self._writers):
            writer.transport.abort()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _end(self) -> None:
        for ending in list(self._endings):
            ending.cancel()
        await asyncio.gather(*self._endings, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._tasks) >= _CONNECTIONS_MAX:
            self.turned_away += 1
            writer.transport.abort()
            return
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        try:
            await self._join(reader, writer)
        except (OSError, asyncio.CancelledError):
            # Either side went away, there is no server, or we cut: the client sees its connection end.
            # A cancelled task would be logged as an error by asyncio streams, so it ends as a normal one.
            pass
        finally:
            writer.transport.abort()
            self._writers.discard(writer)
            self._tasks.discard(task)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._flow.wait()
        far_reader, far_writer = await asyncio.open_connection(_HOST, self.upstream_port, limit=_CHUNK_BYTES)
        pumps = [
            asyncio.create_task(self._pump(reader, far_writer)),
            asyncio.create_task(self._pump(far_reader, writer)),
        ]
        try:
            done, _ = await asyncio.wait(pumps, return_when=asyncio.FIRST_EXCEPTION)
            for pump in done:
                pump.result()
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            ending = asyncio.create_task(_end_in_order(far_reader, far_writer))
            self._endings.add(ending)
            ending.add_done_callback(self._endings.discard)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(_CHUNK_BYTES):
            await self._flow.wait()
            writer.write(chunk)
            await writer.drain()
        # A half-closed connection is news too, and a black hole swallows it.
        await self._flow.wait()
        if writer.can_write_eof():
            writer.write_eof()


async def _end_in_order(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """End a connection without a reset: a socket closed before all was read from it would send one."""
    try:
        with suppress(OSError, RuntimeError, TimeoutError):
            writer.write_eof()
            async with asyncio.timeout(_CALL_TIMEOUT_S):
                while await reader.read(_CHUNK_BYTES):
                    pass
    finally:
        writer.transport.abort()

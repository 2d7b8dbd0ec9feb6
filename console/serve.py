"""The server: uvicorn in a thread, ended in order also while pages listen."""

from __future__ import annotations

import socket
import time
from contextlib import suppress
from threading import Thread

import uvicorn

from console.app import create_app
from console.context import Console
from console.errors import CannotListen
from console.metrics import ConsoleMetrics

_START_TIMEOUT_S = 20.0
#: Requests that run when the end comes get so long; streams are ended at once.
GRACE_S = 4.0


class ConsoleServer:
    """Serves from `start` to `stop`."""

    def __init__(self, console: Console, metrics: ConsoleMetrics | None = None) -> None:
        self._console = console
        self._socket: socket.socket | None = None
        config = uvicorn.Config(
            create_app(console, metrics),
            # The peer is who connected: what a proxy says of others is no matter of uvicorn's.
            proxy_headers=False,
            server_header=False,
            date_header=True,
            access_log=False,
            log_config=None,
            lifespan="on",
            # A page that does not read what it is sent must not keep more than this waiting.
            h11_max_incomplete_event_size=64 * 1024,
            timeout_keep_alive=30,
            timeout_graceful_shutdown=int(GRACE_S),
            limit_concurrency=None,
        )
        self._server = uvicorn.Server(config)
        self._thread = Thread(target=self._run, name="console", daemon=True)

    def start(self) -> str:
        """Listen; returns the address of the page. Raises CannotListen."""
        settings = self._console.settings
        self._socket = _bound(settings.host, settings.port)
        self._thread.start()
        until = time.monotonic() + _START_TIMEOUT_S
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > until:
                raise CannotListen("the console's server did not start; its log says why")
            time.sleep(0.01)
        return url_of(settings.host, self.port)

    @property
    def port(self) -> int:
        assert self._socket is not None, "only after start"
        return int(self._socket.getsockname()[1])

    @property
    def running(self) -> bool:
        return self._thread.is_alive()

    def stop(self) -> None:
        """End: streams at once, requests that run within GRACE_S."""
        self._console.hub.close()
        self._server.should_exit = True
        self._thread.join(GRACE_S + 2.0)

    def _run(self) -> None:
        assert self._socket is not None
        # In a thread that is not the main one uvicorn leaves signals alone.
        with suppress(SystemExit):
            self._server.run(sockets=[self._socket])


def url_of(host: str, port: int) -> str:
    """How a browser reaches it."""
    if host in {"0.0.0.0", "::"}:
        host = socket.gethostname()
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise CannotListen(
            f"cannot listen on {host}:{port} ({error.strerror or error}): set console.port or --port to "
            "another, 0 takes any that is free"
        ) from error
    return listener

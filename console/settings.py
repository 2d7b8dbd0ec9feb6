"""What can be set for the console, with units and reasons."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field

_HEADER = re.compile(r"[A-Za-z0-9-]{1,64}")
TOKEN_BYTES_MIN = 16


@dataclass(frozen=True, slots=True)
class ConsoleSettings:
    """The web page and the API under it."""

    #: Address to listen on. Anything but loopback needs a token or a proxy's header.
    host: str = "127.0.0.1"
    #: TCP port.
    port: int = 8080
    #: Whoever knows it is let in; at least 16 characters. Better given by environment than by file.
    token: str = field(default="", repr=False)
    #: Header in which a reverse proxy names the user whom it has let in; empty: none.
    proxy_header: str = ""
    #: Addresses or networks of that proxy. The header is taken from nobody else.
    proxy_addresses: tuple[str, ...] = ("127.0.0.1", "::1")
    #: Names by which browsers call the console, besides its address: a page elsewhere cannot use another.
    host_names: tuple[str, ...] = ()
    #: The cookie is sent over TLS only; set it where a reverse proxy speaks TLS to browsers.
    secure_cookie: bool = False
    #: Nothing can be changed through the console: no silences.
    read_only: bool = False
    #: Seconds that a query of the page may run; a store that hangs is away after so long and a little more.
    page_seconds: float = 10.0
    #: Queries of the page at a time; more are told that the store is away, so that the page always comes.
    page_at_once: int = 16
    #: Typed SQL: seconds that a query may run.
    sql_seconds: float = 10.0
    #: Typed SQL: rows that are shown at most.
    sql_rows_max: int = 10_000
    #: Typed SQL: rows of a download at most.
    csv_rows_max: int = 100_000
    #: Typed SQL: bytes of memory that a query may use. With the embedded store it is the sink's process.
    sql_memory_bytes: int = 1_073_741_824
    #: Typed SQL: queries at a time, of all users; more are told to come again.
    sql_at_once: int = 2
    #: Pages that may listen to live events at a time.
    listeners_max: int = 64
    #: Window over which the state of links is summed up, ms of event time.
    links_window_ms: int = 10_000
    #: TCP port of the Prometheus endpoint; 0: none.
    metrics_port: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65_535:
            raise ValueError(f"port is {self.port}; it must be 0 (any free one) to 65535")
        for name in (
            "page_at_once",
            "sql_rows_max",
            "csv_rows_max",
            "sql_memory_bytes",
            "sql_at_once",
            "listeners_max",
        ):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1")
        for name in ("page_seconds", "sql_seconds"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be more than 0")
        if self.links_window_ms < 1_000:
            raise ValueError("links_window_ms must be at least 1000: evidence comes in slots of 250 ms")
        if self.token and len(self.token) < TOKEN_BYTES_MIN:
            raise ValueError(
                f"token is shorter than {TOKEN_BYTES_MIN} characters; make one with `openssl rand -hex 24`"
            )
        if self.token and not self.token.isascii():
            raise ValueError("token must be of ASCII characters")
        if self.proxy_header and not _HEADER.fullmatch(self.proxy_header):
            raise ValueError(f"proxy_header {self.proxy_header!r} is no name of a header")
        for address in self.proxy_addresses:
            try:
                ipaddress.ip_network(address)
            except ValueError as error:
                raise ValueError(f"proxy_addresses: {error}") from error
        if not (self.token or self.proxy_header or self.is_loopback):
            raise ValueError(
                f"host is {self.host!r}, so others could reach the console: set console.token "
                "(e.g. to the output of `openssl rand -hex 24`), or console.proxy_header and "
                "console.proxy_addresses, or host to 127.0.0.1"
            )

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def is_open(self) -> bool:
        """Whether everybody who reaches it is let in."""
        return not (self.token or self.proxy_header)

"""Who is let in, from where, and what browsers are told not to do. Pure but for its name: values in,
decision out."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from console.settings import ConsoleSettings

API = "/api/v1"
#: Answered to whom the console does not know yet.
OPEN_PATHS = frozenset({f"{API}/login"})
BODY_BYTES_MAX = 256 * 1024

#: Nothing but what the console itself serves is loaded, nothing inline is run, and no other page frames it.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
_READING = frozenset({"GET", "HEAD"})


@dataclass(frozen=True, slots=True)
class Asked:
    """What the guard looks at of a request. Names of headers are in lower case."""

    method: str
    path: str
    peer: str  # address of the other end of the connection
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Verdict:
    """`status` 0: let in."""

    status: int = 0
    detail: str = ""
    user: str = ""


class Guard:
    """Decides by settings alone; immutable."""

    def __init__(self, settings: ConsoleSettings) -> None:
        self._settings = settings
        self._proxies = [ipaddress.ip_network(address) for address in settings.proxy_addresses]
        self._names = {name.lower() for name in settings.host_names}
        if settings.is_loopback:
            self._names |= {"localhost", "127.0.0.1", "::1", settings.host.lower()}
        # Behind a proxy, or on an address of the network, any name may be right; then the operator lists
        # them.
        self._checks_names = bool(settings.host_names) or (settings.is_loopback and not settings.proxy_header)
        key = settings.token.encode()
        #: Consoles on one host share its cookies, whatever their ports; those with one token may.
        self.cookie_name = "bytetracker-" + _mac(key, "name of the cookie")[:12]
        #: What the cookie holds is not the token itself.
        self.cookie_value = _mac(key, "value of the cookie")

    def __call__(self, asked: Asked) -> Verdict:
        host = asked.headers.get("host", "")
        if self._checks_names and _name(host) not in self._names:
            # A page elsewhere may have its name point here; the browser would think it is of one origin
            # with us.
            return Verdict(
                421,
                f"this console is not called {_name(host)!r}; if it should be, add it to console.host_names",
            )
        if asked.method not in _READING:
            refused = _refuse_change(asked, host)
            if refused is not None:
                return refused
        if not asked.path.startswith(f"{API}/") or asked.path in OPEN_PATHS or self._settings.is_open:
            return Verdict()
        return self._known(asked)

    def _known(self, asked: Asked) -> Verdict:
        user = self._user(asked)
        if user is not None:
            return Verdict(user=user)
        if self.is_token(_bearer(asked.headers.get("authorization", ""))) or self._has_cookie(asked):
            return Verdict()
        if not self._settings.token:
            return Verdict(401, f"no {self._settings.proxy_header} of the reverse proxy: come by way of it")
        return Verdict(401, "a token is needed: that of console.token")

    def is_token(self, token: str) -> bool:
        """Compared in a time that tells nothing of it."""
        wanted = self._settings.token
        return bool(wanted) and hmac.compare_digest(token.encode(), wanted.encode())

    def _has_cookie(self, asked: Asked) -> bool:
        if not self._settings.token:
            return False
        for cookie in asked.headers.get("cookie", "").split(";"):
            name, _, value = cookie.strip().partition("=")
            if name == self.cookie_name and hmac.compare_digest(value.encode(), self.cookie_value.encode()):
                return True
        return False

    def _user(self, asked: Asked) -> str | None:
        """Whom the reverse proxy has let in; None: it is not the proxy that asks, or it names nobody."""
        header = self._settings.proxy_header
        if not header:
            return None
        try:
            peer = ipaddress.ip_address(asked.peer)
        except ValueError:
            return None
        if isinstance(peer, ipaddress.IPv6Address) and peer.ipv4_mapped is not None:
            peer = peer.ipv4_mapped
        if not any(peer in network for network in self._proxies):
            return None
        return asked.headers.get(header.lower(), "").strip()[:200] or None


def _refuse_change(asked: Asked, host: str) -> Verdict | None:
    """A page elsewhere can make a browser send forms here, with the cookie of one that sends cookies; not
    JSON, and not without saying where it comes from."""
    if asked.headers.get("content-type", "").split(";")[0].strip().lower() != "application/json":
        return Verdict(415, "send JSON: Content-Type: application/json")
    if asked.headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}:
        return Verdict(403, "not from another site")
    origin = asked.headers.get("origin")
    if origin is not None and urlsplit(origin).netloc.lower() != host.lower():
        return Verdict(403, "not from another origin")
    length = asked.headers.get("content-length", "0")
    if not length.isdecimal() or int(length) > BODY_BYTES_MAX:
        return Verdict(413, f"at most {BODY_BYTES_MAX} bytes")
    return None


def _name(host: str) -> str:
    """The name in a Host header, without its port."""
    try:
        return (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return ""


def _bearer(header: str) -> str:
    kind, _, token = header.partition(" ")
    return token.strip() if kind.lower() == "bearer" else ""


def _mac(key: bytes, what: str) -> str:
    return hmac.new(key, f"bytetracker console: {what}".encode(), hashlib.sha256).hexdigest()

"""What changes something: silences, and being let in."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from console.context import Console
from console.errors import ApiError, Away, NotAllowed, Refused
from console.models import AskSilence, Done, Login, Silence
from console.queries.silences import ask_silences
from console.security import Guard
from console.silencing import Silencing

_KEEP_S = 2.0
#: Asking the broker takes a moment; what was changed here is shown at once.
_STALE_S = 10.0
#: The browser forgets the cookie after that; the token itself does not expire.
COOKIE_S = 30 * 86_400


class WrongToken(ApiError):
    status = 401


def change_routes(console: Console, guard: Guard) -> APIRouter:
    router = APIRouter(tags=["changes"])

    @router.post("/login", response_model=Done)
    def login(given: Login) -> Response:
        """The token for a cookie that scripts cannot read."""
        if not console.settings.token:
            raise Refused("this console has no token: nobody has to log in")
        if not guard.is_token(given.token):
            raise WrongToken("that is not the token; it is console.token of the configuration")
        answer = JSONResponse({})
        answer.set_cookie(
            guard.cookie_name,
            guard.cookie_value,
            max_age=COOKIE_S,
            path="/",
            httponly=True,
            samesite="strict",
            secure=console.settings.secure_cookie,
        )
        return answer

    @router.get("/silences")
    def silences() -> list[Silence]:
        """Silences and planned maintenance that hold or are to come."""
        return console.moments.get("silences", _KEEP_S, lambda: _held(console), _STALE_S)

    @router.post("/silences")
    def silence(asked: AskSilence, request: Request) -> Silence:
        """Faults at the element and within it alarm nobody for a while; they are found and stored all the
        same."""
        silencing = _silencing(console)
        now_us = console.clock_us()
        until_us = now_us + asked.for_s * 1_000_000
        by = request.state.user or asked.by.strip() or "console"
        if not asked.why.strip():
            raise Refused("say why")
        silencing.silence(asked.element, until_us, asked.why.strip(), by, now_us)
        console.moments.forget("silences")
        return Silence(
            what="silence",
            element=asked.element,
            from_us=now_us,
            until_us=until_us,
            why=asked.why.strip(),
            by=by,
        )

    @router.delete("/silences/{element:path}")
    def unsilence(element: str, request: Request) -> Done:
        """End the silence of an element."""
        _silencing(console).end(element, request.state.user or "console", console.clock_us())
        console.moments.forget("silences")
        return Done()

    return router


def _silencing(console: Console) -> Silencing:
    if console.settings.read_only:
        raise NotAllowed("this console is read-only (console.read_only): nothing can be silenced here")
    if console.silencing is None:
        raise Away("this console was started without a broker: nothing can be silenced")
    return console.silencing


def _held(console: Console) -> list[Silence]:
    """From the broker, which knows of a silence at once; else from the store."""
    if console.silencing is not None:
        try:
            return console.silencing.held(console.clock_us())
        except Away:
            if console.reader is None:
                raise
    return ask_silences(console.ask)

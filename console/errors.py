"""What goes wrong, as the API tells it: a status and one sentence with what to do."""

from __future__ import annotations


class ApiError(Exception):
    """An answer that is none. `status`: of HTTP."""

    status = 500

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class Refused(ApiError):
    """What was asked for cannot be done; the message says what to change."""

    status = 400


class NotAllowed(ApiError):
    """Not from there, or not by this console."""

    status = 403


class NoSuchThing(ApiError):
    status = 404


class Busy(ApiError):
    """Too much at a time; the same may succeed later."""

    status = 429


class Away(ApiError):
    """The broker or the store does not answer."""

    status = 503


class CannotListen(Exception):
    """The console's address is taken or not ours; the message says what to change."""

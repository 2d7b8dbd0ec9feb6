"""What an answer over HTTP means for a delivery."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from alerts.channel import Request

#: No receiver is left alone for longer because it asked for it, s.
WAIT_MAX_S = 600.0

#: The message itself is not wanted; that of another fault may be.
_REFUSALS = frozenset({400, 406, 409, 410, 411, 413, 414, 415, 422})


class Unanswered(Exception):
    """No answer. `maybe_heard`: the request may have arrived all the same. `reason`: a word for metrics."""

    def __init__(self, reason: str, *, maybe_heard: bool) -> None:
        super().__init__(reason)
        self.reason = reason
        self.maybe_heard = maybe_heard


@dataclass(frozen=True, slots=True)
class Answer:
    """`wait_s`: how long the receiver wants to be left alone (Retry-After)."""

    status: int
    wait_s: float = 0.0
    text: str = ""  # its beginning, for the log


class Poster(Protocol):
    """Sends requests. One deadline holds for all of a request."""

    def post(self, request: Request) -> Answer:
        """Blocks at most until the deadline. Raises Unanswered."""

    def close(self) -> None:
        """Close what is open."""


class Outcome(Enum):
    """What became of a request."""

    DELIVERED = "delivered"
    REFUSED = "refused"  # this message, not the receiver, is the trouble
    FAILED = "failed"  # try again later, all of it


def outcome_of(status: int) -> Outcome:
    """What a status means. Redirections are not followed: signatures and passwords go nowhere else. A wrong
    address or password (401, 403, 404) is somebody's to mend, and then everything is told."""
    if 200 <= status < 300:
        return Outcome.DELIVERED
    return Outcome.REFUSED if status in _REFUSALS else Outcome.FAILED


def maybe_heard(status: int) -> bool:
    """Whether a receiver that answered so may have acted on the message all the same, as one that failed
    half-way."""
    return status >= 500


def retry_after_s(value: str | None) -> float:
    """Retry-After in seconds; dates and nonsense count as 0: there is a back-off anyway."""
    if value is None or not value.strip().isascii() or not value.strip().isdigit():
        return 0.0
    return min(float(value.strip()), WAIT_MAX_S)

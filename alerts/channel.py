"""How a kind of receiver is talked to: messages in, HTTP requests out. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Protocol
from urllib.parse import quote

from alerts.fault import Fault
from alerts.message import Identity, Message

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: 9999-12-31T23:59:59, the last that a date can say, us since 1970.
_LAST_US = 253_402_300_799_000_000


@dataclass(frozen=True, slots=True)
class Request:
    """A POST. The URL may be a secret."""

    url: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    body: bytes


class Channel(Protocol):
    """One kind of receiver."""

    @property
    def messages_max(self) -> int:
        """Messages that one request may carry."""

    @property
    def resend_every_s(self) -> float:
        """s between repetitions of what is open; 0: never."""

    def identity(self, fault: Fault) -> Identity:
        """Labels that the receiver knows the alert by. When they change, that is news."""

    def request(self, messages: Sequence[Message], now_us: int) -> Request:
        """The request that tells these messages, at most `messages_max`. `now_us`: us since 1970."""


def rfc3339(time_us: int) -> str:
    """A point in time as Alertmanager and people read it, UTC, to the microsecond. Times beyond what a date
    can say become the first or the last one."""
    moment = _EPOCH + timedelta(microseconds=min(max(time_us, 0), _LAST_US))
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def fault_url(console_url: str, fault_id: str) -> str:
    """The fault's page in the console; empty without a console."""
    return f"{console_url.rstrip('/')}/#/faults/{quote(fault_id, safe='')}" if console_url else ""


def title(fault: Fault) -> str:
    """`Network loss at spine-1~leaf-1-2`."""
    name = fault.kind.replace("_", " ").capitalize() or "Fault"
    return f"{name} at {fault.element}" if fault.element else name


def kind_and_place(fault: Fault) -> Identity:
    """What people want to hear of again when it changes."""
    return {"kind": fault.kind, "severity": fault.severity, "element": fault.element}

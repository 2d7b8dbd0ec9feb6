"""Messages for any program that takes a POST: the fault as JSON, signed.

The signature covers the time of sending too, so that a message that somebody recorded cannot be sent again
later. A message that we send again carries the same delivery ID, and a signature of its own.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from alerts.channel import Request, fault_url, kind_and_place
from alerts.fault import Fault
from alerts.message import Identity, Message

DELIVERY_HEADER = "X-ByteTracker-Delivery"
TIMESTAMP_HEADER = "X-ByteTracker-Timestamp"
SIGNATURE_HEADER = "X-ByteTracker-Signature"


@dataclass(frozen=True, slots=True)
class Webhook:
    """One webhook."""

    url: str = field(repr=False)
    secret: str = field(repr=False)
    fabric_name: str
    console_url: str = ""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    resend_every_s: float = 0.0
    messages_max: int = 1

    def identity(self, fault: Fault) -> Identity:
        """See Channel."""
        return kind_and_place(fault)

    def request(self, messages: Sequence[Message], now_us: int) -> Request:
        """See Channel."""
        (message,) = messages
        body = json.dumps(self._document(message, now_us), allow_nan=False).encode()
        timestamp = str(now_us // 1_000_000)
        return Request(
            self.url,
            {
                "Content-Type": "application/json",
                DELIVERY_HEADER: message.delivery_id,
                TIMESTAMP_HEADER: timestamp,
                SIGNATURE_HEADER: signature(self.secret, timestamp, body),
                **self.headers,
            },
            body,
        )

    def _document(self, message: Message, now_us: int) -> dict[str, Any]:
        fault = {name: plain(value) for name, value in message.fault.event.items()}
        for probe in fault["example_probes"]:
            probe["probe_id"] = str(probe["probe_id"])  # JavaScript rounds whole numbers of 64 bits
        return {
            "delivery_id": message.delivery_id,
            "status": message.status,
            "reason": message.reason,
            "sent_at_us": now_us,
            "fabric": self.fabric_name,
            "url": fault_url(self.console_url, message.fault.fault_id),
            "fault": fault,
        }


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """HMAC-SHA256 over `TIMESTAMP.BODY`, as the header has it."""
    digest = hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256)
    return f"sha256={digest.hexdigest()}"


def plain(value: Any) -> Any:
    """A value of an event as JSON can say it: what is no number becomes null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(name): plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    return value

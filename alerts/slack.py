"""Messages for Slack's incoming webhooks, and for what takes the same: Mattermost, Rocket.Chat, Zulip.

Names and stories come from an inventory and from packets. Nothing in them may become a link, a mention or a
control sequence: `&`, `<` and `>` are escaped as Slack wants it, and what other programs read as markup is
broken by a character of no width.

Source: Slack, "Formatting text for app surfaces", section "Escaping text".
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from alerts.channel import Request, fault_url, kind_and_place, title
from alerts.fault import Fault
from alerts.message import Identity, Message

TEXT_MAX = 2_000
_ZERO_WIDTH = "\u200b"
_COLOURS = {"critical": "#c62828", "warning": "#ef6c00", "info": "#1565c0"}
_RESOLVED_COLOUR = "#2e7d32"
#: Of a message about the end, by reason.
_ENDS = {
    "part_of": "part of another fault",
    "silenced": "silenced",
    "severity": "less severe now",
    "kind": "of another kind now",
    "forgotten": "no longer known",
}


@dataclass(frozen=True, slots=True)
class Slack:
    """One channel."""

    url: str = field(repr=False)
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
        body = json.dumps(self._document(message)).encode()
        return Request(self.url, {"Content-Type": "application/json", **self.headers}, body)

    def _document(self, message: Message) -> dict[str, Any]:
        fault, event = message.fault, message.fault.event
        status = fault.severity if message.firing else "resolved"
        if message.reason in _ENDS:
            status += f" ({_ENDS[message.reason]})"
        head = f"[{escaped(status)}] {escaped(title(fault))}"
        fields = [
            ("Fabric", self.fabric_name),
            ("Suspects", ", ".join(f"{s['element']} ({s['confidence']:.0%})" for s in event["suspects"][:3])),
            ("Servers affected", str(len(event["affected_servers"])) if event["affected_servers"] else ""),
            ("Silenced", event["silenced"]),
        ]
        attachment: dict[str, Any] = {
            "fallback": head,
            "color": _COLOURS.get(fault.severity, _COLOURS["info"]) if message.firing else _RESOLVED_COLOUR,
            "text": escaped(str(event["story"])),
            "fields": [
                {"title": name, "value": escaped(value), "short": True} for name, value in fields if value
            ],
            "footer": escaped(f"ByteTracker {fault.fault_id}"),
            "ts": fault.starts_at_us // 1_000_000,
            "mrkdwn_in": [],
        }
        link = fault_url(self.console_url, fault.fault_id)
        if link:
            attachment |= {"title": "Evidence", "title_link": link}
        return {"text": head, "parse": "none", "link_names": 0, "attachments": [attachment]}


def escaped(text: str) -> str:
    """Text that shows as it is, at most TEXT_MAX characters of it."""
    # Control characters and those that turn the direction of writing are nobody's name.
    plain = re.sub(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]+", " ", text)
    if len(plain) > TEXT_MAX:
        plain = plain[: TEXT_MAX - 1] + "…"
    plain = plain.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    # Mentions and links of Mattermost, bold, code, addresses that become links by themselves. Not `_` and
    # `~`: they belong to names of elements, which people copy.
    return re.sub(r"([@\[\]*`]|(?<=[a-zA-Z]):(?=//))", rf"\1{_ZERO_WIDTH}", plain)

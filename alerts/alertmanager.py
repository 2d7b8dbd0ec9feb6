"""Messages for the API of Prometheus' Alertmanager, version 2: `POST /api/v2/alerts`.

Alertmanager knows an alert by all of its labels. So labels are only what people route, group and silence by;
numbers that change are annotations. When a label does change (severity, kind, first suspect), the alert under
the old labels ends and another begins, in one request.

An open alert has no `endsAt`: Alertmanager then lets it expire by its own clock (`resolve_timeout`), however
much ours differs, unless it is repeated before. An end lies in the past by our clock.

Source: api/v2/openapi.yaml and types/types.go (`Alert.Merge`) of github.com/prometheus/alertmanager.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from alerts.channel import Request, fault_url, rfc3339, title
from alerts.fault import Fault
from alerts.message import Identity, Message
from alerts.places import Places, labels_of

_PATH = "/api/v2/alerts"
_SERVERS_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Alertmanager:
    """One Alertmanager. Of a cluster, every member is a receiver of its own."""

    url: str = field(repr=False)
    places: Places
    console_url: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    resend_every_s: float = 60.0
    messages_max: int = 64

    def identity(self, fault: Fault) -> Identity:
        """All labels of the alert; Alertmanager does not take empty ones."""
        labels = {
            "alertname": alert_name(fault.kind),
            "fabric": self.places.fabric_name,
            "fault_id": fault.fault_id,
            "kind": fault.kind,
            "severity": fault.severity,
            "element": fault.element,
            **labels_of(self.places.of(fault.element)),
            **self.labels,
        }
        return {name: value for name, value in labels.items() if value}

    def request(self, messages: Sequence[Message], now_us: int) -> Request:
        """See Channel."""
        alerts = [alert for message in messages for alert in self._alerts(message, now_us)]
        body = json.dumps(alerts, allow_nan=False).encode()
        return Request(
            self.url.rstrip("/") + _PATH, {"Content-Type": "application/json", **self.headers}, body
        )

    def _alerts(self, message: Message, now_us: int) -> list[dict[str, Any]]:
        alert: dict[str, Any] = {
            "labels": dict(message.identity),
            "annotations": described(message.fault, message.reason),
            "startsAt": rfc3339(message.starts_at_us),
        }
        link = fault_url(self.console_url, message.fault.fault_id)
        if link:
            alert["generatorURL"] = link
        if not message.firing:
            own_end_us = message.fault.ends_at_us if message.reason == "resolved" else now_us
            alert["endsAt"] = rfc3339(max(message.starts_at_us, min(own_end_us, now_us)))
        if message.ended is None:
            return [alert]
        before = {
            **alert,
            "labels": dict(message.ended.identity),
            "startsAt": rfc3339(message.ended.starts_at_us),
            "endsAt": rfc3339(max(message.ended.starts_at_us, now_us)),
        }
        return [before, alert]


def alert_name(kind: str) -> str:
    """`network_loss` -> `ByteTrackerNetworkLoss`."""
    return "ByteTracker" + "".join(word.capitalize() for word in kind.split("_"))


def described(fault: Fault, reason: str = "") -> dict[str, str]:
    """What changes while the alert is open, for people. All values are text."""
    event = fault.event
    servers = list(event["affected_servers"])
    more = f" and {len(servers) - _SERVERS_SHOWN} more" if len(servers) > _SERVERS_SHOWN else ""
    told = {
        "summary": title(fault),
        "description": event["story"],
        "suspects": ", ".join(f"{s['element']} ({s['confidence']:.0%})" for s in event["suspects"]),
        "direction": event["direction"],
        "legs": ", ".join(event["legs"]),
        "loss_rate": _rate(event),
        "probes": f"{event['probes_bad']} of {event['probes_total']}" if event["probes_total"] else "",
        "affected_servers": ", ".join(servers[:_SERVERS_SHOWN]) + more,
        "example_probes": ", ".join(str(probe["probe_id"]) for probe in event["example_probes"]),
        "last_seen": rfc3339(event["last_seen_us"]),
        "flaps": str(event["flaps"]) if event["flaps"] else "",
        "ended_because": reason,
        "part_of": event["part_of"],
        "silenced": event["silenced"],
    }
    return {name: value for name, value in told.items() if value}


def _rate(event: Mapping[str, Any]) -> str:
    rate, low, high = event["loss_rate"], event["loss_rate_low"], event["loss_rate_high"]
    if rate is None:
        return ""
    return f"{rate:.2g}" if low is None or high is None else f"{rate:.2g} ({low:.2g} to {high:.2g})"


def basic_auth(username: str, password: str) -> str:
    """Value of the header Authorization."""
    return "Basic " + b64encode(f"{username}:{password}".encode()).decode()

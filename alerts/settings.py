"""What can be set for the alerts process and its receivers."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit

from alerts.fault import KINDS
from schemas.kafka import KafkaSettings

_NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
#: Labels that we set ourselves.
OWN_LABELS = frozenset(
    {"alertname", "fabric", "fault_id", "kind", "severity", "element", "switch", "tier", "pod"}
)


@dataclass(frozen=True, slots=True)
class ReceiverSettings:
    """Who is to be told, of what, and how."""

    #: Its name: the key in `alerts.receivers`.
    name: str
    #: alertmanager, webhook or slack.
    kind: Literal["alertmanager", "webhook", "slack"]
    #: http or https. Of Alertmanager without `/api/v2/alerts`. That of a Slack webhook is a secret.
    url: str = field(repr=False)
    #: Least severity that it is told of: info, warning or critical.
    severity_min: Literal["info", "warning", "critical"] = "info"
    #: Kinds of faults that it is told of; empty: all.
    kinds: frozenset[str] = frozenset()
    #: Further labels of every alert (alertmanager only).
    labels: Mapping[str, str] = field(default_factory=dict)
    #: Key that a webhook's messages are signed with; at least 16 characters (webhook only, required).
    secret: str = field(default="", repr=False)
    #: User name for HTTP basic authentication; empty: none.
    username: str = ""
    #: Its password.
    password: str = field(default="", repr=False)
    #: Bearer token; empty: none.
    bearer_token: str = field(default="", repr=False)
    #: PEM file of authorities; none: the system's.
    ca_file: str | None = None
    #: URL of an HTTP proxy; none: the receiver is reached directly. The usual variables are not looked at.
    proxy: str | None = field(default=None, repr=False)
    #: s to connect.
    connect_timeout_s: float = 5.0
    #: s for a whole request, answer included.
    deadline_s: float = 15.0
    #: s to wait after the first failure; it doubles with each more in a row, and up to half of it is drawn.
    backoff_min_s: float = 1.0
    #: s that it doubles up to.
    backoff_max_s: float = 60.0
    #: s after which a fault that is over, and that it could not be told of, is given up.
    give_up_after_s: float = 86_400.0
    #: Faults that may wait for it; of more, those that are over are given up, oldest first.
    waiting_max: int = 10_000
    #: s between two repetitions of all open alerts (alertmanager only).
    resend_every_s: float = 60.0

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(
                f"{self.name!r} is no name for a receiver: lower-case letters, digits and single _, "
                "so that the environment can name it too"
            )
        self._check_url()
        if self.kind == "webhook" and len(self.secret) < 16:
            raise ValueError(
                "a webhook's messages are signed: set secret to at least 16 characters, best by "
                f"BYTETRACKER_ALERTS__RECEIVERS__{self.name.upper()}__SECRET"
            )
        if self.username and self.bearer_token:
            raise ValueError("set username and password, or bearer_token, not both")
        for kind in self.kinds:
            if kind not in KINDS:
                near = difflib.get_close_matches(kind, KINDS, n=1)
                hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(KINDS)}"
                raise ValueError(f"kinds holds {kind!r}; {hint}")
        for label in self.labels:
            if not _LABEL.fullmatch(label) or label.startswith("__") or label in OWN_LABELS:
                raise ValueError(
                    f"labels holds {label!r}: letters, digits and _ only, and none of "
                    f"{', '.join(sorted(OWN_LABELS))}"
                )
        for option in ("connect_timeout_s", "deadline_s", "backoff_min_s", "resend_every_s", "waiting_max"):
            if getattr(self, option) <= 0:
                raise ValueError(f"{option} must be above 0")
        if self.backoff_max_s < self.backoff_min_s:
            raise ValueError("backoff_max_s is less than backoff_min_s")

    def _check_url(self) -> None:
        # Without its text: that of a Slack webhook is a secret.
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("url must begin with http:// or https:// and name a host")
        if parts.username or parts.password:
            raise ValueError("url must not hold a password; use username and password")


@dataclass(frozen=True, slots=True)
class AlertsSettings:
    """One alerts process. Of several with the same `group_id` one works, and the others stand by."""

    #: Shared by all processes; the file has it at the top.
    kafka: KafkaSettings = field(default_factory=KafkaSettings)
    #: Name -> receiver; a section for each, see below.
    receivers: Mapping[str, ReceiverSettings] = field(default_factory=dict)
    #: Address at which people reach the console, for links to a fault's page; empty: no links.
    console_url: str = ""
    #: Consumer group.
    group_id: str = "bytetracker-alerts"
    #: ms of silence after which another process of the group takes over.
    session_timeout_ms: int = 6_000
    #: ms between two signs of life within the group.
    heartbeat_interval_ms: int = 500
    #: TCP port of the Prometheus endpoint; 0: none.
    metrics_port: int = 0

    def __post_init__(self) -> None:
        if self.console_url and urlsplit(self.console_url).scheme not in ("http", "https"):
            raise ValueError("console_url must begin with http:// or https://")

"""The alerts process: reads the topic, hands its events to the receivers, keeps them at work."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from threading import Event as Flag
from time import monotonic

import structlog

from alerts.alertmanager import Alertmanager, basic_auth
from alerts.channel import Channel
from alerts.fault import Rule
from alerts.http import HttpPoster
from alerts.log import Assigned, CaughtUp, Event, FaultLog, Revoked
from alerts.memory import Memory, Remembered, read_memory
from alerts.metrics import AlertsMetrics
from alerts.outbox import Limits, Outbox
from alerts.patience import Patience
from alerts.places import Places
from alerts.receiver import Receiver
from alerts.settings import AlertsSettings, ReceiverSettings
from alerts.slack import Slack
from alerts.webhook import Webhook
from fabric.model import Fabric
from schemas.registry import framing_for

_log = structlog.get_logger(__name__)

#: How often receivers are looked after, s.
CARE_EVERY_S = 1.0
#: What is not yet stored when the process is asked to stop has so long, s.
LAST_FLUSH_S = 5.0


@dataclass(slots=True)
class AlertsReport:
    """What one run did."""

    messages: int = 0
    times_assigned: int = 0


def run_alerts(settings: AlertsSettings, fabric: Fabric, stop: Flag, metrics: AlertsMetrics) -> AlertsReport:
    """Tell receivers of faults until `stop` is set; then end after the requests that are under way.

    Raises LogFailed, MemoryFailed and KafkaException: what another try would not mend ends the process, and
    the next one goes on from what is stored.
    """
    alerts = _Alerts(settings, fabric, metrics)
    try:
        return alerts.run(stop)
    finally:
        alerts.close()


class _Alerts:
    def __init__(self, settings: AlertsSettings, fabric: Fabric, metrics: AlertsMetrics) -> None:
        self._settings, self._metrics = settings, metrics
        self._places = Places(fabric)
        self._framing = framing_for(settings.kafka.schema_registry_url)
        self._config = settings.kafka.librdkafka()
        self._report = AlertsReport()
        self._receivers: list[Receiver] = []
        self._is_at_work = False  # the receivers' threads run
        self._cared_at_s = monotonic()
        self._memory = Memory(self._config, self._framing)
        self._log = FaultLog(
            self._config,
            self._framing,
            metrics,
            group_id=settings.group_id,
            session_timeout_ms=settings.session_timeout_ms,
            heartbeat_interval_ms=settings.heartbeat_interval_ms,
        )

    def run(self, stop: Flag) -> AlertsReport:
        while not stop.is_set():
            for news in self._log.read(0.1):
                match news:
                    case Revoked():
                        self._end()
                    case Assigned():
                        self._begin()
                    case Event(fault, offset):
                        self._report.messages += 1
                        for receiver in self._receivers:
                            receiver.take(fault, offset)
                    case CaughtUp(next_offset):
                        self._is_at_work = True
                        for receiver in self._receivers:
                            receiver.caught_up(next_offset)
                        _log.info("at_work", receivers=len(self._receivers), offset=next_offset)
            self._care()
        return self._report

    def close(self) -> None:
        self._end()
        self._memory.flush(LAST_FLUSH_S)
        self._log.close()

    def _begin(self) -> None:
        self._report.times_assigned += 1
        # What an earlier assignment of ours has said must be among what is read now.
        self._memory.flush(LAST_FLUSH_S)
        remembered = read_memory(self._config, self._framing)
        self._receivers = [
            _receiver(
                each,
                self._settings,
                self._places,
                remembered.get(each.name, Remembered()),
                self._memory,
                self._metrics,
            )
            for each in self._settings.receivers.values()
        ]
        self._metrics.active.set(1)

    def _end(self) -> None:
        receivers, self._receivers, self._is_at_work = self._receivers, [], False
        self._metrics.active.set(0)
        for receiver in receivers:
            receiver.ask_to_stop()
        for receiver in receivers:
            receiver.stop()

    def _care(self) -> None:
        for receiver in self._receivers:
            if receiver.error is not None:
                raise receiver.error
        if not self._is_at_work or monotonic() - self._cared_at_s < CARE_EVERY_S:
            return
        self._cared_at_s = monotonic()
        positions = [receiver.position for receiver in self._receivers]
        known = [position for position in positions if position is not None]
        if known and len(known) == len(positions):
            self._log.commit(min(known))


def _receiver(
    settings: ReceiverSettings,
    alerts: AlertsSettings,
    places: Places,
    remembered: Remembered,
    memory: Memory,
    metrics: AlertsMetrics,
) -> Receiver:
    channel = channel_of(settings, alerts.console_url, places)
    outbox = Outbox(
        Rule(settings.severity_min, settings.kinds),
        channel.identity,
        Patience(settings.backoff_min_s, settings.backoff_max_s),
        Limits(settings.give_up_after_s, settings.waiting_max),
        remembered.told.values(),
        remembered.position,
    )
    return Receiver(settings.name, channel, outbox, HttpPoster(settings), memory, metrics)


def channel_of(settings: ReceiverSettings, console_url: str, places: Places) -> Channel:
    """How a receiver of these settings is talked to."""
    headers = _headers(settings)
    match settings.kind:
        case "alertmanager":
            return Alertmanager(
                settings.url, places, console_url, settings.labels, headers, settings.resend_every_s
            )
        case "webhook":
            return Webhook(settings.url, settings.secret, places.fabric_name, console_url, headers)
        case "slack":
            return Slack(settings.url, places.fabric_name, console_url, headers)


def _headers(settings: ReceiverSettings) -> Mapping[str, str]:
    if settings.username:
        return {"Authorization": basic_auth(settings.username, settings.password)}
    return {"Authorization": f"Bearer {settings.bearer_token}"} if settings.bearer_token else {}

"""The alerts process."""

from __future__ import annotations

import json
from dataclasses import asdict

import click
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from prometheus_client import REGISTRY

from alerts.metrics import AlertsMetrics
from alerts.run import run_alerts
from bytetracker.run.stopping import stop_on_signals
from bytetracker.service.metrics import serve_metrics
from bytetracker.settings import Settings, SettingsError
from bytetracker.topics_admin import KNOCK_TIMEOUT_S, BrokerUnreachable
from fabric.inventory import load_fabric
from schemas import topics


def serve_alerts(settings: Settings) -> None:
    """Tell receivers of faults until a signal."""
    stop = stop_on_signals()
    options = settings.alerts_settings()
    if not options.receivers:
        raise SettingsError(
            "alerts.receivers is empty; name somebody to tell, as in "
            "`alerts: {receivers: {alertmanager: {kind: alertmanager, url: 'http://127.0.0.1:9093'}}}`"
        )
    fabric = load_fabric(settings.inventory)
    _knock(options.kafka.librdkafka())
    metrics = AlertsMetrics(REGISTRY)
    serve_metrics("alerts", settings.metrics_address, options.metrics_port)
    report = run_alerts(options, fabric, stop, metrics)
    # The last line of the output, for whoever started this process.
    click.echo(json.dumps(asdict(report)))


def _knock(config: dict[str, str]) -> None:
    address = config["bootstrap.servers"]
    try:
        found = AdminClient({**config, "log_level": 0}).list_topics(timeout=KNOCK_TIMEOUT_S).topics
    except KafkaException as error:
        raise BrokerUnreachable(f"no Kafka broker answers at {address}: {error.args[0].str()}") from error
    missing = [topic for topic in (topics.FAULTS, topics.ALERTS_STATE) if topic not in found]
    if missing:
        raise BrokerUnreachable(
            f"the broker at {address} has no topic {' and no topic '.join(missing)}; "
            "run `bytetracker topics create`"
        )

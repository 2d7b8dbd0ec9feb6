"""The Prober process."""

from __future__ import annotations

import json
import time
from functools import partial

import click
import structlog

from bytetracker.planning import plan_text, prober_document
from bytetracker.run.stopping import stop_on_signals
from bytetracker.settings import Settings
from fabric.inventory import load_fabric
from fabric.lab.enter import open_in_namespace
from producers.kafka_sink import KafkaSink, KafkaSinkSettings
from producers.plan import build_plan
from producers.prober import ProberReport, prober_of, run_prober
from producers.publish import BatchPublisher
from schemas import topics
from schemas.registry import framing_for

log = structlog.get_logger(__name__)


def serve_prober(settings: Settings, *, dry_run: bool) -> None:
    """Run a Prober until a signal, or until it is not safe to go on (then exits with an error)."""
    options = settings.prober_settings()
    fabric = load_fabric(settings.inventory)
    if dry_run:
        plan = build_plan(fabric, prober_of(fabric, options.prober), options.plan)
        click.echo(plan_text(prober_document(fabric, [plan])))
        return
    kafka = settings.kafka_settings()
    stop = stop_on_signals()
    publisher = BatchPublisher(
        topics.OUTCOMES,
        options.prober,
        time.time_ns() // 1_000,
        settings.partitions,
        KafkaSink(topics.OUTCOMES, KafkaSinkSettings(kafka.bootstrap_servers), kafka.librdkafka_security()),
        framing=framing_for(kafka.schema_registry_url),
    )
    report = run_prober(
        options,
        fabric,
        publisher,
        stop,
        read_fabric=partial(load_fabric, settings.inventory),
        opening=partial(open_in_namespace, options.namespace) if options.namespace else None,
    )
    _tell(report)
    if not stop.is_set():
        raise click.ClickException(f"the Prober stopped: {report.stopped_because}")


def _tell(report: ProberReport) -> None:
    # The last line of the output, for whoever started this process.
    click.echo(json.dumps(report.as_dict()))

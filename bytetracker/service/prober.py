"""The Prober process."""

from __future__ import annotations

import json
from functools import partial

import click
import structlog
from prometheus_client import REGISTRY

from bytetracker.planning import plan_text, prober_document
from bytetracker.run.stopping import stop_on_signals
from bytetracker.service.metrics import serve_metrics
from bytetracker.service.publisher import open_publisher
from bytetracker.settings import Settings
from fabric.inventory import load_fabric
from fabric.lab.enter import open_in_namespace
from producers.flow_watch import planned
from producers.metrics import count_prober
from producers.prober import ProberReport, prober_of, run_prober
from schemas import topics

log = structlog.get_logger(__name__)


def serve_prober(settings: Settings, *, dry_run: bool) -> None:
    """Run a Prober until a signal, or until it is not safe to go on (then exits with an error)."""
    options = settings.prober_settings()
    fabric = load_fabric(settings.inventory)
    if dry_run:
        plan = planned(fabric, prober_of(fabric, options.prober), options.plan)
        click.echo(plan_text(prober_document(fabric, [plan])))
        return
    stop = stop_on_signals()
    serve_metrics("prober", settings.metrics_address, options.metrics_port)
    publisher = open_publisher(
        settings.kafka_settings(), settings.partitions, topics.OUTCOMES, options.prober, REGISTRY
    )
    report = run_prober(
        options,
        fabric,
        publisher,
        stop,
        read_fabric=partial(load_fabric, settings.inventory),
        started=lambda loop: count_prober(loop.report, REGISTRY),
        opening=partial(open_in_namespace, options.namespace) if options.namespace else None,
        complain=log.warning,
    )
    _tell(report)
    if not stop.is_set():
        raise click.ClickException(f"the Prober stopped: {report.stopped_because}")


def _tell(report: ProberReport) -> None:
    # The last line of the output, for whoever started this process.
    click.echo(json.dumps(report.as_dict()))

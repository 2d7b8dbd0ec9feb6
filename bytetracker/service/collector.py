"""The collector process."""

from __future__ import annotations

import json
from dataclasses import asdict

import click
from prometheus_client import REGISTRY

from bytetracker.run.stopping import stop_on_signals
from bytetracker.service.metrics import serve_metrics
from bytetracker.service.publisher import open_publisher
from bytetracker.settings import Settings, SettingsError
from fabric.inventory import load_fabric
from fabric.lab.enter import open_in_namespace
from producers.collector import Collector, CollectorOptions, wall_clock_us
from producers.collector_settings import CollectorSettings
from producers.metrics import count_collector
from producers.mirror.inventory import ExporterMap, ProbeMap
from producers.sources.ring import GRE_ONLY, RingOptions, RingSource
from schemas import topics


def serve_collector(settings: Settings) -> None:
    """Run a collector until a signal."""
    options = settings.collector_settings()
    if not options.interface:
        raise SettingsError("collector.interface is empty; set it to the interface that mirrors arrive on")
    fabric = load_fabric(settings.inventory)
    stop = stop_on_signals()
    source = _open_ring(options)
    serve_metrics("collector", settings.metrics_address, options.metrics_port)
    publisher = open_publisher(
        settings.kafka_settings(), settings.partitions, topics.DIGESTS, options.name, REGISTRY
    )
    collector = Collector(
        source,
        publisher,
        ExporterMap.of(fabric),
        ProbeMap.of(fabric),
        options=CollectorOptions(linger_us=options.linger_us),
        clock_us=wall_clock_us,
    )
    count_collector(collector.counts, REGISTRY)
    collector.run(stop)
    counts = collector.counts
    # The last line of the output, for whoever started this process.
    click.echo(json.dumps(asdict(counts)))


def _open_ring(options: CollectorSettings) -> RingSource:
    def opened() -> RingSource:
        return RingSource(
            options.interface,
            RingOptions(
                frames=options.ring_packets,
                packet_filter=GRE_ONLY,
                fanout_group=options.fanout_group or None,
            ),
        )

    return open_in_namespace(options.namespace, opened) if options.namespace else opened()

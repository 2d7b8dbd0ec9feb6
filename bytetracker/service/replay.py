"""Captures into the topics: the collector, with files for a source."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from threading import Event

from bytetracker.service.publisher import open_publisher
from bytetracker.settings import Settings
from fabric.inventory import load_fabric
from producers.collector import Collector, CollectorCounts
from producers.mirror.inventory import ExporterMap, ProbeMap
from producers.sources.capture import CaptureSource
from schemas import topics


def replay_captures(settings: Settings, files: Sequence[Path], inventory: str | None) -> CollectorCounts:
    """Publish all files, each as a source of its own. Raises CaptureError where a file is damaged, after
    what comes before the damage has been published."""
    fabric = load_fabric(inventory or settings.inventory)
    total = CollectorCounts()
    for file in files:
        publisher = open_publisher(
            settings.kafka_settings(), settings.partitions, topics.DIGESTS, f"replay-{file.name}"
        )
        collector = Collector(CaptureSource(file), publisher, ExporterMap.of(fabric), ProbeMap.of(fabric))
        try:
            collector.run(Event())
        finally:
            total.frames += collector.counts.frames
            total.digests += collector.counts.digests
            total.altered += collector.counts.altered
            total.rejected += collector.counts.rejected
    return total

"""All checks, in the order in which one would look: what cannot be looked at because of what was found before
is left out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

from confluent_kafka import KafkaException

from bytetracker.doctor import broker, inventory, machine, recent
from bytetracker.doctor.finding import Finding, fail, ok
from bytetracker.doctor.store import check_store
from bytetracker.settings import Settings, SettingsError, load_settings
from fabric.model import Fabric
from producers.prober_safety import controller_gone
from schemas import topics
from schemas.kafka import KafkaSettings
from schemas.registry import framing_for
from sinks.reading import open_reader
from sinks.rows import SOURCE_TOPICS
from sinks.settings import ChdbSettings

#: Messages looked at per partition; each source sends at least one a second.
_RECENT = 40

#: Gives the present time, us since 1970.
Clock = Callable[[], int]


def wall_clock_us() -> int:
    return time.time_ns() // 1_000


def examine(config_path: Path | None, clock: Clock = wall_clock_us) -> Iterator[Finding]:
    """Look at everything, telling findings as they come."""
    try:
        settings = load_settings(config_path)
    except SettingsError as error:
        yield fail("configuration", str(error), "mend it; see docs/configuration.md")
        return
    sections = list(inventory.check_sections(settings))
    yield from sections
    understood = all(finding.status == "ok" for finding in sections)
    fabric, finding = inventory.load(settings)
    yield finding
    if understood:
        yield from inventory.check_memory(settings)
    if fabric is not None:
        yield from inventory.check_names(settings, fabric)
        yield from inventory.check_plan(settings, fabric)
        yield from inventory.check_maintenance(fabric, clock())
    yield from machine.check_own_clock()
    if understood:
        yield from _machine(settings, clock)
        yield from _broker(settings, fabric, clock)
        yield from _store(settings, clock)


def _machine(settings: Settings, clock: Clock) -> Iterator[Finding]:
    if settings.prober:
        prober = settings.prober_settings()
        yield from machine.check_sniffer("prober", prober.interface, prober.namespace)
        yield from machine.check_controller(prober.controller_file, lambda: controller_gone(prober, clock()))
    if settings.collector:
        collector = settings.collector_settings()
        yield from machine.check_sniffer("collector", collector.interface, collector.namespace or None)
    parts = ("prober", "collector", "worker", "sink", "alerts", "console")
    ports = {part: int(getattr(settings, part).get("metrics_port", 0)) for part in parts}
    where = None
    if settings.console:
        console = settings.console_settings()
        where = console.host, console.port
    yield from machine.check_ports(machine.listeners_of(settings.metrics_address, ports, where))


def _broker(settings: Settings, fabric: Fabric | None, clock: Clock) -> Iterator[Finding]:
    kafka = settings.kafka_settings()
    try:
        facts = broker.look(kafka.librdkafka())
    except KafkaException as error:
        yield fail(
            "broker",
            f"no Kafka broker answers at {kafka.bootstrap_servers}: {error.args[0].str()}",
            "start it, or mend the section kafka (bootstrap_servers, security_protocol, user)",
        )
        return
    yield ok("broker", f"{kafka.bootstrap_servers} answers, {facts.brokers} broker(s)")
    judged = list(broker.judge_topics(facts, settings.partitions, topics.all_topics()))
    yield from judged
    try:
        yield from _lags(settings, kafka, facts)
        yield from _recent(kafka, facts, fabric, clock)
    except KafkaException as error:
        yield broker.judge_refusal(error.args[0])


def _lags(settings: Settings, kafka: KafkaSettings, facts: broker.BrokerFacts) -> Iterator[Finding]:
    for who, group, read in (
        ("worker", settings.worker_settings().app_id, (topics.OUTCOMES, topics.DIGESTS, topics.EVIDENCE)),
        ("sink", settings.sink_settings().group_id, SOURCE_TOPICS),
        *([("alerts", settings.alerts_settings().group_id, (topics.FAULTS,))] if settings.alerts else []),
    ):
        there = {name: facts.topics[name].partitions for name in read if name in facts.topics}
        if there:
            yield broker.judge_lag(who, group, broker.lag_of(kafka.librdkafka(), group, there))


def _recent(
    kafka: KafkaSettings, facts: broker.BrokerFacts, fabric: Fabric | None, clock: Clock
) -> Iterator[Finding]:
    framing = framing_for(kafka.schema_registry_url)

    def read(*names: str) -> list[recent.Head]:
        there = {name: facts.topics[name].partitions for name in names if name in facts.topics}
        return recent.last_heads(kafka.librdkafka(), framing, there, _RECENT)

    joined = read(topics.OUTCOMES, topics.DIGESTS)
    expected: list[str] = []
    if fabric is not None:
        expected += [prober.name for prober in fabric.probers]
        expected += [collector.name for collector in fabric.collectors]
    read_us = clock()
    yield from recent.judge_sources(joined, expected, read_us)
    broker_clock = recent.judge_broker_clock(joined, read_us)
    if broker_clock is not None:
        yield broker_clock
    slots = [int(head.fields["slot_us"]) for head in read(topics.EVIDENCE) if head.fields["partition"] >= 0]
    yield recent.judge_newest_slot("workers.newest", max(slots, default=None), clock())


def _store(settings: Settings, clock: Clock) -> Iterator[Finding]:
    store = settings.store_settings()
    where = store.path if isinstance(store, ChdbSettings) else f"{store.host}:{store.port}"
    with closing(open_reader(store)) as reader:
        yield from check_store(reader, where, clock)

"""The console process."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import click
import structlog
from confluent_kafka import KafkaException

from bytetracker.refusals import SilenceRefused
from bytetracker.run.stopping import stop_on_signals
from bytetracker.service.metrics import own_registry, serve_metrics
from bytetracker.settings import Settings, SettingsError, load_settings
from bytetracker.silencing import Silencing
from bytetracker.topics_admin import BrokerUnreachable
from console.context import Console
from console.errors import Away, Refused
from console.live.consumer import LiveConsumer
from console.live.sources import SourcesNow, SourceWatch
from console.live.state import LiveState
from console.metrics import ConsoleMetrics
from console.models import Silence
from console.serve import ConsoleServer
from fabric.inventory import load_fabric
from fabric.model import UnknownElement
from schemas.registry import framing_for
from sinks.reading import open_reader

_T = TypeVar("_T")
_log = structlog.get_logger(__name__)

#: Evidence comes a second or so after its slot; a window's worth and that much more is read at the start.
_LOOK_BACK_US = 10_000_000


class _Silencing:
    """bytetracker.silencing for the console."""

    def __init__(self, settings: Settings) -> None:
        self._silencing = Silencing(settings)

    def silence(self, element: str, until_us: int, why: str, by: str, now_us: int) -> None:
        _told(lambda: self._silencing.silence(element, until_us, why, by, now_us))

    def end(self, element: str, by: str, now_us: int) -> None:
        _told(lambda: self._silencing.end(element, by, now_us))

    def held(self, now_us: int) -> list[Silence]:
        return [
            Silence(
                what="maintenance" if held.what == "maintenance" else "silence",
                element=held.element,
                from_us=held.from_us,
                until_us=held.until_us,
                why=held.why,
                by=held.by,
            )
            for held in _told(lambda: self._silencing.held(now_us))
        ]


def _told(action: Callable[[], _T]) -> _T:
    try:
        return action()
    except (SilenceRefused, UnknownElement) as error:
        raise Refused(str(error)) from error
    except (BrokerUnreachable, KafkaException, TimeoutError) as error:
        raise Away(str(error)) from error


def serve_console(settings: Settings, *, with_broker: bool = True) -> None:
    """Serve the page until a signal. Without a broker it shows what a finished run has stored."""
    stop = stop_on_signals()
    options = settings.console_settings()
    # Silences are a matter of the worker's code, whose metrics are not the console's.
    registry = own_registry()
    metrics = ConsoleMetrics(registry)
    serve_metrics("console", settings.metrics_address, options.metrics_port, registry)
    fabric = load_fabric(settings.inventory)
    with ExitStack() as stack:
        store = settings.store_settings()
        store = replace(store, query_deadline_s=min(store.query_deadline_s, options.page_seconds))
        reader = stack.enter_context(closing(open_reader(store)))
        console = Console(
            options,
            fabric,
            reader=reader,
            silencing=_Silencing(settings) if with_broker else None,
            count_typed=lambda outcome: metrics.typed_queries.labels(outcome).inc(),
        )
        if with_broker:
            _watch(console, settings, stack)
        server = ConsoleServer(console, metrics)
        url = server.start()
        stack.callback(server.stop)
        click.echo(f"console: {url}", err=True)
        while server.running and not stop.wait(0.5):
            pass
        if not stop.is_set():
            raise click.ClickException("the console's server ended by itself; its log says why")


def _watch(console: Console, settings: Settings, stack: ExitStack) -> None:
    """Fill the console's live state from the topics."""
    kafka = settings.kafka_settings()
    framing = framing_for(kafka.schema_registry_url)
    window_us = console.settings.links_window_ms * 1_000
    console.live = LiveState(console.layout, console.hub, window_us)
    consumer = LiveConsumer(kafka.librdkafka(), framing, console.live, window_us + _LOOK_BACK_US)
    console.sources = SourcesNow()
    sources = SourceWatch(kafka.librdkafka(), framing, console.sources)
    for each in (consumer, sources):
        each.start()
        stack.callback(each.stop)


def of_finished_run(settings: Settings, folder: Path) -> Settings:
    """Settings to look at the store in `folder`: with the inventory of the run that it belongs to, if that
    left its configuration beside it. Raises SettingsError."""
    beside = folder.absolute().parent / "bytetracker.yaml"
    if "inventory" not in settings.model_fields_set and beside.is_file():
        try:
            settings = settings.model_copy(update={"inventory": load_settings(beside).inventory})
        except SettingsError as error:
            _log.warning("configuration_of_the_run_not_used", path=str(beside), error=str(error))
    return settings.model_copy(update={"store": {"kind": "chdb", "path": str(folder)}})

"""`faults`: what is and was wrong."""

from __future__ import annotations

import select
import shutil
import sys
import time
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import click

from alerts.fault import KINDS
from bytetracker.commands.options import config_option, store_option
from bytetracker.completing import offer_elements
from bytetracker.moments import since_us
from bytetracker.settings import Settings, load_settings

if TYPE_CHECKING:
    from bytetracker.faults.fault import Fault, Wanted

Format = Literal["table", "json", "jsonl", "csv"]
#: How long an event may wait to be printed, and Ctrl-C to be obeyed.
_TICK_S = 0.25


@click.command()
@click.option("--follow", is_flag=True, help="Show what is open, then each event as it comes, until Ctrl-C.")
@click.option(
    "--since", metavar="TIME", help="Only faults with a sign since then: 2h, 1d, or ISO 8601 with its zone."
)
@click.option("--state", type=click.Choice(["open", "resolved"]), help="Only these.")
@click.option(
    "--kind",
    "kinds",
    multiple=True,
    type=click.Choice(KINDS),
    metavar="KIND",
    help="Only this kind. May be repeated.",
)
@click.option(
    "--severity",
    type=click.Choice(["info", "warning", "critical"]),
    default="info",
    show_default=True,
    help="The least severity shown.",
)
@click.option(
    "--element",
    metavar="ELEMENT",
    shell_complete=offer_elements,
    help="Only at this element, within it, or affecting it.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(get_args(Format)),
    default="table",
    show_default=True,
    help="How it is printed; jsonl is one JSON object a line.",
)
@click.option(
    "--from",
    "source",
    type=click.Choice(["store", "topic"]),
    help="Where from; default: the store, or where that cannot be read the topic.",
)
@store_option
@config_option
def faults(
    follow: bool,
    since: str | None,
    state: str | None,
    kinds: tuple[str, ...],
    severity: str,
    element: str | None,
    form: Format,
    source: str | None,
    store_path: Path | None,
    config_path: Path | None,
) -> None:
    """List faults, newest first, from the store or the broker; or follow them.

    The store remembers all; the topic the last 30 days, and of each fault at least its last event.
    """
    from bytetracker.faults.fault import Wanted  # noqa: PLC0415 - loads the network model
    from fabric.inventory import load_fabric  # noqa: PLC0415

    if follow and form == "json":
        raise click.UsageError("--follow never ends, and JSON would not either; take --format jsonl.")
    if follow and (source == "store" or store_path is not None):
        raise click.UsageError("--follow reads the topic, not the store; leave --from and --store away.")
    if source == "topic" and store_path is not None:
        raise click.UsageError("--store and --from topic exclude each other.")
    settings = load_settings(config_path)
    if store_path is not None:
        settings, source = settings.with_store_in(store_path), "store"
    wanted = Wanted(
        since_us=None if since is None else since_us(since, time.time_ns() // 1_000),
        state=state,
        kinds=frozenset(kinds),
        severity_min=severity,
        element=element,
        fabric=load_fabric(settings.inventory) if element is not None else None,
    )
    if follow:
        _follow(settings, wanted, form)
    else:
        _list(_past(settings, wanted, source), form)


def _past(settings: Settings, wanted: Wanted, source: str | None) -> list[Fault]:
    from bytetracker.faults.stored import stored_faults  # noqa: PLC0415
    from bytetracker.topics_admin import BrokerUnreachable  # noqa: PLC0415
    from sinks.reading import open_reader  # noqa: PLC0415
    from sinks.store import StoreError  # noqa: PLC0415

    if source != "topic":
        try:
            with closing(open_reader(settings.store_settings())) as reader:
                return stored_faults(reader, wanted)
        except StoreError as error:
            if source == "store":
                raise
            try:
                found = _told_by_topic(settings, wanted)
            except BrokerUnreachable as other:
                raise click.ClickException(f"neither store nor broker: {_line(error)}; {other}") from error
            click.echo(f"From the topic, because the store cannot be read: {_line(error)}", err=True)
            return found
    return _told_by_topic(settings, wanted)


def _told_by_topic(settings: Settings, wanted: Wanted) -> list[Fault]:
    from bytetracker.faults.topic import FaultsTopic, newest_of_each  # noqa: PLC0415
    from schemas.registry import framing_for  # noqa: PLC0415

    kafka = settings.kafka_settings()
    with FaultsTopic(kafka.librdkafka(), framing_for(kafka.schema_registry_url)) as topic:
        return [fault for fault in newest_of_each(topic.held()) if wanted.takes(fault)]


def _list(found: list[Fault], form: Format) -> None:
    from bytetracker.faults import lines  # noqa: PLC0415

    if form == "json":
        click.echo(lines.json_list(found), nl=False)
    elif form == "jsonl":
        click.echo("".join(f"{lines.json_line(fault)}\n" for fault in found), nl=False)
    elif form == "csv":
        click.echo("\n".join([lines.csv_head(), *map(lines.csv_line, found)]))
    elif found:
        terminal = sys.stdout.isatty()
        width = shutil.get_terminal_size().columns if terminal else None
        click.echo(lines.table(found, width, terminal), nl=False)
    else:
        click.echo("no faults", err=True)


def _follow(settings: Settings, wanted: Wanted, form: Format) -> None:
    from bytetracker.faults.topic import FaultsTopic, newest_of_each  # noqa: PLC0415
    from bytetracker.run.stopping import stop_on_signals  # noqa: PLC0415
    from schemas.registry import framing_for  # noqa: PLC0415

    stop = stop_on_signals()
    kafka = settings.kafka_settings()
    with FaultsTopic(kafka.librdkafka(), framing_for(kafka.schema_registry_url)) as topic:
        held = topic.held()
        if wanted.since_us is None:
            held = [fault for fault in reversed(newest_of_each(held)) if not fault.is_over]
        _print_events(held, wanted, form, heading=True)
        while not stop.is_set() and not _reader_is_gone():
            _print_events(topic.next(_TICK_S), wanted, form)


def _print_events(events: Iterable[Fault], wanted: Wanted, form: Format, heading: bool = False) -> None:
    from bytetracker.faults import lines  # noqa: PLC0415

    if heading and form == "csv":
        click.echo(lines.csv_head())
    for fault in events:
        if not wanted.takes(fault):
            continue
        if form == "table":
            click.echo(lines.event_line(fault, sys.stdout.isatty()))
        else:
            click.echo(lines.csv_line(fault) if form == "csv" else lines.json_line(fault))


def _reader_is_gone() -> bool:
    """Whether whoever read our output (`| head -1`) has gone: else we would notice at the next event only."""
    try:
        poll = select.poll()
        poll.register(sys.stdout.fileno(), 0)
        return any(happened & select.POLLERR for _, happened in poll.poll(0))
    except (OSError, ValueError):
        return False  # no file at all, as in tests


def _line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__

"""`path`: where one probe went, or how a server is reached."""

from __future__ import annotations

import re
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bytetracker.commands.options import config_option, store_option
from bytetracker.completing import offer_servers
from bytetracker.moments import since_us, told
from bytetracker.settings import Settings, load_settings

if TYPE_CHECKING:
    from bytetracker.path.asked import PathStore, ServerFacts
    from bytetracker.path.probe import Probe

_PROBE_ID = re.compile(r"\d+|0x[0-9a-fA-F]+")


@click.command()
@click.argument("what", metavar="PROBE_ID|SERVER", shell_complete=offer_servers)
@click.option(
    "--at",
    metavar="TIME",
    help="The probe of that number nearest to it, or a server's last probes until then: ISO 8601 with its "
    "zone, or how long ago (2h).",
)
@store_option
@config_option
def path(what: str, at: str | None, store_path: Path | None, config_path: Path | None) -> None:
    """Show the way of a probe and its reply hop by hop, or a server's last probes and the ways of its flows.

    A server is named by its name or address. Works beside a running sink or demo.
    """
    import time  # noqa: PLC0415

    from bytetracker.path.asked import PathStore  # noqa: PLC0415
    from sinks.reading import open_reader  # noqa: PLC0415

    settings = load_settings(config_path)
    if store_path is not None:
        settings = settings.with_store_in(store_path)
    at_us = None if at is None else since_us(at, time.time_ns() // 1_000)
    with closing(open_reader(settings.store_settings())) as reader:
        store = PathStore(reader)
        if _PROBE_ID.fullmatch(what):
            _show_probe(store, store.probe(int(what, 0 if what.startswith("0x") else 10), at_us), settings)
        else:
            _show_server(store, store.server(what), at_us)


def _show_probe(store: PathStore, probe: Probe, settings: Settings) -> None:
    from bytetracker.path.drawing import probe_text  # noqa: PLC0415
    from bytetracker.path.steps import legs_of  # noqa: PLC0415

    legs = legs_of(probe, store.ways_to(probe.target))
    click.echo(probe_text(probe, legs, _port_names(settings)), nl=False)


def _port_names(settings: Settings) -> dict[tuple[str, int], str]:
    """Of the configuration's inventory, which may not be the store's: then numbers do."""
    from fabric.inventory import InventoryError, load_fabric  # noqa: PLC0415

    try:
        fabric = load_fabric(settings.inventory)
    except (InventoryError, OSError):
        return {}
    return {(switch.name, port.number): port.name for switch in fabric.switches for port in switch.ports}


def _show_server(store: PathStore, facts: ServerFacts, at_us: int | None) -> None:
    from bytetracker.faults.lines import printable  # noqa: PLC0415
    from bytetracker.path.drawing import probes_table, ways_text  # noqa: PLC0415

    until = f" until {told(at_us)}" if at_us is not None else ""
    lines = [
        f"{facts.name} ({', '.join(facts.addresses)}), behind {facts.tor} in {facts.pod or 'no pod'}",
        f"  last hour: {facts.answered:,} replies, {facts.silent:,} probes unanswered, "
        f"{facts.network_losses:,} lost in the network",
        *([] if facts.answers else ["  known never to answer: its silence is no fault"]),
        *(
            "  " + printable(f"open fault {fault_id}: {kind}, {story}")
            for fault_id, kind, story in facts.faults
        ),
        "",
        f"last probes stored{until} (UTC, probe ID, verdict):",
        *probes_table(store.probes_to(facts.name, at_us)),
        "",
        "ways of its flows, as they were said last:",
        *ways_text(store.ways_to(facts.name)),
    ]
    click.echo("\n".join(lines))

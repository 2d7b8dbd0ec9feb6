"""`sizing`: how much of everything a network would need."""

from __future__ import annotations

import json
from pathlib import Path

import click

from bytetracker.commands.options import config_option
from bytetracker.settings import load_settings
from fabric.inventory import load_fabric


@click.command()
@config_option
@click.option(
    "--fabric", "fabric_name", metavar="NAME|FILE", help="Instead of the configuration's inventory."
)
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
def sizing(config_path: Path | None, fabric_name: str | None, as_json: bool) -> None:
    """Show what a network would need: rates, cores, topics and disk. Sends nothing.

    One interval of the plan is simulated; what a core does, and what a row takes, is measured.
    """
    from bytetracker.sizing import sizing_document, sizing_text  # noqa: PLC0415
    from producers.flow_watch import planned  # noqa: PLC0415

    settings = load_settings(config_path)
    network = load_fabric(fabric_name or settings.inventory)
    plan = settings.plan_settings()
    plans = [planned(network, prober, plan) for prober in network.probers]
    slot_us = settings.worker_settings().join.slot_us
    document = sizing_document(network, plans, settings.partitions, slot_us)
    click.echo(json.dumps(document, indent=2) if as_json else sizing_text(document))

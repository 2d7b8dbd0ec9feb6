"""`fabric show`, `fabric generate` and `plan`: what the network is, and what would be probed."""

from __future__ import annotations

import json
from pathlib import Path

import click

from bytetracker.commands.options import config_option, fabric_option
from bytetracker.completing import offer_fabrics
from bytetracker.settings import load_settings
from fabric.inventory import dump_fabric, load_fabric
from fabric.show import fabric_document, fabric_text


@click.group()
def fabric() -> None:
    """The network model."""


@fabric.command()
@fabric_option
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
def show(fabric_name: str, as_json: bool) -> None:
    """List switches, links, servers and Probers."""
    network = load_fabric(fabric_name)
    click.echo(json.dumps(fabric_document(network), indent=2) if as_json else fabric_text(network))


@fabric.command()
@fabric_option
def generate(fabric_name: str) -> None:
    """Write a fabric as an inventory file, to start one's own from."""
    click.echo(dump_fabric(load_fabric(fabric_name)), nl=False)


@click.command()
@config_option
@click.option(
    "--fabric",
    "fabric_name",
    metavar="NAME|FILE",
    shell_complete=offer_fabrics,
    help="Instead of the configuration's inventory.",
)
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
def plan(config_path: Path | None, fabric_name: str | None, as_json: bool) -> None:
    """Show what would be probed, and what it covers; sends nothing."""
    from bytetracker.planning import plan_document, plan_text  # noqa: PLC0415

    settings = load_settings(config_path)
    network = load_fabric(fabric_name or settings.inventory)
    document = plan_document(network, settings.plan_settings())
    click.echo(json.dumps(document, indent=2) if as_json else plan_text(document))

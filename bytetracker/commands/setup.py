"""`topics create`, `migrate`, `version`: what is done once."""

from __future__ import annotations

from pathlib import Path

import click

from bytetracker import __version__
from bytetracker.commands.options import config_option
from bytetracker.settings import load_settings
from bytetracker.topics_admin import create_topics
from sinks.migrate import migrate as migrate_store
from sinks.opening import open_store


@click.group()
def topics() -> None:
    """Kafka topics."""


@topics.command("create")
@config_option
@click.option(
    "--replication", type=click.IntRange(1, 9), default=1, show_default=True, help="Copies of each partition."
)
def create(config_path: Path | None, replication: int) -> None:
    """Create the topics that are missing."""
    settings = load_settings(config_path)
    for name, what in create_topics(
        settings.kafka_settings().librdkafka(), settings.partitions, replication
    ).items():
        click.echo(f"{name}: {what}")


@click.command()
@config_option
def migrate(config_path: Path | None) -> None:
    """Bring the store's tables and views up to date."""
    settings = load_settings(config_path)
    store = open_store(settings.store_settings())
    try:
        applied = migrate_store(store, settings.retention_settings())
    finally:
        store.close()
    click.echo("\n".join(f"applied {name}" for name in applied) or "nothing to do")


@click.command()
def version() -> None:
    """Print the version."""
    click.echo(f"bytetracker {__version__}")

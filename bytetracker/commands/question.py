"""`sql`: ask the store."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import get_args

import click

from bytetracker.commands.options import config_option
from bytetracker.settings import load_settings
from sinks.reading import open_reader
from sinks.sql import Format, run_sql


@click.command()
@click.argument("query")
@config_option
@click.option(
    "--format",
    "form",
    type=click.Choice(get_args(Format)),
    default="table",
    show_default=True,
    help="How the result is printed.",
)
@click.option(
    "--store",
    "store_path",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder of an embedded store, e.g. that of a demo; instead of the configuration's store.",
)
def sql(query: str, config_path: Path | None, form: Format, store_path: Path | None) -> None:
    """Run QUERY, read-only, and print the result; also beside a running sink or demo."""
    settings = load_settings(config_path)
    if store_path is not None:
        settings = settings.model_copy(update={"store": {"kind": "chdb", "path": str(store_path)}})
    with closing(open_reader(settings.store_settings())) as reader:
        click.echo(run_sql(reader, query, form), nl=False)

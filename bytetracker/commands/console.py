"""`console`: the web page."""

from __future__ import annotations

from pathlib import Path

import click

from bytetracker.commands.options import config_option
from bytetracker.settings import load_settings


@click.command()
@config_option
@click.option("--host", help="Address to listen on, instead of the configuration's.")
@click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    help="TCP port, instead of the configuration's; 0: any free one.",
)
@click.option(
    "--store",
    "store_path",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder of an embedded store, e.g. that of a demo that has ended; then no broker is asked.",
)
def console(config_path: Path | None, host: str | None, port: int | None, store_path: Path | None) -> None:
    """Serve the web page and its API until Ctrl-C."""
    from bytetracker.service.console import of_finished_run, serve_console  # noqa: PLC0415

    settings = load_settings(config_path)
    given = {name: value for name, value in (("host", host), ("port", port)) if value is not None}
    settings = settings.model_copy(update={"console": {**settings.console, **given}})
    if store_path is not None:
        settings = of_finished_run(settings, store_path)
    serve_console(settings, with_broker=store_path is None)

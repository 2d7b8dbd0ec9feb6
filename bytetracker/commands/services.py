"""`prober`, `collector`, `worker`, `sink`: the processes of a deployment."""

from __future__ import annotations

from pathlib import Path

import click

from bytetracker.commands.options import config_option
from bytetracker.settings import load_settings


@click.command()
@config_option
@click.option("--dry-run", is_flag=True, help="Send nothing; show what would be sent.")
def prober(config_path: Path | None, dry_run: bool) -> None:
    """Send probes and publish their outcomes (needs the right to open raw sockets)."""
    from bytetracker.service.prober import serve_prober  # noqa: PLC0415

    serve_prober(load_settings(config_path), dry_run=dry_run)


@click.command()
@config_option
def collector(config_path: Path | None) -> None:
    """Receive mirrored packets and publish their digests (needs the right to open raw sockets)."""
    from bytetracker.service.collector import serve_collector  # noqa: PLC0415

    serve_collector(load_settings(config_path))


@click.command()
@config_option
@click.pass_context
def worker(context: click.Context, config_path: Path | None) -> None:
    """Join, judge and localise; as many as there are partitions can share the work."""
    import faust  # noqa: PLC0415

    from bytetracker.service.metrics import serve_metrics  # noqa: PLC0415
    from streams.app import build_app  # noqa: PLC0415

    loaded = load_settings(config_path)
    settings = loaded.worker_settings()
    serve_metrics("worker", loaded.metrics_address, settings.metrics_port)
    # Faust tells at length how it starts; that is wanted only when something does not.
    faust_level = "INFO" if context.find_root().params["log_level"] == "debug" else "WARN"
    faust.Worker(build_app(settings), loglevel=faust_level, redirect_stdouts=False).execute_from_commandline()


@click.command()
@config_option
@click.option("--drain", is_flag=True, help="When asked to stop, first store all that the topics hold.")
def sink(config_path: Path | None, drain: bool) -> None:
    """Store results, evidence, faults and dead letters."""
    from bytetracker.service.sink import serve_sink  # noqa: PLC0415

    serve_sink(load_settings(config_path), drain=drain)

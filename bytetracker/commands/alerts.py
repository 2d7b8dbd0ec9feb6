"""`alerts`: from the topic `faults` to the tools that people already use."""

from __future__ import annotations

from pathlib import Path

import click

from bytetracker.commands.options import config_option
from bytetracker.settings import load_settings


@click.command()
@config_option
def alerts(config_path: Path | None) -> None:
    """Tell Alertmanager and webhooks of faults; of several processes one works and the others stand by."""
    from bytetracker.service.alerts import serve_alerts  # noqa: PLC0415

    serve_alerts(load_settings(config_path))

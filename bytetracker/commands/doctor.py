"""`doctor`: is everything as it must be, and if not, what to do."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from bytetracker.commands.options import config_option


@click.command()
@config_option
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="How the findings are printed.",
)
@click.pass_context
def doctor(context: click.Context, config_path: Path | None, form: str) -> None:
    """Look at configuration, inventory, rights, ports, broker, store, clocks and sources, and say what to do.

    Run it on each machine, with its configuration: rights, interfaces and ports are those of the machine and
    the user. It writes nothing. Exit code: 0 all is well, 1 warnings, 2 something does not work.
    """
    from bytetracker.doctor.examine import examine  # noqa: PLC0415 - loads Kafka and the store
    from bytetracker.doctor.finding import document, line, worst  # noqa: PLC0415

    findings = []
    for finding in examine(config_path):
        findings.append(finding)
        if form == "text":
            click.echo(line(finding, sys.stdout.isatty()))
    if form == "json":
        click.echo(document(findings), nl=False)
    context.exit(worst(findings))

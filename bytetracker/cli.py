"""The command `bytetracker`: one file per command in bytetracker/commands."""

from __future__ import annotations

import sys
from typing import Any

import click

from bytetracker.commands import (
    alerts,
    captures,
    completion,
    console,
    coverage,
    doctor,
    evaluate,
    faults,
    inventory,
    network,
    path,
    question,
    runs,
    services,
    setup,
    silence,
    sizing,
)
from bytetracker.commands.errors import EXPECTED
from bytetracker.logs import configure_logs


class Group(click.Group):
    """Turns the errors that a user can do something about into one line on stderr."""

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except EXPECTED as error:
            text = " ".join(str(error).split("\n")) or type(error).__name__
            raise click.ClickException(text) from error
        except click.UsageError as error:
            # One line, as for every other error: click would print three.
            path = error.ctx.command_path if error.ctx is not None else context.command_path
            short = click.ClickException(f"{error.format_message()} See `{path} --help`.")
            short.exit_code = error.exit_code
            raise short from error
        except BrokenPipeError:
            # The reader of our output has gone (`| head`): nothing to complain about.
            sys.stderr.close()
            context.exit(0)


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default="info",
    show_default=True,
    help="Least severe messages to show.",
)
@click.option("--log-json", is_flag=True, help="Write log lines as JSON.")
def main(log_level: str, log_json: bool) -> None:
    """Agentless, path-aware, real-time probing of data-centre networks."""
    configure_logs(log_level, as_json=log_json)


for command in (
    runs.demo,
    runs.lab,
    network.fabric,
    network.plan,
    inventory.inventory,
    sizing.sizing,
    captures.decode,
    captures.replay,
    services.prober,
    services.collector,
    services.worker,
    services.sink,
    console.console,
    alerts.alerts,
    setup.topics,
    setup.migrate,
    setup.version,
    question.sql,
    faults.faults,
    path.path,
    doctor.doctor,
    completion.completion,
    silence.silence,
    coverage.coverage,
    evaluate.evaluate,
):
    main.add_command(command)

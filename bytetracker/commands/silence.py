"""`silence`: let a fault alarm nobody for a while."""

from __future__ import annotations

import getpass
import json
import time
from dataclasses import asdict
from pathlib import Path

import click

from bytetracker.commands.options import config_option
from bytetracker.completing import offer_elements
from bytetracker.moments import duration_us, time_us, told
from bytetracker.settings import load_settings


@click.command()
@click.argument("element", required=False, shell_complete=offer_elements)
@click.option(
    "--for", "duration", metavar="DURATION", help="How long, from now: 90s, 30m, 2h, 1d, 1w, 1d12h."
)
@click.option("--until", metavar="TIME", help="Or until when: ISO 8601 with its zone.")
@click.option("--why", help="The reason, which silenced faults carry.")
@click.option("--by", help="Who asks; default: the user.")
@click.option(
    "--list", "listed", is_flag=True, help="Show silences and planned maintenance that hold or are to come."
)
@click.option(
    "--end",
    "ended",
    metavar="ELEMENT",
    shell_complete=offer_elements,
    help="End the silence of an element.",
)
@click.option("--json", "as_json", is_flag=True, help="With --list: machine-readable.")
@config_option
def silence(
    element: str | None,
    duration: str | None,
    until: str | None,
    why: str | None,
    by: str | None,
    listed: bool,
    ended: str | None,
    as_json: bool,
    config_path: Path | None,
) -> None:
    """Let faults at ELEMENT, and at what lies within it, alarm nobody for a while.

    ELEMENT is a switch, chip, directed link A~B (both directions are meant), port, server, Prober, collector
    or pod of the inventory. Its faults are found and stored all the same, marked as silenced.
    """
    from bytetracker.silencing import Silencing  # noqa: PLC0415 - loads Kafka and the localiser

    if (element is not None) + listed + (ended is not None) != 1:
        raise click.UsageError("Give one of ELEMENT, --list and --end.")
    if element is None and not (duration is until is why is None):
        raise click.UsageError("--for, --until and --why go with ELEMENT.")
    now_us = time.time_ns() // 1_000
    if element is not None:
        if not why or not why.strip():
            raise click.UsageError("Say why, with --why.")
        if (duration is None) == (until is None):
            raise click.UsageError("Say how long, with one of --for and --until.")
        until_us = time_us(until) if until is not None else now_us + duration_us(duration or "")
        Silencing(load_settings(config_path)).silence(element, until_us, why.strip(), by or _user(), now_us)
        click.echo(f"silenced {element} until {told(until_us)}")
    elif ended is not None:
        Silencing(load_settings(config_path)).end(ended, by or _user(), now_us)
        click.echo(f"ended the silence of {ended}")
    else:
        held = Silencing(load_settings(config_path)).held(now_us)
        if as_json:
            click.echo(json.dumps([asdict(each) for each in held], indent=2))
            return
        for each in held:
            begins = "" if each.from_us <= now_us else f"from {told(each.from_us)} "
            asked = f" ({each.by})" if each.by else ""
            click.echo(
                f"{each.what} of {each.element} {begins}until {told(each.until_us)}: {each.why}{asked}"
            )
        if not held:
            click.echo("nothing is silenced")


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return ""  # a container's user may have no name

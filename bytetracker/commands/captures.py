"""`decode` and `replay`: what to do with capture files."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from bytetracker.commands.options import config_option
from bytetracker.settings import load_settings

capture_path = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.argument("file", type=capture_path)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def decode(file: Path, as_json: bool) -> None:
    """Print every mirrored packet of a pcap or pcapng FILE, one line each.

    What cannot be read is printed as an error of its frame; frames that are no mirrors are counted.
    """
    from producers.decode_report import decode_file  # noqa: PLC0415
    from producers.sources.records import CaptureError  # noqa: PLC0415

    try:
        summary = decode_file(file, emit_json=as_json, out=sys.stdout, err=sys.stderr)
    except CaptureError as error:
        raise CaptureError(f"{file}: {error}") from error
    if summary.damage:
        raise click.exceptions.Exit(1)  # what is damaged has been said


@click.command()
@click.argument("files", nargs=-1, required=True, type=capture_path)
@click.option("--inventory", metavar="FILE", help="Instead of the configuration's inventory.")
@config_option
def replay(files: tuple[Path, ...], inventory: str | None, config_path: Path | None) -> None:
    """Publish the mirrored packets of capture FILEs as digests, with their own times."""
    from bytetracker.service.replay import replay_captures  # noqa: PLC0415

    counts = replay_captures(load_settings(config_path), files, inventory)
    click.echo(f"{counts.frames:,} frames, {counts.digests:,} digests published, {counts.altered:,} altered")
    for reason, frames in counts.rejected.most_common():
        click.echo(f"  not used: {frames:,} x {reason}")

"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path

import click

from bytetracker.completing import offer_fabrics

config_option = click.option(
    "--config",
    "config_path",
    type=click.Path(dir_okay=False, path_type=Path),
    envvar="BYTETRACKER_CONFIG",
    help="YAML configuration file; without it, defaults and BYTETRACKER_* variables.",
)

fabric_option = click.option(
    "--fabric",
    "fabric_name",
    default="demo",
    show_default=True,
    metavar="NAME|FILE",
    shell_complete=offer_fabrics,
    help="Built-in fabric or inventory file.",
)

fault_option = click.option(
    "--fault",
    "fault_specs",
    multiple=True,
    metavar="SPEC",
    help="KIND:ELEMENT[:key=value,...], e.g. loss:leaf-1-1~spine-1:rate=0.3,after=20. May be repeated.",
)

seconds_option = click.option(
    "--seconds", type=click.FloatRange(min=0, min_open=True), help="Stop after so long; default: on Ctrl-C."
)

report_option = click.option(
    "--report",
    "report_path",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="Write a JSON report here at the end.",
)

store_option = click.option(
    "--store",
    "store_path",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder of an embedded store, e.g. that of a demo; instead of the configuration's store.",
)

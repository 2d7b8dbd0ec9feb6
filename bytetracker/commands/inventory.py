"""`inventory import`: an inventory from what another tool knows of the network."""

from __future__ import annotations

import json
from collections.abc import Callable
from ipaddress import ip_network
from pathlib import Path
from typing import Any, TypeVar, get_args

import click

from fabric.importing.containerlab import read_containerlab
from fabric.importing.draft import Draft, ImportOptions
from fabric.importing.inventory_text import Imported, import_draft
from fabric.importing.netbox import PodFrom, read_netbox
from fabric.importing.report import ImportRefused, ImportReport, report_document, report_text
from fabric.importing.roles import parse_role
from fabric.inventory import load_fabric

_Command = TypeVar("_Command", bound=Callable[..., Any])


@click.group()
def inventory() -> None:
    """Inventory files."""


@inventory.group("import")
def import_() -> None:
    """Make an inventory of what another tool knows.

    What is missing, assumed or left out is told on stderr. The exit code is 1 when the inventory has gaps
    that must be filled in before it can be loaded.
    """


def _shared_options(command: _Command) -> _Command:
    # The one that is applied last stands first.
    options = (
        click.option(
            "-o",
            "--output",
            "output_path",
            type=click.Path(dir_okay=False, path_type=Path),
            help="Write the inventory here, to a file that does not exist yet; default: stdout.",
        ),
        click.option(
            "--report",
            "report_path",
            type=click.Path(dir_okay=False, writable=True, path_type=Path),
            help="Write what is missing, assumed or left out here, as JSON.",
        ),
        click.option(
            "--role",
            "role_specs",
            multiple=True,
            metavar="WORD=ROLE",
            help="What a role, group, label, kind or name means: tor, leaf, spine, border, dci, server, "
            "prober, collector, or skip. May be repeated.",
        ),
        click.option(
            "--target-prefix",
            "prefixes",
            multiple=True,
            metavar="PREFIX",
            help="What may be probed; default: the networks of the servers. May be repeated.",
        ),
        click.option("--name", help="Name of the fabric; default: the source's."),
        click.option(
            "--numbers-from",
            "previous_path",
            type=click.Path(exists=True, dir_okay=False, path_type=Path),
            metavar="FILE",
            help="Inventory whose numbers are kept for what is still there.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


@import_.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@_shared_options
def containerlab(file: Path, **options: Any) -> None:
    """From a containerlab topology FILE."""
    report = ImportReport()
    _finish(file, read_containerlab(_text_of(file), file.name, report), report, **options)


@import_.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--pod-from",
    type=click.Choice(get_args(PodFrom)),
    default="location",
    show_default=True,
    help="What makes a pod; where a switch has none, the cables tell.",
)
@_shared_options
def netbox(file: Path, pod_from: PodFrom, **options: Any) -> None:
    """From a NetBox export FILE: lists of its REST API as one JSON object."""
    report = ImportReport()
    _finish(file, read_netbox(_text_of(file), file.name, report, pod_from), report, **options)


def _finish(
    file: Path,
    draft: Draft,
    report: ImportReport,
    output_path: Path | None,
    report_path: Path | None,
    role_specs: tuple[str, ...],
    prefixes: tuple[str, ...],
    name: str | None,
    previous_path: Path | None,
) -> None:
    if output_path is not None and output_path.exists():
        raise ImportRefused(f"{output_path} exists already, and may hold what was added by hand")
    options = ImportOptions(
        name=name,
        roles=tuple(map(parse_role, role_specs)),
        target_prefixes=tuple(map(_prefix, prefixes)),
        previous=None if previous_path is None else load_fabric(previous_path),
    )
    imported = import_draft(draft, options, report, file.name)
    if output_path is None:
        click.echo(imported.text, nl=False)
    else:
        output_path.write_text(imported.text, encoding="utf-8")
    if report_path is not None:
        report_path.write_text(json.dumps(_document(imported), indent=2) + "\n", encoding="utf-8")
    click.echo(_summary(imported), err=True)
    if not imported.loads:
        click.get_current_context().exit(1)


def _document(imported: Imported) -> dict[str, Any]:
    return {
        "loads": imported.loads,
        "counts": _counts(imported),
        "findings": report_document(imported.report.findings),
    }


def _summary(imported: Imported) -> str:
    counts = ", ".join(f"{count} {what}" for what, count in _counts(imported).items())
    gaps = sum(1 for _ in imported.report.of("gap"))
    verdict = "It loads." if imported.loads else f"It does not load before {gaps} gap(s) are filled in."
    return f"{report_text(imported.report)}\n\n{counts}. {verdict}"


def _counts(imported: Imported) -> dict[str, int]:
    fabric = imported.fabric
    cables = {frozenset((switch.name, port.peer)) for switch in fabric.switches for port in switch.ports}
    return {
        "switches": len(fabric.switches),
        "cables": len(cables),
        "servers": len(fabric.servers),
        "probers": len(fabric.probers),
        "collectors": len(fabric.collectors),
    }


def _prefix(text: str) -> str:
    try:
        return str(ip_network(text))
    except ValueError as error:
        raise ImportRefused(f"--target-prefix {error}") from error


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ImportRefused(f"{path}: not text in UTF-8: {error.reason} at byte {error.start}") from error

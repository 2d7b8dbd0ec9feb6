"""`coverage`: what probes cross, and flows chosen so that they cross everything."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from bytetracker.commands.options import config_option
from bytetracker.settings import load_settings

#: Fabrics of `--simulate all`, the largest last; `large` takes minutes and is asked for by name.
ALL = (
    *("tiny", "lab", "small", "dci", "demo", "medium"),
    *("fat-tree-4", "fat-tree-8", "fat-tree-16"),
)


@click.command()
@config_option
@click.option(
    "--simulate",
    "simulated",
    multiple=True,
    metavar="NAME|FILE",
    help="Measure a simulated fabric, not the running system; `all`: built-in ones. May be repeated.",
)
@click.option(
    "--choose",
    "chosen_path",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="Choose flows that cross everything, and write them to this file for the Probers.",
)
@click.option("--follow", is_flag=True, help="With --choose: go on, and choose again when routes change.")
@click.option(
    "--back",
    "back_s",
    type=click.FloatRange(1, 86_400),
    default=600.0,
    show_default=True,
    help="With --choose: seconds of evidence to learn from.",
)
@click.option(
    "--seconds",
    type=click.FloatRange(1, 86_400),
    default=300.0,
    show_default=True,
    help="With --simulate: simulated time at most, for each plan.",
)
@click.option("--seed", type=int, default=1, show_default=True, help="With --simulate: of the network.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "json"]),
    default="table",
    show_default=True,
    help="How the result is printed.",
)
def coverage(
    config_path: Path | None,
    simulated: tuple[str, ...],
    chosen_path: Path | None,
    follow: bool,
    back_s: float,
    seconds: float,
    seed: int,
    form: str,
) -> None:
    """Show which ports, links and chip pairs probes have crossed lately.

    Of the running system: its newest report. With --simulate: how soon the default plan crosses everything,
    how few probes would do against a lower bound, and how soon a plan with chosen flows does; everything goes
    through the real join, and ways are learnt from mirrored copies.
    """
    if follow and (chosen_path is None or simulated):
        raise click.UsageError("--follow goes with --choose, and not with --simulate.")
    if simulated:
        if chosen_path is not None and (len(simulated) > 1 or "all" in simulated):
            raise click.UsageError("--choose writes the flows of one fabric; give one with --simulate.")
        names = [name for each in simulated for name in (ALL if each == "all" else (each,))]
        if not _simulate(names, chosen_path, seed, seconds, form):
            raise click.exceptions.Exit(1)
    elif chosen_path is not None:
        _choose(config_path, chosen_path, back_s, follow, form)
    else:
        _show(config_path, form)


def _simulate(names: list[str], chosen_path: Path | None, seed: int, seconds: float, form: str) -> bool:
    from bytetracker.coverage.measure import measure  # noqa: PLC0415 - loads the simulator and the join
    from bytetracker.coverage.text import measured_text  # noqa: PLC0415
    from fabric.inventory import load_fabric  # noqa: PLC0415
    from producers.flow_file import write_flows  # noqa: PLC0415

    documents, complete = [], True
    for name in names:
        fabric = load_fabric(name)
        measured = measure(fabric, seed, seconds, lambda what, name=name: _tell(f"{name}: {what}"))  # type: ignore[misc]
        documents.append(measured.document())
        complete = complete and measured.complete
        if chosen_path is not None:
            write_flows(chosen_path, measured.choice, fabric)
    click.echo(json.dumps(documents, indent=2) if form == "json" else measured_text(documents))
    return complete


def _choose(config_path: Path | None, path: Path, back_s: float, follow: bool, form: str) -> None:
    from bytetracker.coverage.choosing import Chooser  # noqa: PLC0415 - loads Kafka
    from bytetracker.coverage.learner import Learner  # noqa: PLC0415
    from bytetracker.coverage.live import CoverageTopics  # noqa: PLC0415
    from bytetracker.coverage.text import choice_text  # noqa: PLC0415
    from bytetracker.run.stopping import stop_on_signals  # noqa: PLC0415
    from fabric.inventory import load_fabric  # noqa: PLC0415
    from schemas.registry import framing_for  # noqa: PLC0415

    settings = load_settings(config_path)
    kafka = settings.kafka_settings()
    learner = Learner()
    stop = stop_on_signals()
    more = CoverageTopics(kafka.librdkafka(), framing_for(kafka.schema_registry_url)).learn(learner, back_s)
    chooser = Chooser(load_fabric(settings.inventory), settings.plan_settings(), learner, path)

    def tell(document: dict[str, object]) -> None:
        click.echo(json.dumps(document) if form == "json" else choice_text(document, str(path)))

    tell(chooser.choose())
    if follow:
        chooser.follow(more, stop, tell)


def _show(config_path: Path | None, form: str) -> None:
    from bytetracker.coverage.live import CoverageTopics  # noqa: PLC0415 - loads Kafka
    from bytetracker.coverage.text import report_text  # noqa: PLC0415
    from schemas.registry import framing_for  # noqa: PLC0415

    kafka = load_settings(config_path).kafka_settings()
    record = CoverageTopics(kafka.librdkafka(), framing_for(kafka.schema_registry_url)).newest()
    click.echo(json.dumps(record, indent=2) if form == "json" else report_text(record))


def _tell(what: str) -> None:
    # Progress is for whoever waits at a terminal.
    if sys.stderr.isatty():
        click.echo(what, err=True)

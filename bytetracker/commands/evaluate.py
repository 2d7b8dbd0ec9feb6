"""`evaluate`: how well the pipeline finds injected faults."""

from __future__ import annotations

import os
from pathlib import Path

import click

from bytetracker.commands.options import report_option


@click.command()
@click.option(
    "--suite",
    default="quick",
    show_default=True,
    metavar="NAME|FILE",
    help="quick, full, healthy24h, or a YAML file of scenarios.",
)
@click.option(
    "--seed", type=int, help="Draws the faults of a suite (default 1); of a file, its scenarios' seed."
)
@click.option(
    "--fabric", "fabric_name", metavar="NAME|FILE", help="Instead of the fabrics that the scenarios name."
)
@click.option(
    "--only",
    metavar="NAME",
    help="Run this scenario alone, and print its fault events; NAME* runs all that begin with it.",
)
@click.option("--alone", is_flag=True, help="Without the methods to compare with: half the work.")
@click.option("--trace", is_flag=True, help="Print the fault events of all scenarios; implies --jobs 1.")
@click.option(
    "--jobs", type=click.IntRange(1, 256), help="Scenarios at the same time; default: one on each core."
)
@click.option(
    "--dump",
    "dump_path",
    type=click.Path(file_okay=False, writable=True, path_type=Path),
    metavar="DIR",
    help="Write the scenarios there as files, and run nothing.",
)
@report_option
def evaluate(
    suite: str,
    seed: int | None,
    fabric_name: str | None,
    only: str | None,
    alone: bool,
    trace: bool,
    jobs: int | None,
    dump_path: Path | None,
    report_path: Path | None,
) -> None:
    """Inject faults into simulated fabrics and say what the pipeline made of them.

    The messages are those of live producers, on a simulated clock; they go through the real join and
    localiser, and beside it to other methods to compare with. See docs/evaluation.md.
    """
    from bytetracker.evaluate.main import dump, evaluate_suite  # noqa: PLC0415 - loads everything
    from bytetracker.evaluate.suites import load_suite  # noqa: PLC0415

    scenarios = load_suite(suite, seed, fabric_name, only)
    if dump_path is not None:
        dump(scenarios, dump_path)
        return
    errors = evaluate_suite(
        scenarios,
        suite,
        seed,
        jobs=jobs or os.cpu_count() or 1,
        trace=trace or (only is not None and len(scenarios) == 1),
        others=not alone,
        report_path=report_path,
    )
    if errors:
        raise click.exceptions.Exit(1)

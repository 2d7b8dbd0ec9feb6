"""`demo` and `lab`: the whole pipeline on this machine."""

from __future__ import annotations

from pathlib import Path

import click

from bytetracker.commands.options import fabric_option, fault_option, report_option, seconds_option

no_console_option = click.option("--no-console", is_flag=True, help="Serve no web page.")
metrics_option = click.option(
    "--metrics-port",
    type=click.IntRange(0, 65_000),
    default=0,
    help="Serve Prometheus metrics, on this port of 127.0.0.1 and those after it; 0: none.",
)


@click.command()
@seconds_option
@fault_option
@fabric_option
@report_option
@no_console_option
@metrics_option
def demo(
    seconds: float | None,
    fault_specs: tuple[str, ...],
    fabric_name: str,
    report_path: Path | None,
    no_console: bool,
    metrics_port: int,
) -> None:
    """Run the pipeline on a simulated fabric, with an embedded broker and store.

    Without --fault, one fault is injected after a while, so that there is something to find.
    """
    from bytetracker.run.demo import run_demo  # noqa: PLC0415 - loads everything

    run_demo(
        seconds,
        fault_specs,
        fabric_name,
        report_path,
        console=not no_console,
        metrics_port=metrics_port,
    )


@click.command()
@seconds_option
@fault_option
# By default 150 probes/s for the lab's few servers: 10 % loss of a link shows in seconds.
@click.option(
    "--interval-ms",
    type=click.IntRange(10, 60_000),
    default=200,
    show_default=True,
    help="From one group of probes to a server to the next. Slight loss shows sooner the shorter it is.",
)
@report_option
@no_console_option
@metrics_option
def lab(
    seconds: float | None,
    fault_specs: tuple[str, ...],
    interval_ms: int,
    report_path: Path | None,
    no_console: bool,
    metrics_port: int,
) -> None:
    """Run the pipeline on a fabric of network namespaces, with real kernels (needs root)."""
    from bytetracker.run.lab import run_lab  # noqa: PLC0415 - loads everything

    run_lab(
        seconds,
        fault_specs,
        interval_ms,
        report_path,
        console=not no_console,
        metrics_port=metrics_port,
    )

"""The report on the screen: a line for each scenario, then the tables of the summary."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

from bytetracker.evaluate.methods import OURS
from bytetracker.evaluate.run import Outcome
from bytetracker.evaluate.tables import methods, milliseconds, summary_tables
from bytetracker.evaluate.tally import harmed

TOLD_MAX = 3
HARMS = ("lost", "altered", "strayed", "silenced", "delayed")


def print_scenarios(console: Console, scenarios: list[dict[str, Any]]) -> None:
    """One row each; what is wrong stands out."""
    table = Table(title=None, box=None, pad_edge=False)
    for head in ("scenario", "injected", "found", "link", "switch", "from 5th loss", "false"):
        table.add_column(
            head, overflow="fold", justify="right" if head in ("from 5th loss", "false") else "left"
        )
    for each in scenarios:
        false = each["false_faults"]
        right = [found for found in each["found"] if found not in false]
        table.add_row(
            each["name"],
            _some([f"{_spec(injected)} ({_hits(injected)})" for injected in each["injected"]]),
            _some([_found(found) for found in right]),
            _tick(each["correct_link"]),
            _tick(each["correct_switch"]),
            milliseconds(each["fifth_loss_to_fault_ms"]),
            f"[red]{len(false)}[/]: {_some([_found(found) for found in false])}" if false else "",
        )
    console.print(table)


def print_summary(console: Console, summary: dict[str, Any]) -> None:
    """All tables that say something; of a single scenario, the methods."""
    tables = summary_tables(summary) if summary[OURS]["scenarios"] > 1 else [methods(summary)]
    for text in tables:
        if not text.rows:
            continue
        table = Table(title=text.title, title_justify="left")
        for column, head in enumerate(text.heads):
            table.add_column(head, justify="right" if column else "left")
        for row in text.rows:
            table.add_row(*row)
        console.print(table)


def print_trace(console: Console, outcome: Outcome) -> None:
    """Every fault event of a scenario, with its log time in seconds since the start."""
    for cause, tally in zip(outcome.causes, outcome.tallies, strict=True):
        at = ", ".join(f"{(time - outcome.start_us) / 1e6:.3f}" for time in tally.harmed_at_us)
        console.print(
            f"injected {cause.spec.text}: harmed {harmed(tally)} of {tally.probes} probes, first at {at}",
            highlight=False,
            markup=False,
        )
    for logged in outcome.events:
        event = logged.event
        suspects = ", ".join(f"{s['element']} {s['confidence']:.2f}" for s in event["suspects"][:5])
        console.print(
            f"{(logged.log_us - outcome.start_us) / 1e6:9.3f}  {event['fault_id'][:8]} {event['state']:8} "
            f"{event['kind']:13} [{suspects}] {event['probes_bad']}/{event['probes_total']} {event['story']}",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )


def _hits(injected: dict[str, Any]) -> str:
    hits = [f"{injected[key]} {key}" for key in HARMS if injected[key]]
    return ", ".join(hits) or "0 hit"


def _spec(injected: dict[str, Any]) -> str:
    """The specification without its times."""
    words = str(injected["spec"]).replace(":after", ",after").split(",")
    return ",".join(word for word in words if not word.startswith(("after=", "for=")))


def _found(found: dict[str, Any]) -> str:
    return f"{found['kind']} {found['suspects'][0]['element'] if found['suspects'] else '?'}"


def _some(texts: list[str]) -> str:
    more = [f"and {len(texts) - TOLD_MAX} more"] if len(texts) > TOLD_MAX else []
    return "; ".join(texts[:TOLD_MAX] + more)


def _tick(right: bool | None) -> str:
    return "" if right is None else "yes" if right else "[red]NO[/]"

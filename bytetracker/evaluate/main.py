"""The run of a suite: progress on the screen, tables, the report."""

from __future__ import annotations

import json
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from bytetracker.evaluate.jobs import run_all
from bytetracker.evaluate.report import report_document, scenario_document
from bytetracker.evaluate.run import run_scenario
from bytetracker.evaluate.scenario import Scenario, dump_scenarios
from bytetracker.evaluate.screen import print_scenarios, print_summary, print_trace
from bytetracker.evaluate.suites import DEFAULT_SEED, SUITES

LINE_EVERY_S = 60.0
WIDTH_MIN = 160  # of tables, where the output is no terminal


def evaluate_suite(
    scenarios: Sequence[Scenario],
    suite: str,
    seed: int | None,
    *,
    jobs: int,
    trace: bool,
    others: bool,
    report_path: Path | None,
) -> int:
    """Run, print, write. Returns how many scenarios crashed."""
    console = Console(width=None if sys.stdout.isatty() else WIDTH_MIN)
    console.print(f"suite {suite}{_seed_words(suite, seed)}: {len(scenarios)} scenarios", highlight=False)
    with _progress(scenarios) as progress:
        task = progress.tasks[0].id

        lines = _Lines(progress)

        def tell(seconds: float) -> None:
            progress.update(task, completed=int(seconds))
            lines.tell(seconds)

        if trace:
            entries = [_traced(scenario, console, tell, others) for scenario in scenarios]
        else:
            entries = run_all(
                scenarios, jobs, tell, lambda entry: _tell_if_wrong(progress.console, entry), others=others
            )
    crashed = [entry for entry in entries if "error" in entry]
    ran = [entry for entry in entries if "error" not in entry]
    print_scenarios(console, ran)
    report = report_document(ran, suite, seed)
    print_summary(console, report["summary"])
    _print_seeds(console, ran, suite, seed)
    _print_crashes(console, crashed)
    if report_path is not None:
        report["crashed"] = crashed
        report_path.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return len(crashed)


def dump(scenarios: Sequence[Scenario], folder: Path) -> None:
    """One file for each scenario."""
    folder.mkdir(parents=True, exist_ok=True)
    for scenario in scenarios:
        (folder / f"{scenario.name}.yaml").write_text(dump_scenarios([scenario]), encoding="utf-8")


def _progress(scenarios: Sequence[Scenario]) -> Progress:
    progress = Progress(
        TextColumn(f"{len(scenarios)} scenarios, simulated seconds"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    progress.add_task("", total=int(sum(scenario.duration_s for scenario in scenarios)))
    return progress


class _Lines:
    """Progress in lines, where there is no terminal for a bar."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._last_s = time.monotonic()

    def tell(self, seconds: float) -> None:
        if not self._progress.console.is_terminal and time.monotonic() - self._last_s >= LINE_EVERY_S:
            self._last_s = time.monotonic()
            total = self._progress.tasks[0].total
            self._progress.console.print(f"{seconds:,.0f} of {total:,.0f} simulated seconds", highlight=False)


def _traced(scenario: Scenario, console: Console, tell: Any, others: bool) -> dict[str, Any]:
    console.print(f"{scenario.name}: fabric {scenario.fabric}, seed {scenario.seed}", highlight=False)
    try:
        outcome = run_scenario(scenario, tell, others=others)
    except Exception:  # as in a worker: the others still run
        return {"name": scenario.name, "seed": scenario.seed, "error": traceback.format_exc()}
    print_trace(console, outcome)
    return scenario_document(outcome)


def _seed_words(suite: str, seed: int | None) -> str:
    """The option that chooses the seed again; scenarios of files have their own."""
    chosen = DEFAULT_SEED if seed is None and suite in SUITES else seed
    return "" if chosen is None else f" --seed {chosen}"


def _is_wrong(entry: dict[str, Any]) -> bool:
    return "error" in entry or bool(
        entry["correct_link"] is False
        or entry["false_faults"]
        or any(not each["part_of"] for each in entry["extra_faults"])
    )


def _tell_if_wrong(console: Console, entry: dict[str, Any]) -> None:
    """While the others still run: what there will be to look at."""
    if not _is_wrong(entry):
        return
    if "error" in entry:
        said = entry["error"].strip().splitlines()[-1]
    else:
        injected = "; ".join(each["spec"] for each in entry["injected"][:5])
        found = [f"{each['kind']} {each['suspects'][:2]}" for each in entry["found"][:5]]
        false = f", {len(entry['false_faults'])} false, {len(entry['extra_faults'])} extra"
        said = f"{injected} -> {found} link {entry['correct_link']} switch {entry['correct_switch']}{false}"
    console.print(
        f"{entry['name']} (seed {entry['seed']}): {said}", highlight=False, markup=False, soft_wrap=True
    )


def _print_crashes(console: Console, crashed: Sequence[dict[str, Any]]) -> None:
    """Each way to crash once, and who else went that way."""
    by_error: dict[str, list[str]] = {}
    for entry in crashed:
        by_error.setdefault(entry["error"], []).append(f"{entry['name']} (seed {entry['seed']})")
    for error, names in by_error.items():
        console.print(f"[red]crashed: {', '.join(names)}[/]", highlight=False)
        console.print(error, markup=False, highlight=False)


def _print_seeds(console: Console, entries: Sequence[dict[str, Any]], suite: str, seed: int | None) -> None:
    """How to run again what went wrong."""
    wrong = [entry for entry in entries if _is_wrong(entry)]
    for entry in wrong:
        console.print(
            f"not all right: {entry['name']} (seed {entry['seed']}); again alone: "
            f"bytetracker evaluate --suite {suite}{_seed_words(suite, seed)} --only {entry['name']}",
            highlight=False,
            soft_wrap=True,
        )

"""`python -m benchmarks.run [NAMES]`, what `make bench` calls: runs benchmarks, prints and keeps the rates.

Each benchmark is a module of this folder with `run()`, which returns one result or several: a dict
with at least the keys of RESULT_KEYS. docs/benchmarks.md says what each one measures.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import json
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

NAMES = ("decode", "join", "localise", "pipeline", "prober", "simulator", "sink")
RESULT_KEYS = ("name", "unit", "rate_per_core", "baseline", "ratio")
RESULTS_PATH = Path(__file__).with_name("results") / "latest.json"

Result = dict[str, Any]


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit code: 1 if a benchmark failed or gave no result."""
    parser = argparse.ArgumentParser(prog="benchmarks.run", description="Measure rates per core.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}; default: all")
    parser.add_argument(
        "--output", type=Path, default=RESULTS_PATH, help="where results are kept (%(default)s)"
    )
    options = parser.parse_args(arguments)
    unknown = sorted(set(options.names) - set(NAMES))
    if unknown:
        parser.error(f"no benchmark {', '.join(unknown)}; known: {', '.join(NAMES)}")
    console = Console(stderr=True)
    results: list[Result] = []
    failed: list[str] = []
    for name in options.names or NAMES:
        started = time.perf_counter()
        console.print(f"{name} ...", style="dim")
        try:
            results += measure(name)
        except Exception as error:
            failed.append(name)
            console.print(f"{name} failed: {type(error).__name__}: {error}", style="red", markup=False)
        console.print(f"{name}: {time.perf_counter() - started:.0f} s", style="dim")
        gc.collect()
    _show(results)
    keep(results, options.output)
    return 1 if failed or not results else 0


def measure(name: str) -> list[Result]:
    """Run one benchmark. Raises what it raises, and KeyError if a result lacks a key."""
    found = importlib.import_module(f"benchmarks.{name}").run()
    results: list[Result] = found if isinstance(found, list) else [found]
    for result in results:
        missing = [key for key in RESULT_KEYS if key not in result]
        if missing:
            raise KeyError(f"the result of {name} lacks {', '.join(missing)}")
    return results


def keep(results: Iterable[Result], path: Path) -> None:
    """Write the results; those of benchmarks that were not run this time stay as they were."""
    fresh = {result["name"]: {key: result[key] for key in RESULT_KEYS} for result in results}
    if path.exists():
        known = {result["name"]: result for result in json.loads(path.read_text(encoding="utf-8"))}
        fresh = known | fresh
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(list(fresh.values()), indent=2) + "\n", encoding="utf-8")


def _show(results: list[Result]) -> None:
    """The table, and below it what else a benchmark has to say."""
    console = Console()
    table = Table(title="Rates per core", title_justify="left")
    table.add_column("benchmark")
    table.add_column("unit")
    for heading in ("per core", "plain", "ratio"):
        table.add_column(heading, justify="right")
    for result in results:
        figures = f"{result['rate_per_core']:,.0f}", f"{result['baseline']:,.0f}", f"{result['ratio']:,.1f}"
        table.add_row(result["name"], result["unit"], *figures)
    console.print(table)
    for result in results:
        for key in [key for key in result if key not in RESULT_KEYS]:
            console.print(f"{result['name']} {key}: {json.dumps(result[key])}", style="dim", soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main())

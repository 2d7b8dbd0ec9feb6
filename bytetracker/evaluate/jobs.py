"""Scenarios in parallel processes. What comes of one depends on nothing but itself."""

from __future__ import annotations

import multiprocessing
import time
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, wait
from multiprocessing.queues import Queue
from typing import Any

from bytetracker.evaluate.report import scenario_document
from bytetracker.evaluate.run import Progress, run_scenario
from bytetracker.evaluate.scenario import Scenario

LOOK_S = 0.2
#: How often a running scenario says how far it is.
TELL_EVERY_S = 0.5

#: Gets the simulated seconds done so far, over all scenarios.
TotalProgress = Callable[[float], None]

_told: Queue[tuple[int, float]] | None = None


def run_all(
    scenarios: Sequence[Scenario],
    jobs: int,
    on_progress: TotalProgress = lambda seconds: None,
    on_done: Callable[[dict[str, Any]], None] = lambda entry: None,
    *,
    others: bool = True,
) -> list[dict[str, Any]]:
    """Report entries in the order of the scenarios. A scenario that raises is an entry with `error`.
    on_done: gets each entry when it is there. others: run the methods to compare with, too.

    The longest scenarios start first, so that no core is left waiting for one at the end.
    """
    context = multiprocessing.get_context("spawn")
    told: Queue[tuple[int, float]] = context.Queue()
    done = [0.0] * len(scenarios)
    order = sorted(range(len(scenarios)), key=lambda i: -weight(scenarios[i]))
    with ProcessPoolExecutor(jobs, context, initializer=_start, initargs=(told,)) as pool:
        futures: dict[int, Future[dict[str, Any]]] = {
            i: pool.submit(_run, i, scenarios[i], others) for i in order
        }
        open_futures = set(futures.values())
        while open_futures:
            finished, open_futures = wait(open_futures, timeout=LOOK_S)
            for future in finished:
                on_done(future.result())
            while not told.empty():
                number, seconds = told.get()
                done[number] = max(done[number], seconds)
            for number, future in futures.items():
                if future.done():
                    done[number] = scenarios[number].duration_s
            on_progress(sum(done))
        return [futures[i].result() for i in range(len(scenarios))]


def weight(scenario: Scenario) -> float:
    """Roughly how long a scenario takes, for the order of starting."""
    return scenario.duration_s * (1.0 + 1e6 / scenario.interval_us)


def _start(told: Queue[tuple[int, float]]) -> None:
    global _told  # noqa: PLW0603 - a worker process has one queue
    _told = told


def _run(number: int, scenario: Scenario, others: bool) -> dict[str, Any]:
    try:
        return scenario_document(run_scenario(scenario, _teller(number), others=others))
    except Exception:  # what a stage raised is a result: this scenario crashed it
        return {"name": scenario.name, "seed": scenario.seed, "error": traceback.format_exc()}


def _teller(number: int) -> Progress:
    last_s = time.monotonic()

    def tell(seconds: float) -> None:
        nonlocal last_s
        if _told is not None and time.monotonic() - last_s >= TELL_EVERY_S:
            last_s = time.monotonic()
            _told.put((number, seconds))

    return tell

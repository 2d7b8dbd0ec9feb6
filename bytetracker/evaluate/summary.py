"""Numbers over all scenarios, for each method; made of the entries of a report."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from bytetracker.evaluate.methods import OURS, PINGMESH

PERCENTILES = (50, 90, 99, 100)
BINS = (0.0, 0.1, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.99, 1.01)
ALL = "all"


@dataclass(frozen=True, slots=True)
class Judged:
    """An injected fault and what a method said of it. `at_once`: so many were injected in its scenario."""

    injected: dict[str, Any]
    said: dict[str, Any]
    at_once: int


Groups = defaultdict[str, list[Judged]]


def summarise(scenarios: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The `summary` of a report: a mapping from method to its numbers."""
    methods = list(dict.fromkeys([OURS, *(name for each in scenarios for name in each["methods"])]))
    return {method: _of_method(scenarios, method) for method in methods}


def _of_method(scenarios: Sequence[dict[str, Any]], method: str) -> dict[str, Any]:
    numbers = partial(_numbers, locates=method != PINGMESH)
    by_kind: Groups = defaultdict(list)
    by_count: Groups = defaultdict(list)
    by_tier: Groups = defaultdict(list)
    by_rate: Groups = defaultdict(list)
    false = extra = 0
    for scenario in scenarios:
        said = _said(scenario, method)
        false += len(said["false_faults"])
        extra += sum(1 for each in said["extra_faults"] if not each["part_of"])
        for judged in _judged(scenario, said):
            by_kind[ALL].append(judged)
            by_kind[judged.injected["kind"]].append(judged)
            by_count[str(judged.at_once)].append(judged)
            by_tier[judged.injected["tier"]].append(judged)
            if judged.injected["kind"] == "loss":
                by_rate[f"{judged.injected['rate']:g}"].append(judged)
    right = sum(1 for each in by_kind[ALL] if each.said["correct_switch"])
    named = right + false + extra
    if method == PINGMESH:
        right += extra  # one cause harms many pairs
    summary: dict[str, Any] = {
        "scenarios": len(scenarios),
        "false_faults": false,
        "extra_faults": extra,
        "precision": right / named if named else None,
        **numbers(by_kind[ALL]),
        "kinds": {kind: numbers(found) for kind, found in sorted(by_kind.items()) if kind != ALL},
        "at_once": {count: numbers(by_count[count]) for count in sorted(by_count, key=int)},
        "tiers": {tier: numbers(found) for tier, found in sorted(by_tier.items())},
        "rates": {rate: numbers(by_rate[rate]) for rate in sorted(by_rate, key=float)},
    }
    if method == OURS:
        summary["calibration"] = calibration(
            (pair[0], pair[1]) for scenario in scenarios for pair in scenario["suspects"]
        )
    return summary


def _said(scenario: dict[str, Any], method: str) -> dict[str, Any]:
    said: dict[str, Any] = scenario if method == OURS else scenario["methods"][method]
    return said


def _judged(scenario: dict[str, Any], said: dict[str, Any]) -> Iterator[Judged]:
    for injected, cause in zip(scenario["injected"], said["causes"], strict=True):
        yield Judged(injected, cause, len(scenario["injected"]))


def _numbers(judged: Sequence[Judged], locates: bool) -> dict[str, Any]:
    """recall, link and switch are shares of the observable faults: what is not found is not right either."""
    seen = [each for each in judged if each.injected["observable"]]
    found = [each for each in seen if each.said["fault_id"] is not None]

    def share(key: str) -> float | None:
        return sum(each.said[key] for each in seen) / len(seen) if seen and locates else None

    return {
        "injected": len(judged),
        "observable": len(seen),
        "recall": len(found) / len(seen) if seen else None,
        "link": share("correct_link"),
        "switch": share("correct_switch"),
        "link_at_first": share("first_correct_link"),
        "onset_to_fault_ms": _percentiles(found, "onset_to_fault_ms"),
        "first_hit_to_fault_ms": _percentiles(found, "first_hit_to_fault_ms"),
        "fifth_loss_to_fault_ms": _percentiles(found, "fifth_loss_to_fault_ms"),
    }


def _percentiles(judged: Sequence[Judged], key: str) -> dict[str, float] | None:
    """By nearest rank, so that each is a time that was measured."""
    times = sorted(each.said[key] for each in judged if each.said[key] is not None)
    if not times:
        return None
    return {f"p{p}": times[max(0, math.ceil(p / 100 * len(times)) - 1)] for p in PERCENTILES}


def calibration(suspects: Iterable[tuple[float, bool]]) -> list[dict[str, Any]]:
    """By bins of confidence: how many suspects, their mean confidence, what share was the cause."""
    bins: dict[float, list[tuple[float, bool]]] = defaultdict(list)
    for confidence, right in suspects:
        low = max(b for b in BINS if b <= max(0.0, min(confidence, 1.0)))
        bins[low].append((confidence, right))
    return [
        {
            "from": low,
            "suspects": len(pairs),
            "confidence": sum(c for c, _ in pairs) / len(pairs),
            "right": sum(r for _, r in pairs) / len(pairs),
        }
        for low, pairs in sorted(bins.items())
    ]

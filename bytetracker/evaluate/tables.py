"""The summary of a report as tables of texts, for the screen and for the documentation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bytetracker.evaluate.methods import OURS, PINGMESH

FIFTH = ("5th loss p50", "5th loss p99", "5th loss max")

Summary = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class TextTable:
    title: str
    heads: Sequence[str]
    rows: Sequence[Sequence[str]]


def summary_tables(summary: Summary) -> list[TextTable]:
    """Methods beside each other; what ours does by kind, number at once and tier; ours against the others
    by kind; calibration."""
    return [methods(summary), *ours(summary), against(summary), calibration(summary)]


def methods(summary: Summary) -> TextTable:
    heads = ["method", "observable", "recall", "precision", "link or chip", "switch", "false", "extra"]
    rows = [
        [
            name,
            str(each["observable"]),
            *(share(each[key]) for key in ("recall", "precision", "link", "switch")),
            str(each["false_faults"]),
            str(each["extra_faults"]),
            *_times(each["fifth_loss_to_fault_ms"]),
        ]
        for name, each in summary.items()
    ]
    return TextTable("Methods", [*heads, *FIFTH], rows)


def ours(summary: Summary) -> list[TextTable]:
    mine = summary[OURS]
    groups = {
        "By kind of fault": mine["kinds"],
        "By number of faults at once": mine["at_once"],
        "By element": mine["tiers"],
        "Loss by rate": mine["rates"],
    }
    heads = ["", "observable", "recall", "link or chip", "switch", "onset p50", "onset p99"]
    return [
        TextTable(
            title,
            [*heads, *FIFTH],
            [
                [
                    name,
                    f"{each['observable']} of {each['injected']}",
                    *(share(each[key]) for key in ("recall", "link", "switch")),
                    *_times(each["onset_to_fault_ms"])[:2],
                    *_times(each["fifth_loss_to_fault_ms"]),
                ]
                for name, each in group.items()
            ],
        )
        for title, group in groups.items()
    ]


def against(summary: Summary) -> TextTable:
    """Share of observable faults that are right at link or chip level, by kind; of what names no elements
    the share that it noticed."""
    kinds = [kind for kind, each in summary[OURS]["kinds"].items() if each["observable"]]
    rows = [
        [kind, *(share(each["kinds"][kind][_best_level(name)]) for name, each in summary.items())]
        for kind in kinds
    ]
    heads = [f"{name} (noticed)" if name == PINGMESH else name for name in summary]
    return TextTable("Right at link or chip level", ["", *heads], rows)


def _best_level(method: str) -> str:
    return "recall" if method == PINGMESH else "link"


def calibration(summary: Summary) -> TextTable:
    rows = [
        [str(each["suspects"]), f"{each['confidence']:.3f}", f"{each['right']:.3f}"]
        for each in summary[OURS]["calibration"]
    ]
    return TextTable("Calibration", ["suspects", "mean confidence", "share that was the cause"], rows)


def share(value: float | None) -> str:
    return "" if value is None else f"{value:.1%}"


def milliseconds(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f} ms"


def _times(percentiles: Mapping[str, float] | None) -> list[str]:
    return [milliseconds((percentiles or {}).get(key)) for key in ("p50", "p99", "p100")]

"""What probes crossed lately, and what not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from console.models import Coverage, CoverageAt, CoverageClass
from console.queries.asking import Ask, rows_of

_NEWEST = """
SELECT toUnixTimestamp64Micro(slot) AS slot_us, window_us, element_class, total, crossable, seen, unseen
FROM coverage_now ORDER BY element_class
"""

#: At most some hundred points, however long it goes back.
_HISTORY = """
SELECT
    toInt64(intDiv(toUnixTimestamp64Micro(r.slot), {step_us:Int64})) * {step_us:Int64} AS slot_us,
    element_class,
    if(argMax(r.crossable, r.slot) = 0, NULL, argMax(r.seen, r.slot) / argMax(r.crossable, r.slot)) AS share
FROM coverage_reports AS r FINAL
WHERE r.slot > (SELECT max(slot) FROM coverage_reports) - INTERVAL {hours:UInt32} HOUR
GROUP BY slot_us, element_class
ORDER BY slot_us, element_class
"""

_LENGTH = """ SELECT toUnixTimestamp64Micro(max(slot)) - toUnixTimestamp64Micro(min(slot)) AS length_us FROM
coverage_reports WHERE slot > (SELECT max(slot) FROM coverage_reports) - INTERVAL {hours:UInt32} HOUR
"""

_HOURS = 24
_POINTS = 200


def ask_coverage(ask: Ask) -> Coverage:
    """The newest report, and a day of shares."""
    rows = list(rows_of(ask(_NEWEST, {})))
    if not rows:
        return Coverage(slot_us=0, window_us=0, classes=[], history=[])
    (length,) = rows_of(ask(_LENGTH, {"hours": _HOURS}))
    step_us = max(1_000_000, int(length["length_us"]) // _POINTS // 1_000_000 * 1_000_000)
    history = rows_of(ask(_HISTORY, {"hours": _HOURS, "step_us": step_us}))
    return Coverage(
        slot_us=rows[0]["slot_us"],
        window_us=rows[0]["window_us"],
        classes=[CoverageClass(**{name: row[name] for name in CoverageClass.model_fields}) for row in rows],
        history=[CoverageAt(**row) for row in history],
    )


def coverage_of_report(report: Mapping[str, Any]) -> Coverage:
    """The same from a message of the topic, without history."""
    return Coverage(
        slot_us=report["slot_us"],
        window_us=report["window_us"],
        classes=[
            CoverageClass(
                **{name: each[name] for name in ("element_class", "total", "crossable", "seen")},
                unseen=[
                    one["element"]
                    for one in report["unseen"]
                    if one["element_class"] == each["element_class"]
                ],
            )
            for each in report["classes"]
        ],
        history=[],
    )

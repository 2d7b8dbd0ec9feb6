"""How the parts of the pipeline do, by what they stored."""

from __future__ import annotations

from typing import Any

from console.models import DeadLetters, Exporter, Late
from console.queries.asking import Ask, rows_of

_EXPORTERS = """
SELECT
    switch, toInt64(ifNull(received, 0)) AS received, toInt64(ifNull(missing, 0)) AS missing,
    toInt64(ifNull(lost_in_transit, 0)) AS lost_in_transit, missing_rate,
    toUnixTimestamp64Micro(newest_slot) AS newest_us
FROM mirror_health
ORDER BY missing_rate DESC NULLS LAST, lost_in_transit DESC, switch
"""

_LATE = """
SELECT
    toInt64(sum(s.late_outcomes)) AS late_outcomes, toInt64(sum(s.late_digests)) AS late_digests,
    toInt64(sum(s.duplicates)) AS duplicates
FROM slots AS s FINAL
WHERE slot > (SELECT max(slot) FROM slots) - INTERVAL 1 HOUR
"""

_DEAD = """
SELECT
    topic, reason, toInt64(count()) AS messages, argMax(d.detail, d.written_at) AS example,
    toUnixTimestamp64Milli(max(d.written_at)) * 1000 AS newest_us
FROM dead_letters AS d FINAL
GROUP BY topic, reason
ORDER BY newest_us DESC
LIMIT 100
"""

_STORED = """
SELECT
    (SELECT toUnixTimestamp64Micro(max(slot)) FROM slots) AS slot_us, (SELECT
    toUnixTimestamp64Micro(max(watermark)) FROM slots) AS watermark_us, (SELECT toInt64(count()) FROM slots
    WHERE slot > (SELECT max(slot) FROM slots) - INTERVAL 1 MINUTE) AS slots, (SELECT
    toInt64(sum(evidence_rows)) FROM slots
        WHERE slot > (SELECT max(slot) FROM slots) - INTERVAL 1 MINUTE) AS evidence_rows,
    (SELECT toUnixTimestamp64Micro(max(slot)) FROM coverage_reports) AS report_us,
    (SELECT toUnixTimestamp64Micro(max(detected_at)) FROM fault_events) AS fault_us,
    (SELECT argMax(silent_sources, slot) FROM slots) AS silent_sources
"""

_NEWEST = """
SELECT toUnixTimestamp64Micro(max(slot)) AS slot_us, toInt64(any(slot_length_us)) AS length_us FROM slots
"""

_LINKS = """
SELECT from_node, to_node, toInt64(sum(e.passed)), toInt64(sum(e.lost)), toInt64(sum(e.altered)),
    toInt64(sum(e.mirror_missing))
FROM link_evidence AS e FINAL
WHERE slot >= fromUnixTimestamp64Micro({from_us:Int64}) AND slot < fromUnixTimestamp64Micro({to_us:Int64})
    AND to_node != ''
GROUP BY from_node, to_node
"""


def ask_exporters(ask: Ask) -> list[Exporter]:
    """Every switch over the last hour, the worst mirrors first."""
    return [Exporter(**row) for row in rows_of(ask(_EXPORTERS, {}))]


def ask_late(ask: Ask) -> Late:
    (row,) = rows_of(ask(_LATE, {}))
    return Late(**row)


def ask_dead_letters(ask: Ask) -> list[DeadLetters]:
    return [DeadLetters(**row) for row in rows_of(ask(_DEAD, {}))]


def ask_stored(ask: Ask) -> dict[str, Any]:
    """Newest points in event time that the tables hold, us (0: none), and rows of the last minute."""
    (row,) = rows_of(ask(_STORED, {}))
    return row


def ask_newest_us(ask: Ask) -> int:
    """End of the newest slot, us since 1970; 0: there is none."""
    (row,) = rows_of(ask(_NEWEST, {}))
    return int(row["slot_us"]) + int(row["length_us"]) if row["slot_us"] else 0


def ask_links(ask: Ask, from_us: int, to_us: int) -> list[tuple[str, str, int, int, int, int]]:
    """(from, to, passed, lost, altered, missing) of the links that were crossed then."""
    return [tuple(row) for row in ask(_LINKS, {"from_us": from_us, "to_us": to_us}).rows]

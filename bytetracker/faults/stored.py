"""Faults of the past, from the store."""

from __future__ import annotations

from bytetracker.faults.fault import Fault, Wanted, fault_of_row
from sinks.reading import Reader

#: The newest event of each fault, the newest faults first.
_NEWEST = """
SELECT {columns}
FROM fault_events FINAL
WHERE (fault_id, version) IN (SELECT fault_id, max(version) FROM fault_events GROUP BY fault_id)
    AND greatest(toUnixTimestamp64Micro(last_seen), toUnixTimestamp64Micro(detected_at)) >= {{since:Int64}}
ORDER BY first_seen DESC, fault_id
"""
_COLUMNS = (
    *("fault_id", "version", "state", "kind", "severity", "suspects.element", "suspects.confidence"),
    *("direction", "loss_rate", "loss_rate_low", "loss_rate_high", "probes_bad", "probes_total"),
    *("first_seen", "last_seen", "detected_at", "affected_servers", "silenced", "flaps", "part_of", "story"),
)


def stored_faults(reader: Reader, wanted: Wanted) -> list[Fault]:
    """What is wanted, newest first. Raises StoreError."""
    sql = _NEWEST.format(columns=", ".join(f"`{name}`" for name in _COLUMNS))
    rows = reader.query(sql, {"since": wanted.since_us or 0}).rows
    faults = (fault_of_row(dict(zip(_COLUMNS, row, strict=True))) for row in rows)
    return [fault for fault in faults if wanted.takes(fault)]

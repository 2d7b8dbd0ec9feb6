"""Evidence per minute, recomputed from the evidence itself.

Nothing is ever added to a sum: a minute is computed whole from the base table, which holds every row
once, and each result row says on how many evidence rows it rests. Of two results for a minute the one
that rests on more stands, whoever wrote it and when; `minutes_rolled` says how many slots were in, and
the view `link_minutes` reads a minute from here only if no more have arrived since. So the rollup needs
no bookkeeping that a crash could lose: what is stale can be asked at any time, by anyone.
"""

from __future__ import annotations

from sinks.store import Store

_STALE = """
SELECT toUnixTimestamp(minute) AS at, slots FROM stale_minutes
WHERE {open:UInt8} OR minute < toStartOfMinute((SELECT max(slot) FROM slots))
ORDER BY at LIMIT {most:UInt32}
"""

_ROLL = """
INSERT INTO link_minutes_rolled
SELECT
    toStartOfMinute(slot) AS minute, from_node, to_node, leg,
    sum(e.passed), sum(e.lost), sum(e.altered), sum(e.mirror_missing), count()
FROM link_evidence AS e FINAL
WHERE toStartOfMinute(slot) IN ({minutes})
GROUP BY minute, from_node, to_node, leg
"""


def roll_up(store: Store, minutes_max: int, *, with_open: bool = False) -> int:
    """Recompute at most `minutes_max` stale minutes, oldest first; returns how many.

    The minute of the newest slot is left out, as it would be stale again at once, unless `with_open`.
    Blocks at most four deadlines of the store and raises what it raises; repeating it is harmless.
    """
    # One INSERT may touch 100 partitions, which are months.
    most = min(minutes_max, 100)
    stale = store.query(_STALE, {"open": int(with_open), "most": most}).rows
    if not stale:
        return 0
    # The slots were counted before the evidence is read: it can only be more than what we claim.
    store.execute(_ROLL.format(minutes=", ".join(f"toDateTime({at}, 'UTC')" for at, _ in stale)))
    store.execute(
        "INSERT INTO minutes_rolled (minute, slots) VALUES "
        + ", ".join(f"({at}, {slots})" for at, slots in stale)
    )
    return len(stale)

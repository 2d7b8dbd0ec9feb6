"""Pod by pod and ToR by ToR: what became of the probes between them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from console.errors import Refused
from console.layout import Layout
from console.models import Matrix, MatrixMinute, MatrixSpan
from console.queries.asking import Ask, rows_of

#: Names are put together in the store, so that a row for each pair of groups comes back, not of switches.
_CELLS = """
WITH JSONExtract({switches:String}, 'Array(String)') AS switches,
    JSONExtract({groups:String}, 'Array(String)') AS groups
SELECT
    transform(toString(from_node), switches, groups, toString(from_node)) AS row,
    transform(toString(to_node), switches, groups, toString(to_node)) AS column, toInt64(sum(c.probes)) AS
    probes, toInt64(sum(c.answered)) AS answered, toInt64(sum(c.network_lost)) AS lost,
    toInt64(sum(c.silent)) AS silent, toInt64(sum(c.altered)) AS altered, if(answered = 0, NULL,
    sum(c.rtt_sum_ns) / answered / 1e3) AS rtt_us_mean, if(answered = 0, NULL, max(c.rtt_max_ns) / 1e3) AS
    rtt_us_max
FROM pair_counts AS c FINAL
WHERE slot >= fromUnixTimestamp64Micro({from_us:Int64}) AND slot < fromUnixTimestamp64Micro({to_us:Int64})
    AND ({kind:String} = '' OR kind = {kind:String})
    AND ({some_from:UInt8} = 0 OR has(JSONExtract({from_nodes:String}, 'Array(String)'), from_node))
    AND ({some_to:UInt8} = 0 OR has(JSONExtract({to_nodes:String}, 'Array(String)'), to_node))
GROUP BY row, column
ORDER BY row, column
LIMIT {pairs:UInt32}
"""

_MINUTES = """
SELECT
    toInt64(toUnixTimestamp(toStartOfMinute(s.slot))) * 1000000 AS minute_us,
    toInt64(sum(s.probes)) AS probes,
    toInt64(sum(s.verdicts['network_loss'] + s.verdicts['loop'])) AS lost,
    toInt64(sum(s.verdicts['host_silent'])) AS silent
FROM slots AS s FINAL
WHERE s.slot > (SELECT max(slot) FROM slots) - INTERVAL {hours:UInt32} HOUR
GROUP BY minute_us
ORDER BY minute_us
"""

_NEWEST = "SELECT toUnixTimestamp64Micro(max(slot)) AS newest_us FROM slots"

#: Pairs that an answer holds at most; a large fabric has more ToRs than anybody can look at at once.
PAIRS_MAX = 50_000
DEFAULT_SPAN_US = 600_000_000
#: What the slider shows at most.
SPAN_HOURS = 24


@dataclass(frozen=True, slots=True)
class Wanted:
    level: str = "pod"  # or tor
    kind: str = ""  # north_south, east_west, inter_prober; empty: all
    from_us: int | None = None  # None: the last 10 minutes of event time
    to_us: int | None = None
    pod_from: str = ""  # at level tor: only from switches of that pod; empty: all
    pod_to: str = ""


def ask_matrix(ask: Ask, layout: Layout, wanted: Wanted) -> Matrix:
    """Pairs between which probes were sent. Rows and columns in the order of the inventory; at level pod a
    switch in no pod stands for itself. Raises Refused if there are more pairs than PAIRS_MAX."""
    to_us = wanted.to_us
    if to_us is None:
        (newest,) = rows_of(ask(_NEWEST, {}))
        to_us = int(newest["newest_us"]) + 1
    from_us = to_us - DEFAULT_SPAN_US if wanted.from_us is None else wanted.from_us
    from_us, to_us = (min(max(at, 0), 9_000_000_000_000_000) for at in (from_us, to_us))
    by_pod = wanted.level == "pod"
    switches = [s.name for s in layout.fabric.switches] if by_pod else []
    rows = list(
        rows_of(
            ask(
                _CELLS,
                {
                    # `transform` wants at least one pair.
                    "switches": json.dumps(switches or [""]),
                    "groups": json.dumps([layout.pod_of(name) for name in switches] or [""]),
                    "kind": wanted.kind,
                    "from_us": from_us,
                    "to_us": to_us,
                    "some_from": int(bool(wanted.pod_from)),
                    "from_nodes": json.dumps(_switches_of(layout, wanted.pod_from)),
                    "some_to": int(bool(wanted.pod_to)),
                    "to_nodes": json.dumps(_switches_of(layout, wanted.pod_to)),
                    "pairs": PAIRS_MAX + 1,
                },
            )
        )
    )
    if len(rows) > PAIRS_MAX:
        raise Refused(
            f"More than {PAIRS_MAX:,} pairs are more than can be looked at. Choose a pod: level=tor with "
            "pod_from or pod_to"
        )
    order = _order(layout)
    names = [
        sorted({row[side] for row in rows}, key=lambda n: (order.get(n, len(order)), n))
        for side in ("row", "column")
    ]
    place = [{name: at for at, name in enumerate(side)} for side in names]
    cells = [
        (
            place[0][row["row"]],
            place[1][row["column"]],
            row["probes"],
            row["answered"],
            row["lost"],
            row["silent"],
            row["altered"],
            row["rtt_us_mean"],
            row["rtt_us_max"],
        )
        for row in rows
    ]
    return Matrix(rows=names[0], columns=names[1], cells=cells, from_us=from_us, to_us=to_us)


def ask_span(ask: Ask) -> MatrixSpan:
    """Minute by minute, of the last SPAN_HOURS of event time."""
    minutes = [MatrixMinute(**row) for row in rows_of(ask(_MINUTES, {"hours": SPAN_HOURS}))]
    if not minutes:
        return MatrixSpan(from_us=0, to_us=0, minutes=[])
    return MatrixSpan(from_us=minutes[0].minute_us, to_us=minutes[-1].minute_us + 60_000_000, minutes=minutes)


def _switches_of(layout: Layout, pod: str) -> Sequence[str]:
    """Of a pod; a name that is no pod stands for itself."""
    if not pod:
        return []
    return [s.name for s in layout.fabric.switches if s.pod == pod] or [pod]


def _order(layout: Layout) -> dict[str, int]:
    names = [*layout.fabric.index.pods, *(s.name for s in layout.fabric.switches)]
    return {name: at for at, name in enumerate(names)}

"""Probes that are kept, and the way of one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from console.layout import Layout
from console.models import Alteration, Probe, ProbeKey, ProbeSummary
from console.path import Hop, Way, legs_of
from console.queries.asking import Ask, rows_of

_SUMMARY = """
    toString(p.probe_id) AS probe_id, toUnixTimestamp64Micro(p.sent_at) AS sent_at_us, p.kind AS kind,
    p.verdict AS verdict, p.reason AS reason, p.prober AS prober, p.target AS target, p.via AS via,
    p.rtt_ns / 1e3 AS rtt_us, p.last_seen AS last_seen, p.next_node AS next_node, p.fault_leg AS fault_leg
"""

_WHERE = """
    ({server:String} = '' OR p.target = {server:String} OR p.prober = {server:String})
    AND ({verdict:String} = '' OR p.verdict = {verdict:String})
    AND ({switch:String} = '' OR has(p.hops.switch, {switch:String}) OR p.last_seen = {switch:String}
        OR p.next_node = {switch:String} OR p.via = {switch:String})
    AND ({near:String} = '' OR (p.last_seen = {near:String} AND p.next_node = {far:String})
        OR (has(p.hops.switch, {near:String}) AND (p.target = {far:String} OR p.prober = {far:String}))
        OR arrayExists(
            at -> p.hops.switch[at] = {near:String} AND p.hops.switch[at + 1] = {far:String}
                AND p.hops.leg[at] = p.hops.leg[at + 1],
            arrayEnumerate(p.hops.switch)))
"""

# A row that was stored twice is told once; `FINAL` would read all of the table to find the newest few.
_FOUND = f"""
SELECT {_SUMMARY}
FROM probe_results AS p
WHERE p.sent_at >= fromUnixTimestamp64Micro({{from_us:Int64}})
    AND p.sent_at < fromUnixTimestamp64Micro({{to_us:Int64}}) AND {_WHERE}
ORDER BY p.sent_at DESC, p.probe_id DESC
LIMIT 1 BY p.sent_at, p.probe_id
LIMIT {{limit:UInt32}}
"""

_BY_KEY = f""" WITH JSONExtract({{ids:String}}, 'Array(UInt64)') AS ids, JSONExtract({{times:String}},
'Array(Int64)') AS times SELECT {_SUMMARY} FROM probe_results AS p WHERE (p.sent_at, p.probe_id) IN (
    SELECT arrayJoin(arrayZip(
        arrayMap(at -> fromUnixTimestamp64Micro(at), JSONExtract({{times:String}}, 'Array(Int64)')),
        JSONExtract({{ids:String}}, 'Array(UInt64)')))
)
ORDER BY p.sent_at, p.probe_id
LIMIT 1 BY p.sent_at, p.probe_id
"""

_ONE = f"""
SELECT {_SUMMARY},
    p.target_address AS target_address, p.source_port AS source_port, p.destination_port AS
    destination_port, p.reply_kind AS reply_kind, p.reply_ttl AS reply_ttl, p.sampled AS sampled, p.hops.leg
    AS hop_legs, p.hops.switch AS hop_switches, p.hops.port AS hop_ports, p.hops.ttl AS hop_ttls,
    arrayMap(at -> toUnixTimestamp64Micro(at), p.hops.observed_at) AS hop_times, p.hops.altered AS
    hop_altered, p.alterations.byte_offset AS offsets, p.alterations.xor_mask AS masks, p.alterations.sent
    AS bytes_sent, p.alterations.seen AS bytes_seen
FROM probe_results AS p
WHERE p.probe_id = {{probe_id:UInt64}}
    AND ({{sent_us:Int64}} < 0 OR p.sent_at = fromUnixTimestamp64Micro({{sent_us:Int64}}))
ORDER BY p.sent_at DESC, p.kafka_offset DESC
LIMIT 1
"""

_WAYS = """
SELECT leg, switches FROM flow_paths FINAL
WHERE prober = {prober:String} AND target = {target:String} AND via = {via:String}
    AND source_port = {source_port:Int32}
"""

_NEWEST = "SELECT toUnixTimestamp64Micro(max(sent_at)) AS newest_us FROM probe_results"

#: Without a time, probes of so long before the newest are looked through.
DEFAULT_SPAN_US = 3_600_000_000


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which probes; empty: any. Times are us since 1970, None: the last hour of event time."""

    server: str = ""  # or Prober
    link: str = ""  # directed, A~B
    switch: str = ""
    verdict: str = ""
    from_us: int | None = None
    to_us: int | None = None
    limit: int = 100


def ask_probes(ask: Ask, wanted: Wanted) -> list[ProbeSummary]:
    """Newest first."""
    to_us = wanted.to_us
    if to_us is None:
        (newest,) = rows_of(ask(_NEWEST, {}))
        to_us = int(newest["newest_us"]) + 1
    from_us = to_us - DEFAULT_SPAN_US if wanted.from_us is None else wanted.from_us
    near, _, far = wanted.link.partition("~")
    parameters = {
        "server": wanted.server,
        "verdict": wanted.verdict,
        "switch": wanted.switch,
        "near": near,
        "far": far,
        "from_us": min(max(from_us, 0), 9_000_000_000_000_000),
        "to_us": min(max(to_us, 0), 9_000_000_000_000_000),
        "limit": wanted.limit,
    }
    return [ProbeSummary(**row) for row in rows_of(ask(_FOUND, parameters))]


def ask_examples(ask: Ask, keys: Sequence[ProbeKey]) -> list[ProbeSummary]:
    """Those of the probes that the store has."""
    if not keys:
        return []
    parameters = {
        "ids": json.dumps([int(key.probe_id) for key in keys]),
        "times": json.dumps([key.sent_at_us for key in keys]),
    }
    return [ProbeSummary(**row) for row in rows_of(ask(_BY_KEY, parameters))]


def ask_probe(ask: Ask, layout: Layout, probe_id: int, sent_us: int | None) -> Probe | None:
    """One probe with its way; of several with that ID (they repeat after hours) the newest, unless its time
    is given. None if the store does not have it."""
    found = list(
        rows_of(ask(_ONE, {"probe_id": probe_id, "sent_us": -1 if sent_us is None else max(0, sent_us)}))
    )
    if not found:
        return None
    row = found[0]
    ways = ask(
        _WAYS,
        {
            "prober": row["prober"],
            "target": row["target"],
            "via": row["via"],
            "source_port": row["source_port"],
        },
    )
    way = Way(
        kind=row["kind"],
        prober=row["prober"],
        target=row["target"],
        via=row["via"],
        answered=row["rtt_us"] is not None,
        last_seen=row["last_seen"],
        next_node=row["next_node"],
        fault_leg=row["fault_leg"],
        hops=tuple(_hops(row)),
        learnt={each["leg"]: tuple(each["switches"]) for each in rows_of(ways)},
    )
    own = {name: row[name] for name in Probe.model_fields if name in row}
    return Probe(
        **own,
        legs=legs_of(way, layout),
        alterations=[
            Alteration(byte_offset=offset, xor_mask=mask, sent=sent, seen=seen)
            for offset, mask, sent, seen in zip(
                row["offsets"], row["masks"], row["bytes_sent"], row["bytes_seen"], strict=True
            )
        ],
    )


def _hops(row: dict[str, Any]) -> list[Hop]:
    names = ("hop_legs", "hop_switches", "hop_ports", "hop_ttls", "hop_times", "hop_altered")
    return [Hop(*values) for values in zip(*(row[name] for name in names), strict=True)]

"""Faults, their lives, and the evidence for them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from console.models import Bit, Evidence, Fault, ProbeKey, Series, Suspect
from console.queries.asking import Ask, rows_of

_COLUMNS = """
    e.fault_id AS fault_id, e.version AS version, e.state AS state, e.kind AS kind, e.severity AS severity,
    e.suspects.element AS elements, e.suspects.confidence AS confidences, e.direction AS direction,
    e.loss_rate AS loss_rate, e.loss_rate_low AS loss_rate_low, e.loss_rate_high AS loss_rate_high,
    e.probes_bad AS probes_bad, e.probes_total AS probes_total, toUnixTimestamp64Micro(e.first_seen) AS
    first_seen_us, toUnixTimestamp64Micro(e.last_seen) AS last_seen_us,
    toUnixTimestamp64Micro(e.detected_at) AS detected_at_us, e.affected_servers AS affected_servers,
    e.example_probes.probe_id AS probe_ids, arrayMap(at -> toUnixTimestamp64Micro(at),
    e.example_probes.sent_at) AS probes_sent_us, e.story AS story, e.legs AS legs, e.bits.byte_offset AS
    bit_offsets, e.bits.bit AS bit_numbers, e.bits.to_one AS bits_to_one, e.bits.to_zero AS bits_to_zero,
    e.silenced AS silenced, e.flaps AS flaps, e.part_of AS part_of
"""

#: `at` is the element asked for, `back` the same cable the other way.
_CONCERNS = """
arrayExists(
    name -> name = at OR name = back OR startsWith(name, concat(at, '~')) OR endsWith(name, concat('~', at))
        OR startsWith(name, concat(at, '/')) OR startsWith(name, concat(at, ':')),
    e.suspects.element)
"""

_NEWEST = f"""
WITH {{element:String}} AS at, {{back:String}} AS back
SELECT {_COLUMNS}, toUnixTimestamp64Micro(newest.opened_at) AS opened_at_us, count() OVER () AS total
FROM fault_events AS e FINAL
INNER JOIN
(
    SELECT f.fault_id AS id, max(f.version) AS last_version, argMin(f.detected_at, f.version) AS opened_at
    FROM fault_events AS f GROUP BY id
) AS newest ON newest.id = e.fault_id AND newest.last_version = e.version
WHERE ({{state:String}} = '' OR (e.state = 'resolved') = ({{state:String}} = 'resolved'))
    AND ({{kind:String}} = '' OR e.kind = {{kind:String}})
    AND ({{severity:String}} = '' OR e.severity = {{severity:String}})
    AND (at = '' OR {_CONCERNS})
    AND e.last_seen >= fromUnixTimestamp64Micro({{since:Int64}})
    AND e.first_seen < fromUnixTimestamp64Micro({{until:Int64}})
ORDER BY newest.opened_at DESC, e.fault_id
LIMIT {{limit:UInt32}}
"""

_EVENTS = f"""
SELECT {_COLUMNS}, min(detected_at_us) OVER () AS opened_at_us
FROM fault_events AS e FINAL
WHERE e.fault_id = {{fault_id:String}}
ORDER BY e.version
LIMIT 5000
"""

_PARTS = """
SELECT DISTINCT fault_id FROM fault_events
WHERE part_of = {fault_id:String} ORDER BY fault_id LIMIT 1000
"""

_EVIDENCE = """
WITH JSONExtract({links:String}, 'Array(String)') AS wanted_links,
    JSONExtract({nodes:String}, 'Array(String)') AS wanted_nodes
SELECT
    concat(from_node, '~', to_node) AS link, leg,
    intDiv(toUnixTimestamp64Micro(slot) - {from_us:Int64}, {bin_us:Int64}) AS bin,
    toInt64(sum(e.passed)) AS passed, toInt64(sum(e.lost)) AS lost,
    toInt64(sum(e.altered)) AS altered, toInt64(sum(e.mirror_missing)) AS missing
FROM link_evidence AS e FINAL
WHERE slot >= fromUnixTimestamp64Micro({from_us:Int64}) AND slot < fromUnixTimestamp64Micro({to_us:Int64})
    AND (has(wanted_links, concat(from_node, '~', to_node)) OR has(wanted_nodes, from_node)
        OR has(wanted_nodes, to_node))
GROUP BY link, leg, bin
ORDER BY link, leg, bin
"""

_END_OF_TIME_US = 2**62
SLOT_US = 250_000
BINS_MAX = 600
SERIES_MAX = 16
_BEFORE_US, _AFTER_US = 30_000_000, 15_000_000


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which faults; empty: any."""

    state: str = ""  # open, resolved
    kind: str = ""
    severity: str = ""
    element: str = ""
    since_us: int = 0
    until_us: int = _END_OF_TIME_US
    limit: int = 100


def ask_faults(ask: Ask, wanted: Wanted) -> tuple[list[Fault], int]:
    """Newest first, and how many there are in all."""
    near, found, far = wanted.element.partition("~")
    parameters = {
        "state": wanted.state,
        "kind": wanted.kind,
        "severity": wanted.severity,
        "element": wanted.element,
        "back": f"{far}~{near}" if found else wanted.element,
        # DateTime64(6) reaches from 1900 to 2299; the store refuses more.
        "since": min(max(wanted.since_us, 0), 9_000_000_000_000_000),
        "until": min(max(wanted.until_us, 0), 9_000_000_000_000_000),
        "limit": wanted.limit,
    }
    rows = list(rows_of(ask(_NEWEST, parameters)))
    return [_fault(row) for row in rows], int(rows[0]["total"]) if rows else 0


def ask_events(ask: Ask, fault_id: str) -> list[Fault]:
    """All events of a fault, oldest first; none if the store does not know it."""
    return [_fault(row) for row in rows_of(ask(_EVENTS, {"fault_id": fault_id}))]


def ask_parts(ask: Ask, fault_id: str) -> list[str]:
    """Faults that turned out to be part of it."""
    return [str(row["fault_id"]) for row in rows_of(ask(_PARTS, {"fault_id": fault_id}))]


def ask_evidence(ask: Ask, fault: Fault) -> Evidence:
    """What happened at its suspects from a little before its first probe to its end, in at most BINS_MAX
    steps."""
    end_us = fault.resolved_at_us or max(fault.last_seen_us, fault.detected_at_us)
    from_us = (fault.first_seen_us - _BEFORE_US) // SLOT_US * SLOT_US
    length_us = max(end_us + _AFTER_US - from_us, SLOT_US)
    bin_us = SLOT_US * max(1, -(-length_us // (SLOT_US * BINS_MAX)))
    bins = -(-length_us // bin_us)
    links, nodes = _places(fault)
    rows = rows_of(
        ask(
            _EVIDENCE,
            {
                "links": json.dumps(sorted(links)),
                "nodes": json.dumps(sorted(nodes)),
                "from_us": from_us,
                "to_us": from_us + bins * bin_us,
                "bin_us": bin_us,
            },
        )
    )
    columns: dict[tuple[str, str], dict[str, list[int]]] = {}
    for row in rows:
        series = columns.setdefault(
            (row["link"], row["leg"]),
            {name: [0] * bins for name in ("passed", "lost", "altered", "missing")},
        )
        for name, values in series.items():
            values[row["bin"]] += row[name]
    found = [Series(link=link, leg=leg, **series) for (link, leg), series in columns.items()]
    found.sort(key=lambda s: (-sum(s.lost) - sum(s.altered), -sum(s.missing), -sum(s.passed), s.link, s.leg))
    return Evidence(
        slot_us=[from_us + number * bin_us for number in range(bins)],
        slot_length_us=bin_us,
        series=found[:SERIES_MAX],
    )


def _places(fault: Fault) -> tuple[set[str], set[str]]:
    """Links and nodes whose evidence speaks of a fault."""
    links: set[str] = set()
    nodes: set[str] = set()
    for name in [*(suspect.element for suspect in fault.suspects[:4]), fault.direction]:
        near, found, far = name.partition("~")
        if found:
            # Lost behind its near end, where the next hop was not known, may have been lost here too.
            links |= {name, f"{far}~{near}", f"{near}~"}
        elif name:
            nodes.add(name.split("/")[0].split(":")[0])
    return links, nodes


def _fault(row: dict[str, Any]) -> Fault:
    own = {name: row[name] for name in Fault.model_fields if name in row}
    return Fault(
        **{
            **own,
            "suspects": [
                Suspect(element=element, confidence=confidence)
                for element, confidence in zip(row["elements"], row["confidences"], strict=True)
            ],
            "example_probes": [
                ProbeKey(probe_id=str(probe_id), sent_at_us=sent_us)
                for probe_id, sent_us in zip(row["probe_ids"], row["probes_sent_us"], strict=True)
            ],
            "bits": [
                Bit(byte_offset=offset, bit=bit, to_one=one, to_zero=zero)
                for offset, bit, one, zero in zip(
                    row["bit_offsets"],
                    row["bit_numbers"],
                    row["bits_to_one"],
                    row["bits_to_zero"],
                    strict=True,
                )
            ],
            "resolved_at_us": row["detected_at_us"] if row["state"] == "resolved" else None,
        }
    )

"""Answers about coverage, mirrors and the pipeline itself."""

from __future__ import annotations

from collections import Counter
from datetime import date
from typing import Any

from tests.sinks.cookbook.expected.answers import Row, answers, day_of, last_hour
from tests.sinks.cookbook.world import World, at, moment


@answers("never-covered")
def _(_: World) -> list[Row]:
    return [("port", "leaf-1-2:Ethernet3")]  # spine-4:Ethernet2 was crossed once


@answers("coverage-over-time")
def _(world: World) -> list[Row]:
    rows: list[Row] = []
    for report in world.coverage:
        for each in sorted(report["classes"], key=lambda c: c["element_class"]):
            share = each["seen"] / each["crossable"]
            unseen = each["crossable"] - each["seen"]
            rows.append((day_of(report["slot_us"]), each["element_class"], share, unseen))
    assert [row[3] for row in rows if row[1] == "port"][-4:] == [1, 2, 2, 2]
    return rows


@answers("mirror-losses")
def _(world: World) -> list[Row]:
    lost: Counter[tuple[str, date]] = Counter()
    received: Counter[tuple[str, date]] = Counter()
    for slot in world.all_slots():
        for switch, (copies, missing) in slot.mirrors.items():
            lost[switch, day_of(slot.at_us)] += missing
            received[switch, day_of(slot.at_us)] += copies
    rows: list[Row] = [
        (*key, number, received[key], round(number / (number + received[key]), 4))
        for key, number in lost.items()
        if number
    ]
    assert {row[0] for row in rows} == {"tor-2-2"}
    return sorted(rows, key=lambda row: -row[4])


@answers("mirror-health")
def _(world: World) -> list[Row]:
    received: Counter[str] = Counter()
    for slot in world.all_slots(world.since(hours=1)):
        received.update({switch: copies for switch, (copies, _) in slot.mirrors.items()})
    seen = sum(c.passed for (_, far, _), _, c in last_hour(world) if far == "tor-2-2")
    return [
        ("tor-2-2", "tor", received["tor-2-2"], 5, 5, round(5 / (seen + 5), 4)),
        ("border-2", "border", 0, 0, 0, 0.0),
    ]


@answers("silent-sources")
def _(_: World) -> list[Row]:
    first, last = moment(at("2026-03-04 06:00")), moment(at("2026-03-04 09:00"))
    return [("collector-2", date(2026, 3, 4), first, last, 2)]


@answers("late-rows")
def _(world: World) -> list[Row]:
    hour = moment(at("2026-03-04 12:00"))
    probes = sum(world.slot("2026-03-04 12:00", partition).probes for partition in (0, 1))
    return [(hour, probes, 2, 120, 7)]


@answers("probe-rate")
def _(world: World) -> list[Row]:
    sums: dict[Any, list[int]] = {}
    for slot in world.all_slots():
        for (kind, _, _), pair in slot.pairs.items():
            counts = sums.setdefault((day_of(slot.at_us), kind), [0, 0])
            counts[0] += pair.probes
            counts[1] += pair.answered
    return [(*key, *counts) for key, counts in sorted(sums.items())]


@answers("dead-letters")
def _(_: World) -> list[Row]:
    written = at("2026-03-04 12:00")
    return [
        ("mirror-digests", "truncated", 2, "mirror-digests truncated", moment(written + 1_000)),
        ("probe-outcomes", "bad_framing", 1, "probe-outcomes bad_framing", moment(written + 2_000)),
    ]


@answers("what-the-store-holds")
def _(world: World) -> list[Row]:
    said = {
        "fault_events": [event["detected_at_us"] for event in world.faults],
        "link_evidence": [slot.at_us for slot in world.all_slots() for _ in slot.links],
        "probe_results": [result["sent_at_us"] for result in world.results],
    }
    return [(name, len(times), moment(min(times)), moment(max(times))) for name, times in said.items()]

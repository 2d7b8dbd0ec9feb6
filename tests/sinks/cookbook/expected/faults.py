"""Answers about faults."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import timedelta
from statistics import mean
from typing import Any

from tests.sinks.cookbook.expected.answers import Row, answers, day_of
from tests.sinks.cookbook.plants import FIRST_FAULT
from tests.sinks.cookbook.world import World, at, moment

Event = dict[str, Any]


def _suspects(event: Event) -> list[str]:
    return [suspect["element"] for suspect in event["suspects"]]


def _first_and_last(world: World) -> list[tuple[Event, Event]]:
    return [(events[0], events[-1]) for events in world.lives().values()]


def _detection_s(opened: Event) -> float:
    return float((opened["detected_at_us"] - opened["first_seen_us"]) / 1e6)


@answers("open-faults")
def _(world: World) -> list[Row]:
    rows = [
        (
            last["severity"],
            last["kind"],
            _suspects(last),
            None,
            moment(first["detected_at_us"]),
            last["story"],
        )
        for first, last in _first_and_last(world)
        if last["state"] != "resolved" and not last["silenced"]
    ]
    assert [row[1] for row in rows] == ["alteration", "host_silent"]  # the others are over
    return rows


@answers("faults-of-a-night")
def _(world: World) -> list[Row]:
    rows = []
    for _, last in _first_and_last(world):
        if last["first_seen_us"] < at("2026-03-09 08:00") and last["last_seen_us"] >= at("2026-03-08 20:00"):
            resolved = moment(last["detected_at_us"]) if last["state"] == "resolved" else None
            since = moment(last["first_seen_us"])
            rows.append(
                (last["fault_id"], last["kind"], _suspects(last)[0], since, resolved, last["probes_bad"])
            )
    return sorted(rows, key=lambda row: (row[3], row[0]))


@answers("life-of-a-fault")
def _(world: World) -> list[Row]:
    return [
        (
            *(
                e["version"],
                e["state"],
                _suspects(e),
                e["loss_rate"],
                e["loss_rate_low"],
                e["loss_rate_high"],
            ),
            moment(e["detected_at_us"]),
        )
        for e in world.lives()[FIRST_FAULT]
    ]


@answers("probes-of-a-fault")
def _(world: World) -> list[Row]:
    return [
        (
            *(moment(r["sent_at_us"]), r["probe_id"], r["target"]),
            *("network_loss", "reply", "leaf-1-1", "spine-1"),
            ["border-1", "spine-2", "leaf-1-1", "tor-1-1", "tor-1-1", "leaf-1-1"],
        )
        for r in world.results
        if r["last_seen"] == "leaf-1-1"
    ]


@answers("repeat-offenders")
def _(world: World) -> list[Row]:
    of: dict[str, list[tuple[Event, Event]]] = defaultdict(list)
    for first, last in _first_and_last(world):
        if not last["part_of"]:
            of[_suspects(last)[0]].append((first, last))
    (again,) = (element for element, faults in of.items() if len(faults) > 1)
    assert again == "leaf-1-1~spine-1"
    faults = of[again]
    opened = min(moment(first["detected_at_us"]) for first, _ in faults)
    seen = max(moment(last["last_seen_us"]) for _, last in faults)
    return [(again, 2, 0, ["network_loss"], sum(last["probes_bad"] for _, last in faults), opened, seen)]


@answers("time-to-detect-and-resolve")
def _(world: World) -> list[Row]:
    by_kind: dict[str, list[tuple[Event, Event]]] = defaultdict(list)
    for first, last in _first_and_last(world):
        if not last["part_of"]:
            by_kind[last["kind"]].append((first, last))
    rows: list[Row] = []
    for kind, faults in by_kind.items():
        detected = [_detection_s(first) for first, _ in faults]
        over = [
            (last["detected_at_us"] - last["first_seen_us"]) / 1e6
            for _, last in faults
            if last["state"] == "resolved"
        ]
        means = round(mean(detected), 3), round(max(detected), 3)
        rows.append((kind, len(faults), *means, len(over), round(mean(over), 1) if over else None))
    return sorted(rows, key=lambda row: (-row[1], row[0]))


@answers("detected-within")
def _(world: World) -> list[Row]:
    weeks = defaultdict(list)
    for first, last in _first_and_last(world):
        if not last["part_of"] and last["kind"] in ("network_loss", "black_hole", "alteration"):
            day = day_of(first["detected_at_us"])
            weeks[day - timedelta(days=day.weekday())].append(_detection_s(first))
    rows: list[Row] = []
    for week, times in sorted(weeks.items()):
        within = sum(time_s <= 5 for time_s in times)
        # Of four or two faults nine in ten are all of them.
        rows.append((week, len(times), within, round(within / len(times), 3), max(times)))
    assert [row[1] for row in rows] == [4, 2]
    return rows


@answers("faults-by-day")
def _(world: World) -> list[Row]:
    days: dict[Any, list[Event]] = defaultdict(list)
    for first, last in _first_and_last(world):
        if not last["part_of"]:
            days[day_of(first["detected_at_us"])].append(last)
    return [
        (
            *(day, len(events), sum(e["severity"] == "critical" for e in events)),
            dict(Counter(e["kind"] for e in events)),
        )
        for day, events in sorted(days.items())
    ]


@answers("silenced-faults")
def _(world: World) -> list[Row]:
    optics, power = at("2026-03-06 09:30") + 1_500_000, at("2026-03-06 22:10") + 9_000_000
    reasons = "silence of spine-5: new optics (by alice)", "maintenance of leaf-4-4: new power supply"
    assert {e["silenced"] for e in world.faults} - {""} == set(reasons)
    return [
        ("b7e1f00000000008", "network_loss", "spine-5", reasons[0], "alice", moment(optics), 1),
        ("b7e1f00000000009", "mirror_outage", "leaf-4-4", reasons[1], "", moment(power), 0),
    ]


@answers("silences-now")
def _(world: World) -> list[Row]:
    held = moment(at("2026-03-09 09:00")), moment(at("2026-03-10 09:00"))
    planned = moment(at("2026-03-10 22:00")), moment(at("2026-03-10 23:00"))
    return [
        ("silence", "pod-4", *held, 1, "being rebuilt", "bob"),
        ("maintenance", "tor-1-4", *planned, 0, "firmware", ""),
    ]

"""Answers about links, switches, chips and the ways of flows."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import date
from typing import Any

from tests.sinks.cookbook.expected.answers import Row, answers, day_of, last_hour, links_by_day
from tests.sinks.cookbook.plants import DAY_US
from tests.sinks.cookbook.world import LinkKey, Path, World, at, moment


@answers("links-that-lost")
def _(world: World) -> list[Row]:
    first_day = day_of(world.newest_us - 6 * DAY_US)
    lost: Counter[LinkKey] = Counter()
    crossed: Counter[LinkKey] = Counter()
    bad: dict[LinkKey, set[int]] = defaultdict(set)
    for (day, key), counted in links_by_day(world).items():
        if day >= first_day:
            for at_us, counts in counted:
                lost[key] += counts.lost
                crossed[key] += counts.passed + counts.lost
                if counts.lost or counts.altered:
                    bad[key].add(at_us)
    rows: list[Row] = []
    for key, losses in lost.items():
        if losses:
            known = (crossed[key], round(losses / crossed[key], 6)) if key[1] else (None, None)
            rows.append((*key, losses, *known, len(bad[key])))
    rows.sort(key=lambda row: (-row[3], *row[:3]))
    assert [row[:2] for row in rows[:2]] == [("leaf-2-1", "tor-2-1"), ("leaf-1-1", "spine-1")]
    assert all(row[:2] != ("leaf-2-4", "tor-2-1") for row in rows)  # that was before last week
    return rows


@answers("worst-links")
def _(world: World) -> list[Row]:
    crossed = sum(c.passed + c.lost for key, _, c in last_hour(world) if key[:2] == ("spine-3", "leaf-2-2"))
    return [("spine-3", "leaf-2-2", "probe", crossed, 0, 0.0, 6, moment(at("2026-03-09 11:30")))]


@answers("one-link")
def _(world: World) -> list[Row]:
    rows: list[Row] = []
    for text in ("2026-03-08 03:00", "2026-03-08 06:00"):
        for near, far, leg in (("leaf-1-1", "spine-1", "reply"), ("spine-1", "leaf-1-1", "probe")):
            both = [world.slot(text, partition).links[near, far, leg] for partition in (0, 1)]
            counts = [sum(c.passed for c in both), sum(c.lost for c in both), sum(c.altered for c in both)]
            rows.append((moment(at(text)), near, leg, *counts, sum(c.missing for c in both)))
    assert rows[0][4] == 66
    return rows


@answers("what-changed")
def _(world: World) -> list[Row]:
    days = date(2026, 3, 7), date(2026, 3, 8)
    by_day = links_by_day(world)
    rows: list[Row] = []
    for key in {key for day, key in by_day if day in days}:
        lost = [sum(c.lost for _, c in by_day.get((day, key), [])) for day in days]
        crossed = [sum(c.passed + c.lost for _, c in by_day.get((day, key), [])) for day in days]
        if lost[0] != lost[1]:
            rates = [n / m if key[1] else None for n, m in zip(lost, crossed, strict=True) if m or not key[1]]
            rows.append((*key, *lost, *rates))
    rows.sort(key=lambda row: (-abs((row[6] or 0) - (row[5] or 0)), *row[:3]))
    assert [row[0] for row in rows] == ["leaf-1-1", "leaf-3-2", "tor-4-2"]
    return rows


@answers("hour-of-day")
def _(world: World) -> list[Row]:
    lost: Counter[int] = Counter()
    days: dict[int, set[date]] = defaultdict(set)
    for (day, _), counted in links_by_day(world).items():
        for at_us, counts in counted:
            if counts.lost and at_us > world.since(days=7):
                hour = moment(at_us).hour
                lost[hour] += counts.lost
                days[hour].add(day)
    return [(hour, lost[hour], len(days[hour])) for hour in sorted(lost)]


@answers("chips")
def _(world: World) -> list[Row]:
    sums: dict[Any, list[int]] = defaultdict(lambda: [0, 0, 0])
    for slot in world.all_slots(world.since(days=7)):
        for key, counts in slot.turns.items():
            for at_place, value in enumerate((counts.lost, counts.altered, counts.passed)):
                sums[key][at_place] += value
    rows = [(*key, *values) for key, values in sums.items() if values[0] or values[1]]
    rows.sort(key=lambda row: (-row[3] - row[4], *row[:3]))
    assert [row[0] for row in rows] == ["spine-3/lc-1", "spine-3/lc-1", "spine-6/lc-2"]
    return rows


def _ways(world: World) -> dict[tuple[str, Any, str], Path]:
    """The newest way of each flow and leg."""
    found: dict[tuple[str, Any, str], Path] = {}
    for slot in sorted(world.all_slots(), key=lambda slot: slot.at_us):
        for path in slot.paths:
            found[path.target, path.flow, path.leg] = path
    return found


def _flows_across(world: World, switch: str) -> dict[str, tuple[int, int]]:
    """Server -> its flows, and those that cross the switch on any leg."""
    flows: dict[str, set[Any]] = defaultdict(set)
    crossing: dict[str, set[Any]] = defaultdict(set)
    for (target, flow, _), path in _ways(world).items():
        flows[target].add(flow)
        if switch in path.switches:
            crossing[target].add(flow)
    return {server: (len(flows[server]), len(found)) for server, found in crossing.items()}


@answers("blast-radius")
def _(world: World) -> list[Row]:
    found = _flows_across(world, "spine-3")
    rows = [(server, *counts) for server, counts in found.items()]
    rows.sort(key=lambda row: (-row[2] / row[1], row[0]))
    assert rows[0] == ("server-1-1-1", 4, 4) and rows[1][2] < rows[1][1]
    return rows


@answers("switch-reach")
def _(world: World) -> list[Row]:
    rows: list[Row] = []
    for switch in world.fabric.switches:
        found = _flows_across(world, switch.name).values()
        cut_off = sum(crossing == flows for flows, crossing in found)
        flows_across = sum(crossing for _, crossing in found)
        rows.append((switch.name, switch.tier, len(found), cut_off, flows_across))
    rows.sort(key=lambda row: (-row[3], -row[2], row[0]))
    assert {row[1] for row in rows[:16]} == {"tor"}
    # All flows of server-1-1-1.
    assert [(row[0], row[3]) for row in rows[16:19]] == [("spine-3", 1), ("leaf-1-2", 1), ("border-1", 0)]
    return rows[:20]


@answers("way-of-a-flow")
def _(world: World) -> list[Row]:
    said = moment(at("2026-03-09 10:30"))
    legs = [path for (target, _, _), path in _ways(world).items() if target == "server-1-2-9"]
    rows = [(p.prober, p.source_port, p.via, p.leg, list(p.switches), said) for p in legs]
    return sorted(rows, key=lambda row: (row[0], row[1], row[3]))


@answers("black-hole")
def _(world: World) -> list[Row]:
    lost: Counter[tuple[str, str, int, str]] = Counter()
    for r in world.results:
        if r["verdict"] == "network_loss" and r["sent_at_us"] > world.since(days=1):
            place = f"{r['last_seen']}~{r['next_node']}"
            lost[r["prober"], r["target"], r["source_port"], place] += 1
    rows: list[Row] = [(*key[:3], number, key[3]) for key, number in lost.items() if number >= 5]
    rows.sort(key=lambda row: (-row[3], *row[:3]))
    assert rows[-1] == ("prober-2", "server-4-2-7", 40_003, 9, "spine-5~leaf-4-3")
    return rows


@answers("flows-lost-again")
def _(world: World) -> list[Row]:
    fates: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])
    for slot in world.all_slots(world.since(days=1)):
        for (near, far, leg), (again, recovered) in slot.fates.items():
            fates[f"{near}~{far}", leg][0] += again
            fates[f"{near}~{far}", leg][1] += recovered
    rows: list[Row] = [(*key, *both, round(both[0] / sum(both), 3)) for key, both in fates.items()]
    rows = sorted((row for row in rows if row[2] + row[3] >= 10), key=lambda row: (-row[4], *row[:2]))
    assert [row[0] for row in rows] == ["spine-5~leaf-4-3", "leaf-2-2~spine-3"]
    return rows


@answers("strays")
def _(_: World) -> list[Row]:
    loop = moment(at("2026-03-03 12:00")), moment(at("2026-03-03 15:00"))
    detour = moment(at("2026-03-07 12:00"))
    return [
        ("loop", "leaf-4-1", "spine-1", 25, *loop),
        ("unexpected_path", "tor-3-3", "", 2, detour, detour),
    ]

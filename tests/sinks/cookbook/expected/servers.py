"""Answers about servers, their probes, content and pods."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from typing import Any

from tests.sinks.cookbook.expected.answers import Row, answers, day_of, last_hour
from tests.sinks.cookbook.plants import DAY_US, LOST_PROBE, MINUTE_US
from tests.sinks.cookbook.world import World, at, moment

LOST = ("network_loss", "loop", "corrupted", "unobserved")


def minutes_of(world: World, server: str, from_us: int, to_us: int) -> list[Row]:
    """Minute, answered, silent, lost, altered, places."""
    rows: list[Row] = []
    for minute in range(from_us, to_us + 1, MINUTE_US):
        answered = sum(
            counts.passed
            for partition in (0, 1)
            for (near, _, leg), counts in world.slots[minute, partition].links.items()
            if near == server and leg == "reply"
        )
        of = [
            r
            for r in world.results
            if r["target"] == server
            and r["sent_at_us"] // MINUTE_US * MINUTE_US == minute
            and not r["sampled"]
        ]
        silent = sum(r["verdict"] == "host_silent" for r in of)
        lost = [f"{r['last_seen']}~{r['next_node']}" for r in of if r["verdict"] in LOST]
        rows.append((moment(minute), answered, silent, len(lost), 0, sorted(set(lost))))
    return rows


@answers("was-it-the-network")
def _(world: World) -> list[Row]:
    rows = minutes_of(world, "server-2-1-5", at("2026-03-09 10:39"), at("2026-03-09 10:45"))
    blame = ["", "server", "network", "network", "network", "", ""]
    return [(row[0], whose, *row[1:]) for row, whose in zip(rows, blame, strict=True)]


@answers("faults-of-a-server")
def _(world: World) -> list[Row]:
    first, last = moment(at("2026-03-09 10:41")), moment(at("2026-03-09 10:43") + 50_000_000)
    story = "network loss at leaf-2-1~tor-2-1."
    return [("b7e1f00000000003", "network_loss", "leaf-2-1~tor-2-1", first, last, story)]


@answers("silent-servers")
def _(world: World) -> list[Row]:
    answering: Counter[str] = Counter()
    for (near, _, leg), _, counts in last_hour(world):
        if leg == "reply":
            answering[near] += counts.passed
    newest: dict[str, int] = {}
    for r in world.results:
        if r["verdict"] == "host_silent" and r["sent_at_us"] > world.since(hours=1):
            newest[r["target"]] = max(newest.get(r["target"], 0), r["sent_at_us"])
    silent: dict[str, list[str]] = defaultdict(list)
    for server in world.fabric.servers:
        if server.answers and server.name in newest and not answering[server.name]:
            silent[server.tor].append(server.name)
    assert {tor: len(names) for tor, names in silent.items()} == {"tor-4-4": 12, "tor-3-1": 1}
    return [
        (tor, 12, len(names), sorted(names), max(moment(newest[n]) for n in names))
        for tor, names in sorted(silent.items(), reverse=True)
    ]


@answers("noisiest-servers")
def _(world: World) -> list[Row]:
    noise: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for r in world.results:
        recent = r["sent_at_us"] > world.since(days=7)
        if r["verdict"] in ("host_silent", "late_reply") and recent and r["target"] != "server-2-4-4":
            noise[r["target"]].append(r)
    rows: list[Row] = []
    for server, of in noise.items():
        verdicts = Counter(r["verdict"] for r in of)
        days = len({day_of(r["sent_at_us"]) for r in of})
        newest = moment(max(r["sent_at_us"] for r in of))
        rows.append((server, days, verdicts["host_silent"], verdicts["late_reply"], newest))
    rows.sort(key=lambda row: (-row[2] - row[3], row[0]))
    assert rows[0][:3] == ("server-3-1-1", 3, 25)
    return rows[:20]


@answers("verdicts-of-a-server")
def _(_: World) -> list[Row]:
    start = at("2026-03-09 10:40")
    return [
        ("network_loss", "probe", 12, moment(start + MINUTE_US), moment(start + 3 * MINUTE_US + 30_000_000)),
        ("host_silent", "", 1, moment(start), moment(start)),
    ]


@answers("hops-of-a-probe")
def _(world: World) -> list[Row]:
    newest = max((r for r in world.results if r["probe_id"] == LOST_PROBE), key=lambda r: r["sent_at_us"])
    return [
        (hop["leg"], hop["switch"], hop["ttl"], hop["observed_at_us"] - newest["sent_at_us"], hop["altered"])
        for hop in newest["hops"]
    ]


@answers("flips-by-offset")
def _(world: World) -> list[Row]:
    ones: Counter[tuple[int, int]] = Counter()
    zeros: Counter[tuple[int, int]] = Counter()
    places: dict[tuple[int, int], set[str]] = defaultdict(set)
    for slot in world.all_slots():
        for (near, far, _, byte, bit), (to_one, to_zero) in slot.bits.items():
            ones[byte, bit] += to_one
            zeros[byte, bit] += to_zero
            places[byte, bit].add(f"{near}~{far}")
    found = sorted(places, key=lambda bit: -ones[bit] - zeros[bit])
    assert found[0] == (57, 4) and zeros[57, 4] == 0  # the stuck one
    return [(*bit, ones[bit], zeros[bit], sorted(places[bit])) for bit in found]


@answers("altered-between")
def _(world: World) -> list[Row]:
    of = [r for r in world.results if r["verdict"] in ("altered", "corrupted")]
    counts = Counter(r["verdict"] for r in of)
    servers = len({r["target"] for r in of})
    return [("spine-3", "leaf-2-2", "probe", counts["altered"], counts["corrupted"], servers)]


@answers("availability")
def _(world: World) -> list[Row]:
    probes: Counter[str] = Counter()
    losses: Counter[str] = Counter()
    first_day = day_of(world.newest_us - 6 * DAY_US)
    for slot in world.all_slots():
        if day_of(slot.at_us) >= first_day:
            for (_, _, far), pair in slot.pairs.items():
                probes[world.pod(far)] += pair.probes
                losses[world.pod(far)] += pair.network_lost
    rows: list[Row] = []
    for pod in probes:
        share = losses[pod] / probes[pod]
        rows.append((pod, probes[pod], losses[pod], round(1 - share, 7)))
        rows[-1] += (round(-math.log10(share), 2) if share else None,)
    return sorted(rows, key=lambda row: (row[3], row[0]))


@answers("rtt-over-time")
def _(world: World) -> list[Row]:
    days: dict[Any, list[float]] = defaultdict(list)
    for r in world.results:
        if r["sampled"] and r["via"] == "tor-1-1" and world.pod(r["target"]) == "pod-2":
            days[day_of(r["sent_at_us"])].append(r["rtt_ns"] / 1e3)
    rows: list[Row] = []
    for day, times in sorted(days.items()):
        ordered = sorted(times)
        assert len(ordered) < 100
        rows.append((day, len(ordered), ordered[len(ordered) // 2], ordered[-1]))
    slow = [row[0].isoformat() for row in rows if row[3] > 1_500]
    assert slow == ["2026-03-06"]
    return rows


@answers("pod-matrix")
def _(world: World) -> list[Row]:
    sums: dict[tuple[str, str, str], list[int]] = defaultdict(lambda: [0] * 6)
    for slot in world.all_slots(world.since(hours=1)):
        for (kind, near, far), pair in slot.pairs.items():
            sums_of = sums[kind, world.pod(near), world.pod(far)]
            for at_place, value in enumerate(
                (pair.probes, pair.network_lost, pair.silent, pair.rtt_sum_ns, pair.answered)
            ):
                sums_of[at_place] += value
            sums_of[5] = max(sums_of[5], pair.rtt_max_ns)
    rows: list[Row] = [
        (
            *(*key, probes, lost, round(lost / probes, 5), silent),
            *(round(rtt_sum / answered / 1e3, 1), rtt_max / 1e3),
        )
        for key, (probes, lost, silent, rtt_sum, answered, rtt_max) in sums.items()
    ]
    rows.sort(key=lambda row: (-row[5], *row[:3]))
    assert rows[0][:3] == ("east_west", "pod-3", "pod-4")
    return rows[:20]

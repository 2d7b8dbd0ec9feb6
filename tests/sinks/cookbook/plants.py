"""The story that the store tells: ten days of the fabric `demo`, quiet but for what is planted here."""

from __future__ import annotations

from functools import cache
from random import Random
from typing import Any

from fabric.model import Maintenance
from tests.sinks.cookbook.records import fault, hops, probe
from tests.sinks.cookbook.world import Counts, Pair, Path, Slot, World, at, demo_fabric

HOUR_US = 3_600_000_000
MINUTE_US = 60_000_000
DAY_US = 24 * HOUR_US
FIRST = at("2026-02-27 00:00")
#: A slot every three hours, and one a minute in the last hour and a half.
NEWEST = at("2026-03-09 11:59")
CLOSE_LOOK = at("2026-03-09 10:30")
#: Named by two of the queries.
LOST_PROBE, FIRST_FAULT = 4_294_971_394, "b7e1f00000000001"
LOST_LINK = ("leaf-1-1", "spine-1", "reply")
_TIERS = {"server": 0, "tor": 1, "leaf": 2, "spine": 3, "border": 4}


@cache
def planted() -> World:
    """The world; treat it as immutable."""
    maintenance = (
        Maintenance("leaf-4-4", at("2026-03-06 22:00"), at("2026-03-06 23:00"), "new power supply"),
        Maintenance("tor-1-4", at("2026-03-10 22:00"), at("2026-03-10 23:00"), "firmware"),
    )
    world = World(demo_fabric(maintenance=maintenance))
    random = Random(4)
    _quiet(world, random)
    for plant in (
        _losing_link,
        _mended_link,
        _losing_tor,
        _altering_chip,
        _silent_hosts,
        _black_hole,
        _silences,
        _flows,
        _round_trips,
        _coverage,
        _mirrors,
        _pipeline,
    ):
        plant(world, random)
    return world


def _quiet(world: World, random: Random) -> None:
    times = [*range(FIRST, CLOSE_LOOK, 3 * HOUR_US), *range(CLOSE_LOOK, NEWEST + 1, MINUTE_US)]
    links = [
        (
            link.from_name,
            link.to_name,
            "probe" if _height(link.from_name) > _height(link.to_name) else "reply",
        )
        for link in world.fabric.links
        if not link.from_name.startswith("prober") and not link.to_name.startswith("prober")
    ]
    tors = [switch.name for switch in world.fabric.switches if switch.tier == "tor"]
    pairs = [("north_south", border, tor) for border in ("border-1", "border-2") for tor in tors]
    pairs += [
        ("east_west", f"tor-{pod}-1", tor) for pod in range(1, 5) for tor in tors if f"-{pod}-" not in tor
    ]
    for at_us in times:
        for partition in (0, 1):
            slot = Slot(at_us, partition)
            slot.links = {key: Counts(passed=random.randrange(8, 14)) for key in links}
            for key in pairs:
                probes = random.randrange(20, 30)
                slowest = random.randrange(400_000, 600_000)
                slot.pairs[key] = Pair(probes, rtt_sum_ns=probes * 350_000, rtt_max_ns=slowest)
            slot.mirrors = {switch.name: (100, 0) for switch in world.fabric.switches}
            world.slots[at_us, partition] = slot


def _height(name: str) -> int:
    return _TIERS[name.split("-", maxsplit=1)[0]]


def _losing_link(world: World, _: Random) -> None:
    """leaf-1-1~spine-1 loses replies on 5 March and again, worse, on 8 March: it is a repeat offender."""
    world.slot("2026-03-05 03:00").links[LOST_LINK].lost = 4
    for partition, lost in ((0, 37), (1, 29)):
        slot = world.slot("2026-03-08 03:00", partition)
        slot.links[LOST_LINK].lost = lost
        slot.pairs["north_south", "border-1", "tor-1-1"].network_lost += lost - 20
    sent = at("2026-03-08 03:00")
    seen = [("probe", s, 64 - n) for n, s in enumerate(("border-1", "spine-2", "leaf-1-1", "tor-1-1"))]
    seen += [("reply", "tor-1-1", 64), ("reply", "leaf-1-1", 63)]
    place = {"last_seen": "leaf-1-1", "next_node": "spine-1", "fault_leg": "reply"}
    for number in range(6):
        sent_us = sent + number * 1_000
        ident = {"probe_id": LOST_PROBE} if number == 0 else {}
        server = f"server-1-1-{number + 1}"
        world.results.append(
            probe(sent_us, "network_loss", server, hops=hops(sent_us, *seen), **place, **ident)
        )
    # The same number days before: numbers of probes repeat.
    world.results.append(
        probe(at("2026-03-02 03:00"), "network_loss", "server-4-1-1", probe_id=LOST_PROBE)
        | {"last_seen": "border-1", "fault_leg": "probe", "hops": hops(0, ("probe", "border-1", 64))}
    )
    examples = [
        {"probe_id": row["probe_id"], "sent_at_us": row["sent_at_us"]} for row in world.results[-7:-1]
    ]
    first = {"first_seen_us": sent, "example_probes": examples, "legs": ["reply"]}
    for version, state, bad, after_us, rate in (
        (1, "open", 5, 1_660_000, (0.31, 0.15, 0.55)),
        (2, "updated", 66, 11_660_000, (0.284, 0.25, 0.33)),
        (3, "resolved", 66, 3_660_000_000, (0.284, 0.25, 0.33)),
    ):
        world.faults.append(
            fault(FIRST_FAULT, version, state, "network_loss", "leaf-1-1~spine-1", **first)
            | dict(zip(("loss_rate", "loss_rate_low", "loss_rate_high"), rate, strict=True))
            | {"probes_bad": bad, "probes_total": 232, "detected_at_us": sent + after_us}
            | {"last_seen_us": sent + min(after_us, 3_600_000_000)}
        )
    before = at("2026-03-05 03:00")
    _life(world, "b7e1f00000000002", "network_loss", "leaf-1-1~spine-1", before, 6_400_000, 40_000_000, bad=4)


def _life(
    world: World, fault_id: str, kind: str, suspect: str, first_us: int, opens_us: int, lasts_us: int,
    bad: int = 9, **changes: Any,
) -> None:  # fmt: skip
    """A fault that opens and, unless `lasts_us` is 0, is resolved 15 s after its last sign."""
    seen = {"first_seen_us": first_us, "probes_bad": bad, "probes_total": 40 * bad} | changes
    opened = fault(fault_id, 1, "open", kind, suspect, **seen)
    world.faults.append(opened | {"last_seen_us": first_us + opens_us, "detected_at_us": first_us + opens_us})
    if lasts_us:
        resolved = fault(fault_id, 2, "resolved", kind, suspect, **seen)
        last_us = first_us + lasts_us
        world.faults.append(resolved | {"last_seen_us": last_us, "detected_at_us": last_us + 15_000_000})


def _mended_link(world: World, _: Random) -> None:
    """leaf-3-2~tor-3-1 loses on 7 March and no more on the 8th; a ToR loses on its way up to somewhere"""
    for text, lost in (("2026-03-07 06:00", 11), ("2026-03-07 18:00", 8)):
        world.slot(text, 1).links["leaf-3-2", "tor-3-1", "probe"].lost = lost
    world.slot("2026-03-08 06:00").links["tor-4-2", "", "reply"] = Counts(lost=3)
    world.slot("2026-02-28 06:00").links["leaf-2-4", "tor-2-1", "probe"].lost = 50  # before last week


def _losing_tor(world: World, _: Random) -> None:
    """At 10:41 to 10:43 on 9 March leaf-2-1~tor-2-1 loses: server-2-1-5 is away, and it is not its fault."""
    place = {"last_seen": "leaf-2-1", "next_node": "tor-2-1", "fault_leg": "probe"}
    for minute in range(at("2026-03-09 10:41"), at("2026-03-09 10:44"), MINUTE_US):
        for partition in (0, 1):
            slot = world.slots[minute, partition]
            slot.links["leaf-2-1", "tor-2-1", "probe"].lost = 12
            slot.links["server-2-1-5", "tor-2-1", "reply"].passed = 1
            slot.pairs["north_south", "border-2", "tor-2-1"].network_lost = 12
        for number in range(4):
            sent_us = minute + 10_000_000 * number
            for server in ("server-2-1-5", "server-2-1-6"):
                world.results.append(probe(sent_us, "network_loss", server, **place))
            # Meanwhile another one has an outage of its own making.
            world.results.append(
                probe(sent_us, "host_silent", "server-1-2-9", last_seen="tor-1-2", fault_leg="probe")
            )
    world.results.append(probe(at("2026-03-09 10:40"), "host_silent", "server-2-1-5", last_seen="tor-2-1"))
    names = [f"server-2-1-{n}" for n in range(1, 13)]
    first_us = at("2026-03-09 10:41")
    _life(world, "b7e1f00000000003", "network_loss", "leaf-2-1~tor-2-1", first_us, 1_900_000, 170_000_000)
    for event in world.faults[-2:]:
        event["affected_servers"] = names


def _altering_chip(world: World, _: Random) -> None:
    """lc-1 of spine-3 flips a stuck bit in what it sends to any other chip; the fault is open."""
    for text, altered in (("2026-03-08 21:00", 9), ("2026-03-09 00:00", 14), ("2026-03-09 11:30", 6)):
        slot = world.slot(text)
        slot.turns["spine-3/lc-1", "spine-3/lc-2", "probe"] = Counts(passed=80, altered=altered)
        slot.turns["spine-3/lc-1", "spine-3/lc-1", "probe"] = Counts(passed=60, altered=2, lost=1)
        slot.turns["spine-3/lc-2", "spine-3/lc-2", "probe"] = Counts(passed=70)
        slot.turns["spine-6/lc-2", "", "reply"] = Counts(lost=1)
        slot.links["spine-3", "leaf-2-2", "probe"].altered = altered
        slot.bits["spine-3", "leaf-2-2", "probe", 57, 4] = (altered, 0)
        slot.bits["spine-3", "leaf-1-2", "probe", 57, 4] = (2, 0)
        slot.bits["spine-3", "leaf-1-2", "probe", 313, 4] = (1, 1)
        for number in range(altered):
            verdict = "corrupted" if number % 3 == 0 else "altered"
            world.results.append(
                probe(slot.at_us + number, verdict, f"server-2-{1 + number % 4}-3")
                | {"last_seen": "spine-3", "next_node": "leaf-2-2", "fault_leg": "probe"}
                | {"rtt_ns": None if verdict == "corrupted" else 400_000}
                | {"alterations": [{"byte_offset": 57, "xor_mask": 16, "sent": 0, "seen": 16}]}
            )
    first_us = at("2026-03-08 21:00")
    bits = [{"byte_offset": 57, "bit": 4, "to_one": 35, "to_zero": 0}]
    _life(world, "b7e1f00000000004", "alteration", "spine-3/lc-1", first_us, 900_000, 0, 35, bits=bits)


def _silent_hosts(world: World, _: Random) -> None:
    """All of tor-4-4 is silent in the last hour, and one server of tor-3-1, which is so now and then."""
    silent = [*(f"server-4-4-{n}" for n in range(1, 13)), "server-3-1-1", "server-2-4-4"]
    for at_us in range(at("2026-03-09 11:00"), NEWEST + 1, MINUTE_US):
        for name in silent:
            tor = world.fabric.server_by_name[name].tor
            for partition in (0, 1):
                world.slots[at_us, partition].links[name, tor, "reply"].passed = 0
            if at_us % (20 * MINUTE_US) == 0:
                world.results.append(probe(at_us, "host_silent", name, last_seen=tor, next_node=name))
    for text, probes in (("2026-03-04 06:00", 10), ("2026-03-06 06:00", 12), ("2026-02-28 06:00", 30)):
        for number in range(probes):
            world.results.append(probe(at(text) + number, "host_silent", "server-3-1-1", last_seen="tor-3-1"))
    for number in range(4):
        world.results.append(
            probe(at("2026-03-05 09:00") + number, "late_reply", "server-3-2-2", rtt_ns=700_000_000)
        )
    started = at("2026-03-09 11:00")
    _life(
        world, "b7e1f00000000005", "host_silent", "tor-4-4", started, 2_100_000, 0, 36, severity="info",
        affected_servers=silent[:12],
    )  # fmt: skip


def _black_hole(world: World, _: Random) -> None:
    """One flow to server-4-2-7 loses everything, the other only a little."""
    for flow, lost in ((40_003, 9), (40_004, 2)):
        for number in range(lost):
            sent_us = at("2026-03-09 03:00") + number * 1_000_000
            world.results.append(
                probe(sent_us, "network_loss", "server-4-2-7", prober="prober-2", source_port=flow)
                | {"last_seen": "spine-5", "next_node": "leaf-4-3", "fault_leg": "probe"}
            )
    world.slot("2026-03-09 03:00").links["spine-5", "leaf-4-3", "probe"].lost = 11
    world.slot("2026-03-09 03:00").fates["spine-5", "leaf-4-3", "probe"] = (8, 1)
    world.slot("2026-03-09 03:00", 1).fates["spine-5", "leaf-4-3", "probe"] = (1, 0)
    # Lost at random; too few; too long ago.
    world.slot("2026-03-09 06:00").fates["leaf-2-2", "spine-3", "reply"] = (3, 27)
    world.slot("2026-03-09 06:00").fates["tor-1-1", "", "reply"] = (4, 5)
    world.slot("2026-03-03 12:00").fates["leaf-4-1", "spine-1", "probe"] = (40, 0)
    first_us = at("2026-03-09 03:00")
    _life(world, "b7e1f00000000006", "black_hole", "spine-5~leaf-4-3", first_us, 7_200_000, 30_000_000)
    # Taken for a fault of its own for a moment.
    _life(
        world, "b7e1f00000000007", "network_loss", "spine-5", first_us, 5_000_000, 6_000_000,
        part_of="b7e1f00000000006",
    )  # fmt: skip
    world.slot("2026-03-03 12:00").strays["loop", "leaf-4-1", "spine-1", "probe"] = 21
    world.slot("2026-03-03 15:00", 1).strays["loop", "leaf-4-1", "spine-1", "probe"] = 4
    world.slot("2026-03-09 11:30").pairs["east_west", "tor-3-1", "tor-4-3"].network_lost = 9
    world.slot("2026-03-07 12:00").strays["unexpected_path", "tor-3-3", "", "reply"] = 2


def _silences(world: World, _: Random) -> None:
    """alice silences spine-5, which gets new optics; leaf-4-4 has planned maintenance; bob silences pod-4."""
    optics = "silence of spine-5: new optics (by alice)"
    _life(
        world, "b7e1f00000000008", "network_loss", "spine-5", at("2026-03-06 09:30"), 1_500_000,
        3_000_000_000, silenced=optics,
    )  # fmt: skip
    power = "maintenance of leaf-4-4: new power supply"
    _life(
        world,
        "b7e1f00000000009",
        "mirror_outage",
        "leaf-4-4",
        at("2026-03-06 22:10"),
        9_000_000,
        4_000_000_000,
    )
    world.faults[-2] |= {"silenced": power, "severity": "warning"}
    world.faults[-1] |= {"severity": "warning"}
    for given, action, element, until, why, by in (
        ("2026-03-06 09:00", "silence", "spine-5", "2026-03-06 17:00", "new optics", "alice"),
        ("2026-03-09 09:00", "silence", "pod-4", "2026-03-10 09:00", "being rebuilt", "bob"),
        ("2026-03-09 09:10", "silence", "pod-2", "2026-03-10 09:00", "by mistake", "bob"),
        ("2026-03-09 09:11", "unsilence", "pod-2", "2026-03-09 09:11", "", "bob"),
    ):
        command = {"action": action, "element": element, "why": why, "by": by}
        times = {"from_us": at(given), "until_us": at(until)}
        world.commands.append((at(given), command | times))


def _flows(world: World, _: Random) -> None:
    """Each server has two flows from each Prober, over spines of different planes; but all of server-1-1-1's
    go over spine-3. One flow has moved."""
    old, new = world.slot("2026-03-01 00:00"), world.slot("2026-03-09 10:30")
    for number, server in enumerate(world.fabric.servers):
        pod, tor = server.tor.split("-")[1], server.tor
        for flow, (prober, port) in enumerate((p, q) for p in (1, 2) for q in (40_001, 40_002)):
            spine = 3 if server.name == "server-1-1-1" else 1 + (number + 2 * flow) % 8
            way = (f"border-{prober}", f"spine-{spine}", f"leaf-{pod}-{(spine + 1) // 2}", tor)
            start = (f"prober-{prober}", server.name, "", port)
            new.paths += [Path(*start, "probe", way), Path(*start, "reply", way[::-1])]
    moved = new.paths[-2]
    old.paths.append(
        Path(*moved.flow[:1], moved.target, "", moved.source_port, "probe", ("border-1", "spine-3"))
    )


def _round_trips(world: World, random: Random) -> None:
    """A sample of the ok probes each day. On 6 March those from pod-1 to pod-2 have a long tail."""
    for day_us in range(FIRST, NEWEST, DAY_US):
        for number in range(60):
            near, far = random.sample((1, 2, 3, 4), 2) if number % 2 else (1, 2)
            rtt_ns = random.randrange(300_000, 500_000)
            if day_us == at("2026-03-06 00:00") and (near, far) == (1, 2) and number % 5 == 0:
                rtt_ns *= 6
            kept = {"sampled": True, "rtt_ns": rtt_ns, "kind": "east_west", "via": f"tor-{near}-1"}
            world.results.append(
                probe(day_us + HOUR_US + number * 1_000, "ok", f"server-{far}-2-{1 + number % 12}", **kept)
            )
        world.results.append(probe(day_us, "ok", "server-3-3-3", sampled=True, rtt_ns=310_000))


def _coverage(world: World, _: Random) -> None:
    """A report a day: one port was never crossed, another is not any more since 7 March."""
    for day_us in range(FIRST, NEWEST, DAY_US):
        unseen = [("port", "leaf-1-2:Ethernet3", -1)]
        if day_us >= at("2026-03-07 00:00"):
            unseen.append(("port", "spine-4:Ethernet2", at("2026-03-06 23:00")))
        world.coverage.append(
            {
                "slot_us": day_us + 6 * HOUR_US,
                "window_us": 60_000_000,
                "classes": [
                    {"element_class": "port", "total": 300, "crossable": 290, "seen": 290 - len(unseen)},
                    {"element_class": "chip_pair", "total": 32, "crossable": 32, "seen": 32},
                ],
                "unseen": [
                    dict(zip(("element_class", "element", "last_seen_us"), each, strict=True))
                    for each in unseen
                ],
            }
        )


def _mirrors(world: World, _: Random) -> None:
    """tor-2-2 loses copies on two days, and now; border-2 mirrors nothing in the last hour."""
    for text, lost in (("2026-03-07 09:00", 12), ("2026-03-08 09:00", 25), ("2026-03-09 11:20", 5)):
        world.slot(text).mirrors["tor-2-2"] = (100 - lost, lost)
    world.slot("2026-03-09 11:20").links["leaf-2-1", "tor-2-2", "probe"].missing = 5
    for at_us in range(at("2026-03-09 10:59"), NEWEST + 1, MINUTE_US):
        for partition in (0, 1):
            world.slots[at_us, partition].mirrors["border-2"] = (0, 0)


def _pipeline(world: World, _: Random) -> None:
    """A collector was away on 4 March, and what it had kept came late; three messages could not be read."""
    for text in ("2026-03-04 06:00", "2026-03-04 09:00"):
        for partition in (0, 1):
            world.slot(text, partition).silent_sources = ("collector-2",)
    late = world.slot("2026-03-04 12:00")
    late.late_digests, late.late_outcomes, late.duplicates = 120, 2, 7
    for offset, (topic, reason) in enumerate(
        (("mirror-digests", "truncated"), ("mirror-digests", "truncated"), ("probe-outcomes", "bad_framing"))
    ):
        world.dead_letters.append(
            {"topic": topic, "partition": 0, "offset": offset, "reason": reason}
            | {"timestamp_ms": at("2026-03-04 12:00") // 1000 + offset, "detail": f"{topic} {reason}"}
            | {"payload": "\u00c3\u0001", "payload_bytes": 2}
        )

"""Faults from timeouts alone, of simulated networks whose ways were learnt, or not."""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import cache

import numpy as np
import pytest

from fabric.builtin import builtin_fabric
from fabric.simulator import SimulatorSettings
from schemas.rows import BLIND
from streams.localise.blind import BlindDetector
from streams.localise.finding import Finding
from tests.streams.blind_rows import NOISE, Blind, S, planned, run, ways
from tests.streams.logs import START_US

DEMO = builtin_fabric("demo")
SLOT_US = 250_000
SECONDS = 10.0


@cache
def learnt_ways() -> np.ndarray:
    return ways(DEMO, planned(DEMO, SECONDS))


@cache
def network(*faults: str, settings: SimulatorSettings = NOISE) -> Blind:
    return run(DEMO, faults, SECONDS, settings=settings)


def follow(blind: Blind, learn: bool = True) -> list[tuple[int, list[Finding]]]:
    """What is said at the end of every slot."""
    detector = BlindDetector(DEMO)
    if learn:
        detector.learn(START_US - SLOT_US, learnt_ways())
    return hear(detector, blind.slots())


def hear(detector: BlindDetector, slots: Iterable[tuple[int, np.ndarray]]) -> list[tuple[int, list[Finding]]]:
    said = []
    for slot_us, rows in slots:
        detector.add(slot_us, SLOT_US, rows)
        said.append((slot_us + SLOT_US, detector.findings(slot_us + SLOT_US)))
    return said


def best(findings: Iterable[Finding]) -> list[tuple[str, str]]:
    return sorted((f.kind, f.suspects[0][0]) for f in findings)


#: faults from the third second on -> what is said at the end: kind and best suspect, one of several if they
#: cannot be told apart
FOUND = {
    ("loss:leaf-1-1~spine-1:rate=0.1,after=3",): [("network_loss", {"leaf-1-1~spine-1"})],
    ("loss:spine-3~leaf-2-2:rate=1,after=3",): [("network_loss", {"spine-3~leaf-2-2"})],
    ("loss:tor-4-2~leaf-4-4:rate=0.3,after=3",): [("network_loss", {"tor-4-2~leaf-4-4"})],
    ("link_down:leaf-2-4~tor-2-2:after=3",): [("network_loss", {"leaf-2-4~tor-2-2", "tor-2-2~leaf-2-4"})],
    ("loss:spine-3:rate=0.05,after=3",): [("network_loss", {"spine-3"})],
    ("loss:leaf-3-1:rate=1,after=3",): [("network_loss", {"leaf-3-1"})],
    ("loss:spine-2/lc-1:rate=0.2,after=3",): [("network_loss", {"spine-2/lc-1"})],
    ("loss:tor-2-3:rate=1,after=3",): [("network_loss", {"tor-2-3"})],
    ("loss:tor-2-3:rate=0.6,after=3",): [("network_loss", {"tor-2-3"})],
    ("loss:prober-1~border-1:rate=0.1,after=3",): [
        ("network_loss", {"prober-1~border-1", "border-1~prober-1", "border-1"})
    ],
    ("loss:prober-1~border-1:rate=1,after=3",): [("prober_outage", {"prober-1"})],
    ("loss:tor-1-1~server-1-1-3:rate=0.4,after=3",): [
        ("network_loss", {"tor-1-1~server-1-1-3", "server-1-1-3~tor-1-1"})
    ],
    ("host_down:server-1-1-1:after=3",): [("host_silent", {"server-1-1-1"})],
    tuple(f"host_down:server-1-1-{i}:after=3" for i in (1, 2, 3)): [
        ("host_silent", {f"server-1-1-{i}"}) for i in (1, 2, 3)
    ],
    tuple(f"loss:leaf-2-{i}:rate=1,after=3" for i in (1, 2, 3, 4)): [("network_loss", {"pod-2"})],
    ("loss:leaf-1-1~spine-1:rate=0.05,after=3", "loss:spine-3~leaf-2-2:rate=0.5,after=3"): [
        ("network_loss", {"leaf-1-1~spine-1"}),
        ("network_loss", {"spine-3~leaf-2-2"}),
    ],
    # The losses of the chip lie on ways across the first link, too: its pairs of chips must not stand for it.
    (
        "loss:border-2~spine-3:rate=0.53,after=3",
        "loss:spine-2/lc-1:rate=0.08,after=3",
        "loss:tor-2-1~leaf-2-3:rate=0.3,after=3",
    ): [
        ("network_loss", {"border-2~spine-3"}),
        ("network_loss", {"spine-2/lc-1"}),
        ("network_loss", {"tor-2-1~leaf-2-3"}),
    ],
    (
        "loss:spine-7:rate=0.3,after=3",
        "loss:leaf-1-3~tor-1-2:rate=1,after=3",
        "loss:tor-3-4~leaf-3-1:rate=0.2,after=3",
        "host_down:server-4-1-5:after=3",
    ): [
        ("host_silent", {"server-4-1-5"}),
        ("network_loss", {"leaf-1-3~tor-1-2"}),
        ("network_loss", {"spine-7"}),
        ("network_loss", {"tor-3-4~leaf-3-1"}),
    ],
}


@pytest.mark.parametrize("faults", FOUND, ids=" ".join)
def test_faults_are_found(faults):
    said = follow(network(*faults))
    found = best(said[-1][1])
    assert len(found) == len(FOUND[faults])
    for (kind, suspect), (expected, names) in zip(found, FOUND[faults], strict=True):
        assert kind == expected
        assert suspect in names
    # Nothing was said before they began.
    assert not any(findings for now_us, findings in said if now_us <= START_US + 3 * S)


def test_a_finding_tells_when_how_much_and_how_it_is_known():
    (found,) = follow(network("loss:spine-3~leaf-2-2:rate=0.5,after=3"))[-1][1]
    assert found.direction == "spine-3~leaf-2-2"
    assert found.where == {"leaf-2-2<>spine-3"}
    assert found.bad / found.total == pytest.approx(0.5, abs=0.1)
    assert abs(found.first_seen_us - (START_US + 3 * S)) <= S
    assert START_US + 9 * S <= found.last_seen_us <= START_US + 10 * S
    assert "without mirror copies" in found.note


def test_a_dead_rack_names_its_servers():
    (found,) = follow(network("loss:tor-2-3:rate=1,after=3"))[-1][1]
    assert set(found.servers) == {s.name for s in DEMO.servers if s.tor == "tor-2-3"}
    assert "tor-2-3" in found.where


def test_a_healthy_network_with_noise_of_hosts_is_not_accused():
    assert not any(findings for _, findings in follow(network()))


@pytest.mark.parametrize("seed", [2, 3])
def test_nor_is_it_with_servers_that_reboot(seed):
    rng = np.random.default_rng(seed)
    servers = rng.choice([s.name for s in DEMO.servers], 20, replace=False)
    faults = tuple(f"host_down:{s}:after={rng.uniform(0, 6):.2f},for=3" for s in servers)
    kinds = {f.kind for _, findings in follow(network(*faults)) for f in findings}
    assert kinds == {"host_silent"}


def test_a_fault_that_ends_is_said_no_more():
    blind = run(DEMO, ("loss:spine-3:rate=0.5,after=2,for=3",), 16.0)
    detector = BlindDetector(DEMO)
    detector.learn(START_US - SLOT_US, ways(DEMO, blind.planned))
    said = hear(detector, blind.slots())
    assert best(dict(said)[START_US + 5 * S]) == [("network_loss", "spine-3")]
    assert dict(said)[START_US + 15 * S] == []
    last_us = max(f.last_seen_us for _, findings in said for f in findings)
    assert abs(last_us - (START_US + 5 * S)) <= S


#: without learnt ways -> suspects of which one must be named, and the best of which must be one
AREAS = {
    "loss:tor-2-3~leaf-2-1:rate=0.5,after=3": {"tor-2-3"},
    "loss:leaf-2-2~tor-2-1:rate=0.5,after=3": {"tor-2-1"},
    "loss:leaf-3-3:rate=0.5,after=3": {"pod-3"},
    "loss:spine-6:rate=0.5,after=3": {s.name for s in DEMO.switches if s.tier == "spine"},
    "loss:border-2~spine-1:rate=1,after=3": {"border-2"},
    "loss:tor-1-4:rate=1,after=3": {"tor-1-4"},
}


@pytest.mark.parametrize("fault", AREAS)
def test_where_no_way_is_known_the_area_is_named(fault):
    (found,) = follow(network(fault), learn=False)[-1][1]
    assert found.kind == "network_loss"
    assert found.suspects[0][0] in AREAS[fault]


def test_losses_before_any_mirror_saw_them_prove_nothing_where_mirrors_work():
    """A third of the probes is lost on a Prober's cable: only they are blind, and are all lost."""
    silent = SimulatorSettings()
    blind = network("loss:prober-1~border-1:rate=0.3", settings=silent)
    detector = BlindDetector(DEMO)
    for slot_us, mine in blind.by_slot():
        detector.add(slot_us, SLOT_US, blind.rows(mine[blind.lost[mine]]), blind.pairs(mine))
        assert detector.findings(slot_us + SLOT_US) == []


def test_when_mirrors_fail_the_blind_takes_over_and_gives_back():
    """Mirrors work, are dark from 2 s to 8 s, and work again; a link loses packets all the time."""
    blind = network("loss:leaf-1-1~spine-1:rate=0.5")
    detector = BlindDetector(DEMO)
    detector.learn(START_US - SLOT_US, learnt_ways())
    said: dict[float, list[Finding]] = {}
    for slot_us, mine in blind.by_slot():
        second = (slot_us - START_US) / S
        rows = blind.rows(mine) if 2 <= second < 8 else np.empty(0, BLIND.dtype)
        detector.add(slot_us, SLOT_US, rows, blind.pairs(mine))
        said[second] = detector.findings(slot_us + SLOT_US)
    assert not any(findings for second, findings in said.items() if second < 2)
    assert best(said[6.0]) == [("mirror_outage", "collector-1"), ("network_loss", "leaf-1-1~spine-1")]
    assert all(f.last_seen_us <= START_US + 8 * S for f in said[9.5])
    (outage, *_) = [f for f in said[6.0] if f.kind == "mirror_outage"]
    assert abs(outage.first_seen_us - (START_US + 2 * S)) <= S


def test_a_network_that_never_mirrored_has_no_outage_of_mirrors():
    blind = network("loss:tor-1-4:rate=1,after=3")
    detector = BlindDetector(DEMO)
    for slot_us, mine in blind.by_slot():
        detector.add(slot_us, SLOT_US, blind.rows(mine), blind.pairs(mine))
    assert best(detector.findings(START_US + 10 * S)) == [("network_loss", "tor-1-4")]


def test_nor_has_one_of_whose_probes_none_comes_back():
    """The first cable is cut: nothing is seen and nothing answered."""
    cut = tuple(f"loss:{p.name}~{p.switch}:rate=1,after=3" for p in DEMO.probers)
    blind = network(*cut)
    detector = BlindDetector(DEMO)
    detector.learn(START_US - SLOT_US, learnt_ways())
    for slot_us, mine in blind.by_slot():
        detector.add(slot_us, SLOT_US, blind.rows(mine[blind.lost[mine]]), blind.pairs(mine))
    assert best(detector.findings(START_US + 10 * S)) == [
        ("prober_outage", "prober-1"),
        ("prober_outage", "prober-2"),
    ]


def test_a_restart_changes_nothing():
    slots = network("loss:spine-3:rate=0.05,after=3").slots()
    first = BlindDetector(DEMO)
    first.learn(START_US - SLOT_US, learnt_ways())
    whole = hear(first, slots)
    for cut in (8, 20, 33):
        before = BlindDetector(DEMO)
        before.learn(START_US - SLOT_US, learnt_ways())
        hear(before, slots[:cut])
        after = BlindDetector(DEMO)
        after.restore(json.loads(json.dumps(before.snapshot())))
        for slot_us, rows in slots[:cut]:
            after.add(slot_us, SLOT_US, rows)
        assert hear(after, slots[cut:]) == whole[cut:]


def test_the_order_of_rows_in_a_slot_does_not_matter():
    rng = np.random.default_rng(1)
    slots = network("loss:spine-3:rate=0.05,after=3", "host_down:server-1-1-1:after=3").slots()
    shuffled = [(slot_us, rng.permutation(rows)) for slot_us, rows in slots]
    detectors = BlindDetector(DEMO), BlindDetector(DEMO)
    for detector in detectors:
        detector.learn(START_US - SLOT_US, learnt_ways())
    assert hear(detectors[0], slots) == hear(detectors[1], shuffled)


def test_strangers_and_known_silent_servers_are_passed_over():
    rows = network("host_down:server-1-1-1").rows()
    odd = rows[:2].copy()
    odd["target"][0], odd["prober"][1] = 199_999_999, 299_999_999
    detector = BlindDetector(DEMO)
    detector.add(START_US, SLOT_US, np.concatenate([rows, odd]))
    assert best(detector.findings(START_US + SLOT_US)) == [("host_silent", "server-1-1-1")]
    assert BlindDetector(DEMO).findings(START_US) == []


@pytest.mark.slow
def test_two_minutes_of_a_healthy_network_with_a_tenth_of_its_servers_rebooting():
    """480 looks at three spans each, and no fault of the network."""
    rng = np.random.default_rng(9)
    seconds = 120.0
    servers = rng.choice([s.name for s in DEMO.servers], 19, replace=False)
    faults = tuple(f"host_down:{s}:after={rng.uniform(0, 90):.1f},for=25" for s in servers)
    blind = run(DEMO, faults, seconds)
    detector = BlindDetector(DEMO)
    detector.learn(START_US - SLOT_US, ways(DEMO, blind.planned))
    found = [f for _, findings in hear(detector, blind.slots()) for f in findings]
    assert {f.kind for f in found} == {"host_silent"}
    assert {f.suspects[0][0] for f in found} == set(servers)

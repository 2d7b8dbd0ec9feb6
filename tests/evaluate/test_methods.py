"""What the other methods are given, and what becomes of what they say."""

import numpy as np

from bytetracker.evaluate.by_flows import NetBouncer, Pll, Votes
from bytetracker.evaluate.flows import FlowCounter, FlowWindow
from bytetracker.evaluate.lives import Claim, PlainLives
from bytetracker.evaluate.ways import Ways
from fabric.faults import parse_spec
from fabric.inventory import load_fabric
from fabric.simulator.simulator import Simulator
from producers.plan import build_plan
from schemas.rows import Kind

SMALL = load_fabric("small")
SECOND = 1_000_000


def test_ways_are_those_that_probes_take() -> None:
    # A link that drops everything drops exactly the probes whose way crosses it.
    plan = build_plan(SMALL, SMALL.probers[0])
    probes = plan.due(0, 2 * SECOND)
    ways = Ways(SMALL, 5).of(probes)
    assert {int(kind) for kind in np.unique(probes["kind"])} == {Kind.NORTH_SOUTH, Kind.EAST_WEST}
    for name in ("leaf-1-1~spine-1", "spine-1~leaf-2-1", "tor-1-1~leaf-1-1", "border-1~spine-2"):
        simulator = Simulator(SMALL, 5)
        simulator.inject(parse_spec(f"loss:{name}:rate=1", SMALL), 0)
        lost = simulator.run(probes).outcomes["rtt_ns"] < 0
        row = [link.name for link in SMALL.links].index(name)
        assert lost.any() and not lost.all()
        assert ((ways == row).any(axis=1) == lost).all()


def lossy_window(spec: str) -> FlowWindow:
    simulator = Simulator(SMALL, 5)
    simulator.inject(parse_spec(spec, SMALL), 0)
    counter = FlowCounter(Ways(SMALL, 5), len(SMALL.links), 10 * SECOND)
    plan = build_plan(SMALL, SMALL.probers[0])
    for second in range(10):
        happened = simulator.run(plan.due(second * SECOND, (second + 1) * SECOND))
        assert counter.take((second + 1) * SECOND) is None
        counter.add(happened.probes, happened.outcomes["rtt_ns"] < 0)
    window = counter.take(11 * SECOND)
    assert window is not None
    assert counter.take(30 * SECOND) is None
    return window


def test_flows_are_counted_by_window() -> None:
    window = lossy_window("loss:leaf-1-1~spine-1:rate=0.5")
    assert window.counts.sent.sum() == 540
    row = [link.name for link in SMALL.links].index("leaf-1-1~spine-1")
    crossing = window.counts.path[window.counts.link == row]
    assert window.counts.lost.sum() == window.counts.lost[crossing].sum() > 5


def test_tomographies_name_links_and_servers() -> None:
    for method in (NetBouncer(SMALL, SECOND), Votes(SMALL, SECOND), Pll(SMALL, SECOND)):
        method.add(lossy_window("loss:spine-2~leaf-2-1:rate=0.7"), 11 * SECOND)
        method.add(lossy_window("host_down:server-1-1-1"), 60 * SECOND)
        first, *others = [
            (each.event["kind"], each.event["suspects"][0]["element"]) for each in method.events
        ]
        assert first == ("network_loss", "spine-2~leaf-2-1"), method.name
        if not isinstance(method, Votes):  # which blames the Prober's cable, that all flows cross
            assert ("host_silent", "server-1-1-1") in others, method.name


def claim(top: str, *where: str) -> Claim:
    return Claim("network_loss", ((top, 1.0),), frozenset(where or (top,)))


def test_a_life_is_told_once_and_again_when_its_suspect_changes() -> None:
    lives = PlainLives(forget_us=10)
    assert [e.event["state"] for e in lives.step([claim("a", "a", "b")], 0)] == ["open"]
    assert not lives.step([claim("a", "a", "b")], 5)
    (changed,) = lives.step([claim("b", "b")], 10)
    assert (changed.event["state"], changed.event["fault_id"]) == ("updated", "1")
    assert [e.event["fault_id"] for e in lives.step([claim("c")], 12)] == ["2"]
    # Forgotten: the next one is another fault.
    assert [e.event["state"] for e in lives.step([claim("a", "a", "b")], 30)] == ["open"]

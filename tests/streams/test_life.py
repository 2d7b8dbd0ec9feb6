"""The life of faults: one for each cause, told once, gone when it is over, the same when it is back."""

from __future__ import annotations

import json
import random
import zlib
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import topics
from schemas.codec import encode
from streams.localise import life
from streams.localise.causes import causes_of, family_of
from streams.localise.finding import Finding
from streams.localise.life import FLAP_WITHIN_US, FaultLives
from tests.streams.findings import LINKS, NAMES, S, cable, finding, some_findings, some_life
from tests.streams.logs import SMALL, START_US

Event = dict[str, Any]
ONE, TWO, FAR = LINKS


def live(steps: Iterable[tuple[float, list[Finding]]], lives: FaultLives | None = None) -> list[Event]:
    """Events of steps at seconds after START_US."""
    lives = lives or FaultLives(SMALL)
    return [event for at_s, findings in steps for event in lives.step(findings, START_US + int(at_s * S))]


def states(events: list[Event]) -> list[str]:
    return [event["state"] for event in events]


def lasting(until_s: int, again_s: float = 1.0, **how: Any) -> list[tuple[float, list[Finding]]]:
    """A fault with a sign every `again_s`, as a detector tells of it each second."""
    steps = []
    for second in range(until_s):
        bad = int(second / again_s) + 1
        steps.append(
            (
                float(second),
                [finding(seen_s=(bad - 1) * again_s, since_s=0.0, bad=bad, total=100 * bad, **how)],
            )
        )
    return steps


def quiet(from_s: int, until_s: int) -> list[tuple[float, list[Finding]]]:
    return [(float(second), []) for second in range(from_s, until_s)]


# -- open, updated, resolved ------------------------------------------------------------------------


def test_a_fault_is_opened_told_again_and_resolved():
    events = live([*lasting(31), *quiet(31, 60)])
    assert states(events) == ["open", "updated", "updated", "updated", "resolved"]
    assert [e["version"] for e in events] == [1, 2, 3, 4, 5]
    assert [(e["detected_at_us"] - START_US) // S for e in events] == [0, 10, 20, 30, 46]
    assert len({e["fault_id"] for e in events}) == 1
    assert events[-1]["last_seen_us"] == START_US + 30 * S
    assert events[-1]["probes_bad"] == 31
    assert events[-1]["story"].startswith("Over, with no sign of it for 16 s: About 1 % of the probes")


def test_numbers_that_stand_still_are_not_told_again():
    same = [(float(s), [finding(seen_s=0.0)]) for s in range(14)]
    assert states(live(same)) == ["open"]


@pytest.mark.parametrize(
    ("then", "told"),
    [
        (finding(others=((TWO, 0.05),)), True),
        (finding(confidence=0.75), False),
        (finding(confidence=0.65), True),
        (finding(kind="black_hole"), True),
        (finding(suspect="leaf-1-1", where={cable(ONE)}), True),
        (finding(bad=11), False),
        (finding(legs=("reply",)), False),
    ],
)
def test_what_is_news(then: Finding, told: bool):
    events = live([(0, [finding()]), (2, [replace(then, last_seen_us=START_US + 2 * S)])])
    assert states(events) == (["open", "updated"] if told else ["open"])


def test_a_place_that_becomes_known_is_told_at_once_and_lesser_changes_wait():
    vague = replace(finding(where={cable(ONE)}), direction="")
    lives = FaultLives(SMALL)
    assert states(live([(0, [vague])], lives)) == ["open"]
    assert states(live([(0.25, [finding(seen_s=0.25)])], lives)) == ["updated"]
    assert live([(0.5, [finding(seen_s=0.5, others=((TWO, 0.05),))])], lives) == []
    (later,) = live([(1.25, [finding(seen_s=0.5, others=((TWO, 0.05),))])], lives)
    assert [s["element"] for s in later["suspects"]] == [ONE, TWO]


def test_evidence_that_grows_old_does_not_blur_what_it_had_shown():
    blurred = finding(suspect="leaf-1-1", seen_s=3, where={cable(ONE)}, bad=2)
    events = live([(3, [finding(seen_s=3)]), (10, [blurred]), (30, [])])
    assert states(events) == ["open", "resolved"]
    assert events[-1]["suspects"][0]["element"] == ONE


def test_rare_signs_are_waited_for():
    """One sign a minute: five minutes without one end it, not fifteen seconds."""
    events = live([*lasting(600, again_s=60)[180:], *quiet(600, 1_200)])
    assert states(events).count("open") == states(events).count("resolved") == 1
    resolved = events[-1]
    assert (resolved["detected_at_us"] - resolved["last_seen_us"]) // S == 301


def test_nothing_is_waited_for_longer_than_ten_minutes():
    events = live([*lasting(3_000, again_s=590)[1_180:], *quiet(3_000, 4_000)])
    assert states(events)[-1] == "resolved"
    assert (events[-1]["detected_at_us"] - events[-1]["last_seen_us"]) // S == 601


def test_old_news_opens_nothing():
    assert live([(100, [finding(seen_s=80)])]) == []
    assert states(live([(100, [finding(seen_s=90)])])) == ["open"]


# -- one fault per cause ----------------------------------------------------------------------------


def test_findings_of_one_cause_are_one_fault():
    there, back = finding(legs=("probe",)), finding(suspect="tor-1-1~leaf-1-1", bad=4, legs=("reply",))
    silent = finding(kind="source_silent", suspect="collector-1", where={"collector-1"}, bad=0, total=0)
    outage = replace(silent, kind="mirror_outage", where=frozenset({"collector-1", "leaf-1-1"}))
    events = live([(0, [there, back, silent, outage])])
    assert [(e["kind"], e["suspects"][0]["element"]) for e in events] == [
        ("network_loss", ONE),
        ("mirror_outage", "collector-1"),
    ]
    assert sorted(events[0]["legs"]) == ["probe", "reply"]


def test_two_faults_that_turn_out_to_be_one_chip():
    lives = FaultLives(SMALL)
    first = live([(0, [finding(ONE)]), (1, [finding(ONE, 1), finding(TWO, 1)])], lives)
    assert states(first) == ["open", "open"]
    older, younger = (e["fault_id"] for e in first)
    whole = finding("leaf-1-1", 2, where={cable(ONE), cable(TWO), "leaf-1-1"}, bad=30)
    part, update = live([(2, [whole])], lives)
    assert (part["fault_id"], part["state"], part["part_of"]) == (younger, "resolved", older)
    assert part["story"] == f"Turned out to be part of the fault at leaf-1-1 ({older})."
    assert (update["fault_id"], update["state"], update["part_of"]) == (older, "updated", "")
    assert update["suspects"][0]["element"] == "leaf-1-1"
    # Either of them alone is that fault still.
    assert live([(3, [finding(TWO, 3, bad=30)])], lives)[0]["fault_id"] == older


def test_a_fault_that_turns_out_to_be_two():
    lives = FaultLives(SMALL)
    (opened,) = live([(0, [finding("leaf-1-1", where={cable(ONE), cable(TWO)})])], lives)
    events = live([(s, [finding(ONE, s), finding(TWO, s)]) for s in range(1, 9)], lives)
    assert states(events) == ["open", "updated"]
    assert events[1]["fault_id"] == opened["fault_id"]
    assert {e["suspects"][0]["element"] for e in events} == {ONE, TWO}


def test_alterations_and_losses_of_one_link_are_two_faults():
    assert states(live([(0, [finding(), finding(kind="alteration")])])) == ["open", "open"]


def test_a_fault_keeps_the_cause_that_is_likest():
    """It had been blurred over two links, and its suspect was the second."""
    lives = FaultLives(SMALL)
    (opened,) = live([(0, [finding(TWO, where={cable(ONE), cable(TWO)})])], lives)
    (other,) = live([(1, [finding(ONE, 1, bad=50), finding(TWO, 1)])], lives)
    assert other["suspects"][0]["element"] == ONE
    assert other["fault_id"] != opened["fault_id"]


@settings(max_examples=100, deadline=None)
@given(found=some_findings(START_US))
def test_causes_are_disjoint_and_hold_everything(found: list[Finding]):
    causes = causes_of(found)
    held: dict[str, set[str]] = defaultdict(set)
    for cause in causes:
        assert held[family_of(cause.kind)].isdisjoint(cause.where)
        held[family_of(cause.kind)] |= cause.where
    for each in found:
        assert each.where <= held[family_of(each.kind)]


# -- coming back ------------------------------------------------------------------------------------


def test_a_fault_that_comes_back_soon_is_the_same_and_is_watched_longer():
    lives, events, at_s = FaultLives(SMALL), [], 0
    waited = []
    for _ in range(8):
        events += live([(at_s, [finding(seen_s=at_s)])], lives)
        seen_s = at_s
        while events[-1]["state"] != "resolved":
            at_s += 1
            events += live([(at_s, [])], lives)
        waited.append(at_s - seen_s - 1)
        at_s += 200
    assert waited == [15, 30, 60, 120, 240, 480, 600, 600]
    assert states(events) == ["open", "resolved"] * 8
    assert [e["flaps"] for e in events] == [n for n in range(8) for _ in range(2)]
    assert [e["version"] for e in events] == list(range(1, 17))
    assert len({e["fault_id"] for e in events}) == 1
    assert {e["first_seen_us"] for e in events} == {START_US}


def test_a_fault_that_comes_back_late_is_another_one():
    back_s = 16 + FLAP_WITHIN_US // S + 1
    first, gone, again = live([(0, [finding()]), (16, []), (back_s, [finding(seen_s=back_s)])])
    assert states([first, gone, again]) == ["open", "resolved", "open"]
    assert first["fault_id"] != again["fault_id"]
    assert (again["version"], again["flaps"]) == (1, 0)


def test_another_kind_or_place_is_another_fault():
    steps = [(0, [finding()]), (16, [])]
    for other in (finding(TWO, 20), finding(ONE, 20, kind="alteration")):
        *_, last = live([*steps, (20, [other])])
        assert (last["state"], last["version"]) == ("open", 1)
    # A link within what a whole pod had touched.
    pod = finding("pod-1", where={cable(ONE), cable(TWO), "leaf-1-1", "tor-1-1"})
    *_, last = live([(0, [pod]), (16, []), (20, [finding(ONE, 20)])])
    assert (last["state"], last["version"]) == ("open", 1)


def test_a_detector_that_still_tells_of_what_is_over_reopens_nothing():
    events = live([(s, [finding(seen_s=0)]) for s in range(40)])
    assert states(events) == ["open", "resolved"]


# -- severity and story -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("what", "severity"),
    [
        (finding(), "critical"),
        (finding(bad=9, total=10_000), "warning"),
        (finding(bad=9, total=0), "critical"),
        (finding(kind="alteration", bad=2, total=100_000), "critical"),
        (finding(kind="host_silent"), "info"),
        (finding(kind="mirror_outage"), "warning"),
        (finding(kind="prober_outage"), "warning"),
        (finding(kind="source_silent"), "warning"),
        (finding(kind="coverage_gap"), "warning"),
        (finding(kind="black_hole"), "critical"),
        (finding(kind="loop"), "critical"),
        (finding(kind="wrong_route"), "critical"),
    ],
)
def test_severity(what: Finding, severity: str):
    (event,) = live([(0, [what])])
    assert event["severity"] == severity


def test_a_loss_that_gets_worse_is_told_at_once():
    events = live([(0, [finding(bad=9, total=10_000)]), (0.25, [finding(seen_s=0.25, bad=50, total=10_000)])])
    assert [(e["state"], e["severity"]) for e in events] == [("open", "warning"), ("updated", "critical")]


@pytest.mark.parametrize("count", [1, 999])
def test_only_so_many_faults_are_open(count: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(life, "OPEN_MAX", count + 1)
    monkeypatch.setattr(life, "INFO_MAX", count)
    lives = FaultLives(SMALL)
    hosts = [finding(f"host-{i}", kind="host_silent", where={f"host-{i}"}) for i in range(count + 5)]
    assert len(live([(0, hosts)], lives)) == count
    assert lives.refused == 5
    assert [e["kind"] for e in live([(0, [finding(ONE), finding(TWO)])], lives)] == ["network_loss"]
    assert lives.refused == 6


def test_the_state_of_all_faults_fits_into_a_message():
    """The worst that may be open, and as much remembered, with numbers that hardly shrink."""
    rng, lives = random.Random(1), FaultLives(SMALL)

    def worst(number: int, kind: str, servers: int) -> Finding:
        link = f"leaf-{number}-{rng.randrange(99)}~tor-{number}-{rng.randrange(999)}"
        return finding(
            link,
            kind=kind,
            bad=rng.randrange(10**6),
            total=10**6,
            where={cable(link), link},
            examples=tuple((rng.randrange(2**62), START_US + rng.randrange(10**9)) for _ in range(5)),
            servers=tuple(f"server-{number}-{i}" for i in range(servers)),
        )

    for at_s in (0, 100):
        found = [worst(i + at_s * 10_000, "host_silent", 1) for i in range(life.INFO_MAX)]
        found += [worst(i + at_s * 10_000, "alteration", 100) for i in range(life.INFO_MAX)]
        found = [
            replace(f, first_seen_us=START_US + at_s * S, last_seen_us=START_US + at_s * S) for f in found
        ]
        live([(at_s, []), (at_s, found)], lives)
    assert (len(lives.open), len(lives.closed)) == (life.OPEN_MAX, life.OPEN_MAX)
    state = zlib.compress(json.dumps(lives.snapshot()).encode(), 1)
    assert len(state) < topics.topic(topics.STATE).message_bytes_max * 0.45


# -- whatever is found ------------------------------------------------------------------------------


def run(steps: Any, lives: FaultLives) -> list[list[Event]]:
    said = []
    for now_us, findings, commands in steps:
        for command in commands:
            lives.apply(command)
        said.append(lives.step(findings, now_us))
    return said


@settings(max_examples=120, deadline=None)
@given(steps=some_life())
def test_every_life_is_told_in_order(steps: Any):
    lives, known = FaultLives(SMALL), {}
    opened: set[str] = set()
    for now_us, findings, commands in steps:
        for command in commands:
            lives.apply(command)
        for event in lives.step(findings, now_us):
            before = known.get(event["fault_id"])
            version, flaps = (0, 0) if before is None else (before["version"], before["flaps"])
            assert event["version"] == version + 1
            if event["state"] == "open":
                assert event["fault_id"] not in opened
                assert event["flaps"] == (0 if before is None else flaps + 1)
                opened.add(event["fault_id"])
            else:
                assert event["fault_id"] in opened, "nothing without an opening, nothing after the end"
                assert event["flaps"] == flaps
                if event["state"] == "resolved":
                    opened.remove(event["fault_id"])
            if event["part_of"]:
                assert event["part_of"] in opened
                assert event["part_of"] != event["fault_id"]
            assert event["detected_at_us"] == now_us
            assert event["story"].endswith(".") and "leg " not in event["story"]
            encode(topics.FAULTS, event)
            known[event["fault_id"]] = event
        assert {fault.fault_id for fault in lives.open} == opened
        held: set[tuple[str, str]] = set()
        for fault in lives.open:
            mine = {(fault.family, name) for name in fault.where}
            assert mine and held.isdisjoint(mine), "of one family no two faults hold the same element"
            held |= mine
    end = lives.step([], steps[-1][0] + 700 * S)
    assert {event["fault_id"] for event in end} == opened
    assert set(states(end)) <= {"resolved"}


@settings(max_examples=60, deadline=None)
@given(steps=some_life(), data=st.data())
def test_a_restart_after_any_step_changes_nothing(steps: Any, data: st.DataObject):
    expected = run(steps, FaultLives(SMALL))
    at = data.draw(st.integers(0, len(steps)))
    lives = FaultLives(SMALL)
    run(steps[:at], lives)
    stored = json.dumps(lives.snapshot())
    run(steps[at:], lives)
    heir = FaultLives.restore(SMALL, json.loads(stored))
    assert run(steps[at:], heir) == expected[at:]
    assert heir.snapshot() == lives.snapshot()


@settings(max_examples=60, deadline=None)
@given(steps=some_life(), seed=st.integers(0, 99))
def test_the_order_of_findings_does_not_matter(steps: Any, seed: int):
    rng = random.Random(seed)
    shuffled = [(now, rng.sample(found, len(found)), commands) for now, found, commands in steps]
    assert run(shuffled, FaultLives(SMALL)) == run(steps, FaultLives(SMALL))


def test_drawn_names_are_elements():
    for name in NAMES:
        SMALL.element(name)

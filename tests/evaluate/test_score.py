"""Who is right about what: events by hand against causes by hand."""

from typing import Any

import pytest

from bytetracker.evaluate.events import group_events
from bytetracker.evaluate.pipeline import LoggedEvent
from bytetracker.evaluate.score import Score, score
from bytetracker.evaluate.tally import FaultTally
from bytetracker.evaluate.truth import Cause, cause_of, with_whole_pods
from fabric.faults import parse_spec
from fabric.inventory import load_fabric

DEMO = load_fabric("demo")
START_US = 1_000_000_000
END_US = START_US + 60_000_000
SECOND = 1_000_000


def cause(text: str, number: int = 0, after_s: int = 5) -> Cause:
    return cause_of(number, parse_spec(text, DEMO), START_US + after_s * SECOND, END_US, DEMO)


def hit(count: int = 50) -> FaultTally:
    times = tuple(START_US + 6 * SECOND + 100_000 * i for i in range(min(5, count)))
    return FaultTally(packets=count, probes=count, lost=count, harmed=count, harmed_at_us=times)


def said(
    at_s: float,
    *suspects: tuple[str, float],
    kind: str = "network_loss",
    fault: str = "f1",
    state: str = "open",
    **more: Any,
) -> LoggedEvent:
    return LoggedEvent(
        START_US + round(at_s * SECOND),
        {
            "fault_id": fault,
            "kind": kind,
            "state": state,
            "suspects": [{"element": e, "confidence": c} for e, c in suspects],
            **more,
        },
    )


def judge(causes: list[Cause], events: list[LoggedEvent], tallies: list[FaultTally] | None = None) -> Score:
    return score(causes, tallies or [hit() for _ in causes], group_events(events))


UP = "loss:leaf-1-1~spine-1:rate=0.1"


@pytest.mark.parametrize(
    ("spec", "suspect", "switch", "link"),
    [
        (UP, "leaf-1-1~spine-1", True, True),
        (UP, "spine-1~leaf-1-1", True, False),  # the right cable, the wrong way
        (UP, "leaf-1-1", True, False),
        (UP, "spine-1/lc-1", True, False),
        (UP, "leaf-1-1~spine-2", False, False),
        (UP, "leaf-1-2", False, False),
        ("link_down:leaf-1-1~spine-1", "spine-1~leaf-1-1", True, True),
        ("loss:spine-1:Ethernet1:rate=0.1", "leaf-1-1~spine-1", True, True),
        ("loss:spine-1/lc-1:rate=0.1", "spine-1/lc-1", True, True),
        ("loss:spine-1/lc-1:rate=0.1", "spine-1/lc-2", True, False),
        ("loss:spine-1/lc-1:rate=0.1", "spine-1~leaf-1-1", True, False),
        ("loss:spine-1/lc-1>lc-2:rate=0.1", "spine-1/lc-1>lc-2", True, True),
        ("loss:spine-1/lc-1>lc-2:rate=0.1", "spine-1/lc-2>lc-1", True, False),
        ("loss:tor-1-1:rate=1", "tor-1-1", True, True),
        ("loss:tor-1-1:rate=1", "tor-1-1/chip-1", True, True),
        ("loss:tor-1-1:rate=1", "leaf-1-1", False, False),
        ("loss:tor-1-1~server-1-1-1:rate=0.1", "server-1-1-1", True, True),
        ("loss:border-1~prober-1:rate=0.1", "border-1~prober-1", True, True),
        ("loss:border-1~prober-1:rate=0.1", "prober-1~border-1", True, False),
    ],
)
def test_levels(spec: str, suspect: str, switch: bool, link: bool) -> None:
    result = judge([cause(spec)], [said(8, (suspect, 0.9))])
    assert (result.causes[0].correct_switch, result.causes[0].correct_link) == (switch, link)
    assert len(result.false) == (not switch)


@pytest.mark.parametrize(
    ("spec", "kind", "suspect", "right"),
    [
        (UP, "black_hole", "leaf-1-1~spine-1", True),
        (UP, "alteration", "leaf-1-1~spine-1", False),
        (UP, "host_silent", "leaf-1-1~spine-1", False),
        ("flip:leaf-1-1:rate=0.1", "network_loss", "leaf-1-1", False),
        ("host_down:server-1-1-1", "host_silent", "server-1-1-1", True),
        ("host_down:server-1-1-1", "network_loss", "server-1-1-1", False),
        ("reboot:server-1-1-1:for=40", "network_loss", "tor-1-1", False),
        ("loss:tor-1-1~server-1-1-1:rate=1", "host_silent", "server-1-1-1", True),
        ("loss:leaf-1-1~tor-1-1:rate=1", "host_silent", "server-1-1-1", False),
        ("mirror_outage:leaf-1-1", "network_loss", "leaf-1-1", False),
        ("mirror_outage:leaf-1-1", "mirror_outage", "leaf-1-1", True),
        ("mirror_outage:collector-1", "source_silent", "collector-1", True),
        ("prober_outage:prober-1", "network_loss", "border-1", False),
        ("clock_skew:collector-1:ms=900", "source_silent", "collector-1", False),
    ],
)
def test_the_kind_has_to_fit(spec: str, kind: str, suspect: str, right: bool) -> None:
    result = judge([cause(spec)], [said(8, (suspect, 0.9), kind=kind)])
    assert result.causes[0].correct_switch == right
    assert len(result.false) == (not right)


def test_sister_chips_count_when_they_tie_and_nothing_else_is_among_them() -> None:
    spec = "loss:spine-1/fc-1:rate=0.1"
    both = [said(8, ("spine-1/fc-2", 0.5), ("spine-1/fc-1", 0.5))]
    assert judge([cause(spec)], both).causes[0].correct_link
    leaning = [said(8, ("spine-1/fc-2", 0.6), ("spine-1/fc-1", 0.4))]
    assert not judge([cause(spec)], leaning).causes[0].correct_link
    hedging = [said(8, ("spine-1/fc-2", 0.3), ("spine-1/fc-1", 0.3), ("spine-1/lc-1", 0.3))]
    assert not judge([cause(spec)], hedging).causes[0].correct_link


def test_the_verdict_is_the_last_one_while_the_fault_lasts() -> None:
    spec = f"{UP},for=20"
    events = [
        said(8, ("leaf-1-1", 0.5)),
        said(12, ("leaf-1-1~spine-1", 0.9), state="updated"),
        said(40, ("leaf-1-1", 0.5), state="updated"),
    ]
    one = judge([cause(spec)], events).causes[0]
    assert one.correct_link and not one.first_correct_link


def test_times_run_from_injection_first_and_fifth_loss_to_the_first_right_event() -> None:
    events = [said(7, ("leaf-3-3", 0.5)), said(8, ("leaf-1-1", 0.5), state="updated")]
    one = judge([cause(UP)], events).causes[0]
    assert one.onset_to_fault_ms == 3_000
    assert one.first_hit_to_fault_ms == 2_000
    assert one.fifth_loss_to_fault_ms == 1_600


def test_two_altered_probes_are_enough_to_be_seen_and_five_lost_ones() -> None:
    flip = cause("flip:leaf-1-1:rate=0.1")
    assert judge([flip], [], [FaultTally(altered=2, harmed=2)]).causes[0].observable
    assert not judge([flip], [], [FaultTally(altered=1, harmed=1)]).causes[0].observable
    assert judge([cause(UP)], [], [hit(5)]).causes[0].observable
    assert not judge([cause(UP)], [], [hit(4)]).causes[0].observable
    assert not judge([cause("mirror_loss:leaf-1-1:rate=0.5")], [], [hit()]).causes[0].observable
    behind_the_last_mirror = cause("flip:tor-1-1~server-1-1-1:rate=0.1")
    assert not judge([behind_the_last_mirror], [], [FaultTally(altered=9)]).causes[0].observable


def test_a_second_fault_about_the_same_cause_is_extra() -> None:
    events = [said(8, ("leaf-1-1", 0.5)), said(9, ("leaf-1-1~spine-1", 0.9), fault="f2")]
    result = judge([cause(UP)], events)
    assert result.causes[0].correct_link  # the better one is matched
    assert [found.fault_id for found in result.extra] == ["f1"]
    assert not result.false


def test_each_fault_is_matched_to_one_cause_so_that_both_are_found() -> None:
    causes = [cause("loss:leaf-1-1:rate=0.1", 0), cause("loss:leaf-1-1~spine-1:rate=0.5", 1)]
    # The first event fits both causes, the second one only the switch.
    events = [said(8, ("leaf-1-1~spine-1", 0.9)), said(8, ("leaf-1-1~tor-1-1", 0.9), fault="f2")]
    result = judge(causes, events)
    assert [each.found is not None for each in result.causes] == [True, True]
    assert result.causes[1].correct_link
    assert not result.extra and not result.false


def test_what_is_said_before_the_fault_began_or_long_after_it_is_false() -> None:
    early = judge([cause(UP)], [said(3, ("leaf-1-1~spine-1", 0.9))])
    late = judge([cause(f"{UP},for=5")], [said(20, ("leaf-1-1~spine-1", 0.9))])
    for result in (early, late):
        assert not result.causes[0].correct_switch
        assert len(result.false) == 1


def test_a_mirror_outage_of_a_switch_that_is_off_is_neither_right_nor_wrong() -> None:
    events = [said(8, ("leaf-1-1", 0.9)), said(9, ("leaf-1-1", 0.9), kind="mirror_outage", fault="f2")]
    result = judge([cause("switch_down:leaf-1-1")], events)
    assert result.causes[0].correct_link
    assert not result.extra and not result.false


def test_named_bits_have_to_be_those_that_were_flipped() -> None:
    spec = "flip:leaf-1-1:rate=0.1,offset=100,mask=5"

    def bits(*named: tuple[int, int]) -> bool | None:
        records = [{"byte_offset": offset, "bit": bit, "to_one": 1, "to_zero": 1} for offset, bit in named]
        event = said(8, ("leaf-1-1", 0.9), kind="alteration", bits=records)
        return judge([cause(spec)], [event]).causes[0].correct_bits

    assert bits((120, 0), (120, 2))
    assert not bits((120, 0), (120, 1))
    assert not bits((121, 0))
    assert not bits()


def test_calibration_counts_every_suspect_of_every_network_fault() -> None:
    events = [
        said(8, ("leaf-1-1~spine-1", 0.7), ("leaf-1-1", 0.3)),
        said(8, ("tor-4-4", 0.9), fault="f2"),
        said(8, ("server-1-1-1", 0.9), kind="host_silent", fault="f3"),
    ]
    result = judge([cause(UP)], events)
    assert sorted(result.suspects) == [(0.3, False), (0.7, True), (0.9, False)]
    # A cable that is cut has two names, and either is right.
    both = [said(8, ("leaf-1-1~spine-1", 0.5), ("spine-1~leaf-1-1", 0.25), ("leaf-1-1", 0.25))]
    result = judge([cause("link_down:leaf-1-1~spine-1")], both)
    assert sorted(result.suspects) == [(0.25, False), (0.75, True)]


def test_a_pod_whose_leaves_are_all_down_is_one_cause() -> None:
    leaves = [cause(f"switch_down:leaf-1-{i}", i) for i in (1, 2, 3, 4)]
    other = cause("switch_down:leaf-2-1", 5)
    causes, tallies = with_whole_pods([*leaves, other], [hit(10) for _ in range(5)], DEMO)
    assert [each.spec.text for each in causes] == ["pod_down:pod-1", "switch_down:leaf-2-1"]
    assert [tally.lost for tally in tallies] == [40, 10]
    pod, leaf = judge(
        causes, [said(8, ("pod-1", 0.9)), said(8, ("leaf-2-1", 0.9), fault="f2")], tallies
    ).causes
    assert pod.correct_link and leaf.correct_link
    assert not judge(causes, [said(8, ("leaf-1-1", 0.9))], tallies).causes[0].correct_link
    kept, _ = with_whole_pods(leaves[:3], [hit() for _ in range(3)], DEMO)
    assert len(kept) == 3

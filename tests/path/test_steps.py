"""The legs of a probe: what was seen, what was not, and where it went wrong."""

from __future__ import annotations

from bytetracker.path.probe import Way
from bytetracker.path.steps import LegSteps, legs_of
from tests.path.examples import BACK, OUT, SENT_US, WAYS, copies, lost, probe


def _marks(leg: LegSteps) -> list[str]:
    return [f"{step.mark} {step.node or step.note}" for step in leg.steps]


def test_a_probe_that_was_seen_everywhere() -> None:
    there, back = legs_of(probe(), WAYS)
    assert _marks(there) == ["end prober-1", *(f"seen {s}" for s in OUT), "end server-1-2-1"]
    assert _marks(back) == ["end server-1-2-1", *(f"seen {s}" for s in BACK), "end prober-1"]
    assert there.moved is back.moved is None


def test_what_was_lost_never_reached_the_rest_of_its_way() -> None:
    (there,) = legs_of(lost("probe", "spine-1", "leaf-1-2", copies("probe", OUT[:2])), WAYS)
    assert _marks(there) == [
        "end prober-1",
        "seen border-1",
        "seen spine-1",
        "break lost after spine-1, on the way to leaf-1-2",
        "beyond leaf-1-2",
        "beyond tor-1-2",
        "beyond server-1-2-1",
    ]


def test_a_reply_that_was_lost() -> None:
    hops = copies("probe", OUT) + copies("reply", BACK[:2], 200)
    there, back = legs_of(lost("reply", "leaf-1-1", "spine-2", hops), WAYS)
    assert _marks(there)[-1] == "end server-1-2-1"
    assert _marks(back)[2:] == [
        "seen leaf-1-1",
        "break lost after leaf-1-1, on the way to spine-2",
        "beyond spine-2",
        "beyond border-1",
        "beyond prober-1",
    ]


def test_a_copy_that_is_missing_before_others_was_lost_by_a_mirror() -> None:
    hops = copies("probe", ("border-1", "leaf-1-2")) + copies("reply", BACK, 200)
    there, _ = legs_of(probe(hops=hops), WAYS)
    assert _marks(there)[1:] == [
        "seen border-1",
        "unseen spine-1",
        "seen leaf-1-2",
        "unseen tor-1-2",
        "end server-1-2-1",
    ]


def test_another_way_than_that_of_the_flow_is_shown_as_it_was() -> None:
    taken = ("border-1", "spine-2", "leaf-1-2", "tor-1-2")
    there, back = legs_of(probe(hops=copies("probe", taken) + copies("reply", BACK)), WAYS)
    assert [step.node for step in there.steps if step.mark == "seen"] == list(taken)
    assert there.moved == WAYS[0]
    assert back.moved is None


def test_without_a_known_way_only_what_was_seen_is_shown() -> None:
    (there,) = legs_of(lost("probe", "spine-1", "", copies("probe", OUT[:2])), ())
    assert _marks(there) == ["end prober-1", "seen border-1", "seen spine-1", "break lost after spine-1"]


def test_a_silent_server_was_reached() -> None:
    silent = lost("probe", "tor-1-2", "server-1-2-1", copies("probe", OUT))
    (there,) = legs_of(probe(**{f: getattr(silent, f) for f in ("hops", "rtt_ns", "last_seen", "next_node")}
        | {"verdict": "host_silent", "fault_leg": "probe"}), WAYS)  # fmt: skip
    assert _marks(there)[-3:] == [
        "seen tor-1-2",
        "break not answered after tor-1-2, on the way to server-1-2-1",
        "end server-1-2-1",
    ]


def test_altered_between_two_copies() -> None:
    hops = copies("probe", OUT, altered=OUT[2:]) + copies("reply", BACK, 200)
    there, _ = legs_of(
        probe(verdict="altered", hops=hops, last_seen="spine-1", next_node="leaf-1-2", fault_leg="probe"),
        WAYS,
    )
    marks = _marks(there)
    assert (
        marks.index("break altered after spine-1, on the way to leaf-1-2") == marks.index("seen leaf-1-2") - 1
    )
    assert [step.hop.altered for step in there.steps if step.hop is not None] == [False, False, True, True]


def test_a_loop_breaks_after_its_last_switch() -> None:
    circle = ("border-1", "spine-1", "leaf-1-2", "spine-1", "leaf-1-2")
    (there,) = legs_of(
        probe(
            verdict="loop", rtt_ns=None, fault_leg="probe", last_seen="leaf-1-2", hops=copies("probe", circle)
        ),
        WAYS,
    )
    assert _marks(there)[-1] == "break sent in circles after leaf-1-2"
    assert [step.node for step in there.steps if step.hop is not None] == list(circle)


def test_nobody_saw_it() -> None:
    (there,) = legs_of(
        probe(verdict="unobserved", rtt_ns=None, hops=(), last_seen="prober-1", next_node="border-1")
        .__class__(**{f: getattr(lost("probe", "prober-1", "border-1", ()), f) for f in probe().__slots__}),
        WAYS,
    )  # fmt: skip
    assert _marks(there)[:3] == [
        "end prober-1",
        "break lost after prober-1, on the way to border-1",
        "beyond border-1",
    ]


def test_east_west_goes_in_by_the_tor_that_decapsulates() -> None:
    hops = (
        copies("encapsulated", ("border-1", "spine-1", "leaf-2-1", "tor-2-1"))
        + copies("probe", ("leaf-2-2", "spine-2", "leaf-1-1", "tor-1-2"), 400)
        + copies("reply", BACK, 800)
    )
    ways = (
        Way("prober-1", "tor-2-1", 40_001, "probe", ("leaf-2-2", "spine-2", "leaf-1-1", "tor-1-2"), SENT_US),
    )
    legs = legs_of(probe(kind="east_west", via="tor-2-1", hops=hops), ways)
    assert [leg.leg for leg in legs] == ["encapsulated", "probe", "reply"]
    assert [(leg.steps[0].node, leg.steps[-1].node) for leg in legs] == [
        ("prober-1", "tor-2-1"),
        ("tor-2-1", "server-1-2-1"),
        ("server-1-2-1", "prober-1"),
    ]

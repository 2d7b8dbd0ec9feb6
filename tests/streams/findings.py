"""Findings and commands for tests of the life cycle, written by hand or drawn."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from streams.localise.finding import AlteredBit, Finding
from tests.streams.logs import START_US

S = 1_000_000
#: Links that share a switch, the switch, and something elsewhere.
LINKS = ("leaf-1-1~tor-1-1", "leaf-1-1~tor-1-2", "leaf-2-1~tor-2-1")
NAMES = (*LINKS, "leaf-1-1", "tor-1-1", "spine-1")
KINDS = ("network_loss", "network_loss", "black_hole", "alteration", "host_silent", "source_silent")


def cable(link: str) -> str:
    return "<>".join(sorted(link.split("~")))


def finding(
    suspect: str = LINKS[0],
    seen_s: float = 0.0,
    *,
    since_s: float | None = None,
    kind: str = "network_loss",
    confidence: float = 0.9,
    others: tuple[tuple[str, float], ...] = (),
    where: set[str] | None = None,
    bad: int = 10,
    total: int = 100,
    **more: Any,
) -> Finding:
    """A finding whose last sign was at `seen_s`, its first at `since_s` (or then, too), s after START_US."""
    return Finding(
        kind=kind,  # type: ignore[arg-type]
        suspects=((suspect, confidence), *others),
        where=frozenset(where or {cable(suspect)}),
        direction=suspect if "~" in suspect else "",
        bad=bad,
        total=total,
        first_seen_us=START_US + int((seen_s if since_s is None else since_s) * S),
        last_seen_us=START_US + int(seen_s * S),
        **more,
    )


def silence(element: str, from_s: float, until_s: float, why: str = "work") -> dict[str, Any]:
    return {
        "action": "silence",
        "element": element,
        "from_us": START_US + int(from_s * S),
        "until_us": START_US + int(until_s * S),
        "why": why,
        "by": "ann",
    }


def unsilence(element: str) -> dict[str, Any]:
    return {**silence(element, 0, 0, ""), "action": "unsilence"}


@st.composite
def some_findings(draw: st.DrawFn, now_us: int) -> list[Finding]:
    """What detectors may hand over at the end of a slot, blurred and contradictory as it may be."""
    return [
        Finding(
            kind=draw(st.sampled_from(KINDS)),
            suspects=tuple(
                (name, draw(st.sampled_from((0.1, 0.5, 0.8, 0.95))))
                for name in draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=4, unique=True))
            ),
            where=frozenset(draw(st.lists(st.sampled_from(NAMES), max_size=3))),
            direction=draw(st.sampled_from(("", LINKS[0]))),
            bad=draw(st.integers(0, 30)),
            total=draw(st.sampled_from((0, 30, 100_000))),
            first_seen_us=now_us - draw(st.integers(30, 60)) * S,
            last_seen_us=now_us - draw(st.sampled_from((0, 0, 0, 5, 25))) * S,
            legs=draw(st.sampled_from(((), ("probe",), ("reply", "probe")))),
            bits=draw(st.sampled_from(((), (AlteredBit(40, 3, 5, 0),)))),
        )
        for _ in range(draw(st.integers(0, 4)))
    ]


@st.composite
def some_life(draw: st.DrawFn) -> list[tuple[int, list[Finding], list[dict[str, Any]]]]:
    """Steps: event time, findings, and the commands before it."""
    now_us, steps = START_US, []
    for _ in range(draw(st.integers(1, 14))):
        now_us += int(draw(st.sampled_from((0.25, 0.25, 1, 10, 16, 40, 250, 700))) * S)
        commands = []
        if draw(st.integers(0, 3)) == 0:
            element = draw(st.sampled_from((*NAMES, "pod-1")))
            starts_s = (now_us - START_US) / S + draw(st.sampled_from((-5, 0, 5)))
            commands = [
                draw(st.sampled_from((silence(element, starts_s, starts_s + 30), unsilence(element))))
            ]
        steps.append((now_us, draw(some_findings(now_us)), commands))
    return steps

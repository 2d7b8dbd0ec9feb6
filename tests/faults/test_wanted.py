"""Which faults are asked for."""

from __future__ import annotations

import pytest

from bytetracker.faults.fault import Wanted
from bytetracker.moments import BadTime, since_us
from fabric.builtin import builtin_fabric
from tests.faults.examples import EVENTS, LINK, SERVER_OVER, START_US, as_fault

DEMO = builtin_fabric("demo")


def _taken(wanted: Wanted) -> list[str]:
    return [f"{fault.fault_id}/{fault.version}" for fault in map(as_fault, EVENTS) if wanted.takes(fault)]


@pytest.mark.parametrize(
    ("wanted", "taken"),
    [
        (Wanted(), ["a1/1", "b2/1", "a1/2", "b2/2", "c3/1"]),
        (Wanted(state="open"), ["a1/1", "b2/1", "a1/2", "c3/1"]),
        (Wanted(state="resolved"), ["b2/2"]),
        (Wanted(severity_min="warning"), ["a1/1", "a1/2", "c3/1"]),
        (Wanted(severity_min="critical"), ["a1/1", "a1/2"]),
        (Wanted(kinds=frozenset({"host_silent", "loop"})), ["b2/1", "b2/2"]),
        (Wanted(since_us=START_US + 12_000_000), ["a1/2", "b2/2", "c3/1"]),
        (Wanted(element="leaf-1-1~spine-1"), ["a1/1", "a1/2"]),
        (Wanted(element="spine-1"), []),  # nobody says what lies within it
        (Wanted(element="spine-1", fabric=DEMO), ["a1/1", "a1/2"]),
        (Wanted(element="spine-1~leaf-1-1", fabric=DEMO), ["a1/1", "a1/2"]),
        (Wanted(element="pod-4", fabric=DEMO), ["b2/1", "b2/2"]),
        (Wanted(element="tor-4-1", fabric=DEMO), ["b2/1", "b2/2"]),
        (Wanted(element="spine-3", fabric=DEMO), ["c3/1"]),
        (Wanted(element="server-1-1-1", fabric=DEMO), ["a1/1", "a1/2"]),  # affected by it
    ],
)
def test_what_is_wanted(wanted: Wanted, taken: list[str]) -> None:
    assert _taken(wanted) == taken


def test_a_document_is_the_event_again() -> None:
    left_out = {"example_probes", "legs", "bits"}
    for value in (LINK, SERVER_OVER):
        assert as_fault(value).document() == {k: v for k, v in value.items() if k not in left_out}


def test_since_is_a_time_or_how_long_ago() -> None:
    assert since_us("1h30m", START_US) == START_US - 5_400_000_000
    assert since_us("2026-03-08T20:00:00+00:00", START_US) == START_US
    assert since_us("2026-03-08T21:00:00+01:00", START_US) == START_US
    for bad in ("yesterday", "5", "", "2026-03-08T20:00:00", "0s"):
        with pytest.raises(BadTime):
            since_us(bad, START_US)

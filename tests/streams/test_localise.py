"""Evidence of simulated faults in, faults out: the right ones, each once, and gone when they end."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest

from fabric.builtin import builtin_fabric
from schemas.codec import encode
from schemas.rows import EVIDENCE
from streams.join import Network
from streams.localise.align import GIVEN_UP_AFTER_MS, SlotAlignment
from streams.localise.localiser import Localiser
from streams.settings import JoinSettings
from tests.streams.evidence import LOSS, evidence
from tests.streams.logs import SMALL, START_US, Scenario, record
from tests.streams.reading import read

DEMO = builtin_fabric("demo")
NETWORK = Network(DEMO)
PARTITIONS = 2
#: Faults begin when enough of the healthy network has been seen.
BEGIN_S = 5
S = 1_000_000


@cache
def evidence_of(*faults: str, seconds: float = 13, mirror_loss: float = 0.0) -> tuple[tuple[int, bytes], ...]:
    """(timestamp_ms, message) of `link-evidence`, in the order in which two workers would write it."""
    scenario = Scenario(
        faults=faults,
        fabric=DEMO,
        partitions=PARTITIONS,
        seconds=seconds,
        mirror_loss=mirror_loss,
        trailing_s=1,
        ends=False,
    )
    messages = []
    for partition, log in enumerate(record(scenario, 3)):
        said = read(log, NETWORK, partition, JoinSettings(), pace=50)
        messages += [
            (head["watermark_us"], partition, encode("link-evidence", head, rows))
            for head, rows in said.messages
        ]
    return tuple((us // 1_000, value) for us, _, value in sorted(messages))


def faults_in(messages: tuple[tuple[int, bytes], ...]) -> list[dict[str, Any]]:
    localiser, events = Localiser(DEMO, PARTITIONS), []
    for offset, (timestamp_ms, value) in enumerate(messages):
        located = localiser.step(offset, timestamp_ms, value)
        assert not located.dead_letters
        events += located.faults
    return events


def opened(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The faults of the network and of hosts that were opened; sources end in silence here."""
    return [e for e in events if e["state"] == "open" and not e["kind"].endswith(("outage", "source_silent"))]


#: fault -> (kind, the best suspect, or names of which one must be among the suspects)
FOUND = {
    "loss:leaf-1-1~tor-1-1:rate=0.3": ("network_loss", {"leaf-1-1~tor-1-1"}),
    "loss:spine-3~leaf-2-2:rate=0.3": ("network_loss", {"spine-3~leaf-2-2"}),
    "loss:tor-2-3~leaf-2-1:rate=0.5": ("network_loss", {"tor-2-3~leaf-2-1", "tor-2-3"}),
    "loss:leaf-3-1~spine-2:rate=0.5": ("network_loss", {"leaf-3-1~spine-2", "leaf-3-1"}),
    "loss:border-1~spine-5:rate=0.5": ("network_loss", {"border-1~spine-5", "border-1"}),
    "loss:spine-1~border-1:rate=0.5": ("network_loss", {"spine-1~border-1"}),
    "link_down:leaf-2-4~tor-2-2": ("network_loss", {"leaf-2-4~tor-2-2", "tor-2-2~leaf-2-4", "tor-2-2"}),
    "flip:leaf-1-2~tor-1-3:rate=0.5": ("alteration", {"leaf-1-2~tor-1-3"}),
    "flip:spine-7~border-1:rate=0.5": ("alteration", {"spine-7~border-1"}),
    "host_down:server-1-1-1": ("host_silent", {"server-1-1-1"}),
}


@pytest.mark.parametrize("fault", FOUND)
def test_a_simulated_fault_is_found_once(fault):
    kind, names = FOUND[fault]
    separator = "," if "rate" in fault else ":"
    events = faults_in(evidence_of(f"{fault}{separator}after={BEGIN_S}"))
    found = opened(events)
    assert [e["kind"] for e in found] == [kind], "one fault for one cause"
    best = [e for e in events if e["fault_id"] == found[0]["fault_id"] and e["state"] != "resolved"][-1]
    # Which of the links up it is has to be guessed from few probes: then the switch must be named.
    suspects = [s["element"] for s in best["suspects"]]
    assert names & set(suspects[: 1 if len(names) == 1 else None])
    assert found[0]["detected_at_us"] - (START_US + BEGIN_S * S) <= 10 * S
    assert found[0]["first_seen_us"] >= START_US + BEGIN_S * S
    versions = [e["version"] for e in events if e["fault_id"] == found[0]["fault_id"]]
    assert versions == list(range(1, len(versions) + 1))
    if best["loss_rate"] is not None:
        assert best["loss_rate_low"] <= best["loss_rate"] <= best["loss_rate_high"]
    assert found[0]["example_probes"]


@pytest.mark.parametrize("mirror_loss", [0.0, 0.01])
def test_a_healthy_run_has_no_fault(mirror_loss):
    assert opened(faults_in(evidence_of(mirror_loss=mirror_loss))) == []


def test_mirror_loss_alone_is_no_fault_of_the_network():
    fault = f"mirror_loss:spine-1:rate=0.5,after={BEGIN_S}"
    assert opened(faults_in(evidence_of(fault))) == []


def test_several_faults_at_once():
    events = faults_in(
        evidence_of(
            f"loss:leaf-1-1~tor-1-1:rate=0.5,after={BEGIN_S}",
            f"flip:leaf-4-2~tor-4-3:rate=0.5,after={BEGIN_S}",
            f"host_down:server-3-1-2:after={BEGIN_S}",
        )
    )
    suspects = {e["suspects"][0]["element"] for e in opened(events)}
    assert suspects == {"leaf-1-1~tor-1-1", "leaf-4-2~tor-4-3", "server-3-1-2"}


# -- by hand: time, order and state -----------------------------------------------------------------


def slots(bad: range, until: int, partition: int = 0) -> list[bytes]:
    return [
        evidence(
            {
                "partition": partition,
                "slot_us": START_US + i * S,
                "watermark_us": START_US + (i + 2) * S,
            },
            *([LOSS] if i in bad else []),
        )
        for i in range(until)
    ]


def events_of(values: list[bytes], partitions: int = 1, step_ms: int = 1_000) -> list[dict[str, Any]]:
    localiser, events = Localiser(SMALL, partitions), []
    for offset, value in enumerate(values):
        located = localiser.step(offset, START_US // 1_000 + offset * step_ms, value)
        assert not located.dead_letters, located.dead_letters
        events += located.faults
    return events


def test_a_fault_opens_is_updated_and_resolved():
    events = events_of(slots(range(3, 20), 60))
    assert events[0]["state"] == "open"
    assert events[-1]["state"] == "resolved"
    assert "updated" in {e["state"] for e in events}
    assert len({e["fault_id"] for e in events}) == 1
    assert events[0]["detected_at_us"] == START_US + 5 * S, "the watermark of its first slot"
    assert events[-1]["detected_at_us"] > START_US + 35 * S
    assert events[-1]["last_seen_us"] == START_US + 20 * S


def test_a_fault_that_comes_back_soon_is_the_same_one():
    events = events_of([*slots(range(3, 6), 90)[:40], *slots(range(60, 63), 120)[40:]])
    assert [e["state"] for e in events if e["state"] != "updated"] == ["open", "resolved"] * 2
    assert [e["flaps"] for e in events if e["state"] == "open"] == [0, 1]
    assert len({e["fault_id"] for e in events}) == 1
    assert [e["version"] for e in events] == list(range(1, len(events) + 1))


def test_a_slot_waits_for_every_partition():
    localiser = Localiser(SMALL, 2)
    first, second = slots(range(9), 3), slots(range(9), 3, partition=1)
    now_ms = START_US // 1_000
    assert localiser.step(0, now_ms, first[0]).slots == 0
    assert localiser.step(1, now_ms, first[1]).slots == 0
    assert localiser.step(2, now_ms, second[0]).slots == 1
    assert localiser.step(3, now_ms, second[2]).slots == 1
    assert localiser.step(4, now_ms, first[2]).slots == 1


def test_a_silent_partition_is_not_waited_for():
    values, step_ms = slots(range(9), 20), GIVEN_UP_AFTER_MS // 10
    assert events_of(values[:11], partitions=2, step_ms=step_ms) == []
    assert events_of(values, partitions=2, step_ms=step_ms)[0]["state"] == "open"


def test_evidence_that_is_said_again_counts_once():
    once = events_of(slots(range(3, 6), 30))
    values = slots(range(3, 6), 30)
    again = [v for i, value in enumerate(values) for v in (value, values[max(0, i - 2)])]
    assert events_of(again, step_ms=500) == once


def silence_log() -> list[tuple[int, bytes]]:
    """One partition runs ahead, falls silent, is given up, and comes back too late with its losses. When
    it was heard last must not depend on when its messages were read again."""
    given_up_s = 35 + GIVEN_UP_AFTER_MS // 1_000
    ahead, behind = slots(range(80, 90), given_up_s), slots(range(3, 20), given_up_s + 60, partition=1)
    log = [(i * 500, v) for i, v in enumerate(ahead[:70])]
    log += [(i * 1_000 + 1, v) for i, v in enumerate(behind)]
    log += [((given_up_s + 2) * 1_000 + 2, v) for v in ahead[70:]]
    return [(START_US // 1_000 + at_ms, value) for at_ms, value in sorted(log, key=lambda m: m[0])]


def test_a_restart_at_every_commit_gives_the_same_events():
    log = silence_log()
    localiser, events, commits = Localiser(SMALL, 2), [], []
    for offset, (now_ms, value) in enumerate(log):
        located = localiser.step(offset, now_ms, value)
        events += [(offset, e) for e in located.faults]
        if located.commit is not None:
            commits.append((offset, located.commit))
    assert len(commits) > 3
    assert len(events) > 2
    for at, commit in commits:
        heir, said = Localiser(SMALL, 2, commit.state), []
        for offset, (now_ms, value) in enumerate(log):
            if offset >= commit.positions["link-evidence"]:
                said += [(offset, e) for e in heir.step(offset, now_ms, value).faults]
        assert said == [(offset, e) for offset, e in events if offset > at]


def test_alignment_sums_over_partitions():
    align = SlotAlignment(2)

    head = {"slot_us": START_US, "slot_length_us": S, "watermark_us": START_US + 2 * S}
    head |= {"examples": [], "silent_sources": ["b", "a"]}
    rows = [(1, 2, 1, 3, 1, 0, 2), (2, -1, 0, 0, 4, 0, 0)]
    align.offer({**head, "partition": 0}, np.array(rows, EVIDENCE.dtype), 0)
    align.offer(
        {**head, "partition": 1}, np.array([(1, 2, 1, 5, 0, 1, 0), (1, 2, 2, 1, 1, 1, 1)], EVIDENCE.dtype), 1
    )
    (whole,) = align.complete()
    assert whole.rows.tolist() == [(1, 2, 1, 8, 1, 1, 2), (1, 2, 2, 1, 1, 1, 1), (2, -1, 0, 0, 4, 0, 0)]
    assert whole.silent_sources == ("a", "b")

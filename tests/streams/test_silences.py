"""Silences and planned maintenance: who is covered, when, and that a restart forgets none."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from fabric.model import Maintenance
from schemas import topics
from schemas.codec import decode
from schemas.errors import BadMessage
from schemas.framing import SingleObject
from streams.localise import silences as silences_module
from streams.localise.commands import COMMANDS_PARTITION, command_message
from streams.localise.life import FaultLives
from streams.localise.localiser import Localiser, unpack_state
from streams.localise.reading import read
from streams.localise.silences import Silences
from tests.streams.evidence import LOSS, evidence
from tests.streams.findings import LINKS, S, cable, finding, silence, unsilence
from tests.streams.logs import SMALL, START_US

FRAMING = SingleObject()
ONE = LINKS[0]


def at(seconds: float) -> int:
    return START_US + int(seconds * S)


def silences(*commands: dict[str, Any]) -> Silences:
    found = Silences(SMALL)
    for command in commands:
        found.apply(command)
    return found


# -- who is covered, and when -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("silenced", "covered", "not_covered"),
    [
        (ONE, [ONE, "tor-1-1~leaf-1-1"], ["leaf-1-1", "leaf-1-1~tor-1-2", "server-1-1-1"]),
        ("leaf-1-1", ["leaf-1-1", ONE, "spine-1~leaf-1-1"], ["leaf-1-2", "tor-1-1", "spine-1"]),
        ("tor-1-1", ["tor-1-1", ONE, "server-1-1-1", "tor-1-1~server-1-1-1"], ["server-1-2-1"]),
        ("pod-1", ["tor-1-1", "leaf-1-1", "server-1-1-1", "spine-1~leaf-1-1"], ["spine-1", "tor-2-1"]),
        ("server-1-1-1", ["server-1-1-1", "tor-1-1~server-1-1-1"], ["server-1-1-2", "tor-1-1"]),
        ("collector-1", ["collector-1"], ["collector-2"]),
        ("prober-1", ["prober-1"], ["border-1"]),
    ],
)
def test_what_a_silence_covers(silenced: str, covered: list[str], not_covered: list[str]):
    found = silences(silence(silenced, 0, 60))
    assert {name: found.reason(name, at(1)) for name in covered} == dict.fromkeys(
        covered, f"silence of {silenced}: work (ann)"
    )
    assert {found.reason(name, at(1)) for name in not_covered} == {""}


def test_a_silence_begins_and_ends_by_event_time():
    found = silences(silence("spine-1", 10, 20))
    assert [bool(found.reason("spine-1", at(s))) for s in (9.9, 10, 19.9, 20)] == [False, True, True, False]
    found.expire(at(19.9))
    assert len(found.by_element) == 1
    found.expire(at(20))
    assert found.by_element == {}


def test_the_last_command_about_an_element_counts():
    found = silences(silence("spine-1", 0, 100), silence("spine-1", 0, 50, "shorter"))
    assert found.reason("spine-1", at(10)) == "silence of spine-1: shorter (ann)"
    found.apply(unsilence("leaf-1-1"))
    found.apply(unsilence("spine-1"))
    assert found.reason("spine-1", at(10)) == ""


def test_of_several_reasons_the_longest_is_told():
    fabric = replace(SMALL, maintenance=(Maintenance("leaf-1-1", at(5), at(30), "new optics"),))
    found = Silences(fabric)
    found.apply(silence("pod-1", 0, 20))
    told = [found.reason(ONE, at(s)) for s in (1, 10, 25, 30)]
    assert told == ["silence of pod-1: work (ann)", *["maintenance of leaf-1-1: new optics"] * 2, ""]


def test_only_so_many_silences(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(silences_module, "SILENCES_MAX", 2)
    found = silences(silence("spine-1", 0, 9), silence("spine-2", 0, 9), silence("spine-1", 0, 10))
    with pytest.raises(BadMessage, match="leaf-1-1 is not"):
        found.apply(silence("leaf-1-1", 0, 9))


# -- faults under them ------------------------------------------------------------------------------


def told(lives: FaultLives, at_s: float, *found: Any) -> list[tuple[str, str]]:
    return [(event["state"], event["silenced"]) for event in lives.step(found, at(at_s))]


def test_a_silenced_fault_lives_and_speaks_up_when_the_silence_ends():
    lives = FaultLives(SMALL)
    lives.apply(silence("tor-1-1", 0, 10))
    reason = "silence of tor-1-1: work (ann)"
    assert told(lives, 1, finding(ONE, 1)) == [("open", reason)]
    assert told(lives, 9.75, finding(ONE, 9)) == []
    assert told(lives, 10, finding(ONE, 10)) == [("updated", "")]
    assert told(lives, 26) == [("resolved", "")]


def test_an_open_fault_is_silenced_and_unsilenced():
    lives = FaultLives(SMALL)
    assert told(lives, 0, finding(ONE, 0)) == [("open", "")]
    lives.apply(silence("pod-1", 0, 100))
    assert told(lives, 0.25) == [("updated", "silence of pod-1: work (ann)")]
    lives.apply(unsilence("pod-1"))
    assert told(lives, 0.5) == [("updated", "")]
    lives.apply(silence(ONE, 0, 100))
    assert told(lives, 16) == [("resolved", f"silence of {ONE}: work (ann)")]


def test_it_is_the_first_suspect_that_counts():
    lives = FaultLives(SMALL)
    lives.apply(silence("tor-2-1", 0, 100))
    suspect = finding(ONE, 0, others=(("tor-2-1", 0.1),))
    assert told(lives, 0, suspect) == [("open", "")]
    moved = finding("tor-2-1", 1, where={cable(ONE)})
    assert told(lives, 1, moved) == [("updated", "silence of tor-2-1: work (ann)")]


def test_maintenance_silences_while_it_lasts():
    fabric = replace(SMALL, maintenance=(Maintenance("tor-1-1", at(5), at(20), "new firmware"),))
    lives = FaultLives(fabric)
    reason = "maintenance of tor-1-1: new firmware"
    host = finding("server-1-1-1", 0, kind="host_silent", where={"server-1-1-1"})
    assert told(lives, 0, host) == [("open", "")]
    assert told(lives, 5, replace(host, last_seen_us=at(5))) == [("updated", reason)]
    assert told(lives, 20, replace(host, last_seen_us=at(20))) == [("updated", "")]


# -- commands as messages ---------------------------------------------------------------------------


def test_commands_travel_as_evidence_of_no_partition():
    message = command_message([silence("spine-1", 0, 5), unsilence("tor-1-1")], at(0), FRAMING)
    head, rows = read(message, START_US // 1_000, 8, FRAMING)
    assert (head["partition"], len(rows), head["probes"]) == (COMMANDS_PARTITION, 0, 0)
    assert head["commands"] == [silence("spine-1", 0, 5), unsilence("tor-1-1")]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"action": "shout"}, "silence or unsilence"),
        ({"until_us": at(0)}, "until"),
        ({"from_us": -1}, "from -1"),
        ({"element": ""}, "1 to 500 characters"),
        ({"why": "x" * 501}, "1 to 500 characters"),
    ],
)
def test_commands_that_cannot_be_done_are_refused(
    wrong: dict[str, Any], said: str, monkeypatch: pytest.MonkeyPatch
):
    bad = silence("spine-1", 0, 5) | wrong
    with pytest.raises(BadMessage, match=said):
        command_message([bad], at(0), FRAMING)
    # Whoever writes them, the localiser goes on.
    with monkeypatch.context() as unchecked:
        unchecked.setattr("streams.localise.commands.check_commands", lambda head: None)
        message = command_message([bad], at(0), FRAMING)
    localiser = Localiser(SMALL, 1)
    (letter,) = localiser.step(0, START_US // 1_000, message).dead_letters
    assert letter["reason"] == "bad_command"
    assert localiser.step(1, START_US // 1_000, evidence({})).slots == 1


def log() -> list[bytes]:
    """Losses on a link all the time; its switch is silenced for a while, from before a commit until after
    it, silenced again, and that silence ended early."""
    commands = {
        45: silence("leaf-1-1", 45, 70),
        80: silence("pod-1", 80, 500, "again"),
        85: silence(ONE, 0, 82, "over already"),
        100: unsilence("pod-1"),
    }
    values = []
    for second in range(140):
        head = {"slot_us": at(second), "watermark_us": at(second + 2)}
        if second in commands:
            values.append(command_message([commands[second]], at(second), FRAMING))
        values.append(evidence(head, *([LOSS] if 3 <= second < 110 else [])))
    return values


def test_a_restart_forgets_no_silence_and_no_fault():
    values = log()
    localiser, events, commits = Localiser(SMALL, 1), [], []
    for offset, value in enumerate(values):
        located = localiser.step(offset, START_US // 1_000 + offset * 1_000, value)
        assert not located.dead_letters
        events += [(offset, event) for event in located.faults]
        if located.commit is not None:
            commits.append((offset, located.commit))
    reasons = [event["silenced"] for _, event in events]
    changes = [b for a, b in zip(["", *reasons], reasons, strict=False) if a != b]
    assert changes == ["silence of leaf-1-1: work (ann)", "", "silence of pod-1: again (ann)", ""]
    assert [event["state"] for _, event in events].count("open") == 1
    assert len(commits) > 10
    assert {len(unpack_state(commit.state)["lives"]["silences"]) for _, commit in commits} >= {0, 1}
    for at_offset, commit in commits:
        heir, said = Localiser(SMALL, 1, commit.state), []
        for offset, value in enumerate(values):
            if offset >= commit.positions[topics.EVIDENCE]:
                now_ms = START_US // 1_000 + offset * 1_000
                said += [(offset, event) for event in heir.step(offset, now_ms, value).faults]
        assert said == [(offset, event) for offset, event in events if offset > at_offset]


def test_silences_come_back_from_their_snapshot():
    found = silences(silence("spine-1", 0, 5), silence("pod-1", 1, 6))
    heir = Silences.restore(SMALL, json.loads(json.dumps(found.snapshot())))
    assert heir.snapshot() == found.snapshot()
    assert heir.reason("tor-1-1", at(2)) == "silence of pod-1: work (ann)"


def test_readers_of_older_evidence_find_no_commands():
    head, _ = decode(topics.EVIDENCE, evidence({}))
    assert head["commands"] == []

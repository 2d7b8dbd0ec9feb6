"""`bytetracker path` and `bytetracker faults` on a store whose contents are known."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner, Result

from bytetracker.cli import main
from bytetracker.path.asked import PROBES_SHOWN, NothingKnown, PathStore
from sinks.settings import ChdbSettings, StoreSettings
from sinks.store import Store
from tests.sinks.cookbook.plants import LOST_PROBE, planted
from tests.sinks.cookbook.world import at


@pytest.fixture
def paths(seeded: Store) -> PathStore:
    return PathStore(seeded)  # type: ignore[arg-type]  # has what is asked of a reader


def test_of_a_number_that_came_twice_the_newest_is_meant_or_the_one_nearest_to_a_time(
    paths: PathStore,
) -> None:
    newest, earlier = at("2026-03-08 03:00"), at("2026-03-02 03:00")
    assert paths.probe(LOST_PROBE, None).sent_at_us == newest
    assert paths.probe(LOST_PROBE, at("2026-03-07 00:00")).sent_at_us == newest
    found = paths.probe(LOST_PROBE, at("2026-03-03 00:00"))
    assert (found.sent_at_us, found.target, found.last_seen) == (earlier, "server-4-1-1", "border-1")
    assert [hop.switch for hop in found.hops] == ["border-1"]


def test_a_probe_is_read_whole(paths: PathStore) -> None:
    planted_one = next(r for r in planted().results if r["verdict"] == "altered")
    probe = paths.probe(planted_one["probe_id"], None)
    assert (probe.target, probe.rtt_ns) == (planted_one["target"], 400_000)
    assert [(a.byte_offset, a.sent, a.seen) for a in probe.alterations] == [(57, 0, 16)]
    lost = paths.probe(LOST_PROBE, None)
    assert [hop.seen_at_us - lost.sent_at_us for hop in lost.hops] == [40, 80, 120, 160, 200, 240]
    assert lost.rtt_ns is None and lost.fault_leg == "reply"


def test_an_unknown_probe(paths: PathStore) -> None:
    with pytest.raises(NothingKnown, match="no probe 7 in the store"):
        paths.probe(7, None)


def test_last_probes_of_a_server(paths: PathStore) -> None:
    sent = sorted(r["sent_at_us"] for r in planted().results if r["target"] == "server-2-1-5")
    assert len(sent) > PROBES_SHOWN
    found = paths.probes_to("server-2-1-5", None)
    assert [probe.sent_at_us for probe in found] == sent[: -PROBES_SHOWN - 1 : -1]
    until = at("2026-03-09 10:41")
    found = paths.probes_to("server-2-1-5", until)
    assert [probe.sent_at_us for probe in found] == [us for us in reversed(sent) if us <= until]


def test_a_server_by_name_and_by_address(paths: PathStore) -> None:
    (server,) = (s for s in planted().fabric.servers if s.name == "server-4-4-1")
    facts = paths.server(server.name)
    assert paths.server(server.addresses[0]) == facts
    assert (facts.tor, facts.pod, facts.addresses) == ("tor-4-4", "pod-4", server.addresses)
    assert (facts.silent, facts.answered, facts.answers) == (3, 0, True)
    assert [fault[:2] for fault in facts.faults] == [("b7e1f00000000005", "host_silent")]
    assert paths.server("server-2-4-4").answers is False
    with pytest.raises(NothingKnown, match=r"did you mean .*server-4-4-1"):
        paths.server("server-4-4-1x")


def test_the_ways_of_a_server(paths: PathStore) -> None:
    ways = paths.ways_to("server-1-1-1")
    assert len(ways) == 8
    assert {way.switches for way in ways if way.leg == "probe"} == {
        ("border-1", "spine-3", "leaf-1-2", "tor-1-1"),
        ("border-2", "spine-3", "leaf-1-2", "tor-1-1"),
    }


def _run(settings: StoreSettings, *words: str) -> Result:
    if isinstance(settings, ChdbSettings):
        store = {"KIND": "chdb", "PATH": settings.path, "DATABASE": settings.database}
    else:
        store = {"KIND": "clickhouse", "HOST": settings.host, "PORT": str(settings.port)}
        store["DATABASE"] = settings.database
    environment = {f"BYTETRACKER_STORE__{name}": value for name, value in store.items()}
    return CliRunner().invoke(main, list(words), env=environment, prog_name="bytetracker")


def test_path_of_a_probe(seeded: Store, seeded_settings: StoreSettings) -> None:
    for number in (str(LOST_PROBE), hex(LOST_PROBE)):
        shown = _run(seeded_settings, "path", number)
        assert shown.exit_code == 0, shown.stderr
        assert f"Probe {LOST_PROBE}, North-South\n" in shown.stdout
        assert "  X --- lost after leaf-1-1, on the way to spine-1 ---\n" in shown.stdout
        assert "| border-1      TTL  64       +40 us  Ethernet1\n" in shown.stdout
        # server-1-1-1 is reached over spine-3 only by now.
        assert "The flow goes another way by now: border-1 > spine-3 > leaf-1-2 > tor-1-1" in shown.stdout
    earlier = _run(seeded_settings, "path", str(LOST_PROBE), "--at", "2026-03-03T00:00:00+00:00")
    assert "to        server-4-1-1" in earlier.stdout


def test_path_of_a_server(seeded: Store, seeded_settings: StoreSettings) -> None:
    shown = _run(seeded_settings, "path", "server-4-4-1")
    assert shown.exit_code == 0, shown.stderr
    lines = shown.stdout.splitlines()
    assert lines[0].startswith("server-4-4-1 (10.") and lines[0].endswith("behind tor-4-4 in pod-4")
    assert lines[1] == "  last hour: 0 replies, 3 probes unanswered, 0 lost in the network"
    assert "  open fault b7e1f00000000005: host_silent, host silent at tor-4-4." in lines
    assert sum(line.endswith("host_silent") for line in lines) == 3
    assert sum(line.startswith("    probe:        border-") for line in lines) == 4
    unknown = _run(seeded_settings, "path", "server-4-4-99")
    assert unknown.exit_code == 1
    assert unknown.stderr.startswith("Error: no server or address 'server-4-4-99'")


def test_faults_of_the_planted_story(seeded: Store, seeded_settings: StoreSettings) -> None:
    listed = _run(seeded_settings, "faults", "--format", "json")
    assert listed.exit_code == 0, listed.stderr
    found = {fault["fault_id"]: fault for fault in json.loads(listed.stdout)}
    lives = planted().lives()
    assert found.keys() == lives.keys()
    for fault_id, events in lives.items():
        newest = {key: events[-1][key] for key in found[fault_id]}
        assert found[fault_id] == newest
    open_ones = _run(seeded_settings, "faults", "--format", "jsonl", "--state", "open")
    assert [json.loads(line)["kind"] for line in open_ones.stdout.splitlines()] == [
        "host_silent",
        "alteration",
    ]

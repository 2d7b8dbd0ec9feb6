"""Same logs, same words: whatever the pace, the interleaving, and however often a worker dies."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from schemas.batch import decode_batch
from schemas.codec import encode
from schemas.errors import BadMessage
from streams import backlog
from streams.join import Network, PartitionJoin
from streams.localise.localiser import Localiser
from streams.settings import JoinSettings
from tests.streams.crashing import differences, read_crashing
from tests.streams.logs import SMALL, START_US, TOPIC, Log, Scenario, record
from tests.streams.reading import Said, read

NETWORK = Network(SMALL)
#: Flows come back within 0.9 s, so slots do look back at those before them.
SETTINGS = JoinSettings(sample_one_in=2, memory_us=1_000_000)
ROUGH = Scenario(
    seconds=4,
    interval_us=300_000,
    faults=("loss:spine-1:rate=0.3", "flip:leaf-1-1:rate=0.2", "host_down:server-1-2-1"),
    mirror_loss=0.05,
    truncated=0.02,
    bad_copies=0.02,
    moved=0.01,
    doubled=0.05,
    late=0.08,
    odd_replies=0.02,
    doubled_batches=0.05,
    garbage=0.05,
    skew_us=600_000,
    clock_steps_ms=400,
)
CRASHING = {
    "rough": ROUGH,
    "a collector falls silent": replace(ROUGH, seconds=16, silent_after_s=3, interval_us=3_000_000),
    "a prober restarts": replace(ROUGH, restart_after_s=2),
    "no end": replace(ROUGH, ends=False),
}


@pytest.fixture(autouse=True)
def commits_are_frequent(monkeypatch):
    monkeypatch.setattr(backlog, "CHECKPOINT_EVERY", 2)


@pytest.mark.parametrize("seed", range(2))
def test_pace_and_interleaving_change_nothing(seed):
    for partition, log in enumerate(record(ROUGH, seed)):
        reference = read(log, NETWORK, partition, SETTINGS, pace=10_000)
        assert reference.results
        for pace in (1, np.random.default_rng(seed)):
            said = read(log, NETWORK, partition, SETTINGS, pace=pace)
            assert not said.contradictions
            assert differences(reference, said) == []
        said = read(log, NETWORK, partition, SETTINGS, pace=np.random.default_rng(seed), interleave=True)
        assert differences(reference, said) == []


@pytest.mark.parametrize("name", CRASHING)
@pytest.mark.parametrize("seed", range(2))
def test_workers_that_die_between_any_two_effects_change_nothing(name, seed):
    deaths = 0
    for partition, log in enumerate(record(CRASHING[name], seed)):
        reference = read(log, NETWORK, partition, SETTINGS)
        for attempt in range(2):
            rng = np.random.default_rng([seed, attempt])
            disk = read_crashing(log, NETWORK, partition, SETTINGS, rng, share=0.03 + 0.05 * attempt)
            deaths += disk.deaths
            assert disk.said.contradictions == []
            assert differences(reference, disk.said) == []
    assert deaths > 5


@pytest.mark.parametrize("seed", range(2))
def test_a_successor_may_begin_at_every_commit(seed):
    # The memory is what reaches back furthest.
    settings = replace(SETTINGS, memory_us=4_000_000)
    log = record(replace(ROUGH, seconds=9, interval_us=1_000_000), seed)[0]
    reference = read(log, NETWORK, 0, settings, pace=3)
    assert len(reference.commits) > 3
    for commit in reference.commits:
        successor, said = PartitionJoin(0, NETWORK, settings, commit.state), Said()
        # Kafka may hand over more than was asked for: what was read before is skipped.
        for m in log.written:
            successor.offer(m.side, m.offset, m.timestamp_ms, m.value)
            said.take(successor.step())
        assert not said.contradictions
        for name in ("results", "evidence", "dead"):
            ours, theirs = getattr(said, name), getattr(reference, name)
            assert [key for key, value in ours.items() if theirs.get(key) != value] == []
        done_us = (json.loads(commit.state)["done_slot"] + 1) * settings.slot_us
        assert said.evidence.keys() == {us for us in reference.evidence if us >= done_us}
        assert said.results.keys() == {key for key in reference.results if key[1] >= done_us}


@pytest.mark.parametrize("seed", range(2))
def test_every_probe_counts_once(seed):
    """Each outcome that was not late is in exactly one slot, each copy is joined, doubled or late."""
    scenario = replace(ROUGH, garbage=0.0)
    for partition, log in enumerate(record(scenario, seed)):
        said = read(log, NETWORK, partition, SETTINGS)
        totals = Counter()
        for head, _ in said.evidence.values():
            totals.update(
                {k: head[k] for k in ("probes", "late_outcomes", "late_digests", "digests", "duplicates")}
            )
            assert sum(head["verdicts"].values()) == head["probes"]
        rows = [Counter(), Counter()]
        keys = set()
        seen = set()
        for m in log.written:
            batch = decode_batch(TOPIC[m.side], m.value)
            if batch.envelope.is_tick:
                continue
            name = (m.side, batch.envelope.source, batch.envelope.epoch, batch.envelope.sequence)
            rows[m.side]["all"] += len(batch.rows)
            if name in seen:
                rows[m.side]["again"] += len(batch.rows)
            seen.add(name)
            if m.side == 0:
                keys |= set(batch.rows[["probe_id", "sent_at_us"]].tolist())
        in_time = rows[0]["all"] - totals["late_outcomes"]
        doubled_copies = rows[1]["all"] - totals["late_digests"] - totals["digests"] - rows[1]["again"]
        assert doubled_copies == 0
        assert totals["probes"] <= len(keys)
        assert len(keys) - totals["probes"] <= totals["late_outcomes"]
        assert in_time >= totals["probes"]


def test_producers_may_cut_batches_otherwise():
    """Rows that come in time give the same results however they were put into messages."""
    scenario = Scenario(seconds=5, faults=("loss:spine-1:rate=0.3",), mirror_loss=0.03)
    seeds = (1, 2, 3)
    # The same traffic (first seed), cut by chance (second seed).
    texts = []
    for cut in seeds:
        logs = record(scenario, 7, cut_seed=cut)
        said = [read(log, NETWORK, p, JoinSettings(sample_one_in=1)) for p, log in enumerate(logs)]
        assert all(not head["late_digests"] for s in said for head, _ in s.evidence.values())
        texts.append(
            [
                (
                    s.results,
                    {
                        k: (v[0]["verdicts"], v[0]["examples"], v[1])
                        for k, v in s.evidence.items()
                        if v[0]["probes"]
                    },
                )
                for s in said
            ]
        )
    assert texts[0] == texts[1] == texts[2]


# -- the localiser --------------------------------------------------------------------------------


def evidence_log(seed: int, rng: np.random.Generator) -> list[bytes]:
    """What the workers of all partitions wrote, put together by chance; some say things again."""
    scenario = Scenario(
        seconds=14,
        faults=("loss:spine-1~leaf-2-1:rate=0.6,after=4,for=5", "host_down:server-1-1-1:after=3"),
        partitions=3,
        mirror_loss=0.02,
        interval_us=500_000,
        trailing_s=30,
    )
    queues = []
    for partition, log in enumerate(record(scenario, seed)):
        said = read(log, NETWORK, partition, SETTINGS)
        queues.append([encode("link-evidence", head, rows) for head, rows in said.messages])
    merged: list[bytes] = []
    at = [0] * len(queues)
    while any(i < len(q) for i, q in zip(at, queues, strict=True)):
        p = int(rng.integers(len(queues)))
        if at[p] < len(queues[p]):
            merged.append(queues[p][at[p]])
            at[p] += 1
            if rng.random() < 0.05:
                at[p] = max(0, at[p] - int(rng.integers(6)))
    return merged


def faults_of(merged: list[bytes], rng: np.random.Generator | None) -> list[tuple]:
    """Events of the localiser; with `rng` it dies between any two effects."""
    events: dict[tuple, dict] = {}
    state, acknowledged = None, 0
    localiser = Localiser(SMALL, 3)
    at = 0
    while at < len(merged):
        if rng is not None and rng.random() < 0.008:  # a restart reads 30 s again
            localiser, at = Localiser(SMALL, 3, state), acknowledged
        located = localiser.step(at, START_US // 1_000 + at * 50, merged[at])
        at += 1
        assert not located.dead_letters
        for event in located.faults:
            key = (event["fault_id"], event["version"])
            assert events.setdefault(key, event) == event
        if located.commit is not None and (rng is None or rng.random() < 0.8):
            state = located.commit.state
            if rng is None or rng.random() < 0.8:
                acknowledged = max(acknowledged, located.commit.positions["link-evidence"])
    return sorted(events.items())


@pytest.mark.parametrize("seed", range(2))
def test_fault_events_do_not_depend_on_order_or_deaths(seed):
    reference = faults_of(evidence_log(seed, np.random.default_rng(0)), None)
    assert {e["kind"] for _, e in reference} == {"network_loss", "host_silent"}
    assert {e["state"] for _, e in reference} >= {"open", "resolved"}
    for attempt in range(4):
        rng = np.random.default_rng([seed, attempt])
        assert faults_of(evidence_log(seed, rng), rng) == reference


def test_unreadable_messages_are_told_apart_from_ticks():
    log = record(replace(ROUGH, garbage=0.5), 1)[0]
    bad = set()
    for m in log.written:
        try:
            decode_batch(TOPIC[m.side], m.value)
        except BadMessage:
            bad.add((TOPIC[m.side], m.offset))
    said = read(log, NETWORK, 0, SETTINGS)
    assert bad
    assert said.dead.keys() == bad
    assert isinstance(log, Log)

"""What workers say live equals, row for row, what a replay of their topics says.

Two real worker processes run on a real broker and are killed at random moments; then the topics are read
from their start without Faust, at full speed, in other steps and with other batch boundaries.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from confluent_kafka import Producer

from fabric.inventory import load_fabric
from schemas.batch import AlteredPacket, Batch, decode_batch, encode_batch
from schemas.errors import BadMessage
from schemas.partition import group_of, partition_of
from streams.intake import TOPICS
from streams.merge import LogMessage
from streams.replay import Replayed, read_to_end, replay_logs
from streams.settings import JoinSettings
from tests.pipeline.brokers import KINDS, fresh_topics
from tests.pipeline.tap import Outputs, Tap
from tests.pipeline.traffic import Running, Traffic
from tests.pipeline.workers import Workers

pytestmark = [pytest.mark.servers, pytest.mark.alone, pytest.mark.timeout(150)]

PARTITIONS = 4
FABRIC = "small"
SETTINGS = JoinSettings(sample_one_in=2)
TROUBLE = Traffic(
    load_fabric(FABRIC),
    PARTITIONS,
    seconds=14,
    faults=(
        "loss:leaf-1-1~spine-1:rate=0.4,after=3",
        "flip:spine-2~leaf-2-2:rate=0.3,after=4",
        "host_down:server-1-1-1:after=2",
        "mirror_loss:leaf-2-1:rate=0.2,after=1",
    ),
    interval_us=250_000,
    late=0.01,
)
#: Outputs of the last slots appear within this of the last message.
SETTLE_S = 120.0

Logs = list[list[LogMessage]]


@dataclass
class Run:
    """A run that has ended: what workers said, and the logs that they read."""

    live: Outputs
    logs: Logs
    probes: int
    digests: int


def _logs(bootstrap: str) -> Logs:
    config = {"bootstrap.servers": bootstrap}
    return [list(read_to_end(config, partition)) for partition in range(PARTITIONS)]


def _outputs(replayed: Replayed) -> Outputs:
    found = Outputs()
    for row in replayed.results:
        found.add_result(row, partition_of_row(row))
    for head, rows in replayed.evidence:
        found.add_evidence(head, rows)
    for event in replayed.faults:
        found.add_fault(event)
    for letter in replayed.dead_letters:
        found.add_dead_letter(letter)
    assert found.repeats == 0
    return found


def partition_of_row(row: dict[str, Any]) -> int:
    return int(partition_of(group_of(np.array([row["probe_id"]])), PARTITIONS)[0])


def _differences(live: Outputs, replayed: Outputs) -> list[str]:
    """What one has and the other has not, a few of each."""
    found: list[str] = [f"said twice, differently: {each}" for each in live.contradictions[:3]]
    for kind in ("results", "evidence", "faults", "dead_letters"):
        mine, other = getattr(live, kind), getattr(replayed, kind)
        for name, only in (("live", mine.keys() - other.keys()), ("replayed", other.keys() - mine.keys())):
            if only:
                found.append(f"{len(only)} {kind} only {name}: {sorted(only)[:3]}")
        unlike = sorted(key for key in mine.keys() & other.keys() if mine[key] != other[key])
        if unlike:
            key = unlike[0]
            what = {f: (mine[key][f], other[key][f]) for f in mine[key] if mine[key][f] != other[key][f]}
            found.append(f"{len(unlike)} {kind} differ, e.g. {key}: {str(what)[:600]}")
    return found


def _settled(tap: Tap, bootstrap: str, workers: Workers, probes: int) -> tuple[Outputs, Logs]:
    """Wait until the workers have said what the logs give; a difference is left to the caller to report."""
    deadline_s = time.monotonic() + SETTLE_S
    while tap.outputs().closed < probes and time.monotonic() < deadline_s:
        workers.check()
        time.sleep(0.5)
    logs = _logs(bootstrap)
    expected = _outputs(replay_logs(logs, TROUBLE.fabric, SETTINGS))
    while _differences(tap.outputs(), expected) and time.monotonic() < deadline_s:
        workers.check()
        time.sleep(0.5)
    return tap.outputs(), logs


@pytest.fixture(scope="module", params=KINDS)
def troubled(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """Faults, late rows and garbage; workers killed at random, and a third that comes and goes."""
    folder = tmp_path_factory.mktemp("troubled")
    seed = 20_251
    chance = random.Random(seed)
    kills = sorted(chance.uniform(3, TROUBLE.seconds) for _ in range(4))
    with (
        fresh_topics(request.param, PARTITIONS, folder, request) as bootstrap,
        Workers(bootstrap, PARTITIONS, FABRIC, SETTINGS, folder) as workers,
        Tap({"bootstrap.servers": bootstrap}, PARTITIONS) as tap,
    ):
        workers.start("worker-1")
        workers.start("worker-2")
        time.sleep(2)
        running = Running(TROUBLE, bootstrap)
        steps = [(at_s, "kill") for at_s in kills] + [(5.0, "join"), (10.0, "leave"), (6.0, "garbage")]
        started_s = time.monotonic()
        for at_s, what in sorted(steps):
            time.sleep(max(0.0, started_s + at_s - time.monotonic()))
            match what:
                case "kill":
                    name = chance.choice(["worker-1", "worker-2"])
                    workers.kill(name)
                    workers.start(name)
                case "join":
                    workers.start("worker-3")
                case "leave":
                    workers.stop("worker-3")
                case "garbage":
                    _write_garbage(bootstrap, chance)
        counts = running.join()
        live, logs = _settled(tap, bootstrap, workers, counts.probes_sent)
    yield Run(live, logs, counts.probes_sent, counts.digests_sent)


def _write_garbage(bootstrap: str, chance: random.Random) -> None:
    producer = Producer({"bootstrap.servers": bootstrap, "acks": "all"})
    for topic in TOPICS:
        for partition in range(PARTITIONS):
            producer.produce(topic, chance.randbytes(100), partition=partition)
    assert producer.flush(10) == 0


def test_live_equals_replay(troubled: Run) -> None:
    """At full speed, from the start, a message at a time and all at once."""
    live = troubled.live
    assert live.closed == troubled.probes
    assert live.late > 0
    assert len(live.dead_letters) == len(TOPICS) * PARTITIONS
    # A lost probe whose copies all came too late was seen by nobody.
    assert {"ok", "network_loss", "host_silent", "altered", "corrupted", "unobserved"} >= live.verdicts
    assert {"ok", "network_loss", "host_silent"} <= live.verdicts
    assert live.verdicts & {"altered", "corrupted"}
    assert {"network_loss", "alteration", "host_silent"} <= {e["kind"] for e in live.faults.values()}
    for step_messages in (1, 7, 100_000):
        replayed = _outputs(replay_logs(troubled.logs, TROUBLE.fabric, SETTINGS, step_messages=step_messages))
        assert _differences(live, replayed) == []


def test_workers_said_some_things_twice_in_the_same_words(troubled: Run) -> None:
    """Else the kills have hit nobody, and the test above has shown less than it says."""
    assert troubled.live.contradictions == []
    assert troubled.live.repeats > 0


def test_one_side_read_first_gives_the_same(troubled: Run) -> None:
    """The order in which a broker hands out two topics is chance."""
    for first in (0, 1):
        logs = [sorted(log, key=lambda m: (m.side != first, m.offset)) for log in troubled.logs]
        replayed = _outputs(replay_logs(logs, TROUBLE.fabric, SETTINGS, step_messages=50))
        assert _differences(troubled.live, replayed) == []


def test_other_batch_boundaries_give_the_same(troubled: Run) -> None:
    """A producer that cuts its rows anew changes when a late row is noticed, and nothing else."""
    chance = random.Random(7)
    logs = [_cut_anew(log, chance) for log in troubled.logs]
    assert [len(log) for log in logs] != [len(log) for log in troubled.logs]
    replayed = _outputs(replay_logs(logs, TROUBLE.fabric, SETTINGS))
    mine, other = _without_counts_of_arrival(troubled.live), _without_counts_of_arrival(replayed)
    assert _differences(mine, other) == []
    assert _arrivals(troubled.live) == _arrivals(replayed)


_ARRIVALS = ("late_outcomes", "late_digests", "duplicates")


def _without_counts_of_arrival(outputs: Outputs) -> Outputs:
    """What is counted in the slot in which it came in moves with the batch that it came in."""
    evidence = {
        key: {f: v for f, v in content.items() if f not in (*_ARRIVALS, "exporters")}
        for key, content in outputs.evidence.items()
        if content["rows"]
    }
    return replace(outputs, evidence=evidence, dead_letters={})


def _arrivals(outputs: Outputs) -> Counter[Any]:
    counts: Counter[Any] = Counter()
    for head in outputs.evidence.values():
        for name in _ARRIVALS:
            counts[name] += head[name]
        for each in head["exporters"]:
            counts[each["switch"], "received"] += each["received"]
            counts[each["switch"], "lost"] += each["lost"]
    return counts


def _cut_anew(log: list[LogMessage], chance: random.Random) -> list[LogMessage]:
    """The same rows of the same sources at the same times, in batches of other sizes.

    A batch is cut in two with the promise on the second half, or its end is put off to the next batch of
    its source, and then the promise with it.
    """
    out: list[LogMessage] = []
    offsets = [0, 0]
    sequences: Counter[Any] = Counter()
    kept: dict[Any, Batch] = {}
    promised: Counter[Any] = Counter()

    def write(side: int, timestamp_ms: int, batch: Batch | bytes | None) -> None:
        if isinstance(batch, Batch):
            key = (side, batch.envelope.source)
            envelope = replace(batch.envelope, sequence=sequences[key])
            sequences[key] += 1
            batch = encode_batch(TOPICS[side], replace(batch, envelope=envelope))
        out.append(LogMessage(side, offsets[side], timestamp_ms, batch))
        offsets[side] += 1

    for message in sorted(log, key=lambda m: (m.timestamp_ms, m.side, m.offset)):
        try:
            batch = decode_batch(TOPICS[message.side], message.value)
        except BadMessage:
            write(message.side, message.timestamp_ms, message.value)
            continue
        if batch.envelope.is_tick:
            write(message.side, message.timestamp_ms, message.value)
            continue
        key = (message.side, batch.envelope.source)
        batch = _joined(kept.pop(key), batch) if key in kept else batch
        at = chance.randint(0, len(batch.rows)) if chance.random() < 0.7 else len(batch.rows)
        first, second = _parted(batch, at, promised[key])
        if len(second.rows) and chance.random() < 0.5 and not batch.envelope.ends:
            kept[key] = second
            write(message.side, message.timestamp_ms, first)
            continue
        promised[key] = batch.envelope.low_watermark_us
        if at < len(batch.rows):
            write(message.side, message.timestamp_ms, first)
        write(message.side, message.timestamp_ms, second if at < len(batch.rows) else batch)
    assert not kept
    return out


def _joined(first: Batch, second: Batch) -> Batch:
    moved = [AlteredPacket(len(first.rows) + a.row, a.packet) for a in second.altered]
    return Batch(
        second.envelope,
        np.concatenate([first.rows, second.rows], dtype=second.rows.dtype),
        [*first.altered, *moved],
        [*first.exporters, *second.exporters],
    )


def _parted(batch: Batch, at: int, promised_us: int) -> tuple[Batch, Batch]:
    envelope = replace(batch.envelope, low_watermark_us=promised_us)
    first = Batch(envelope, batch.rows[:at], [a for a in batch.altered if a.row < at])
    altered = [AlteredPacket(a.row - at, a.packet) for a in batch.altered if a.row >= at]
    return first, Batch(batch.envelope, batch.rows[at:], altered, batch.exporters)


@pytest.mark.parametrize("kind", KINDS)
def test_silent_source(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """A collector stops without a word: the others are waited for no longer than 10 s of log time, a fault
    says so, and since the passing of time is in the log too, a replay says the same."""
    traffic = replace(
        TROUBLE, seconds=15, faults=(), silent=TROUBLE.fabric.collectors[0].name, silent_after_s=2.5, late=0
    )
    with (
        fresh_topics(kind, PARTITIONS, tmp_path, request) as bootstrap,
        Workers(bootstrap, PARTITIONS, FABRIC, SETTINGS, tmp_path) as workers,
        Tap({"bootstrap.servers": bootstrap}, PARTITIONS) as tap,
    ):
        workers.start("worker-1")
        workers.start("worker-2")
        running = Running(traffic, bootstrap)
        time.sleep(9)
        workers.kill("worker-1")
        workers.start("worker-1")
        counts = running.join()
        live, logs = _settled(tap, bootstrap, workers, counts.probes_sent)
    assert _differences(live, _outputs(replay_logs(logs, traffic.fabric, SETTINGS, step_messages=3))) == []
    silent = [e for e in live.faults.values() if e["kind"] == "mirror_outage"]
    assert {e["suspects"][0]["element"] for e in silent} == {traffic.silent}
    assert all(
        traffic.silent in head["silent_sources"] for head in live.evidence.values() if head["silent_sources"]
    )

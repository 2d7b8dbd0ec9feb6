"""The runtime with an outlet, a state store and a clock of its own: what happens in which order."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest

from schemas import topics
from schemas.batch import decode_batch
from schemas.codec import decode, encode
from streams import backlog, join, runtime
from streams.outbox import OutMessage
from streams.runtime import Runtime
from streams.settings import JoinSettings
from tests.streams.evidence import LOSS, evidence
from tests.streams.logs import SMALL, START_US, TOPIC, Message, Scenario, record
from tests.streams.reading import read

SETTINGS = JoinSettings(sample_one_in=3)
SCENARIO = Scenario(
    seconds=12, interval_us=2_000_000, faults=("loss:leaf-1-1~tor-1-1:rate=0.5",), partitions=1, garbage=0.05
)
LOG = record(SCENARIO, 1)[0]


@pytest.fixture(autouse=True)
def commits_are_frequent(monkeypatch):
    monkeypatch.setattr(backlog, "CHECKPOINT_EVERY", 2)
    monkeypatch.setattr(runtime, "COMMIT_EVERY_S", 0.0)


class DeliveryFailed(Exception):
    """The broker has not stored a message in time."""


@dataclass
class World:
    """Broker, state store, flow and clock: what a worker can touch, in the order in which it did."""

    effects: list[tuple] = field(default_factory=list)
    stored: list[OutMessage] = field(default_factory=list)
    now_s: float = 100.0
    fails_at: int = -1  # number of the delivery that fails
    deliveries: int = 0
    fed: int = 0

    async def deliver(self, messages: Sequence[OutMessage]) -> None:
        self.deliveries += 1
        await asyncio.sleep(0)
        if self.deliveries == self.fails_at:
            raise DeliveryFailed
        for m in messages:
            self.stored.append(m)
            self.effects.append(("store", m.topic))

    async def read(self, key: str, partition: int) -> bytes | None:
        self.effects.append(("read", key, partition))
        states = [decode(topics.STATE, m.value)[0] for m in self.stored if m.topic == topics.STATE]
        mine = [s for s in states if s["key"] == key]
        return max(mine, key=lambda s: sum(s["positions"].values()))["state"] if mine else None

    def pause(self, topic: str, partition: int) -> None:
        self.effects.append(("pause", topic, partition))

    def resume(self, topic: str, partition: int) -> None:
        self.effects.append(("resume", topic, partition))

    def clock(self) -> float:
        return self.now_s

    def runtime(self, partitions: int = 1) -> Runtime:
        return Runtime(SMALL, partitions, SETTINGS, self, self, flow=self, clock=self.clock)

    def acknowledged(self, topic: str) -> list[int]:
        return [e[2] for e in self.effects if e[:2] == ("ack", topic)]

    def ack(self, topic: str, offset: int):
        return lambda: self.effects.append(("ack", topic, offset))

    async def feed(self, worker: Runtime, messages: Sequence[Message]) -> None:
        for m in messages:
            topic = TOPIC[m.side]
            await worker.receive(topic, 0, m.offset, m.timestamp_ms, m.value, self.ack(topic, m.offset))
            self.fed += 1

    async def live(self, worker: Runtime, messages: Sequence[Message], at_once: int = 7) -> None:
        for start in range(0, len(messages), at_once):
            await self.feed(worker, messages[start : start + at_once])
            self.now_s += 0.1
            await worker.pump()


def run(coroutine) -> None:
    asyncio.run(asyncio.wait_for(coroutine, 30))


def results_of(world: World) -> dict[tuple[int, int], dict]:
    found: dict[tuple[int, int], dict] = {}
    for m in world.stored:
        if m.topic == topics.RESULTS:
            for row in decode(topics.RESULTS, m.value)[0]["rows"]:
                key = (row["probe_id"], row["sent_at_us"])
                assert found.setdefault(key, row) == row
    return found


def slots_of(world: World) -> dict[int, tuple]:
    found: dict[int, tuple] = {}
    for m in world.stored:
        if m.topic == topics.EVIDENCE:
            head, rows = decode(topics.EVIDENCE, m.value)
            assert rows is not None
            said = (head, rows.tobytes())
            assert found.setdefault(head["slot_us"], said) == said
    return found


def test_outputs_before_state_before_acknowledgement():
    world = World()
    run(world.live(world.runtime(), LOG.written))
    assert world.acknowledged(topics.OUTCOMES) == sorted(world.acknowledged(topics.OUTCOMES))
    states = 0
    positions = {topics.OUTCOMES: 0, topics.DIGESTS: 0}
    stored = iter(m for m in world.stored)
    for effect in world.effects:
        if effect[0] == "store":
            message = next(stored)
            if message.topic == topics.STATE:
                states += 1
                positions |= decode(topics.STATE, message.value)[0]["positions"]
        elif effect[0] == "ack":
            assert effect[2] < positions[effect[1]], "acknowledged before its state was stored"
    assert states > 3
    reference = read(LOG, join.Network(SMALL), 0, SETTINGS)
    assert results_of(world) == {
        key: {**row, "alterations": row["alterations"]} for key, row in reference.results.items()
    }
    assert slots_of(world).keys() == reference.evidence.keys()


def test_a_commit_covers_only_what_was_delivered():
    """All evidence and results of slots that a state calls done were stored before it."""
    import json

    world = World()
    run(world.live(world.runtime(), LOG.written))
    reference = read(LOG, join.Network(SMALL), 0, SETTINGS)
    for i, message in enumerate(world.stored):
        if message.topic != topics.STATE:
            continue
        done_slot = json.loads(decode(topics.STATE, message.value)[0]["state"])["done_slot"]
        done_us = (done_slot + 1) * SETTINGS.slot_us
        before = World(stored=world.stored[:i])
        assert {s for s in reference.evidence if s < done_us} <= slots_of(before).keys()
        assert {k for k in reference.results if k[1] < done_us} <= results_of(before).keys()


@pytest.mark.parametrize("fails_at", range(1, 34, 3))
def test_nothing_is_acknowledged_after_a_failed_delivery(fails_at):
    async def story() -> None:
        world = World(fails_at=fails_at)
        worker = world.runtime()
        with pytest.raises(DeliveryFailed):
            await world.live(worker, LOG.written, at_once=2)
        effects = len(world.effects)
        # Whatever still calls it while the process ends.
        with pytest.raises(RuntimeError, match="has to end"):
            await world.live(worker, LOG.written[world.fed :])
        assert [e for e in world.effects[effects:] if e[0] in ("store", "ack")] == []
        # The next owner begins with what was acknowledged, and everything has been said in the end.
        heir = world.runtime()
        first = {t: max(world.acknowledged(t), default=-1) + 1 for t in TOPIC}
        world.fails_at = -1
        await world.live(heir, [m for m in LOG.written if m.offset >= first[TOPIC[m.side]]])
        reference = read(LOG, join.Network(SMALL), 0, SETTINGS)
        assert results_of(world) == reference.results
        assert slots_of(world).keys() == reference.evidence.keys()

    run(story())


def test_a_silent_log_gets_ticks_only_while_something_waits_for_it():
    async def story() -> None:
        world = World()
        worker = world.runtime()
        await worker.pump()
        outcomes = [m for m in LOG.written if m.side == 0][:5]
        await world.feed(worker, outcomes)
        await worker.pump()
        assert world.stored == []
        world.now_s += runtime.TICK_AFTER_S + 0.01
        for _ in range(5):
            await worker.pump()
        assert [m.topic for m in world.stored] == [topics.DIGESTS], "one tick a second, to the silent log"
        assert decode_batch(topics.DIGESTS, world.stored[0].value).envelope.is_tick
        world.now_s += runtime.TICK_AFTER_S + 0.01
        await worker.pump()
        assert len(world.stored) == 2

    run(story())


def test_open_work_is_closed_by_ticks_alone():
    """Producers die without a word: time goes on in the log, and what is open closes."""

    async def story() -> None:
        world = World()
        worker = world.runtime()
        messages = [m for m in LOG.written if m.timestamp_ms < START_US // 1_000 + 3_000]
        await world.live(worker, messages)
        fed = 0
        offsets = [sum(m.side == s for m in messages) for s in (0, 1)]
        closed = len(slots_of(world))
        for second in range(1, 30):
            world.now_s += 1.05
            await worker.pump()
            ticks = [m for m in world.stored if m.topic in TOPIC]
            for m in ticks[fed:]:
                side = TOPIC.index(m.topic)
                now_ms = START_US // 1_000 + 3_000 + second * 1_050
                tick = Message(side, offsets[side], now_ms, m.value)
                offsets[side] += 1
                await world.feed(worker, [tick])
            fed = len(ticks)
        await worker.pump()
        assert len(slots_of(world)) > closed
        heads = [head for head, _ in slots_of(world).values()]
        rows = [decode_batch(TOPIC[0], m.value).rows for m in messages if m.side == 0 and _reads(m)]
        keys = {key for r in rows for key in r[["probe_id", "sent_at_us"]].tolist()}
        assert sum(head["probes"] for head in heads) == len(keys)

    run(story())


def _reads(m: Message) -> bool:
    try:
        decode_batch(TOPIC[m.side], m.value)
    except ValueError:
        return False
    return True


def test_a_log_that_runs_ahead_is_paused_and_resumed():
    async def story() -> None:
        world = World()
        worker = world.runtime()
        left = [m for m in LOG.written if m.side == 0]
        template = left[0]
        ahead = [Message(0, i, template.timestamp_ms, template.value) for i in range(runtime.QUEUED_MAX + 50)]
        await world.feed(worker, ahead)
        assert {e for e in world.effects if e[0] == "pause"} == {("pause", topics.OUTCOMES, 0)}
        await worker.pump()
        assert [e for e in world.effects if e[0] == "resume"] == []
        late = template.timestamp_ms + 10_000
        await world.feed(worker, [Message(1, 0, late, LOG.sides[1][0].value)])
        await worker.pump()
        assert [e for e in world.effects if e[0] == "resume"] == [("resume", topics.OUTCOMES, 0)]

    run(story())


def test_forget_drops_everything_and_begins_where_the_state_says():
    async def story() -> None:
        world = World()
        worker = world.runtime()
        half = len(LOG.written) // 2
        await world.live(worker, LOG.written[:half])
        await worker.forget()
        first = {t: max(world.acknowledged(t), default=-1) + 1 for t in TOPIC}
        assert min(first.values()) < half
        again = [m for m in LOG.written if m.offset >= first[TOPIC[m.side]]]
        await world.live(worker, again)
        assert [e for e in world.effects if e[0] == "read"] == [("read", "join-0", 0)] * 2
        reference = read(LOG, join.Network(SMALL), 0, SETTINGS)
        assert results_of(world) == reference.results
        assert slots_of(world).keys() == reference.evidence.keys()

    run(story())


def test_forget_waits_for_a_step_under_way():
    async def story() -> None:
        world = World()
        worker = world.runtime()
        await world.feed(worker, LOG.written[:60])
        await asyncio.gather(worker.pump(), worker.forget())
        assert ("read", "join-0", 0) in world.effects
        await worker.pump()
        assert world.acknowledged(topics.OUTCOMES) == []

    run(story())


def test_the_localiser_stores_faults_before_its_state():
    async def story() -> None:
        world = World()
        worker = world.runtime()
        for offset in range(60):
            head = {
                "slot_us": START_US + offset * 1_000_000,
                "watermark_us": START_US + (offset + 2) * 1_000_000,
            }
            value = evidence(head, LOSS) if offset < 4 else evidence(head)
            value = b"rubbish" if offset == 2 else value
            now_ms = START_US // 1_000 + offset * 1_000
            await worker.receive_evidence(offset, now_ms, value, world.ack(topics.EVIDENCE, offset))
        kinds = [m.topic for m in world.stored]
        assert kinds.index(topics.FAULTS) < kinds.index(topics.STATE)
        assert kinds.count(topics.DEAD_LETTERS) == 1
        acknowledged = world.acknowledged(topics.EVIDENCE)
        assert acknowledged
        assert acknowledged == list(range(len(acknowledged)))
        states = [
            decode(topics.FAULTS, m.value)[0]["state"] for m in world.stored if m.topic == topics.FAULTS
        ]
        assert states[0] == "open"
        assert states[-1] == "resolved"

    run(story())


def test_what_is_stored_can_be_read_by_any_reader():
    world = World()
    run(world.live(world.runtime(), LOG.written))
    for m in world.stored:
        head, rows = decode(m.topic, m.value)
        assert encode(m.topic, head, None if rows is None else np.array(rows)) == m.value

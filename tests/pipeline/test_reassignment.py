"""Partitions change hands while a message is on its way to the join: nothing is lost, nothing said wrongly.

A message that waits for the runtime's lock while its partition is taken away and given back comes too
early: it comes again, after those that come again before it. Taken in at once it would leave a hole.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from streams.runtime import Runtime
from tests.streams.logs import SMALL, TOPIC, Message
from tests.streams.test_runtime import LOG, SETTINGS, World, results_of, run, slots_of

MIDDLE = len(LOG.written) // 2


class Assignments(World):
    """A world whose reader of states takes its time, and whose generation of the group changes."""

    generation = 1
    first = 0  # offset of the oldest message that the broker still has

    async def first_offset(self, topic: str, partition: int) -> int:
        return self.first

    async def seek(self, topic: str, partition: int, offset: int) -> None:
        self.effects.append(("seek", topic, offset))

    def sought(self) -> dict[str, list[int]]:
        """Offsets that were asked for, by topic."""
        found: dict[str, list[int]] = {topic: [] for topic in TOPIC}
        for effect in self.effects:
            if effect[0] == "seek":
                found[effect[1]].append(effect[2])
        return found

    async def read(self, key: str, partition: int) -> bytes | None:
        for _ in range(5):
            await asyncio.sleep(0)
        return await super().read(key, partition)

    def worker(self) -> Runtime:
        return Runtime(
            SMALL, 1, SETTINGS, self, self, flow=self, clock=self.clock, generation=lambda: self.generation
        )

    async def hand_over(self, worker: Runtime, message: Message, generation: int) -> None:
        topic = TOPIC[message.side]
        await worker.receive(
            topic, 0, message.offset, message.timestamp_ms, message.value, lambda: None, generation
        )

    async def read_all(self, worker: Runtime, messages: Sequence[Message]) -> None:
        for number, message in enumerate(messages):
            await self.hand_over(worker, message, self.generation)
            if number % 7 == 0:
                self.now_s += 0.1
                await worker.pump()
        await worker.pump()


def _undisturbed() -> World:
    world = World()
    run(world.live(world.runtime(), LOG.written))
    return world


@pytest.mark.parametrize("moment", ["before", "between", "while_assigned", "after"])
def test_a_message_of_an_earlier_assignment_is_refused(moment: str) -> None:
    world = Assignments()
    stale = LOG.written[MIDDLE]

    async def story() -> None:
        worker = world.worker()
        await world.read_all(worker, LOG.written[:MIDDLE])
        waiting = [asyncio.create_task(worker.revoked())]
        if moment == "before":
            waiting.insert(0, asyncio.create_task(world.hand_over(worker, stale, 1)))
        await asyncio.gather(*waiting)
        if moment == "between":
            await world.hand_over(worker, stale, 1)
            await worker.pump()
        world.generation = 2
        waiting = [asyncio.create_task(worker.assigned())]
        if moment == "while_assigned":
            waiting.append(asyncio.create_task(world.hand_over(worker, stale, 1)))
        await asyncio.gather(*waiting)
        if moment == "after":
            await world.hand_over(worker, stale, 1)
        await worker.pump()
        await world.read_all(worker, LOG.written)

    run(story())
    plain = _undisturbed()
    assert results_of(world) == results_of(plain)
    assert slots_of(world) == slots_of(plain)


def test_reassignments_that_overtake_each_other() -> None:
    """The end of one is told when the next has begun: the partitions are not ours yet."""
    world = Assignments()

    async def story() -> None:
        worker = world.worker()
        await world.read_all(worker, LOG.written[:MIDDLE])
        await worker.revoked()
        first_ends = asyncio.create_task(worker.assigned())
        await asyncio.sleep(0)
        await asyncio.gather(worker.revoked(), first_ends)
        await world.hand_over(worker, LOG.written[MIDDLE], 1)
        await worker.pump()
        world.generation = 2
        await worker.assigned()
        await world.read_all(worker, LOG.written)

    run(story())
    plain = _undisturbed()
    assert results_of(world) == results_of(plain)
    assert slots_of(world) == slots_of(plain)


def _position(messages: Sequence[Message], side: int) -> int:
    return sum(message.side == side for message in messages)


def test_what_is_passed_over_is_asked_for_again() -> None:
    """A fetch from the old position comes under the new generation: its messages are refused, also when the
    first question brings nothing, and taken when those before them have come."""
    world = Assignments()

    async def story() -> None:
        worker = world.worker()
        await world.read_all(worker, LOG.written[:MIDDLE])
        await world.read_all(worker, LOG.written[MIDDLE + 20 :])
        due = {TOPIC[side]: _position(LOG.written[:MIDDLE], side) for side in (0, 1)}
        sought = world.sought()
        assert {topic: set(offsets) for topic, offsets in sought.items()} == {t: {o} for t, o in due.items()}
        # A quiet log is asked again, too, and not at every turn.
        before = len(sought[TOPIC[0]])
        for _ in range(25):
            world.now_s += 0.1
            await worker.pump()
        assert before + 2 <= len(world.sought()[TOPIC[0]]) <= before + 3
        await world.read_all(worker, LOG.written[MIDDLE:])
        asked = world.sought()
        await world.read_all(worker, LOG.written[MIDDLE + 5 :])  # the answer to a question too many
        assert world.sought() == asked

    run(story())
    plain = _undisturbed()
    assert results_of(world) == results_of(plain)
    assert slots_of(world) == slots_of(plain)


def test_what_has_expired_is_given_up() -> None:
    """A worker was away for longer than the log is kept."""
    world = Assignments()

    async def story() -> None:
        worker = world.worker()
        await world.read_all(worker, LOG.written[:MIDDLE])
        rest = [replace(m, offset=m.offset + 10_000) for m in LOG.written[MIDDLE:]]
        world.first = min(m.offset for m in rest)
        await world.read_all(
            worker, [replace(m, offset=world.first + n) for n, m in enumerate(_side(rest, 0))]
        )
        await world.read_all(
            worker, [replace(m, offset=world.first + n) for n, m in enumerate(_side(rest, 1))]
        )

    run(story())
    assert world.sought() == {topic: [] for topic in TOPIC}
    assert max(slots_of(world)) == max(slots_of(_undisturbed()))


def _side(messages: Sequence[Message], side: int) -> list[Message]:
    return [message for message in messages if message.side == side]

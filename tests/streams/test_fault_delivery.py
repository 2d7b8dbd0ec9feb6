"""A worker that owns the localiser dies anywhere: no open fault is lost, and none is announced again."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from schemas import topics
from schemas.codec import decode
from schemas.framing import SingleObject
from streams.localise.commands import command_message
from streams.outbox import OutMessage
from streams.runtime import Runtime
from tests.streams.evidence import LOSS, evidence
from tests.streams.findings import S, silence
from tests.streams.logs import SMALL, START_US
from tests.streams.test_runtime import DeliveryFailed, World

OTHER = (SMALL.node("leaf-2-1"), SMALL.node("tor-2-1"), 1, 10, 6, 0, 0)


def log() -> list[bytes]:
    """A fault that ends and comes back, one that goes on to the end, and a silence over that one."""
    values = []
    for second in range(130):
        at_us = START_US + second * S
        rows = [LOSS] if 3 <= second < 12 or 60 <= second < 70 else []
        rows += [OTHER] if second >= 50 else []
        if second == 80:
            values.append(command_message([silence("pod-2", 80, 95)], at_us, SingleObject()))
        values.append(evidence({"slot_us": at_us, "watermark_us": at_us + 2 * S}, *rows))
    return values


LOG = log()


async def read(world: World, worker: Runtime, first: int, last: int) -> None:
    for offset in range(first, last):
        ack = world.ack(topics.EVIDENCE, offset)
        await worker.receive_evidence(offset, START_US // 1_000 + offset * 1_000, LOG[offset], ack)


def stored(world: World) -> list[dict[str, Any]]:
    return [decode(topics.FAULTS, m.value)[0] for m in world.stored if m.topic == topics.FAULTS]


def keys(messages: Sequence[OutMessage]) -> set[tuple[str, int]]:
    events = [decode(topics.FAULTS, m.value)[0] for m in messages if m.topic == topics.FAULTS]
    return {(event["fault_id"], event["version"]) for event in events}


def once(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """As an alerting consumer keeps them. What is said again has to be the same."""
    known: dict[tuple[str, int], dict[str, Any]] = {}
    for event in events:
        assert known.setdefault((event["fault_id"], event["version"]), event) == event
    return list(known.values())


def uninterrupted() -> list[dict[str, Any]]:
    world = World()
    asyncio.run(read(world, world.runtime(), 0, len(LOG)))
    return stored(world)


EXPECTED = uninterrupted()


def test_what_the_log_says():
    told = [(event["state"], event["flaps"], bool(event["silenced"])) for event in EXPECTED]
    assert [each for each in told if each[0] != "updated"] == [
        ("open", 0, False),
        ("resolved", 0, False),
        ("open", 0, False),
        ("open", 1, False),
        ("resolved", 1, False),
    ]
    assert ("updated", 0, True) in told
    assert told[-1][2] is False
    assert len({event["fault_id"] for event in EXPECTED}) == 2


@pytest.mark.parametrize("dies_at", range(1, len(LOG), 7))
def test_the_next_owner_goes_on_where_the_last_one_was(dies_at: int):
    """It reads again from what was acknowledged. What had been announced before the state was stored is not
    announced again; what came after it is the same event again."""

    async def story() -> list[dict[str, Any]]:
        world = World()
        await read(world, world.runtime(), 0, dies_at)
        at_death = len(world.stored)
        states = [i for i, m in enumerate(world.stored) if m.topic == topics.STATE]
        first = max(world.acknowledged(topics.EVIDENCE), default=-1) + 1
        await read(world, world.runtime(), first, len(LOG))
        known = keys(world.stored[: max(states, default=0)])
        assert known.isdisjoint(keys(world.stored[at_death:]))
        return stored(world)

    assert once(asyncio.run(story())) == EXPECTED


@pytest.mark.parametrize("fails_at", range(1, 30, 2))
def test_a_delivery_that_fails_is_made_good_by_the_next_owner(fails_at: int):
    """Between the events of a step and its state, and between that and the acknowledgement."""

    async def story() -> list[dict[str, Any]]:
        world = World(fails_at=fails_at)
        with pytest.raises(DeliveryFailed):
            await read(world, world.runtime(), 0, len(LOG))
        world.fails_at = -1
        first = max(world.acknowledged(topics.EVIDENCE), default=-1) + 1
        await read(world, world.runtime(), first, len(LOG))
        return stored(world)

    assert once(asyncio.run(story())) == EXPECTED

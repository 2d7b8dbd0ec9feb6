"""Pausing a partition of Faust's consumer while messages of it are in hand."""

import asyncio

import pytest
from faust.types.tuples import TP

from schemas import topics
from streams.app import FaustFlow, build_app
from streams.worker_settings import WorkerSettings

HERE, THERE = TP(topics.DIGESTS, 0), TP(topics.DIGESTS, 1)


async def deliver(pause_after: int, resume_after: int) -> list[tuple[TP, int]]:
    """What Faust hands over of ten fetched messages each, with a pause of HERE in between."""
    app = build_app(WorkerSettings())
    consumer, flow = app.consumer, FaustFlow(app)
    consumer._active_partitions = {HERE, THERE}
    consumer.flow_active = True
    fetched = {HERE: list(range(10)), THERE: list(range(10))}

    async def fetch(timeout):
        return fetched, consumer._get_active_partitions()

    consumer._wait_next_records = fetch
    consumer._to_message = lambda tp, record: record
    consumer.highwater = lambda tp: 10
    got = []
    async for tp, record in consumer.getmany(timeout=1.0):
        got.append((tp, record))
        if len(got) == pause_after:
            flow.pause(*HERE)
            assert HERE not in consumer._get_active_partitions()  # not fetched again
        if len(got) == resume_after:
            flow.resume(*HERE)
            assert HERE in consumer._get_active_partitions()
    return got


@pytest.mark.parametrize(("pause_after", "resume_after"), [(1, 99), (5, 9), (7, 8)])
def test_pausing_loses_nothing_that_was_fetched(pause_after, resume_after):
    got = asyncio.run(deliver(pause_after, resume_after))
    assert sorted(got) == sorted((tp, record) for tp in (HERE, THERE) for record in range(10))

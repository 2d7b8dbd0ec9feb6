"""What came last: who has sent lately, how new the newest slot is, and whether clocks agree.

`last_heads` reads the ends of topics; the rest is pure.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from bytetracker.doctor.finding import Finding, fail, ok, warn
from schemas.codec import decode
from schemas.errors import BadMessage
from schemas.framing import Framing

TIMEOUT_S = 10.0
#: A source says something each second to each partition; after 10 s the workers do not wait for it.
SILENT_S = 10.0
#: A slot is complete 1 s after its end, and travels then.
SLOT_LATE_S = 10.0
SLOT_DEAD_S = 60.0
#: Rows more than 20 s ahead are refused; far less puts probes and copies apart.
CLOCK_WARN_S = 1.0
CLOCK_FAIL_S = 15.0
_TICKS = "clock"  # a worker's own messages, no source


@dataclass(frozen=True, slots=True)
class Head:
    """A message without its rows, and when the log says that it was written, ms since 1970."""

    topic: str
    partition: int
    timestamp_ms: int
    fields: Mapping[str, Any]


def last_heads(
    config: Mapping[str, str], framing: Framing, topics: Mapping[str, int], each: int
) -> list[Head]:
    """The last `each` messages of every partition (topics: name -> partitions); those that cannot be read are
    left out. Raises KafkaException."""
    consumer = Consumer(
        {
            **config,
            "group.id": "bytetracker-doctor",  # asked for by librdkafka; never joined
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "enable.partition.eof": True,
            "log_level": 0,
        }
    )
    found: list[Head] = []
    try:
        waited = []
        for name, count in topics.items():
            for number in range(count):
                place = TopicPartition(name, number)
                low, high = consumer.get_watermark_offsets(place, timeout=TIMEOUT_S)
                if high > low:
                    waited.append(TopicPartition(name, number, max(low, high - each)))
        consumer.assign(waited)
        left = {(place.topic, place.partition) for place in waited}
        deadline = time.monotonic() + TIMEOUT_S
        while left and time.monotonic() < deadline:
            for message in consumer.consume(100, 0.5):
                problem = message.error()
                if problem is None:
                    found += _head(message, framing)
                elif problem.code() == KafkaError._PARTITION_EOF:
                    left.discard((message.topic(), message.partition()))
                else:
                    raise KafkaException(problem)
    finally:
        consumer.close()
    return found


def _head(message: Any, framing: Framing) -> Iterator[Head]:
    try:
        fields = decode(message.topic(), message.value(), framing=framing)[0]
    except BadMessage:
        return
    yield Head(message.topic(), message.partition(), message.timestamp()[1], fields)


def judge_sources(heads: Sequence[Head], expected: Sequence[str], now_us: int) -> Iterator[Finding]:
    """Whether each Prober and collector is heard of. A source that said farewell is not silent."""
    newest: dict[str, tuple[int, bool]] = {}
    for head in heads:
        name = str(head.fields["source"])
        if name != _TICKS and head.timestamp_ms >= newest.get(name, (0, False))[0]:
            newest[name] = head.timestamp_ms, head.fields["low_watermark_us"] >= 2**62
    if not newest:
        yield warn(
            "sources", "nothing has been sent lately", "start a Prober and a collector on their machines"
        )
        return
    good = []
    for name in [*expected, *sorted(set(newest) - set(expected))]:
        if name not in newest:
            yield warn("sources", f"{name} is not heard of", f"start {name}, or take it out of the inventory")
            continue
        at_ms, ended = newest[name]
        ago_s = now_us / 1e6 - at_ms / 1e3
        if ended:
            yield warn("sources", f"{name} ended {ago_s:,.0f} s ago", f"start {name} again")
        elif ago_s > SILENT_S:
            yield fail("sources", f"{name} is silent since {ago_s:,.0f} s", f"look into the log of {name}")
        else:
            good.append(name)
    if good:
        yield ok("sources", f"heard of within {SILENT_S:.0f} s: {', '.join(good)}")


def judge_broker_clock(heads: Sequence[Head], now_us: int) -> Finding | None:
    """Whether this machine's clock is behind that of the broker, which dates messages. None: no messages."""
    if not heads:
        return None
    ahead_s = max(head.timestamp_ms for head in heads) / 1e3 - now_us / 1e6
    return judge_clock("clock.broker", "the broker's clock", ahead_s, lower_bound=True)


def judge_clock(check: str, whose: str, ahead_s: float, *, lower_bound: bool = False) -> Finding:
    """Whether two clocks agree. `lower_bound`: the other one may be more ahead, never less."""
    if lower_bound and ahead_s < CLOCK_WARN_S:
        return ok(check, f"{whose} is not ahead of this machine's")
    if abs(ahead_s) < CLOCK_WARN_S:
        return ok(check, f"{whose} is within {CLOCK_WARN_S:.0f} s of this machine's")
    what = f"{whose} is {abs(ahead_s):,.1f} s {'ahead of' if ahead_s > 0 else 'behind'} this machine's"
    do = "set both by the same NTP or PTP source"
    return (fail if abs(ahead_s) > CLOCK_FAIL_S else warn)(check, what, do)


def judge_newest_slot(check: str, slot_us: int | None, now_us: int) -> Finding:
    """How far behind event time is."""
    if slot_us is None:
        return warn(check, "there is no slot yet", "start Probers, collectors and workers")
    behind_s = (now_us - slot_us) / 1e6
    if behind_s < -CLOCK_WARN_S:
        return fail(
            check,
            f"the newest slot is {-behind_s:,.1f} s ahead of this machine's clock",
            "set the clocks of Probers, collectors and this machine by the same source",
        )
    what = f"the newest slot is {max(0.0, behind_s):,.1f} s old"
    if behind_s > SLOT_LATE_S:
        do = "see which source holds time up (check `sources`), and whether workers and sink run"
        return (fail if behind_s > SLOT_DEAD_S else warn)(check, what, do)
    return ok(check, what)

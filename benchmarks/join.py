"""Digests joined per CPU second: encoded messages in, verdicts and evidence out, without Kafka.

The traffic is that of a large data centre: 130,000 probes a second and their digests, over 8
partitions, with a lossy link. Decoding and checking messages counts; so does everything that closing a
probe takes. Partitions are stepped as the worker's pump would step them when it just keeps up.
The plain join gets the same rows of one partition as ordinary Avro records, and both must agree on
verdicts and on every link passed.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from itertools import groupby

from benchmarks.plain_join import PlainJoin, read_batch, records, write_batch
from benchmarks.traffic import Traffic, Written, simulate
from fabric.builtin import builtin_fabric
from schemas.batch import tick
from streams.intake import TOPICS
from streams.join import Network, Output, PartitionJoin
from streams.settings import JoinSettings

FABRIC = "fat-tree-32"
PARTITIONS = 8
#: 55,110 probes a round, so 130,000 a second.
INTERVAL_US = 424_000
FAULT = "loss:{link}:rate=0.3"

_PUMP_MS = 100
_SECONDS = 3.0
_PLAIN_SECONDS = 0.5
_ROUNDS = 3


def run(seconds: float = _SECONDS, rounds: int = _ROUNDS) -> dict[str, object]:
    """Measure; takes about ten seconds and 1 GB."""
    traffic = large_traffic(seconds)
    network = Network(traffic.fabric)
    best = float("inf")
    for _ in range(rounds):
        before = time.process_time()
        digests = sum(_join(network, number, log)[0] for number, log in enumerate(traffic.partitions))
        best = min(best, time.process_time() - before)
    if digests != traffic.digests:
        raise AssertionError(f"{traffic.digests} digests were sent, {digests} joined")
    rate, plain = digests / best, _plain_rate(network)
    return {
        "name": "join",
        "unit": "digests/s",
        "rate_per_core": round(rate),
        "baseline": round(plain),
        "ratio": round(rate / plain, 1),
    }


def large_traffic(seconds: float, partitions: int = PARTITIONS) -> Traffic:
    """Messages of a large data centre with one lossy link."""
    fabric = builtin_fabric(FABRIC)
    link = next(link.name for link in fabric.links if link.name.startswith("spine-1~"))
    return simulate(
        fabric,
        seconds,
        partitions=partitions,
        interval_us=INTERVAL_US,
        faults=[FAULT.format(link=link)],
    )


def _join(network: Network, partition: int, log: list[Written]) -> tuple[int, list[Output]]:
    """Digests joined, and the outputs that hold evidence."""
    join = PartitionJoin(partition, network, JoinSettings())
    digests, outputs = 0, []
    for messages in [*_pumps(log), _ticks(partition, log)]:
        for m in messages:
            join.offer(m.side, m.offset, m.timestamp_ms, m.value)
        output = join.step()
        digests += output.digests_joined
        if output.evidence:
            outputs.append(output)
    return digests, outputs


def _pumps(log: list[Written]) -> Iterator[list[Written]]:
    for _, messages in groupby(log, key=lambda m: m.timestamp_ms // _PUMP_MS):
        yield list(messages)


def _ticks(partition: int, log: list[Written]) -> list[Written]:
    """What the worker appends to logs that have fallen silent; lets the last messages be consumed."""
    end_ms = log[-1].timestamp_ms + 1_000
    return [Written(side, len(log), end_ms, tick(topic, partition)) for side, topic in enumerate(TOPICS)]


def _plain_rate(network: Network) -> float:
    """Digests a second of the plain join, on one partition of less time."""
    traffic = large_traffic(_PLAIN_SECONDS)
    log = traffic.partitions[0]
    encoded = [(m.side, write_batch(m.side, records(m.side, m.value))) for m in log]
    best = float("inf")
    for _ in range(_ROUNDS):
        plain = PlainJoin(traffic.fabric)
        before = time.process_time()
        for side, message in encoded:
            plain.take(side, read_batch(side, message))
        plain.close()
        best = min(best, time.process_time() - before)
    _assert_equal(plain, _join(network, 0, log)[1])
    return plain.digests / best


def _assert_equal(plain: PlainJoin, outputs: list[Output]) -> None:
    verdicts: Counter[str] = Counter()
    passed: Counter[tuple[int, int, int]] = Counter()
    for head, rows in (each for output in outputs for each in output.evidence):
        verdicts.update(head["verdicts"])
        links = zip(rows["from_node"].tolist(), rows["to_node"].tolist(), rows["leg"].tolist(), strict=True)
        passed.update(dict(zip(links, rows["passed"].tolist(), strict=True)))
    if verdicts != plain.verdicts or +passed != plain.passed:
        raise AssertionError(f"the joins disagree: {verdicts} and {plain.verdicts}")


if __name__ == "__main__":
    print(run())  # noqa: T201 - a command

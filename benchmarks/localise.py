"""Evidence to culprits, in a fabric of 100,000 servers: how many digests a second the localiser can follow.

The traffic is that of a large data centre: 130,000 probes a second and a million digests, with a lossy
link. The join turns it into evidence in slots of 250 ms; the localiser reads that evidence as the messages
that it is. One number is the localiser alone, another the join and the localiser one after the other on one
core. The first seconds are not counted: in them every flow is new, and its way is learnt. The plain one gets
the same messages, and both must agree on what passed.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import psutil

from benchmarks.plain_localise import PlainLocaliser, records
from benchmarks.traffic import Traffic, Written, simulate
from fabric.builtin import builtin_fabric
from fabric.model import Fabric
from producers.plan import PlanSettings, build_plan
from schemas import topics
from schemas.batch import tick
from schemas.codec import decode, encode
from streams.intake import TOPICS
from streams.join import Network, PartitionJoin
from streams.localise.localiser import Localiser
from streams.settings import JoinSettings

FABRIC = "large"
PARTITIONS = 8
PROBES_PER_S = 130_000
LOSSY = "loss:spine-1~leaf-1-1:rate=0.3"

#: State is stored once a history of 25 s has been seen, and every 5 s from then on.
_SECONDS = 31.0
#: By then every flow of the plan has been met, and its way is known.
_COUNTED_FROM_US = 20_000_000
_PUMP_MS = 100
#: Flows come back after three intervals of 4.8 s: workers have to remember them for so long.
_JOIN = JoinSettings(memory_us=17_000_000)
_PLAIN_MESSAGES = 8
_PREFIX_BYTES = 10  # single-object encoding


@dataclass(frozen=True, slots=True)
class _Evidence:
    slot_us: int
    value: bytes
    digests: int


def run(seconds: float = _SECONDS, fabric_name: str = FABRIC) -> dict[str, object]:
    """Measure; takes about a minute and a half, and 4 GB."""
    fabric = builtin_fabric(fabric_name)
    traffic = _traffic(fabric, seconds)
    network = Network(fabric)
    evidence: list[_Evidence] = []
    before = time.process_time()
    for number, log in enumerate(traffic.partitions):
        evidence += _join(network, number, log)
    join_s = time.process_time() - before
    evidence.sort(key=lambda each: each.slot_us)
    traffic.partitions.clear()
    localised = _localise(fabric, evidence)
    some = [each for each in evidence if each.digests][-2 * _PLAIN_MESSAGES : -_PLAIN_MESSAGES]
    plain, passed = _plain(some)
    _assert_equal(passed, some)
    rate = localised.digests / localised.seconds
    both = 1 / (1 / rate + join_s / traffic.digests)
    return {
        "name": "localise",
        "unit": "digests/s",
        "rate_per_core": round(rate),
        "baseline": round(plain),
        "ratio": round(rate / plain, 1),
        "note": f"join and localiser together {both:,.0f} digests/s on one core; the localiser's state takes "
        f"{localised.memory_mb:,.0f} MB; evidence {localised.bytes_per_s / 1e6:.1f} MB/s; "
        f"faults: {', '.join(localised.faults) or 'none'}",
    }


def _traffic(fabric: Fabric, seconds: float) -> Traffic:
    rate = sum(
        build_plan(fabric, prober, PlanSettings(rate_max_pps=10**9)).rate_pps for prober in fabric.probers
    )
    return simulate(
        fabric,
        seconds,
        partitions=PARTITIONS,
        interval_us=round(rate / PROBES_PER_S * 1e6),
        faults=[LOSSY] if LOSSY.split(":")[1] in fabric.link_by_name else [],
    )


def _join(network: Network, partition: int, log: Sequence[Written]) -> list[_Evidence]:
    join = PartitionJoin(partition, network, _JOIN)
    end_ms = log[-1].timestamp_ms + 1_000
    ticks = [Written(side, len(log), end_ms, tick(topic, partition)) for side, topic in enumerate(TOPICS)]
    found = []
    for messages in (
        *(list(m) for _, m in groupby(log, key=lambda m: m.timestamp_ms // _PUMP_MS)),
        ticks,
    ):
        for m in messages:
            join.offer(m.side, m.offset, m.timestamp_ms, m.value)
        found += [
            _Evidence(head["slot_us"], encode(topics.EVIDENCE, head, rows), head["digests"])
            for head, rows in join.step().evidence
        ]
    return found


@dataclass(frozen=True, slots=True)
class _Localised:
    seconds: float
    digests: int
    memory_mb: float
    bytes_per_s: float
    faults: tuple[str, ...]


def _localise(fabric: Fabric, evidence: Sequence[_Evidence]) -> _Localised:
    process = psutil.Process()
    resident = process.memory_info().rss
    localiser = Localiser(fabric, PARTITIONS)
    begin_us = next(e.slot_us for e in evidence if e.digests) + _COUNTED_FROM_US
    seconds, digests, size, faults = 0.0, 0, 0, []
    last_us = begin_us
    for offset, each in enumerate(evidence):
        before = time.process_time()
        located = localiser.step(offset, each.slot_us // 1_000 + 1_500, each.value)
        if each.slot_us >= begin_us and each.digests:
            seconds += time.process_time() - before
            digests += each.digests
            size += len(each.value)
            last_us = each.slot_us
        faults += [f"{e['kind']} {e['suspects'][0]['element']}" for e in located.faults]
    memory_mb = (process.memory_info().rss - resident) / 1e6
    took_s = (last_us - begin_us) / 1e6 + 0.25
    return _Localised(seconds, digests, memory_mb, size / took_s, tuple(dict.fromkeys(faults)))


def _plain(evidence: Sequence[_Evidence]) -> tuple[float, dict[tuple[int, int], int]]:
    """Digests a second of the plain one, and what passed each link."""
    plain = PlainLocaliser()
    before = time.process_time()
    for each in evidence:
        plain.take(records(each.value, _PREFIX_BYTES))
    seconds = time.process_time() - before
    return sum(e.digests for e in evidence) / seconds, plain.passed


def _assert_equal(passed: dict[tuple[int, int], int], evidence: Sequence[_Evidence]) -> None:
    total: dict[tuple[int, int], int] = {}
    for each in evidence:
        _, rows = decode(topics.EVIDENCE, each.value)
        assert rows is not None
        key = rows["from_node"].astype(np.int64) << 32 | rows["to_node"].astype(np.int64) & 0xFFFFFFFF
        links, at = np.unique(key, return_inverse=True)
        sums = np.bincount(at, rows["passed"].astype(np.int64)).astype(int)
        for link, count in zip(links.tolist(), sums.tolist(), strict=True):
            near, far = link >> 32, link & 0xFFFFFFFF
            pair = (near, far - (1 << 32) if far >= 1 << 31 else far)
            total[pair] = total.get(pair, 0) + count
    if total != dict(passed):
        raise AssertionError("the plain localiser and the rows disagree on what passed")


if __name__ == "__main__":
    print(run())  # noqa: T201 - a command

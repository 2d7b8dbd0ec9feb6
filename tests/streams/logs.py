"""Two logs of a partition, as producers write them: simulated traffic with everything that goes wrong.

`record` turns a scenario and a seed into logs. What is in a log is fixed there; tests then read the
same logs in different ways.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from fabric.clos import ClosShape, build_clos
from fabric.faults import parse_spec
from fabric.model import Fabric
from fabric.simulator import Simulator, SimulatorSettings
from producers.plan import PlanSettings, build_plan
from producers.publish import BatchPublisher
from schemas import topics
from schemas.batch import AlteredPacket, ExporterCount, tick
from schemas.rows import DIGEST, OUTCOME, DigestFlag

START_US = 1_763_840_000_000_000
#: Two of everything, and few servers: a plain reading of a few seconds stays affordable.
SMALL = build_clos(
    ClosShape(
        "two-of-each",
        pods=2,
        tors_per_pod=2,
        leaves_per_pod=2,
        spines=2,
        servers_per_tor=2,
        borders=2,
        probers=2,
        collectors=2,
    )
)
OUTCOMES, DIGESTS = 0, 1
TOPIC = (topics.OUTCOMES, topics.DIGESTS)


@dataclass(frozen=True)
class Message:
    """A message where it lies in a log."""

    side: int
    offset: int
    timestamp_ms: int
    value: bytes | None


@dataclass
class Log:
    """The two logs of one partition, and the order in which their messages were written."""

    sides: tuple[list[Message], list[Message]] = field(default_factory=lambda: ([], []))
    written: list[Message] = field(default_factory=list)

    def append(self, side: int, timestamp_ms: int, value: bytes | None) -> None:
        message = Message(side, len(self.sides[side]), timestamp_ms, value)
        self.sides[side].append(message)
        self.written.append(message)


@dataclass(frozen=True)
class Scenario:
    """What goes wrong, as shares of rows unless a unit says otherwise."""

    faults: tuple[str, ...] = ()
    fabric: Fabric = SMALL
    partitions: int = 2
    seconds: float = 4.0
    interval_us: int = 1_000_000
    mirror_loss: float = 0.0
    truncated: float = 0.0
    bad_copies: float = 0.0  # mirror copies damaged on the way to the collector
    moved: float = 0.0  # copies that claim another switch, or another TTL
    doubled: float = 0.0  # rows that are sent twice
    late: float = 0.0  # rows that are held back for 0 to 3 s
    odd_replies: float = 0.0  # SYN-ACK and ICMP
    doubled_batches: float = 0.0
    garbage: float = 0.0  # messages that cannot be read, per message
    skew_us: int = 0  # of collectors' clocks, at most
    clock_steps_ms: int = 0  # by which Kafka timestamps may step back
    silent_after_s: float | None = None  # one collector stops without a word
    restart_after_s: float | None = None  # one Prober starts again, under a new epoch
    trailing_s: float = 4.0  # after the last probe
    ends: bool = True


class _LogSink:
    """A producer's sink that writes to logs; `now_ms` is set by the recorder."""

    fill = 0.0

    def __init__(self, side: int, logs: list[Log], scenario: Scenario, rng: np.random.Generator) -> None:
        self.side, self.logs, self.scenario, self.rng = side, logs, scenario, rng
        self.now_ms = 0

    def produce(self, partition: int, message: bytes) -> None:
        self._put(partition, message)
        if self.rng.random() < self.scenario.doubled_batches:
            self._put(partition, message)
        if self.rng.random() < self.scenario.garbage:
            cut = int(self.rng.integers(0, len(message)))
            self._put(partition, [message[:cut], self.rng.bytes(40), b"", None][int(self.rng.integers(4))])

    def _put(self, partition: int, value: bytes | None) -> None:
        back = int(self.rng.integers(0, self.scenario.clock_steps_ms + 1))
        self.logs[partition].append(self.side, self.now_ms - back, value)

    def poll(self) -> None:
        pass

    def flush(self) -> None:
        pass


@dataclass
class _Source:
    """Rows of one producer that wait to be published, by the time at which they are."""

    publisher: BatchPublisher
    sink: _LogSink
    rows: np.ndarray
    at_us: np.ndarray
    lag_us: int  # how far the promise stays behind the clock
    skew_us: int = 0
    stops_us: int = 2**62
    packets: dict[int, bytes] = field(default_factory=dict)
    exporters: tuple[int, ...] = ()

    def speak(self, since_us: int, now_us: int, rng: np.random.Generator) -> None:
        if now_us >= self.stops_us:
            return
        self.sink.now_ms = now_us // 1_000
        due = np.flatnonzero((self.at_us > since_us) & (self.at_us <= now_us))
        altered = [
            AlteredPacket(i, self.packets[row]) for i, row in enumerate(due.tolist()) if row in self.packets
        ]
        counts = [ExporterCount(s, 7, int(rng.integers(100)), int(rng.integers(3))) for s in self.exporters]
        self.publisher.publish(
            self.rows[due],
            now_us + self.skew_us - self.lag_us,
            now_us,
            altered=altered,
            exporters=counts if rng.random() < 0.2 else (),
        )


def record(scenario: Scenario, seed: int, cut_seed: int = 0) -> list[Log]:
    """One Log per partition. A function of its arguments; `cut_seed` changes only how the rows are
    cut into messages, and in which order sources speak."""
    logs = [Log() for _ in range(scenario.partitions)]
    sources = _sources(scenario, seed, np.random.default_rng(seed), logs)
    rng = np.random.default_rng([seed, cut_seed])
    end_us = START_US + int((scenario.seconds + scenario.trailing_s) * 1e6)
    now_us = START_US
    restarted = False
    while now_us < end_us:
        since_us, now_us = now_us, now_us + int(rng.integers(60_000, 400_000))
        if not restarted and now_us > START_US + (scenario.restart_after_s or 1e6) * 1e6:
            old = sources[0].publisher
            sources[0].publisher = BatchPublisher(
                old.topic, old.source, old.epoch + 1_000_000, scenario.partitions, sources[0].sink
            )
            restarted = True
        for each in rng.permutation(len(sources)).tolist():
            sources[each].speak(since_us, now_us, rng)
    if scenario.ends:
        for source in sources:
            if source.stops_us > now_us:
                source.publisher.close()
    # The log goes on without rows, so that whatever waits for time gets it.
    for log in logs:
        for second in range(1, 16):
            for side in (OUTCOMES, DIGESTS):
                log.append(side, now_us // 1_000 + 1_000 * second, tick(TOPIC[side], logs.index(log)))
    return logs


def _sources(scenario: Scenario, seed: int, rng: np.random.Generator, logs: list[Log]) -> list[_Source]:
    fabric = scenario.fabric
    simulator = Simulator(fabric, seed, SimulatorSettings(mirror_loss_rate=scenario.mirror_loss))
    for text in scenario.faults:
        spec = parse_spec(text, fabric)
        simulator.inject(spec, START_US + int(spec.after_s * 1e6))
    plan = PlanSettings(interval_us=scenario.interval_us)
    until_us = START_US + int(scenario.seconds * 1e6)
    due = np.concatenate([build_plan(fabric, p, plan).due(START_US, until_us) for p in fabric.probers])
    ran = simulator.run(due[np.argsort(due["sent_at_us"], kind="stable")])
    packets = {each.row: each.packet for each in ran.altered}
    outcomes, digests = ran.outcomes.copy(), ran.digests.copy()
    _spoil_outcomes(outcomes, scenario, rng)
    _spoil_digests(digests, packets, fabric, scenario, rng)

    sources = []
    number = outcomes["probe_id"].astype(np.int64) >> 32
    for prober in fabric.probers:
        sink = _LogSink(OUTCOMES, logs, scenario, rng)
        publisher = BatchPublisher(topics.OUTCOMES, prober.name, START_US, scenario.partitions, sink)
        mine = np.flatnonzero(number == prober.number)
        at_us = ran.known_at_us[mine]
        mine, at_us = _delayed(mine, at_us, scenario, rng)
        sources.append(_Source(publisher, sink, outcomes[mine], at_us, lag_us=600_000))
    collector_of = {s.node: fabric.collector_of(s) for s in fabric.switches}
    owner = np.array([collector_of[s].name if s in collector_of else "" for s in digests["switch"].tolist()])
    for i, collector in enumerate(fabric.collectors):
        sink = _LogSink(DIGESTS, logs, scenario, rng)
        publisher = BatchPublisher(topics.DIGESTS, collector.name, START_US, scenario.partitions, sink)
        mine = np.flatnonzero((owner == collector.name) | ((owner == "") & (i == 0)))
        mine, at_us = _delayed(mine, digests["observed_at_us"][mine].astype(np.int64), scenario, rng)
        skew_us = int(rng.integers(-scenario.skew_us, scenario.skew_us + 1)) if scenario.skew_us else 0
        rows = digests[mine]
        rows["observed_at_us"] += skew_us
        stops_us = 2**62
        if i == 1 and scenario.silent_after_s is not None:
            stops_us = START_US + int(scenario.silent_after_s * 1e6)
        sources.append(
            _Source(
                publisher,
                sink,
                rows,
                at_us,
                lag_us=150_000,
                skew_us=skew_us,
                stops_us=stops_us,
                packets={i: packets[row] for i, row in enumerate(mine.tolist()) if row in packets},
                exporters=tuple(
                    n for n, c in collector_of.items() if c is not None and c.name == collector.name
                ),
            )
        )
    return sources


def _delayed(
    rows: np.ndarray, at_us: np.ndarray, scenario: Scenario, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Some rows are held back, some come again; everything else is under way for a moment."""
    at_us = at_us + rng.integers(0, 60_000, len(at_us))
    held = rng.random(len(at_us)) < scenario.late
    at_us = at_us + np.where(held, rng.integers(0, 3_000_000, len(at_us)), 0)
    again = np.flatnonzero(rng.random(len(at_us)) < scenario.doubled)
    rows = np.concatenate([rows, rows[again]])
    at_us = np.concatenate([at_us, at_us[again] + rng.integers(0, 300_000, len(again))])
    return rows, at_us


def _spoil_outcomes(outcomes: np.ndarray, scenario: Scenario, rng: np.random.Generator) -> None:
    odd = (rng.random(len(outcomes)) < scenario.odd_replies) & (outcomes["rtt_ns"] >= 0)
    outcomes["reply_kind"][odd] = rng.integers(2, 4, int(odd.sum()))


def _spoil_digests(
    digests: np.ndarray,
    packets: dict[int, bytes],
    fabric: Fabric,
    scenario: Scenario,
    rng: np.random.Generator,
) -> None:
    count = len(digests)
    hit = np.flatnonzero(rng.random(count) < scenario.truncated)
    digests["flags"][hit] = DigestFlag.TRUNCATED
    digests["content_hash"][hit] = rng.integers(0, 2**63, len(hit))
    for row in hit.tolist():
        packets.pop(row, None)
    hit = np.flatnonzero(rng.random(count) < scenario.bad_copies)
    digests["flags"][hit] = rng.choice([0, DigestFlag.BAD_CHECKSUM, DigestFlag.BAD_CHECKSUM | 4], len(hit))
    digests["content_hash"][hit] = rng.integers(0, 2**63, len(hit))
    for row in hit.tolist():
        packets[row] = rng.bytes(552)
    nodes = np.array([s.node for s in fabric.switches] + [9_999, 77_777])
    hit = np.flatnonzero(rng.random(count) < scenario.moved)
    digests["switch"][hit] = rng.choice(nodes, len(hit))
    hit = np.flatnonzero(rng.random(count) < scenario.moved)
    digests["ttl"][hit] = np.maximum(0, digests["ttl"][hit] - rng.integers(1, 70, len(hit)))


def quiet(scenario: Scenario) -> Scenario:
    """The same scenario with nothing wrong between network and log."""
    return replace(
        scenario,
        truncated=0,
        bad_copies=0,
        moved=0,
        doubled=0,
        late=0,
        odd_replies=0,
        doubled_batches=0,
        garbage=0,
    )


assert OUTCOME.dtype.itemsize and DIGEST.dtype.itemsize

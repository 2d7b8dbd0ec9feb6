"""The Prober's loop on a network made of values: pacing, honesty, safety. No sockets, no real time."""

from __future__ import annotations

import os
import struct
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Event

import numpy as np
import pytest
from numpy.typing import NDArray

from fabric.builtin import builtin_fabric
from fabric.model import Fabric
from producers.packets import PacketBatch
from producers.plan import PlanRefused, PlanSettings
from producers.probe_loop import ProbeLoop
from producers.prober import run_prober
from producers.prober_safety import controller_gone, drop_privileges
from producers.prober_settings import ProberRefused, ProberSettings
from producers.publish import BatchPublisher, MemorySink
from producers.replies import parse_probes
from producers.wire import Frames
from schemas import topics
from schemas.batch import decode_batch
from schemas.rows import END_OF_SOURCE_US, Kind, ReplyKind

START_US = 1_700_000_000_000_000
SMALL = builtin_fabric("small")
SETTINGS = ProberSettings(prober="prober-1", interface="none", plan=PlanSettings(rate_max_pps=5_000))
ROUND = 3 * (16 + 2)  # 16 servers, 2 ordered pairs of pods, 3 members


@dataclass
class Clock:
    now_us: int = START_US

    def __call__(self) -> int:
        self.now_us += 3
        return self.now_us

    def sleep(self, us: int) -> None:
        self.now_us += us


@dataclass
class Network:
    """Sender and source in one: answers each probe after a delay, as a kernel with a closed port does."""

    clock: Clock
    delay_us: int = 200
    headroom: int = 14
    errors: Counter[str] = field(default_factory=Counter)
    silent: set[bytes] = field(default_factory=set)  # targets that do not answer
    refused: set[int] = field(default_factory=set)  # probe IDs that the kernel does not take
    sent: list[NDArray[np.void]] = field(default_factory=list)
    sent_at_us: list[int] = field(default_factory=list)
    ring: list[tuple[int, bytes]] = field(default_factory=list)
    ring_lost: int = 0

    def send(self, frames: Frames, probes: NDArray[np.void]) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
        taken = ~np.isin(probes["probe_id"], list(self.refused))
        self.errors["ENETUNREACH"] += int(np.count_nonzero(~taken))
        self.sent.append(probes[taken].copy())
        self.sent_at_us.append(self.clock.now_us)
        for row in np.flatnonzero(taken).tolist():
            packet = frames.data[row, frames.start[row] :]
            seen = parse_probes(packet[None], np.array([len(packet)]))[0]
            assert (1 << 32 | int(seen["seq32"])) == probes["probe_id"][row]
            if bytes(seen["target"]) not in self.silent:
                self.ring.append((self.clock.now_us + self.delay_us, rst(seen)))
        return taken, np.full(len(probes), self.clock.now_us * 1000)

    def next_batch(self, rows_max: int = 4096, timeout_s: float = 0.0) -> PacketBatch | None:
        there = [each for each in self.ring if each[0] <= self.clock.now_us][:rows_max]
        self.ring = [each for each in self.ring if each not in there]
        if not there:
            return None
        return PacketBatch.of([packet for _, packet in there], received_us=[at for at, _ in there])

    def lost(self) -> int:
        return self.ring_lost

    def close(self) -> None:
        pass


def rst(seen: np.void) -> bytes:
    ports = struct.pack("!HH", int(seen["destination_port"]), int(seen["source_port"]))
    ack = (int(seen["seq32"]) + 513) % 2**32
    tcp = ports + struct.pack("!IIBBHHH", 0, ack, 0x50, 0x14, 0, 0, 0)
    ip = struct.pack("!BBHHHBBH", 0x45, 0, 40, 0, 0x4000, 61, 6, 0)
    return b"\0" * 12 + b"\x08\0" + ip + bytes(seen["target"])[12:] + bytes(seen["prober"])[12:] + tcp


@dataclass
class Bench:
    settings: ProberSettings = SETTINGS
    fabric: Fabric = SMALL
    clock: Clock = field(default_factory=Clock)
    sink: MemorySink = field(default_factory=lambda: MemorySink(4))

    def __post_init__(self) -> None:
        self.network = Network(self.clock)
        self.publisher = BatchPublisher(topics.OUTCOMES, "prober-1", START_US, 4, self.sink)
        self.renewals: list[Fabric] = []

    def loop(self, *, renew: bool = False) -> ProbeLoop:
        return ProbeLoop(
            self.settings,
            self.fabric,
            sender=self.network,
            source=self.network,
            publisher=self.publisher,
            clock_us=self.clock,
            sleep_us=self.clock.sleep,
            read_fabric=self._renewed if renew else None,
        )

    def _renewed(self) -> Fabric:
        self.renewals.append(self.fabric)
        return self.fabric

    def run(self, loop: ProbeLoop, for_us: int) -> None:
        until_us = self.clock.now_us + for_us
        while self.clock.now_us < until_us:
            loop.tick()
            loop.receive(loop._scheduled_us + self.settings.tick_us)

    def rows(self) -> NDArray[np.void]:
        batches = [decode_batch(topics.OUTCOMES, m) for part in self.sink.messages for m in part]
        return np.concatenate([batch.rows for batch in batches])

    def sent(self) -> NDArray[np.void]:
        return np.concatenate(self.network.sent)


def test_every_probe_sent_is_one_published_outcome() -> None:
    bench = Bench()
    silent = SMALL.servers[3]
    bench.network.silent = {
        bytes(
            bench.loop().plan.template["target"][bench.loop().plan.template["target_node"] == silent.node][0]
        )
    }
    loop = bench.loop()
    bench.run(loop, 3_000_000)
    loop.finish()
    report, rows, sent = loop.report, bench.rows(), bench.sent()
    assert sorted(rows["probe_id"].tolist()) == sorted(sent["probe_id"].tolist())
    assert report.sent == report.due == report.published == len(rows)
    assert 3 * ROUND - 6 <= len(rows) <= 3 * ROUND + 6
    assert report.answered + report.timeouts == report.sent
    unanswered = rows[rows["rtt_ns"] == -1]
    assert {bytes(target) for target in unanswered["target"]} == bench.network.silent
    assert report.timeouts == len(unanswered) >= 9
    answered = rows[rows["rtt_ns"] >= 0]
    assert (answered["rtt_ns"] // 1000 == bench.network.delay_us).all()
    assert set(answered["reply_kind"].tolist()) == {ReplyKind.RST}
    assert set(answered["reply_ttl"].tolist()) == {61}
    assert set(rows["kind"].tolist()) == {Kind.NORTH_SOUTH, Kind.EAST_WEST}
    assert (rows["group_size"] == 3).all()
    for part in bench.sink.messages:
        assert decode_batch(topics.OUTCOMES, part[-1]).envelope.low_watermark_us == END_OF_SOURCE_US


def test_watermarks_hold_and_move_on() -> None:
    bench = Bench()
    loop = bench.loop()
    bench.run(loop, 2_000_000)
    for part in bench.sink.messages:
        promised = 0
        for message in part:
            batch = decode_batch(topics.OUTCOMES, message)
            assert not len(batch.rows) or batch.rows["sent_at_us"].min() >= promised
            promised = batch.envelope.low_watermark_us
        assert promised > bench.clock.now_us - 1_700_000
    assert bench.publisher.counts.rows_behind_watermark == 0


def test_probes_leave_at_a_steady_pace_and_near_their_slots() -> None:
    bench = Bench()
    loop = bench.loop()
    bench.run(loop, 2_000_000)
    assert max(len(batch) for batch in bench.network.sent) <= 3
    lateness = [
        at - int(p["sent_at_us"][0])
        for at, p in zip(bench.network.sent_at_us, bench.network.sent, strict=True)
    ]
    assert min(lateness) >= 0
    assert max(lateness) <= SETTINGS.tick_us + 100


def test_after_a_stall_late_slots_are_skipped_not_sent_in_a_burst() -> None:
    plan = PlanSettings(interval_us=10_000, rate_max_pps=6_000)  # 5,400 probes/s
    bench = Bench(replace(SETTINGS, plan=plan))
    loop = bench.loop()
    bench.run(loop, 100_000)
    before = len(bench.network.sent)
    bench.clock.now_us += 1_000_000
    bench.run(loop, 300_000)
    largest = max(len(batch) for batch in bench.network.sent[before:])
    assert largest <= 4 * SETTINGS.tick_us * 6_000 / 1e6
    report = loop.report
    assert 0.8 * 5_400 < report.skipped_late < 1.1 * 5_400
    loop.finish()
    assert report.due == report.sent + report.skipped_late
    assert report.published == report.sent
    lateness = np.array(bench.network.sent_at_us) - [int(p["sent_at_us"][0]) for p in bench.network.sent]
    assert lateness.max() <= SETTINGS.lateness_max_us + SETTINGS.tick_us


def test_what_the_kernel_does_not_take_is_no_outcome() -> None:
    bench = Bench()
    loop = bench.loop()
    due = loop.plan.due(START_US, START_US + 2_000_000)
    bench.network.refused = set(due["probe_id"][[6, 7, 11]].tolist())
    bench.run(loop, 1_000_000)
    loop.finish()
    rows = bench.rows()
    assert not bench.network.refused & set(rows["probe_id"].tolist())
    sizes = {int(row["probe_id"]) >> 3: int(row["group_size"]) for row in rows}
    first, second = int(due["probe_id"][6]) >> 3, int(due["probe_id"][11]) >> 3
    assert (sizes.pop(first), sizes.pop(second)) == (1, 2)
    assert set(sizes.values()) == {3}
    assert loop.report.send_errors == {"ENETUNREACH": 3}
    assert loop.report.due == loop.report.sent + 3


def test_a_filling_queue_pauses_probes_and_loses_no_outcome() -> None:
    bench = Bench()
    loop = bench.loop()
    bench.run(loop, 500_000)
    bench.sink.fill = 0.8
    sent = len(bench.sent())
    bench.run(loop, 1_000_000)
    assert len(bench.sent()) == sent
    assert loop.report.skipped_queue >= ROUND - 3
    assert loop.report.published == sent
    bench.sink.fill = 0.0
    bench.run(loop, 500_000)
    assert len(bench.sent()) > sent


def test_slow_reading_makes_no_timeouts() -> None:
    bench = Bench()
    loop = bench.loop()
    for _ in range(40):  # sends and publishes for 1.2 s, and never reads the ring
        bench.clock.now_us += 30_000
        loop.tick()
    assert loop.report.timeouts == 0
    bench.run(loop, 100_000)
    loop.finish()
    assert loop.report.timeouts == 0
    assert loop.report.answered == loop.report.sent > 0


def test_a_lossy_ring_is_reported() -> None:
    bench = Bench()
    bench.network.ring_lost = 7
    loop = bench.loop()
    bench.run(loop, 300_000)
    assert loop.report.replies_lost == 7


def test_run_stops_on_the_event_and_ends_the_source() -> None:
    bench = Bench()
    loop = bench.loop()
    stop = Event()
    original = bench.clock.sleep

    def sleep(us: int) -> None:
        original(us)
        if bench.clock.now_us > START_US + 500_000:
            stop.set()

    loop._sleep_us = sleep
    report = loop.run(stop)
    assert report.stopped_because == "stopped"
    assert report.outstanding == 0
    assert report.published == report.sent > 0


def test_a_stale_plan_stops_and_a_renewed_one_goes_on() -> None:
    settings = replace(SETTINGS, plan_age_max_s=4)
    bench = Bench(settings)
    report = bench.loop().run(Event())
    assert report.stopped_because.startswith("the plan is older")
    assert 3 * ROUND < report.sent < 7 * ROUND
    assert report.published == report.sent
    again = Bench(settings)
    loop = again.loop(renew=True)
    loop.unsafe()
    again.run(loop, 3_000_000)
    assert not loop.unsafe()
    again.run(loop, 3_000_000)
    assert not loop.unsafe()
    assert len(again.renewals) == 2


def test_a_controller_file_that_goes_away_stops_probing(tmp_path: Path) -> None:
    controller = tmp_path / "probing-allowed"
    bench = Bench(replace(SETTINGS, controller_file=str(controller)))
    loop = bench.loop()
    assert "is gone" in loop.unsafe()
    controller.touch()
    bench.run(loop, 1_000_001)
    assert loop.unsafe() == ""
    aged = replace(bench.settings, controller_age_max_s=60)
    now_us = START_US
    os.utime(controller, ns=((now_us - 59_000_000) * 1000,) * 2)
    assert controller_gone(aged, now_us) == ""
    assert "controller_age_max_s" in controller_gone(aged, now_us + 2_000_000)
    controller.unlink()
    bench.run(loop, 1_000_001)
    report = loop.run(Event())
    assert "is gone" in report.stopped_because
    assert report.published == report.sent


def test_nothing_is_opened_without_the_controller_file(tmp_path: Path) -> None:
    bench = Bench(replace(SETTINGS, controller_file=str(tmp_path / "absent")))
    with pytest.raises(ProberRefused, match="is gone"):
        run_prober(bench.settings, SMALL, bench.publisher, Event())


def test_a_clock_set_back_never_sends_a_slot_twice() -> None:
    bench = Bench()
    loop = bench.loop()
    bench.run(loop, 500_000)
    bench.clock.now_us -= 200_000
    bench.run(loop, 600_000)
    ids = bench.sent()["probe_id"]
    assert len(np.unique(ids)) == len(ids)
    assert not loop.unsafe()
    bench.clock.now_us -= 3_000_000
    loop._checked_us = 0
    assert "set back" in loop.unsafe()


def test_a_clock_that_leaps_ahead_skips_at_no_cost() -> None:
    bench = Bench()
    loop = bench.loop()
    bench.run(loop, 100_000)
    bench.clock.now_us += 10**12  # eleven days
    loop.tick()
    assert loop.report.skipped_late > 10**6 * ROUND * 0.99
    assert loop.report.sent < 100


def test_unknown_probers_and_bad_targets_are_refused() -> None:
    with pytest.raises(ProberRefused, match="prober-1"):
        Bench(replace(SETTINGS, prober="nobody")).loop()
    with pytest.raises(PlanRefused, match="outside"):
        Bench(fabric=replace(SMALL, target_prefixes=("192.0.2.0/24",))).loop()


@pytest.mark.parametrize(
    "changes",
    [
        {"tick_us": 10},
        {"lateness_max_us": 480_000},
        {"transport": "ethernet"},
        {"queue_fill_max": 0.0},
    ],
)
def test_contradictory_settings_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ProberRefused):
        replace(SETTINGS, **changes)  # type: ignore[arg-type]


def test_privileges_are_dropped_to_a_known_user_only() -> None:
    with pytest.raises(ProberRefused, match="no user"):
        drop_privileges("no-such-user-here")
    with pytest.raises(ProberRefused, match="root"):
        drop_privileges("root")

"""A simulated network that publishes by the clock, with rows held back and sources that fall silent."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from threading import Thread

import numpy as np

from fabric.faults import parse_spec
from fabric.model import Fabric
from fabric.simulator.live import LiveCounts, LiveSimulation, RowPublisher
from fabric.simulator.settings import SimulatorSettings
from fabric.simulator.simulator import Simulator
from producers.kafka_sink import KafkaSink, KafkaSinkSettings
from producers.plan import PlanSettings, build_plan
from producers.publish import BatchPublisher
from schemas import topics
from schemas.batch import AlteredPacket, ExporterCount
from schemas.partition import group_of, mix64


@dataclass(frozen=True)
class Traffic:
    """What happens. Shares are of rows."""

    fabric: Fabric
    partitions: int
    seconds: float
    faults: tuple[str, ...] = ()
    interval_us: int = 1_000_000
    mirror_loss: float = 0.005
    late: float = 0.0  # rows that come `LATE_S` after the others
    silent: str = ""  # a source that stops without a word ...
    silent_after_s: float = 0.0  # ... so long after the start
    seed: int = 1


LATE_S = 3.5


class Source:
    """A publisher that holds some rows back, and may stop without saying so."""

    def __init__(self, publisher: BatchPublisher, traffic: Traffic, started_us: int) -> None:
        self._publisher = publisher
        self._late = round(traffic.late * 2**16)
        self._held: list[tuple[int, np.ndarray]] = []
        silent = publisher.source == traffic.silent
        self._stops_us = started_us + round(traffic.silent_after_s * 1e6) if silent else 2**62
        self._silent = False
        # What is held must be clearly late when it comes, in whatever batch: nothing is held near the end.
        self._holds_until_us = started_us + round((traffic.seconds - LATE_S - 1) * 1e6)

    def publish(
        self,
        rows: np.ndarray,
        low_watermark_us: int,
        now_us: int,
        *,
        altered: Sequence[AlteredPacket] = (),
        exporters: Sequence[ExporterCount] = (),
    ) -> None:
        self._silent = self._silent or time.time_ns() // 1_000 >= self._stops_us
        if self._silent:
            return
        lot = mix64(group_of(rows["probe_id"].astype(np.int64)).astype(np.uint64)) >> np.uint64(48)
        held = (lot < self._late) & (now_us < self._holds_until_us)
        if held.any():
            self._held.append((now_us + round(LATE_S * 1e6), rows[held]))
        place = np.cumsum(~held) - 1
        kept = [AlteredPacket(int(place[a.row]), a.packet) for a in altered if not held[a.row]]
        due = [rows for at_us, rows in self._held if at_us <= now_us]
        self._held = [each for each in self._held if each[0] > now_us]
        rows = np.concatenate([rows[~held], *due], dtype=rows.dtype)
        self._publisher.publish(rows, low_watermark_us, now_us, altered=kept, exporters=exporters)

    def close(self) -> None:
        if self._silent:
            return
        for _, rows in self._held:
            self._publisher.publish(rows, 0, 0)
        self._publisher.close()


@dataclass
class Running:
    """Traffic under way, in a thread; `join` gives what was published."""

    traffic: Traffic
    bootstrap: str
    counts: LiveCounts = field(default_factory=LiveCounts)

    def __post_init__(self) -> None:
        traffic, fabric = self.traffic, self.traffic.fabric
        self._error: Exception | None = None
        epoch = time.time_ns() // 1_000
        settings = KafkaSinkSettings(self.bootstrap)

        def source(topic: str, name: str) -> RowPublisher:
            sink = KafkaSink(topic, settings)
            return Source(BatchPublisher(topic, name, epoch, traffic.partitions, sink), traffic, epoch)

        plan = PlanSettings(interval_us=traffic.interval_us)
        self._live = LiveSimulation(
            Simulator(fabric, traffic.seed, SimulatorSettings(mirror_loss_rate=traffic.mirror_loss)),
            {prober.name: build_plan(fabric, prober, plan) for prober in fabric.probers},
            {prober.name: source(topics.OUTCOMES, prober.name) for prober in fabric.probers},
            {collector.name: source(topics.DIGESTS, collector.name) for collector in fabric.collectors},
            faults=[parse_spec(text, fabric) for text in traffic.faults],
        )
        self._thread = Thread(target=self._run, name="traffic", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.counts = self._live.run(self.traffic.seconds)
        except Exception as error:
            self._error = error

    @property
    def under_way(self) -> bool:
        return self._thread.is_alive()

    def join(self) -> LiveCounts:
        """Wait for the end. Raises what went wrong."""
        self._thread.join(self.traffic.seconds + 30)
        assert not self.under_way, "the traffic does not end"
        if self._error is not None:
            raise self._error
        return self.counts

    def stop(self) -> None:
        self._live.stop()
        self._thread.join(10)

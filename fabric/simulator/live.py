"""The simulator in real time: what Probers and collectors of a running network would publish.

A shell around `Simulator`. Each tick simulates the probes that have become due and publishes what Probers and
collectors would know by now, with honest low watermarks. The caller owns the publishers and their broker.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from threading import Event
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fabric.faults import FaultSpec
from fabric.model import Fabric
from fabric.simulator.active import FOREVER_US
from fabric.simulator.outbox import Outbox
from fabric.simulator.simulator import Simulator, Slice
from schemas.batch import AlteredPacket, ExporterCount
from schemas.rows import DIGEST, OUTCOME, gather

STEP_US_MAX = 1_000_000
_SESSION_BITS = 10  # of an ERSPAN session number
_COUNT_INTERVAL_US = 1_000_000  # between reports of sequence gaps


class ProbePlan(Protocol):
    """What producers.plan.Plan offers."""

    def due(self, from_us: int, until_us: int) -> NDArray[np.void]: ...


class RowPublisher(Protocol):
    """What producers.publish.BatchPublisher offers; see there. Its errors are passed on: they are fatal."""

    def publish(
        self,
        rows: NDArray[np.void],
        low_watermark_us: int,
        now_us: int,
        *,
        altered: Sequence[AlteredPacket] = (),
        exporters: Sequence[ExporterCount] = (),
    ) -> None: ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class LiveCounts:
    """Rows published."""

    probes_sent: int = 0
    digests_sent: int = 0


class LiveSimulation:
    """Runs a simulated network by the clock until it is told to stop.

    plans, outcome_publishers: by Prober name. digest_publishers: by collector name; an exporter's copies go
    to the collector that `Fabric.collector_of` names. Raises ValueError if one is missing.
    faults: each starts `after_s` after the run, and `on_injected(spec, started_ns)` is called then.
    now_us, wait: the clock, and what sleeps; `wait` gets seconds and returns early when `stop` is called.
    """

    def __init__(
        self,
        simulator: Simulator,
        plans: Mapping[str, ProbePlan],
        outcome_publishers: Mapping[str, RowPublisher],
        digest_publishers: Mapping[str, RowPublisher],
        *,
        faults: Sequence[FaultSpec] = (),
        on_injected: Callable[[FaultSpec, int], None] = lambda spec, started_ns: None,
        tick_s: float = 0.125,
        now_us: Callable[[], int] = lambda: time.time_ns() // 1_000,
        wait: Callable[[float], object] | None = None,
    ) -> None:
        if set(plans) != set(outcome_publishers):
            raise ValueError("each Prober needs a plan and a publisher of outcomes")
        fabric = simulator.fabric
        self._simulator = simulator
        self._plans = [plans[name] for name in plans]
        self._outcomes = {
            fabric.prober_by_name[name].number: (Outbox(), publisher)
            for name, publisher in outcome_publishers.items()
        }
        self._digests = _DigestLines(fabric, digest_publishers)
        self._pending_faults = sorted(faults, key=lambda spec: spec.after_s)
        self._on_injected = on_injected
        self._tick_s = tick_s
        self._now_us = now_us
        self._stop = Event()
        self._wait = wait or self._stop.wait
        self.counts = LiveCounts()

    def stop(self) -> None:
        """End the run at its next tick. May be called from any thread or signal handler."""
        self._stop.set()

    def beat(self) -> None:
        """Say that all sources are there and have nothing to send yet. Only before `run`."""
        now_us = self._now_us()
        for _, publisher in self._outcomes.values():
            publisher.publish(np.empty(0, OUTCOME.dtype), now_us, now_us)
        self._digests.publish_nothing(now_us)

    def run(self, seconds: float | None = None) -> LiveCounts:
        """Simulate by the clock; blocks for `seconds`, or until `stop`.

        No probe is sent after that; outcomes still open are waited for (the probe timeout at most), then
        every source says that it has ended. Raises what the publishers raise, and then says nothing more.
        """
        start_us = until_us = self._now_us()
        end_us = start_us + round(seconds * 1e6) if seconds is not None else FOREVER_US
        while not self._stop.is_set() and until_us < end_us:
            if self._now_us() - until_us < self._tick_s * 1e6:
                self._wait(self._tick_s)
            # After a standstill, catch up in steps: memory stays bounded.
            from_us, until_us = until_us, min(self._now_us(), until_us + STEP_US_MAX, end_us)
            self._start_faults(start_us, until_us)
            self._send(from_us, until_us)
            self._publish_outcomes(until_us)
        while any(len(outbox) for outbox, _ in self._outcomes.values()):
            self._wait(self._tick_s)
            now_us = self._now_us()
            self._digests.publish_nothing(now_us)
            self._publish_outcomes(now_us)
        for publisher in [publisher for _, publisher in self._outcomes.values()]:
            publisher.close()
        self._digests.close()
        return self.counts

    def _start_faults(self, start_us: int, until_us: int) -> None:
        while self._pending_faults:
            begin_us = start_us + round(self._pending_faults[0].after_s * 1e6)
            if begin_us > until_us:
                return
            spec = self._pending_faults.pop(0)
            self._simulator.inject(spec, begin_us)
            self._on_injected(spec, begin_us * 1_000)

    def _send(self, from_us: int, until_us: int) -> None:
        probes = np.concatenate([plan.due(from_us, until_us) for plan in self._plans])
        if not len(probes):
            self._digests.publish_nothing(until_us)
            return
        happened = self._simulator.run(probes)
        prober = happened.outcomes["probe_id"].astype(np.int64) >> 32
        for number, (outbox, _) in self._outcomes.items():
            mine = prober == number
            outbox.add(gather(happened.outcomes, mine), happened.known_at_us[mine])
        # Whatever is mirrored later belongs to probes that are sent later.
        self._digests.publish(happened, until_us)
        self.counts = replace(self.counts, digests_sent=self.counts.digests_sent + len(happened.digests))

    def _publish_outcomes(self, until_us: int) -> None:
        now_us = self._now_us()
        for outbox, publisher in self._outcomes.values():
            rows, low_watermark_us = outbox.take(now_us, until_us)
            publisher.publish(rows, low_watermark_us, now_us)
            self.counts = replace(self.counts, probes_sent=self.counts.probes_sent + len(rows))


class _DigestLines:
    """Digests to the collectors that their exporters send to, and what sequence gaps tell of the rest."""

    def __init__(self, fabric: Fabric, publishers: Mapping[str, RowPublisher]) -> None:
        self._index = fabric.index
        self._publishers = list(publishers.values())
        position = {name: row for row, name in enumerate(publishers)}
        owners = [fabric.collector_of(switch) for switch in fabric.switches]
        missing = {owner.name for owner in owners if owner is not None and owner.name not in position}
        if missing or None in owners:
            names = ", ".join(sorted(missing)) or "a fabric without collectors"
            raise ValueError(f"no publisher of digests for {names}")
        self._line: NDArray[np.int64] = np.array([position[o.name] for o in owners if o is not None])
        self._sessions = [switch.number % (1 << _SESSION_BITS) for switch in fabric.switches]
        # Type I has no sequence numbers: what it loses is not noticed.
        self._has_sequence = np.array([switch.dialect != 1 for switch in fabric.switches], dtype=np.bool_)
        self._received = np.zeros(len(owners), dtype=np.int64)
        self._lost = np.zeros(len(owners), dtype=np.int64)
        self._counted_at_us = 0

    def publish(self, happened: Slice, low_watermark_us: int) -> None:
        self._received += happened.mirrored
        self._lost += np.where(self._has_sequence, happened.mirror_lost, 0)
        due = low_watermark_us - self._counted_at_us >= _COUNT_INTERVAL_US
        line_of_row = self._line[self._index.switch_row(happened.digests["switch"].astype(np.int32))]
        altered_rows = np.array([a.row for a in happened.altered], dtype=np.intp)
        for line, publisher in enumerate(self._publishers):
            rows = np.flatnonzero(line_of_row == line)
            mine = np.flatnonzero(line_of_row[altered_rows] == line)
            place = np.searchsorted(rows, altered_rows[mine])
            packets = [happened.altered[at].packet for at in mine.tolist()]
            altered = [AlteredPacket(*each) for each in zip(place.tolist(), packets, strict=True)]
            counts = self._take_counts(line) if due else []
            publisher.publish(
                gather(happened.digests, rows),
                low_watermark_us,
                low_watermark_us,
                altered=altered,
                exporters=counts,
            )
        if due:
            self._counted_at_us = low_watermark_us

    def publish_nothing(self, now_us: int) -> None:
        nothing = np.empty(0, DIGEST.dtype)
        for publisher in self._publishers:
            publisher.publish(nothing, now_us, now_us)

    def close(self) -> None:
        for line, publisher in enumerate(self._publishers):
            publisher.publish(
                np.empty(0, DIGEST.dtype), 0, self._counted_at_us, exporters=self._take_counts(line)
            )
            publisher.close()

    def _take_counts(self, line: int) -> list[ExporterCount]:
        rows = np.flatnonzero((self._line == line) & (self._received + self._lost > 0))
        counts = [
            ExporterCount(
                int(self._index.switch_node[row]),
                self._sessions[row],
                int(self._received[row]),
                int(self._lost[row]),
            )
            for row in rows
        ]
        self._received[rows] = self._lost[rows] = 0
        return counts

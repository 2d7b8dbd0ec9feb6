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
from fabric.simulator.active import FOREVER_US
from fabric.simulator.digest_lines import DigestLines, RowPublisher
from fabric.simulator.outbox import Outbox
from fabric.simulator.simulator import Simulator
from schemas.rows import gather, join

__all__ = ["STEP_US_MAX", "LiveCounts", "LiveSimulation", "ProbePlan", "RowPublisher"]

STEP_US_MAX = 1_000_000


class ProbePlan(Protocol):
    """What producers.plan.Plan offers."""

    def due(self, from_us: int, until_us: int) -> NDArray[np.void]: ...


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
        self._digests = DigestLines(fabric, digest_publishers, simulator.sources)
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
        self._publish_outcomes(now_us, now_us)
        self._digests.publish(now_us)

    def run(self, seconds: float | None = None) -> LiveCounts:
        """Simulate by the clock; blocks for `seconds`, or until `stop`.

        No probe is sent after that; outcomes still open are waited for (the probe timeout at most), then
        every source says that it has ended, except those that are out. Raises what the publishers raise, and
        then says nothing more.
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
            self._publish_outcomes(self._now_us(), until_us)
        while any(len(outbox) for outbox, _ in self._outcomes.values()):
            self._wait(self._tick_s)
            now_us = self._now_us()
            self._digests.publish(now_us)
            self._publish_outcomes(now_us, now_us)
        now_us = self._now_us()
        for number, (_, publisher) in self._outcomes.items():
            if self._simulator.sources.prober_out_since_us(number, now_us) is None:
                publisher.close()
        self._digests.close(now_us)
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
        probes = join([plan.due(from_us, until_us) for plan in self._plans])
        if not len(probes):
            self._digests.publish(until_us)
            return
        happened = self._simulator.run(probes)
        prober = happened.outcomes["probe_id"].astype(np.int64) >> 32
        for number, (outbox, _) in self._outcomes.items():
            mine = prober == number
            outbox.add(gather(happened.outcomes, mine), happened.known_at_us[mine])
        # Whatever is mirrored later belongs to probes that are sent later.
        self._digests.publish(until_us, happened)
        self.counts = replace(self.counts, digests_sent=self.counts.digests_sent + len(happened.digests))

    def _publish_outcomes(self, now_us: int, simulated_until_us: int) -> None:
        """What Probers know by now; of one that is out, what it knew before it went, and then nothing."""
        sources = self._simulator.sources
        for number, (outbox, publisher) in self._outcomes.items():
            out_since_us = sources.prober_out_since_us(number, now_us)
            until_us = simulated_until_us if out_since_us is None else min(out_since_us, simulated_until_us)
            promise_us = sources.prober_clock_us(number, until_us)
            rows, low_watermark_us = outbox.take(now_us if out_since_us is None else out_since_us, promise_us)
            if out_since_us is not None:
                outbox.clear()
            if out_since_us is None or len(rows):
                publisher.publish(rows, low_watermark_us, now_us)
                self.counts = replace(self.counts, probes_sent=self.counts.probes_sent + len(rows))

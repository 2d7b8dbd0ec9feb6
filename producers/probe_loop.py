"""The loop of a Prober: sends what the plan has due, matches what comes back, publishes outcomes.

One thread, one loop. Each tick sends what became due (`_send`), reads the receive ring until it is empty,
closes the probes whose time is up, and now and then publishes. Three rules keep the outcomes honest:

- A probe is an outcome only if the kernel took it. What could not be sent is counted, never a timeout.
- A probe closes only when the ring was seen empty after its timeout: a slow loop makes outcomes late, not
  wrong.
- Probes pause while the publisher's queue is filling, so that outcomes always have room.

After a stall the loop does not send what it missed in one burst: a tick sends little more than what came
due since the last one, at most what four ticks bring, and what is older than `lateness_max_us` is skipped.

The replies that the Prober's own kernel sees too need no firewall rule: a RST without a connection is
ignored, a SYN-ACK is answered with a RST. The plan's source ports lie below the ephemeral range, so a
connection of the machine itself cannot share a probe's ports.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from threading import Event

import numpy as np
from numpy.typing import NDArray

from fabric.model import Fabric
from producers.flow_watch import FileWatch, planned
from producers.matching import Matcher
from producers.packets import LinkType, PacketBatch
from producers.plan import Plan
from producers.prober_safety import controller_gone, prober_of
from producers.prober_settings import ProberSettings
from producers.publish import BatchPublisher
from producers.replies import parse_replies
from producers.schedule import GROUPS_MAX
from producers.send import ProbeSender
from producers.sources.source import PacketSource
from producers.wire import frames
from schemas.partition import MEMBER_BITS
from schemas.rows import OUTCOME

_SAFETY_EVERY_US = 1_000_000
_BATCHES_PER_TICK = 16
_PROBES_PER_TICK_MIN = 24


@dataclass(slots=True)
class ProberReport:
    """What a Prober did since its start. Every probe that was due is in one of the counts:
    due = sent + skipped_* + the sum of send_errors."""

    prober: str
    due: int = 0
    sent: int = 0
    answered: int = 0
    timeouts: int = 0
    outstanding: int = 0
    published: int = 0
    skipped_late: int = 0  # the loop came too late
    skipped_queue: int = 0  # the publisher's queue was filling
    skipped_full: int = 0  # too many probes outstanding, or their number still in use
    send_errors: dict[str, int] = field(default_factory=dict)
    replies_lost: int = 0  # by a full receive ring: each may have made a false timeout
    duplicate_replies: int = 0
    late_replies: int = 0
    stray_replies: int = 0
    mismatched_replies: int = 0
    renewals_failed: int = 0  # the inventory could not be read again
    flow_files_read: int = 0  # changes of the flow file that came into force
    flow_files_refused: int = 0  # those that did not: the flows before stay in force
    stopped_because: str = ""

    def as_dict(self) -> dict[str, object]:
        """For reports and logs."""
        return asdict(self)


class ProbeLoop:
    """The loop without sockets: sender, source, publisher and clock are given."""

    def __init__(
        self,
        settings: ProberSettings,
        fabric: Fabric,
        *,
        sender: ProbeSender,
        source: PacketSource,
        publisher: BatchPublisher,
        clock_us: Callable[[], int],
        sleep_us: Callable[[int], None] = lambda us: time.sleep(us / 1e6),
        read_fabric: Callable[[], Fabric] | None = None,
        complain: Callable[[str], None] = lambda problem: None,
    ) -> None:
        """clock_us: us since 1970, of the clock that stamps received packets.
        read_fabric: reads the inventory again, for Probers that run longer than a plan may age.
        complain: is told what went wrong where the Prober goes on with what it had.
        Raises ProberRefused or producers.plan.PlanRefused."""
        self._settings = settings
        self._sender, self._source, self._publisher = sender, source, publisher
        self._clock_us, self._sleep_us = clock_us, sleep_us
        self._read_fabric = read_fabric
        self._prober = prober_of(fabric, settings.prober)
        self._dscp = fabric.dscp
        self._fabric, self._complain = fabric, complain
        self._flow_file = FileWatch(settings.plan.flows)
        self._plan = planned(fabric, self._prober, settings.plan)
        now_us = clock_us()  # after the plan: for a large fabric it takes a tenth of a second
        self._plan_made_us = now_us
        self._scheduled_us = now_us  # everything due before this was sent or skipped
        self._drained_us = 0
        self._published_us = 0
        self._checked_us = -(2**62)
        self._ticked_us = now_us
        waiting_us = settings.timeout_us + settings.grace_us + settings.publish_every_us + 1_000_000
        plan, rate_pps, groups_max = settings.plan, self._plan.rate_pps, self._plan.groups
        if read_fabric is not None:  # a renewed plan may be as large as it is allowed to be
            rate_pps = float(plan.rate_max_pps)
            groups_max = plan.rate_max_pps * plan.interval_us // (plan.group_size * 1_000_000) + 1
        self._matcher = Matcher(
            self._prober.number,
            int(rate_pps * waiting_us / 1e6) + 4_096,
            groups_max=min(groups_max, GROUPS_MAX),
            rounds_max=waiting_us // plan.interval_us + 2,
            timeout_ns=settings.timeout_us * 1000,
        )
        self.report = ProberReport(self._prober.name)

    @property
    def plan(self) -> Plan:
        return self._plan

    def run(self, stop: Event) -> ProberReport:
        """Probe until `stop` is set or it is not safe to go on; then wait for the last replies."""
        while not stop.is_set() and not (reason := self.unsafe()):
            self.tick()
            self.receive(until_us=self._scheduled_us + self._settings.tick_us)
        self.report.stopped_because = "stopped" if stop.is_set() else reason
        self.finish()
        return self.report

    def tick(self) -> None:
        """Send what is due, publish what is closed."""
        now_us = self._clock_us()
        self._send(now_us)
        if now_us - self._published_us >= self._settings.publish_every_us:
            self._publish(now_us)

    def receive(self, until_us: int) -> None:
        """Wait until that time, then match all replies that are in the ring.

        Replies carry the time at which the kernel received them, so nothing is gained by reading them
        one by one as they come.
        """
        wait_us = until_us - self._clock_us()
        if wait_us > 0:
            self._sleep_us(wait_us)
        for _ in range(_BATCHES_PER_TICK):
            before_us = self._clock_us()
            batch = self._source.next_batch()
            if batch is None:
                self._drained_us = before_us
                return
            self._match(batch)

    def finish(self) -> None:
        """Send nothing more, wait for the last replies, publish all outcomes and end the source."""
        settings = self._settings
        while self._matcher.outstanding:
            self.receive(until_us=self._clock_us() + settings.tick_us)
            self._publish(self._clock_us())
        self._publish(self._clock_us())
        self._publisher.close()
        self._count()

    def unsafe(self) -> str:
        """Why probing must stop, or an empty string. Looks once a second."""
        now_us = self._clock_us()
        if now_us - self._checked_us < _SAFETY_EVERY_US:
            return ""
        self._checked_us = now_us
        self._renew(now_us)
        self._read_flows()
        if now_us < self._scheduled_us - _SAFETY_EVERY_US:
            return "the clock was set back; start again, so that probes are numbered by the new time"
        if now_us - self._plan_made_us > self._settings.plan_age_max_s * 1_000_000:
            return f"the plan is older than plan_age_max_s ({self._settings.plan_age_max_s} s)"
        return controller_gone(self._settings, now_us)

    def _renew(self, now_us: int) -> None:
        """Read the inventory again when the plan is half way to being stale."""
        age_us = now_us - self._plan_made_us
        if self._read_fabric is None or age_us * 2 < self._settings.plan_age_max_s * 1_000_000:
            return
        try:
            fabric = self._read_fabric()
            prober = prober_of(fabric, self._settings.prober)
            self._plan = planned(fabric, prober, self._settings.plan)
        except (OSError, ValueError) as error:
            # An inventory that cannot be read leaves the old plan in force, until it is stale.
            self.report.renewals_failed += 1
            self._complain(f"the old plan stays in force: {error}")
            return
        self._fabric, self._prober, self._dscp, self._plan_made_us = fabric, prober, fabric.dscp, now_us

    def _read_flows(self) -> None:
        """Plan anew when the flow file has changed. Groups keep their numbers, so nothing else changes."""
        if not self._flow_file.changed():
            return
        try:
            self._plan = planned(self._fabric, self._prober, self._settings.plan)
        except ValueError as error:
            self.report.flow_files_refused += 1
            self._complain(f"the flows chosen before stay in force: {error}")
            return
        self.report.flow_files_read += 1

    def _send(self, now_us: int) -> None:
        report, settings = self.report, self._settings
        if now_us <= self._scheduled_us:
            return  # a clock that was set back a little: wait for it, never send a slot twice
        oldest_us = now_us - settings.lateness_max_us
        if self._scheduled_us < oldest_us:
            missed = self._plan.count(self._scheduled_us, oldest_us)
            report.due += missed
            report.skipped_late += missed
            self._scheduled_us = oldest_us
        probes = self._within_pace(self._plan.due(self._scheduled_us, now_us), now_us)
        report.due += len(probes)
        if not len(probes):
            return
        if self._publisher.fill > settings.queue_fill_max:
            report.skipped_queue += len(probes)
            return
        free = self._matcher.free(probes["probe_id"])
        if len(probes) > self._matcher.room:
            free[:] = False
        if not free.all():
            report.skipped_full += len(probes) - int(np.count_nonzero(free))
            probes = probes[free]
        if len(probes):
            self._hand_over(probes)

    def _within_pace(self, probes: NDArray[np.void], now_us: int) -> NDArray[np.void]:
        """What may be sent now; the rest stays due. Moves `_scheduled_us`."""
        settings, plan = self._settings, self._plan
        since_us = min(max(now_us - self._ticked_us, settings.tick_us), 4 * settings.tick_us)
        self._ticked_us = now_us
        at_most = max(_PROBES_PER_TICK_MIN, int(1.25 * plan.rate_pps * since_us / 1e6))
        ceiling = max(settings.plan.group_size, int(settings.plan.rate_max_pps * since_us / 1e6))
        at_most = min(at_most, ceiling)
        self._scheduled_us = now_us
        if len(probes) > at_most:
            # Never between probes with one slot time: the slot is what tells sent from not yet sent.
            slot_us = probes["sent_at_us"]
            at = int(np.searchsorted(slot_us, slot_us[at_most]))
            at = at or int(np.searchsorted(slot_us, slot_us[0], side="right"))
            if at < len(probes):
                self._scheduled_us = int(slot_us[at])
                probes = probes[:at]
        return probes

    def _hand_over(self, probes: NDArray[np.void]) -> None:
        built = frames(probes, self._dscp, self._sender.headroom)
        taken, sent_ns = self._sender.send(built, probes)
        content_hash = built.content_hash
        if not taken.all():
            self.report.send_errors = dict(self._sender.errors)
            probes, sent_ns, content_hash = probes[taken], sent_ns[taken], content_hash[taken]
            # A group is as large as what was sent of it.
            group = probes["probe_id"] >> MEMBER_BITS
            _, which, sizes = np.unique(group, return_inverse=True, return_counts=True)
            probes["group_size"] = sizes[which]
        self._matcher.sent(probes, content_hash, sent_ns)

    def _match(self, batch: PacketBatch) -> None:
        header = 14 if batch.link_type is LinkType.ETHERNET else 0
        replies = parse_replies(batch.data[:, header:], batch.lengths - header)
        self._matcher.received(replies, batch.received_us * 1000)

    def _publish(self, now_us: int) -> None:
        rows = self._matcher.close((self._drained_us - self._settings.grace_us) * 1000)
        assert rows.dtype == OUTCOME.dtype
        watermark_us = self._matcher.low_watermark_us(self._scheduled_us)
        self._publisher.publish(rows, watermark_us, now_us)
        self.report.published += len(rows)
        self._published_us = now_us
        self._count()

    def _count(self) -> None:
        counts, report = self._matcher.counts, self.report
        for name in asdict(counts):
            setattr(report, name, getattr(counts, name))
        report.outstanding = self._matcher.outstanding
        report.replies_lost = self._source.lost()

"""The join of one partition: messages in, results and evidence out. Pure: no clock, no Kafka.

    offer(message) ...  ->  step() -> Output

Everything that `step` says is a function of the messages in their merged order: a slot of event time
closes with the message that completes it, however many messages a step takes in. See
docs/architecture.md for why a crash, a replay or another batching gives the same rows.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fabric.model import Fabric
from schemas.batch import Batch
from schemas.errors import BadMessage
from schemas.framing import Framing, SingleObject
from schemas.rows import gather
from streams import heads, intake
from streams.altered_bytes import altered_bytes
from streams.backlog import Backlog, Commit
from streams.closing import Closed, close
from streams.evidence import Slot
from streams.fates import LostFlows
from streams.flows import FlowMemory
from streams.intake import OUTCOME_SIDE, TOPICS
from streams.merge import LogMerge, LogMessage
from streams.open_rows import OpenDigests, OpenOutcomes
from streams.packets import Packets
from streams.places import Places
from streams.probes import ProbeColumns, Probes
from streams.records import Recorder, sampled
from streams.settings import JoinSettings
from streams.slots import SlotClock
from streams.tables import Tables
from streams.verdict import Verdict
from streams.watermark import NO_WATERMARK_US, Watermark
from streams.ways import Ways

I8 = NDArray[np.int64]


@dataclass(slots=True)
class Output:
    """What a step gives. `evidence`: heads and EVIDENCE rows per slot, in the order of slots."""

    results: list[dict[str, Any]] = field(default_factory=list)
    evidence: list[tuple[dict[str, Any], np.ndarray]] = field(default_factory=list)
    dead_letters: list[dict[str, Any]] = field(default_factory=list)
    commit: Commit | None = None
    probes_closed: int = 0
    digests_joined: int = 0
    batches_missing: int = 0  # by the sequences of their sources: lost between a producer and the log


class Network:
    """What all partitions share of a fabric."""

    def __init__(self, fabric: Fabric) -> None:
        self.places = Places(fabric.index)
        self.columns = ProbeColumns(fabric.index)
        self.ways = Ways(self.places)
        self.recorder = Recorder(self.places)
        self.tables = Tables(self.places)


class PartitionJoin:
    """State and logic of one partition. `state`: from a Commit, or None to begin with nothing."""

    def __init__(
        self,
        partition: int,
        network: Network,
        settings: JoinSettings,
        state: bytes | None = None,
        framing: Framing | None = None,
    ) -> None:
        self.partition = partition
        self._network = network
        self._settings = settings
        self._framing: Framing = framing or SingleObject()
        self._merge = LogMerge()
        self._watermark = Watermark(timeout_us=settings.timeout_us)
        self._clock = SlotClock(settings.slot_us, settings.closing_us)
        self._positions = [-1, -1]
        self._newest_row_us = NO_WATERMARK_US
        self._outcomes = OpenOutcomes(settings.slot_us)
        self._digests = OpenDigests(settings)
        self._flows = FlowMemory(network.places, network.ways, settings.memory_us // settings.slot_us)
        self._lost_flows = LostFlows(settings.memory_us // settings.slot_us)
        self._packets = Packets(settings.slot_us, settings.skew_max_us)
        self._slots: dict[int, Slot] = {}
        self._early: Slot | None = None
        self._closed_slot = self._clock.due_slot
        self._backlog = Backlog()
        self._dead: list[dict[str, Any]] = []
        self._batches_missing = 0
        if state is not None:
            self._restore(json.loads(state))

    def offer(self, side: int, offset: int, timestamp_ms: int, value: bytes | None) -> None:
        """The next message of one side; those before the restored position are skipped."""
        if offset >= self._positions[side]:
            self._merge.offer(LogMessage(side, offset, timestamp_ms, value))

    def position(self, side: int) -> int:
        """Offset of the next message of a side that is needed: 0 if none has been."""
        return max(0, self._positions[side])

    def waiting_for(self) -> int | None:
        """Side that must speak before the other one's messages can be consumed, if any."""
        return self._merge.waiting_for()

    def queued(self, side: int) -> int:
        """Messages of a side that wait for the other; the shell pauses a side that runs ahead."""
        return self._merge.queued(side)

    def queued_bytes(self, side: int) -> int:
        """Size of these messages."""
        return self._merge.queued_bytes(side)

    @property
    def has_open_work(self) -> bool:
        """Whether rows wait for time to pass. Not so once all sources have ended: then nothing does."""
        return bool(self.open_rows)

    @property
    def watermark_us(self) -> int:
        return self._watermark.watermark_us

    @property
    def open_rows(self) -> int:
        return self._outcomes.count + self._digests.count

    def step(self) -> Output:
        """Consume what can be consumed, close what can be closed."""
        output = Output()
        for message in self._merge.drain():
            self._consume(message)
            if self._clock.due_slot > self._closed_slot:
                self._closed_slot = self._clock.due_slot
                self._close(output)
        output.dead_letters, self._dead = self._dead, []
        output.batches_missing, self._batches_missing = self._batches_missing, 0
        self._emit(output)
        output.commit = self._release()
        return output

    # -- messages -------------------------------------------------------------------------------

    def _consume(self, message: LogMessage) -> None:
        checkpoint = self._checkpoint() if self._backlog.wants_checkpoint() else None
        found_us = self._watermark.watermark_us
        self._watermark.advance_log_time(message.timestamp_ms)
        self._positions[message.side] = message.offset + 1
        release_us = found_us
        try:
            batch = intake.read(message, self.partition, self._framing)
        except BadMessage as error:
            self._dead.append(
                intake.dead_letter(
                    TOPICS[message.side],
                    self.partition,
                    message.offset,
                    message.timestamp_ms,
                    message.value,
                    error,
                )
            )
        else:
            release_us = self._take_in(message.side, batch, found_us)
        self._backlog.add(release_us, checkpoint)
        self._move_watermark()

    def _take_in(self, side: int, batch: Batch, found_us: int) -> int:
        """Add a batch to the open rows; returns the time after which it is done with."""
        if batch.envelope.is_tick:
            return found_us
        rows = batch.rows
        self._batches_missing += self._watermark.gap_before(side, batch.envelope)
        if self._watermark.accept(side, batch.envelope) is not None:
            self._slot_at(found_us).duplicates += len(rows)
            return found_us
        newest = int(rows[intake.time_column(side)].max()) if len(rows) else NO_WATERMARK_US
        for count in batch.exporters:
            self._slot_at(max(found_us, newest)).count_mirrors(count.switch, count.received, count.lost)
        self._newest_row_us = max(self._newest_row_us, newest)
        if side == OUTCOME_SIDE:
            late = rows["sent_at_us"].astype(np.int64) + self._settings.closing_us <= found_us
            if late.any():
                self._slot_at(found_us).late_outcomes += int(np.count_nonzero(late))
                rows = gather(rows, ~late)
            self._outcomes.add(rows)
            return max(found_us, newest + self._settings.outcome_kept_us)
        self._digests.add(rows, found_us)
        self._packets.add(batch)
        return max(found_us, newest + self._settings.digest_kept_us)

    def _move_watermark(self) -> None:
        self._watermark.update()
        if self._watermark.nobody_left() and self._newest_row_us > NO_WATERMARK_US:
            # Nobody will send anything more: let everything that is open close.
            settings = self._settings
            rest = settings.closing_us + settings.skew_max_us + 2 * settings.slot_us
            self._watermark.watermark_us = max(self._watermark.watermark_us, self._newest_row_us + rest)
        if self._early is not None and self._watermark.watermark_us > NO_WATERMARK_US:
            self._count_early(self._early)
            self._early = None
        self._clock.advance(self._watermark.watermark_us, self._watermark.silent())

    def _count_early(self, early: Slot) -> None:
        """What was counted before any watermark was known goes to the slot of the first one, and the
        messages it came from are not done with before that slot."""
        watermark_us = self._watermark.watermark_us
        slot = self._slot_at(watermark_us)
        slot.duplicates += early.duplicates
        for switch, (received, lost) in early.mirrors.items():
            slot.count_mirrors(switch, received, lost)
        self._backlog.hold_until(watermark_us)

    def _slot_at(self, time_us: int) -> Slot:
        """The slot of a time; before any watermark is known, one that waits for it."""
        if time_us <= NO_WATERMARK_US:
            if self._early is None:
                self._early = Slot()
            return self._early
        return self._slot(self._clock.slot_of(time_us))

    def _slot(self, number: int) -> Slot:
        slot = self._slots.get(number)
        if slot is None:
            slot = Slot()
            if not self._clock.is_done(number):  # else read again after a restart: published already
                self._slots[number] = slot
        return slot

    # -- closing --------------------------------------------------------------------------------

    def _close(self, output: Output) -> None:
        """Close the probes of the slots that have just become complete, slot by slot.

        Evidence goes out by slots, so closing a probe sooner would only touch open rows more often.
        """
        if not self.open_rows:
            return
        for number in self._outcomes.slots_until(self._closed_slot):
            probes = self._without_repeats(number, self._network.columns(self._outcomes.take(number)))
            rows, probe = self._digests.take(probes)
            closed = close(probes, rows, probe, self._network.places, self._settings)
            self._count(number, closed, output)
        # Digests without a probe wait as long as one may still come.
        late = self._digests.give_up(self._closed_slot)
        for number, count in zip(*np.unique(late, return_counts=True), strict=True):
            self._slot(int(number)).late_digests += int(count)

    def _without_repeats(self, number: int, probes: Probes) -> Probes:
        """An outcome that was sent twice counts once; columns are sorted, so repeats are neighbours."""
        repeat = np.zeros(len(probes), np.bool_)
        repeat[1:] = (probes.probe_id[1:] == probes.probe_id[:-1]) & (
            probes.sent_at_us[1:] == probes.sent_at_us[:-1]
        )
        if not repeat.any():
            return probes
        self._slot(number).duplicates += int(np.count_nonzero(repeat))
        return self._network.columns(gather(probes.rows, ~repeat))

    def _count(self, number: int, closed: Closed, output: Output) -> None:
        """Add a slot's probes to its evidence and to the results."""
        output.digests_joined += len(closed.hops) + int(closed.hops.doubled.sum())
        flows = self._flows.remember(number, closed)
        fates = self._lost_flows.remember(number, flows.flow, closed)
        if self._clock.is_done(number):
            return  # read again after a restart: already published
        closed = self._flows.located(closed, flows)
        slot = self._slot(number)
        slot.add(closed, self._network.places)
        altered = altered_bytes(closed, self._packets)
        slot.tables = self._network.tables(closed, altered, flows, fates, self._flows, self._settings)
        output.probes_closed += len(closed.probes)
        odd = closed.judgement.verdict != Verdict.OK
        keep = np.flatnonzero(odd | sampled(closed.probes, self._settings.sample_one_in))
        output.results += self._network.recorder(closed, keep, altered)

    # -- what goes out --------------------------------------------------------------------------

    def _emit(self, output: Output) -> None:
        for due in self._clock.take_due(self._slots):
            slot = self._slots.pop(due.slot, None) or Slot()
            head = heads.head(self.partition, due, slot, self._settings)
            output.evidence.append((head, slot.rows))
        self._packets.forget(self._clock.done_us)

    # -- where we stand -------------------------------------------------------------------------

    def _checkpoint(self) -> dict[str, Any]:
        """State before the next message."""
        return {
            "positions": list(self._positions),
            "merge_ms": list(self._merge.log_time_ms),
            "watermark": self._watermark.snapshot(),
            "newest_row_us": self._newest_row_us,
        }

    def _release(self) -> Commit | None:
        """The newest checkpoint before which every message is done with, if there is a new one."""
        found = self._backlog.release(self._clock.done_us)
        if found is None:
            return None
        state = {**found, "done_slot": self._clock.done_slot}
        positions = {topic: p for topic, p in zip(TOPICS, found["positions"], strict=True) if p >= 0}
        watermark = found["watermark"]
        return Commit(
            positions, watermark["log_time_ms"], watermark["watermark_us"], json.dumps(state).encode()
        )

    def _restore(self, state: dict[str, Any]) -> None:
        self._positions = state["positions"]
        self._merge.log_time_ms = state["merge_ms"]
        self._watermark = Watermark.restore(state["watermark"], self._settings.timeout_us)
        self._newest_row_us = state["newest_row_us"]
        self._clock.restore(state["done_slot"], self._watermark.watermark_us)
        self._closed_slot = self._clock.due_slot

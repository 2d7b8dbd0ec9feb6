"""The stages on real logs: feeds them, stores what they say, then acknowledges. Knows no Faust.

The order of effects is the whole delivery guarantee: outputs are stored, then the state that goes
with them, then the input is acknowledged. Whatever is lost in between is said again, in the same
words, by the next owner.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import structlog

from fabric.model import Fabric
from schemas import topics
from schemas.batch import tick
from schemas.framing import Framing, SingleObject
from streams import metrics, outbox
from streams.backlog import Commit
from streams.intake import TOPICS
from streams.join import Network, Output, PartitionJoin
from streams.localise.localiser import Localiser
from streams.order import ASKS_MAX, LogOrder
from streams.outbox import Outlet, OutMessage
from streams.settings import JoinSettings

#: A log that has said nothing for so long, while something waits for it, gets a tick.
TICK_AFTER_S = 1.0
#: Messages of one log, and their bytes, that may wait for the other before it is paused, and when it is
#: resumed. A worker that catches up holds at most this much of each log, besides what Faust has fetched.
QUEUED_MAX = 1_000
QUEUED_RESUME = 200
QUEUED_BYTES_MAX = 32 * 1024 * 1024
QUEUED_BYTES_RESUME = QUEUED_BYTES_MAX // 4
#: Commits of a stage are at least so far apart: each one is a stored message.
COMMIT_EVERY_S = 0.5

LOCALISER_KEY = "localiser"

log = structlog.get_logger(__name__)


class StateReader(Protocol):
    """Finds the state that a stage stored last; None if it never did."""

    async def read(self, key: str, partition: int) -> bytes | None: ...


class Flow(Protocol):
    """Stops and resumes the fetching of one topic partition. What has been fetched before `pause` may
    still come. A flow may resume by itself; it is told to pause with every message that comes then."""

    def pause(self, topic: str, partition: int) -> None: ...

    def resume(self, topic: str, partition: int) -> None: ...

    async def seek(self, topic: str, partition: int, offset: int) -> None:
        """Fetch again from `offset`. Raises what ends the process."""

    async def first_offset(self, topic: str, partition: int) -> int:
        """The oldest message that the broker still has. Raises what ends the process."""


Ack = Callable[[], Any]


@dataclass(slots=True)
class _Held:
    """Messages of one topic partition that are not acknowledged yet."""

    acks: deque[tuple[int, Ack]] = field(default_factory=deque)

    def release(self, position: int) -> None:
        while self.acks and self.acks[0][0] < position:
            self.acks.popleft()[1]()


@dataclass(slots=True)
class _Partition:
    """A partition of the join and what the runtime knows about it."""

    join: PartitionJoin
    heard_at_s: list[float]
    order: tuple[LogOrder, LogOrder]
    held: tuple[_Held, _Held] = field(default_factory=lambda: (_Held(), _Held()))
    paused: list[bool] = field(default_factory=lambda: [False, False])
    committed_at_s: float = 0.0
    pending: Commit | None = None
    dirty: bool = False


class Runtime:
    """Runs the join of all partitions that this process owns, and the localiser if it owns that.

    `clock` gives monotonic seconds and decides only when to speak (ticks, commits), never what.
    `generation` gives the number of the present assignment of partitions. A message that was fetched
    under an earlier one is refused: it comes again, after others that come again before it.
    """

    def __init__(
        self,
        fabric: Fabric,
        partitions: int,
        settings: JoinSettings,
        outlet: Outlet,
        states: StateReader,
        *,
        flow: Flow | None = None,
        framing: Framing | None = None,
        clock: Callable[[], float] = time.monotonic,
        generation: Callable[[], int] = lambda: 0,
    ) -> None:
        self._fabric = fabric
        self._partitions = partitions
        self._settings = settings
        self._outlet = outlet
        self._states = states
        self._flow = flow
        self._framing: Framing = framing or SingleObject()
        self._clock = clock
        self._generation = generation
        self._between = False  # assignments: nothing that arrives now can be ours
        self._revocations = 0
        self._network = Network(fabric)
        self._joins: dict[int, _Partition] = {}
        self._localiser: Localiser | None = None
        self._evidence = _Held()
        self._evidence_order: LogOrder | None = None
        self._localiser_commit: Commit | None = None
        self._lock = asyncio.Lock()
        self._failed = False

    async def revoked(self) -> None:
        """Partitions are taken away; until `assigned` nothing is taken in."""
        self._between = True
        self._revocations += 1
        await self.forget()

    async def assigned(self) -> None:
        """A new assignment is complete. Call it before its first message: what has been taken in when
        it comes would be forgotten, and never come again."""
        revocations = self._revocations
        await self.forget()
        if revocations == self._revocations:  # else the next reassignment has begun meanwhile
            self._between = False

    def _is_stale(self, generation: int) -> bool:
        """Ask under the lock: an assignment may have ended while a message waited for it."""
        return self._between or generation != self._generation()

    async def forget(self) -> None:
        """Drop all state: partitions have been reassigned and are read again from what is committed."""
        async with self._lock:
            self._joins.clear()
            self._localiser = None
            self._evidence = _Held()
            self._evidence_order = None
            self._localiser_commit = None
            self._failed = False

    async def _deliver(self, messages: Sequence[OutMessage]) -> None:
        """Store messages. Once that has failed nothing more may be stored or acknowledged, or what
        failed would be passed over for good; only `forget` makes a new beginning."""
        if self._failed:
            raise RuntimeError("an earlier delivery failed; this process has to end")
        self._failed = True
        await self._outlet.deliver(messages)
        self._failed = False

    # -- the join ---------------------------------------------------------------------------------

    async def receive(
        self,
        topic: str,
        partition: int,
        offset: int,
        timestamp_ms: int,
        value: bytes | None,
        ack: Ack,
        generation: int = 0,
    ) -> None:
        """Take in a message of one of the two joined topics, fetched under that generation."""
        side = TOPICS.index(topic)
        metrics.MESSAGES.labels(topic).inc()
        async with self._lock:
            if self._is_stale(generation):
                return
            owned = self._joins.get(partition)
            if owned is None:
                owned = await self._own(partition)
                if self._is_stale(generation):
                    self._joins.pop(partition)
                    return
            if not await self._in_order(topic, partition, owned.order[side], offset):
                return
            owned.join.offer(side, offset, timestamp_ms, value)
            owned.held[side].acks.append((offset, ack))
            owned.heard_at_s[side] = self._clock()
            owned.dirty = True
            join = owned.join
            ahead = join.queued(side) > QUEUED_MAX or join.queued_bytes(side) > QUEUED_BYTES_MAX
            if ahead:
                self._pause(owned, side, partition)

    async def _own(self, partition: int) -> _Partition:
        state = await self._states.read(_join_key(partition), partition)
        join = PartitionJoin(partition, self._network, self._settings, state, self._framing)
        now = self._clock()
        order = (LogOrder(join.position(0)), LogOrder(join.position(1)))
        owned = self._joins[partition] = _Partition(join, [now, now], order)
        log.info("partition owned", partition=partition, restored=state is not None)
        return owned

    async def _in_order(self, topic: str, partition: int, order: LogOrder, offset: int) -> bool:
        """Whether a message may be taken in. One that comes too early is refused, and the log is asked
        for those before it; only what the broker no longer has is given up."""
        if order.take(offset):
            return True
        if offset < order.next_offset or self._flow is None or not order.may_ask(self._clock()):
            return False
        first = await self._flow.first_offset(topic, partition)
        if first > order.next_offset or order.asked >= ASKS_MAX:
            gone = order.pass_over(max(first, offset) if order.asked >= ASKS_MAX else first)
            metrics.MISSING.labels(topic).inc(gone)
            log.error("messages expired unread", topic=topic, partition=partition, messages=gone)
            if order.take(offset):
                return True
        log.warning("asking again", topic=topic, partition=partition, due=order.next_offset, came=offset)
        await self._ask(topic, partition, order)
        return False

    async def _ask(self, topic: str, partition: int, order: LogOrder) -> None:
        order.ask(self._clock())
        metrics.ASKED_AGAIN.labels(topic).inc()
        if self._flow is not None:
            await self._flow.seek(topic, partition, order.next_offset)

    async def _ask_for_holes(self) -> None:
        """An answer may have been dropped on the way, and a quiet log brings nothing that shows it."""
        logs = [
            (TOPICS[side], partition, order)
            for partition, owned in self._joins.items()
            for side, order in enumerate(owned.order)
        ]
        if self._evidence_order is not None:
            logs.append((topics.EVIDENCE, 0, self._evidence_order))
        for topic, partition, order in logs:
            if order.has_hole and order.may_ask(self._clock()):
                await self._ask(topic, partition, order)

    async def pump(self) -> None:
        """Let every partition say what it can; call it about ten times a second."""
        async with self._lock:
            await self._ask_for_holes()
            for partition, owned in list(self._joins.items()):
                if owned.dirty:
                    owned.dirty = False
                    await self._step(partition, owned)
                await self._commit_join(partition, owned)
                await self._tick(partition, owned)
                self._resume(owned, partition)

    async def _step(self, partition: int, owned: _Partition) -> None:
        started = time.perf_counter()
        output = owned.join.step()
        messages = outbox.of_join(partition, output, self._framing)
        if messages:
            await self._deliver(messages)
        if output.commit is not None:
            owned.pending = output.commit
        _count(partition, owned.join, output)
        metrics.STEP_SECONDS.observe(time.perf_counter() - started)

    async def _commit_join(self, partition: int, owned: _Partition) -> None:
        now = self._clock()
        if owned.pending is None or now - owned.committed_at_s < COMMIT_EVERY_S:
            return
        commit, owned.pending, owned.committed_at_s = owned.pending, None, now
        await self._deliver([outbox.of_commit(_join_key(partition), partition, commit, self._framing)])
        for side, topic in enumerate(TOPICS):
            owned.held[side].release(commit.positions.get(topic, -1))
        metrics.COMMITS.labels("join").inc()

    async def _tick(self, partition: int, owned: _Partition) -> None:
        """Put the passing of time into a log that something waits for."""
        now = self._clock()
        waiting = owned.join.waiting_for()
        sides = [waiting] if waiting is not None else [0, 1] if owned.join.has_open_work else []
        for side in sides:
            if now - owned.heard_at_s[side] >= TICK_AFTER_S:
                owned.heard_at_s[side] = now
                value = tick(TOPICS[side], partition, framing=self._framing)
                await self._deliver([OutMessage(TOPICS[side], partition, None, value)])
                metrics.TICKS.labels(TOPICS[side]).inc()

    def _pause(self, owned: _Partition, side: int, partition: int) -> None:
        if not owned.paused[side]:
            owned.paused[side] = True
            metrics.PAUSES.labels(TOPICS[side]).inc()
        if self._flow is not None:
            self._flow.pause(TOPICS[side], partition)

    def _resume(self, owned: _Partition, partition: int) -> None:
        for side, paused in enumerate(owned.paused):
            join = owned.join
            caught_up = join.queued(side) < QUEUED_RESUME and join.queued_bytes(side) < QUEUED_BYTES_RESUME
            if paused and caught_up:
                owned.paused[side] = False
                if self._flow is not None:
                    self._flow.resume(TOPICS[side], partition)

    # -- the localiser ------------------------------------------------------------------------------

    async def receive_evidence(
        self, offset: int, timestamp_ms: int, value: bytes | None, ack: Ack, generation: int = 0
    ) -> None:
        """Take in a message of `link-evidence`, fetched under that generation."""
        metrics.MESSAGES.labels(topics.EVIDENCE).inc()
        async with self._lock:
            if self._is_stale(generation):
                return
            if self._localiser is None:
                state = await self._states.read(LOCALISER_KEY, 0)
                if self._is_stale(generation):
                    return
                self._localiser = Localiser(self._fabric, self._partitions, state, self._framing)
                self._evidence_order = LogOrder(self._localiser.position)
            assert self._evidence_order is not None
            if not await self._in_order(topics.EVIDENCE, 0, self._evidence_order, offset):
                return
            located = self._localiser.step(offset, timestamp_ms, value)
            self._evidence.acks.append((offset, ack))
            messages = outbox.of_localiser(located, self._framing)
            if messages:
                await self._deliver(messages)
            for event in located.faults:
                metrics.FAULT_EVENTS.labels(event["kind"], event["state"]).inc()
                log.info("fault", state=event["state"], kind=event["kind"], story=event["story"])
            metrics.FAULTS_REFUSED.inc(located.refused)
            for letter in located.dead_letters:
                metrics.DEAD_LETTERS.labels(letter["topic"], letter["reason"]).inc()
            if located.commit is not None:
                await self._deliver([outbox.of_commit(LOCALISER_KEY, 0, located.commit, self._framing)])
                self._evidence.release(located.commit.positions[topics.EVIDENCE])
                metrics.COMMITS.labels("localiser").inc()


def _join_key(partition: int) -> str:
    return f"join-{partition}"


def _count(partition: int, join: PartitionJoin, output: Output) -> None:
    metrics.ROWS_OPEN.labels(str(partition)).set(join.open_rows)
    metrics.WATERMARK.labels(str(partition)).set(join.watermark_us / 1e6)
    metrics.DIGESTS_JOINED.inc(output.digests_joined)
    if output.batches_missing:
        metrics.BATCHES_MISSING.inc(output.batches_missing)
        log.error("batches missing", partition=partition, batches=output.batches_missing)
    for letter in output.dead_letters:
        metrics.DEAD_LETTERS.labels(letter["topic"], letter["reason"]).inc()
        log.warning("dead letter", topic=letter["topic"], offset=letter["offset"], reason=letter["reason"])
    for head, _ in output.evidence:
        for verdict, count in head["verdicts"].items():
            metrics.PROBES.labels(verdict).inc(count)
        metrics.LATE_ROWS.labels("outcome").inc(head["late_outcomes"])
        metrics.LATE_ROWS.labels("digest").inc(head["late_digests"])
        metrics.DUPLICATES.inc(head["duplicates"])

"""One receiver at work: a thread that tells it what its outbox says, and remembers what it was told.

Receivers share nothing but the memory, so one that is down holds up no other.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from threading import Condition, Thread
from typing import Protocol

import structlog

from alerts.answers import Answer, Outcome, Poster, Unanswered, maybe_heard, outcome_of
from alerts.channel import Channel
from alerts.endings import Endings
from alerts.fault import Fault
from alerts.message import Message, Told
from alerts.metrics import AlertsMetrics
from alerts.outbox import Outbox

_log = structlog.get_logger(__name__)

#: How often the position is stored, if it has changed, and what is over is forgotten, s.
SETTLE_EVERY_S = 5.0
#: What is about to be told is stored first; the broker has so long for it, s.
STORE_TIMEOUT_S = 10.0
_TEXT_SHOWN = 200


class Keeper(Protocol):
    """Stores what a receiver was told, see alerts.memory.Memory."""

    def told(self, receiver: str, told: Sequence[Told]) -> None: ...

    def position(self, receiver: str, position: int) -> None: ...

    def forget(self, receiver: str, told: Sequence[Told]) -> None: ...

    def flush(self, timeout_s: float) -> bool: ...


class Receiver:
    """See the module. `clock_s`: time that only goes forward; `now_us`: us since 1970."""

    def __init__(
        self,
        name: str,
        channel: Channel,
        outbox: Outbox,
        poster: Poster,
        memory: Keeper,
        metrics: AlertsMetrics,
        *,
        clock_s: Callable[[], float] = time.monotonic,
        now_us: Callable[[], int] = lambda: time.time_ns() // 1_000,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self.name = name
        self.error: Exception | None = None  # what ended its thread
        self._channel, self._outbox, self._poster = channel, outbox, poster
        self._memory, self._metrics = memory, metrics
        self._clock_s, self._now_us, self._draw = clock_s, now_us, draw
        self._endings = Endings()
        self._changed = Condition()
        self._is_stopping = False
        self._settled_at_s = clock_s()
        self._position_stored: int | None = None
        self._resend_at_s = clock_s()
        self._thread = Thread(target=self._run, name=f"alerts-{name}", daemon=True)

    # -- called by the reader of the topic ---------------------------------------------------------

    def take(self, fault: Fault | None, offset: int) -> None:
        """The next event; None: a message that says nothing new."""
        with self._changed:
            if fault is None:
                self._outbox.skip(offset)
            else:
                self._outbox.take(fault, offset, self._clock_s())
            self._changed.notify()

    def caught_up(self, next_offset: int) -> None:
        """The whole topic has been read: begin."""
        with self._changed:
            self._outbox.caught_up(next_offset, self._clock_s())
        self._thread.start()

    def ask_to_stop(self) -> None:
        """End after the request that is under way."""
        with self._changed:
            self._is_stopping = True
            self._changed.notify()

    def stop(self) -> None:
        """End, and wait for it: at most as long as a request may take."""
        self.ask_to_stop()
        if self._thread.is_alive():
            self._thread.join()
        self._poster.close()

    @property
    def position(self) -> int | None:
        """Everything in the topic before it has been told; None: not known yet."""
        with self._changed:
            return self._outbox.position

    # -- its own thread ----------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            self._settle()
            while not self._is_stopping:
                self._step()
            self._settle()
        except Exception as error:
            # The process ends with it: the reader of the topic looks.
            self.error = error

    def _step(self) -> None:
        with self._changed:
            now_s = self._clock_s()
            messages = self._outbox.due(now_s, self._channel.messages_max)
            unsure = self._outbox.begin(messages)
        if messages:
            self._tell(messages, unsure)
        else:
            self._repeat()
        if self._clock_s() - self._settled_at_s >= SETTLE_EVERY_S:
            self._settle()
        self._wait()

    def _tell(self, messages: Sequence[Message], unsure: Sequence[Told]) -> None:
        self._memory.told(self.name, unsure)
        if not self._memory.flush(STORE_TIMEOUT_S):
            self._metrics.failures.labels(self.name, "not_remembered").inc()
            _log.warning("cannot_remember", receiver=self.name)
            with self._changed:
                self._outbox.failed(self._clock_s(), self._draw(), maybe_heard=False)
            return
        answer, was_heard = self._post(messages)
        outcome = Outcome.FAILED if answer is None else outcome_of(answer.status)
        if outcome is Outcome.REFUSED and len(messages) > 1:
            # One of them is the trouble; find out which.
            with self._changed:
                for message in messages:
                    self._outbox.undo(message, self._clock_s())
            for message in messages:
                with self._changed:
                    alone = self._outbox.begin([message])
                self._tell([message], alone)
            return
        with self._changed:
            now_s = self._clock_s()
            if outcome is Outcome.DELIVERED:
                told = [self._outbox.delivered(message, now_s) for message in messages]
            elif outcome is Outcome.REFUSED:
                self._outbox.refused(messages[0], now_s, self._draw())
            else:
                wait_s = answer.wait_s if answer is not None else 0.0
                self._outbox.failed(now_s, self._draw(), maybe_heard=was_heard, wait_s=wait_s)
        if outcome is Outcome.DELIVERED:
            self._memory.told(self.name, told)
            for message in messages:
                self._endings.note(message, now_s)
                self._metrics.delivered.labels(self.name, message.status).inc()

    def _repeat(self) -> None:
        """Tell again what is open, so that it does not expire, and what ended lately."""
        every_s, now_s = self._channel.resend_every_s, self._clock_s()
        with self._changed:
            may = every_s > 0 and now_s >= self._resend_at_s and not self._outbox.is_quiet(now_s)
            messages = self._outbox.open() if may else []
        if not may:
            return
        messages += self._endings.current(now_s)
        for at in range(0, len(messages), self._channel.messages_max):
            answer, _ = self._post(messages[at : at + self._channel.messages_max])
            if answer is None or outcome_of(answer.status) is Outcome.FAILED:
                with self._changed:
                    self._outbox.away(self._clock_s(), self._draw(), answer.wait_s if answer else 0.0)
                return
            with self._changed:
                self._outbox.heard_back()
        self._resend_at_s = now_s + every_s

    def _post(self, messages: Sequence[Message]) -> tuple[Answer | None, bool]:
        """The answer, None if there was none, and whether a failed request may have been heard."""
        request = self._channel.request(messages, self._now_us())
        started_s = self._clock_s()
        outcome = "none"
        try:
            answer = self._poster.post(request)
            outcome = outcome_of(answer.status).value
        except Unanswered as error:
            self._complain(error.reason)
            return None, error.maybe_heard
        finally:
            self._metrics.request_seconds.labels(self.name, outcome).observe(self._clock_s() - started_s)
        if outcome_of(answer.status) is not Outcome.DELIVERED:
            self._complain(str(answer.status), answer.text[:_TEXT_SHOWN])
        return answer, maybe_heard(answer.status)

    def _complain(self, reason: str, text: str = "") -> None:
        self._metrics.failures.labels(self.name, reason).inc()
        _log.warning("not_delivered", receiver=self.name, reason=reason, answer=text)

    def _settle(self) -> None:
        """Store the position, give up what is hopeless, forget what is over, show how things stand."""
        with self._changed:
            now_s = self._settled_at_s = self._clock_s()
            dropped = self._outbox.give_up(now_s)
            done = self._outbox.settle()
            position = self._outbox.position
            self._metrics.waiting.labels(self.name).set(self._outbox.waiting)
            self._metrics.oldest.labels(self.name).set(self._outbox.oldest_s(now_s))
            self._metrics.open.labels(self.name).set(len(self._outbox.open()))
        for message in dropped:
            self._metrics.given_up.labels(self.name).inc()
            _log.error("given_up", receiver=self.name, fault=message.fault.fault_id)
        self._memory.told(self.name, [message.told() for message in dropped])
        if position is not None and position != self._position_stored:
            self._memory.position(self.name, position)
            self._position_stored = position
        self._memory.forget(self.name, done)

    def _wait(self) -> None:
        """Until there is something to do."""
        with self._changed:
            now_s = self._clock_s()
            due_s = self._outbox.next_due_s()
            times = [self._settled_at_s + SETTLE_EVERY_S]
            if due_s is not None:
                times.append(due_s)
            if self._channel.resend_every_s:
                times.append(max(self._resend_at_s, self._outbox.quiet_until_s))
            wait_s = min(times) - now_s
            if wait_s > 0 and not self._is_stopping:
                self._changed.wait(wait_s)

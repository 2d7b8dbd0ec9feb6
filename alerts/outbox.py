"""What one receiver is to be told next: the difference between what is, and what it was told.

    box.take(fault, offset, now_s)      for every event of the topic, from its beginning
    box.caught_up(next_offset, now_s)   once, when the end is reached
    box.due(now_s)                      messages to send now; then
    box.begin(messages)                 what is to be stored before they are sent; then
    box.delivered(message, now_s)       for each of them, or box.failed(...), box.refused(message, ...)

The topic is compacted, so its events say of every fault how it stands. What the receiver was told is kept
beside (`Told`, stored in the topic `alerts-state` by the caller). So there is no queue that could lose or
reorder something: a fault that changed five times while the receiver was away is told once, as it is. Only
a fault that opened and ended meanwhile is told twice: that it fires, and that it is over.

Pure: time and randomness are arguments, and nothing is sent or stored here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from alerts.fault import Fault, Rule
from alerts.message import Identity, Message, Told, firing, forgotten, resolved
from alerts.patience import Patience


@dataclass(frozen=True, slots=True)
class Limits:
    """What an outbox allows itself."""

    give_up_after_s: float = 86_400.0  # of faults that are over; open ones are never given up
    waiting_max: int = 10_000  # faults that wait; of more, those that are over are given up, oldest first


@dataclass(frozen=True, slots=True)
class _Known:
    fault: Fault
    offset: int


@dataclass(slots=True)
class _Wait:
    since_s: float
    refusals: int = 0
    not_before_s: float = 0.0


class Outbox:
    """The outbox of one receiver. `told`, `position`: what is stored of earlier runs; position None: this
    receiver is new, and learns of the faults that are open, not of those that are over."""

    def __init__(
        self,
        rule: Rule,
        identity: Callable[[Fault], Identity],
        patience: Patience,
        limits: Limits,
        told: Iterable[Told] = (),
        position: int | None = None,
    ) -> None:
        self._rule = rule
        self._identity = identity
        self._patience = patience
        self._limits = limits
        self._told = {each.fault_id: each for each in told}
        self._begins_at = position
        self._is_ready = False
        self._next_offset = 0
        self._latest: dict[str, _Known] = {}  # of faults that are open, waiting, or believed to be open
        self._unheard: dict[str, _Known] = {}  # open, and the receiver has heard nothing of it yet
        self._waiting: dict[str, _Wait] = {}
        self._before: dict[str, Told | None] = {}  # of what is on its way: what was told before
        self._failures = 0
        self.quiet_until_s = 0.0  # the receiver is left alone so long

    # -- what is ----------------------------------------------------------------------------------

    def take(self, fault: Fault, offset: int, now_s: float) -> None:
        """An event of the topic, newer than all before of the same fault."""
        name, known = fault.fault_id, _Known(fault, offset)
        why_not = self._rule.why_not(fault)
        self._latest[name] = known
        self.skip(offset)
        told = self._told.get(name)
        if not why_not:
            is_old = self._begins_at is None or offset < self._begins_at
            # Of a message that may not have arrived, what came before it has.
            was_told = told is not None and (
                fault.version < told.version or (told.sure and (told.firing or fault.version == told.version))
            )
            if not (is_old or was_told):
                self._unheard[name] = known
        elif why_not != "resolved":
            # Somebody silenced it, or it is part of another: then nobody needs to hear that it had opened.
            self._unheard.pop(name, None)
        if self._is_ready:
            self._look(name, now_s)

    def skip(self, offset: int) -> None:
        """A message of the topic that says nothing new, or cannot be read."""
        self._next_offset = offset + 1

    def caught_up(self, next_offset: int, now_s: float) -> None:
        """The whole topic has been read. From now on there are messages."""
        self._is_ready = True
        self._next_offset = next_offset
        # Of a new receiver, and of a topic that was made anew, everything so far is the past.
        if self._begins_at is None or self._begins_at > next_offset:
            self._begins_at = next_offset
        for name in [*self._latest, *self._told]:
            self._look(name, now_s)

    # -- what is to be told --------------------------------------------------------------------------

    def due(self, now_s: float, messages_max: int = 1) -> list[Message]:
        """What is to be sent now, at most one message of each fault, oldest events first."""
        if not self._is_ready or self.is_quiet(now_s):
            return []
        heads = [
            head
            for name, wait in self._waiting.items()
            if wait.not_before_s <= now_s and (head := self._head(name)) is not None
        ]
        return sorted(heads, key=lambda head: head.offset)[:messages_max]

    def next_due_s(self) -> float | None:
        """When `due` will have something, as things are; None: when something happens."""
        if not self._is_ready or not self._waiting:
            return None
        return max(self.quiet_until_s, min(wait.not_before_s for wait in self._waiting.values()))

    def begin(self, messages: Sequence[Message]) -> list[Told]:
        """These are about to be sent. Returns what is to be stored first: if this process is killed on the
        way, or no answer comes, the receiver may know of them or not, and is told again."""
        unsure = [message.told(sure=False) for message in messages]
        for told in unsure:
            self._before[told.fault_id] = self._told.get(told.fault_id)
            self._told[told.fault_id] = told
        return unsure

    def delivered(self, message: Message, now_s: float) -> Told:
        """The receiver has it. Returns what is to be stored."""
        told, name = message.told(), message.fault.fault_id
        self._told[name] = told
        unheard = self._unheard.get(name)
        if unheard is not None and message.firing and unheard.fault.version <= message.fault.version:
            del self._unheard[name]
        known = self._latest.get(name)
        if not told.firing and known is not None and not self._rule.why_not(known.fault):
            # It came back while that was on its way; should it end again soon, that is news too.
            self._unheard[name] = known
        self._before.pop(name, None)
        self._waiting.pop(name, None)
        self._look(name, now_s)
        self.heard_back()
        return told

    def heard_back(self) -> None:
        """The receiver answers."""
        self._failures, self.quiet_until_s = 0, 0.0

    def failed(self, now_s: float, random: float, *, maybe_heard: bool, wait_s: float = 0.0) -> None:
        """The receiver could not be told of anything that was on its way. `maybe_heard`: it may have been, as
        when no answer came. `wait_s`: how long it wants to be left alone."""
        for name in list(self._before):
            self._not_told(name, maybe_heard, now_s)
        self.away(now_s, random, wait_s)

    def away(self, now_s: float, random: float, wait_s: float = 0.0) -> None:
        """Leave the receiver alone for a while."""
        self._failures += 1
        self.quiet_until_s = now_s + max(wait_s, self._patience.wait_s(self._failures, random))

    def is_quiet(self, now_s: float) -> bool:
        """Whether the receiver is being left alone."""
        return now_s < self.quiet_until_s

    def undo(self, message: Message, now_s: float) -> None:
        """It did not get the message after all, and nothing is the matter with it."""
        self._not_told(message.fault.fault_id, False, now_s)

    def refused(self, message: Message, now_s: float, random: float) -> None:
        """The receiver does not want this very message. It is tried again, but holds up no other."""
        self._not_told(message.fault.fault_id, False, now_s)
        wait = self._waiting.get(message.fault.fault_id)
        if wait is not None:
            wait.refusals += 1
            wait.not_before_s = now_s + self._patience.wait_s(wait.refusals, random)

    def give_up(self, now_s: float) -> list[Message]:
        """Drop what is over and could not be told for too long, or is too much. Returns what was dropped;
        what is to be stored is that the receiver was told of the end."""
        over = [name for name in self._waiting if name not in self._before and self._is_over(name)]
        over.sort(key=lambda name: self._waiting[name].since_s)
        excess = len(self._waiting) - self._limits.waiting_max
        dropped = []
        for number, name in enumerate(over):
            if number >= excess and now_s - self._waiting[name].since_s < self._limits.give_up_after_s:
                break
            head = self._head(name)
            assert head is not None, "it waits"
            end = replace(head, firing=False, reason="given_up")
            dropped.append(end)
            self._unheard.pop(name, None)
            self._told[name] = end.told()
            self._look(name, now_s)
        return dropped

    # -- what is open ------------------------------------------------------------------------------

    def open(self) -> list[Message]:
        """What the receiver rightly believes to be open, with the newest content."""
        return [
            Message(known.fault, known.offset, True, "", told.identity, known.fault.starts_at_us)
            for name, told in self._told.items()
            if told.firing and name not in self._waiting and (known := self._latest.get(name)) is not None
        ]

    # -- how far it has got ------------------------------------------------------------------------

    @property
    def position(self) -> int | None:
        """Everything before this offset has been told, or need not be. None: not known yet. It never goes
        back, also not over a restart."""
        if not self._is_ready or self._begins_at is None:
            return None
        offsets = [known.offset for name in self._waiting for known in self._knowns(name)]
        return max(self._begins_at, min(offsets, default=self._next_offset))

    @property
    def waiting(self) -> int:
        """Faults about which the receiver has something to hear."""
        return len(self._waiting)

    def oldest_s(self, now_s: float) -> float:
        """How long the oldest of them has been waiting, s; 0: none."""
        return max((now_s - wait.since_s for wait in self._waiting.values()), default=0.0)

    def settle(self) -> list[Told]:
        """Forget what was told of faults that are over and dealt with; returns what need not be stored any
        longer once the position has been."""
        position = self.position
        if position is None:
            return []
        done = [
            told
            for told in self._told.values()
            if not told.firing and told.sure and told.offset < position and told.fault_id not in self._latest
        ]
        for told in done:
            del self._told[told.fault_id]
        return done

    # -- the rules ---------------------------------------------------------------------------------

    def _head(self, name: str) -> Message | None:
        """The next message about a fault."""
        told, known = self._told.get(name), self._latest.get(name)
        believed = told if told is not None and (told.firing or not told.sure) else None
        if known is None:
            return forgotten(believed) if believed is not None else None
        why_not = self._rule.why_not(known.fault)
        if not why_not:
            identity = self._identity(known.fault)
            if believed is not None and believed.sure and dict(believed.identity) == dict(identity):
                return None
            return firing(known.fault, known.offset, identity, believed)
        unheard = self._unheard.get(name)
        if unheard is not None and (believed is None or not believed.sure):
            return firing(unheard.fault, unheard.offset, self._identity(unheard.fault), believed)
        return resolved(known.fault, known.offset, why_not, believed) if believed is not None else None

    def _look(self, name: str, now_s: float) -> None:
        """See anew whether there is something to be told about a fault."""
        if self._head(name) is not None:
            self._waiting.setdefault(name, _Wait(now_s))
            return
        if name in self._before:
            return  # what is on its way may change what there is to tell
        self._waiting.pop(name, None)
        self._unheard.pop(name, None)
        told = self._told.get(name)
        if self._is_over(name) and (told is None or not told.firing):
            self._latest.pop(name, None)

    def _not_told(self, name: str, maybe_heard: bool, now_s: float) -> None:
        before = self._before.pop(name, None)
        if not maybe_heard:
            self._told.pop(name, None)
            if before is not None:
                self._told[name] = before
        self._look(name, now_s)

    def _is_over(self, name: str) -> bool:
        known = self._latest.get(name)
        return known is None or bool(self._rule.why_not(known.fault))

    def _knowns(self, name: str) -> list[_Known]:
        return [each[name] for each in (self._unheard, self._latest) if name in each]

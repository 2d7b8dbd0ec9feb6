"""One order for the messages of two logs.

The join reads two topics. Which of them is fetched faster is chance, and chance must not decide
whether a row is late. So the messages of a partition pair are consumed in one order that the logs
themselves fix: by Kafka timestamp (its running maximum, since producers' clocks may step back),
then by topic. The head of one log is consumed only when the head of the other is known. A log that
has fallen silent would hold the other up; the shell then appends a tick to it (`schemas.batch.tick`),
so that the passing of time is in the log too and a replay sees exactly what the live run saw.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class LogMessage:
    """A message as it was read. `side` is 0 or 1: which of the two logs."""

    side: int
    offset: int
    timestamp_ms: int
    value: bytes | None


@dataclass(slots=True)
class LogMerge:
    """Deterministic two-way merge. `log_time_ms` is the running maximum of timestamps per side."""

    log_time_ms: list[int] = field(default_factory=lambda: [-1, -1])
    _queues: tuple[deque[LogMessage], deque[LogMessage]] = field(default_factory=lambda: (deque(), deque()))
    _bytes: list[int] = field(default_factory=lambda: [0, 0])

    def offer(self, message: LogMessage) -> None:
        """Add the next message of one log; offsets of a log must come in order."""
        queue = self._queues[message.side]
        if queue and message.offset <= queue[-1].offset:
            raise ValueError(f"offset {message.offset} after {queue[-1].offset} on side {message.side}")
        queue.append(message)
        self._bytes[message.side] += len(message.value or b"")

    def drain(self) -> Iterator[LogMessage]:
        """Messages whose place in the order is certain, each with its effective timestamp."""
        left, right = self._queues
        while left and right:
            times = (self._effective(left[0]), self._effective(right[0]))
            side = 0 if times[0] <= times[1] else 1
            message = self._queues[side].popleft()
            self._bytes[side] -= len(message.value or b"")
            self.log_time_ms[side] = times[side]
            yield LogMessage(side, message.offset, times[side], message.value)

    def waiting_for(self) -> int | None:
        """The side whose next message is needed to go on, or None if nothing waits."""
        left, right = self._queues
        if left and not right:
            return 1
        if right and not left:
            return 0
        return None

    def queued(self, side: int) -> int:
        """Messages of one side that wait for the other."""
        return len(self._queues[side])

    def queued_bytes(self, side: int) -> int:
        """Size of these messages."""
        return self._bytes[side]

    def _effective(self, message: LogMessage) -> int:
        return max(message.timestamp_ms, self.log_time_ms[message.side])

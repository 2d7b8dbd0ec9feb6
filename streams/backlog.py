"""Messages that have been consumed but are not done with, and the newest point to go on from without them."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any

#: A checkpoint, from which a new owner can go on, is taken every so many messages.
CHECKPOINT_EVERY = 16


@dataclass(frozen=True, slots=True)
class Commit:
    """Everything before these offsets is done with, once `state` is safely stored."""

    positions: dict[str, int]
    log_time_ms: int
    watermark_us: int
    state: bytes


@dataclass(slots=True)
class _Message:
    release_us: int
    checkpoint: dict[str, Any] | None


@dataclass(slots=True)
class Backlog:
    """Consumed messages in their order. A checkpoint is the state just before a message."""

    _messages: deque[_Message] = field(default_factory=deque)
    _since_checkpoint: int = -1  # -1: none has been taken yet

    def wants_checkpoint(self) -> bool:
        """Whether the next message should bring a checkpoint; ask once for each message."""
        self._since_checkpoint += 1
        if 0 < self._since_checkpoint < CHECKPOINT_EVERY:
            return False
        self._since_checkpoint = 0
        return True

    def add(self, release_us: int, checkpoint: dict[str, Any] | None) -> None:
        """A message that is done with once all slots up to `release_us` have been published."""
        self._messages.append(_Message(release_us, checkpoint))

    def hold_until(self, release_us: int) -> None:
        """None of the messages is done with sooner than that."""
        for message in self._messages:
            message.release_us = max(message.release_us, release_us)

    def release(self, done_us: int) -> dict[str, Any] | None:
        """The newest checkpoint before which every message is done with, if there is a new one."""
        found: dict[str, Any] | None = None
        drop = 0
        for i, message in enumerate(self._messages):
            if message.checkpoint is not None and i > 0:
                found, drop = message.checkpoint, i
            if message.release_us >= done_us:
                break
        for _ in range(drop):
            self._messages.popleft()
        return found

"""A log is read without holes: what comes next, and when to ask for what was passed over.

Faust may pass messages over when partitions change hands: a fetch under way across the reassignment
brings messages from the old position, and those before them, read again from the committed one, are
then taken for old and dropped (`Consumer.getmany` and `_drain_messages` of faust-streaming 0.15.3). Offsets
show it. A message that comes too early is refused, and the log is asked for again from where it is due.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

#: A log is asked again after so long; what was fetched before the question is still on its way meanwhile.
ASK_EVERY_S = 1.0
#: After so many questions in vain the messages do not exist: offsets of transactions, for example.
ASKS_MAX = 10


@dataclass(slots=True)
class LogOrder:
    """The place in one log. `position`: where its reader stands; what comes before that is read again
    after a restart, only to be acknowledged. `next_offset`: the message that is due."""

    position: int
    next_offset: int = field(init=False)
    asked_at_s: float = -math.inf
    asked: int = 0

    def __post_init__(self) -> None:
        self.next_offset = self.position

    @property
    def has_hole(self) -> bool:
        """Whether a message has been refused and the one that is due has not come since."""
        return self.asked > 0

    def take(self, offset: int) -> bool:
        """Whether this message may be taken in: not if it comes too early, or has been taken in already."""
        if offset == self.next_offset:
            self.next_offset += 1
            self.asked = 0
            return True
        return offset < self.position

    def may_ask(self, now_s: float) -> bool:
        """Whether it is time to ask for the message that is due."""
        return now_s - self.asked_at_s >= ASK_EVERY_S

    def ask(self, now_s: float) -> None:
        """Take note of a question."""
        self.asked += 1
        self.asked_at_s = now_s

    def pass_over(self, offset: int) -> int:
        """Go on at `offset`; returns how many messages are given up."""
        missing = offset - self.next_offset
        self.next_offset, self.asked = offset, 0
        return missing

"""Which slots of event time are complete, as a function of the watermark alone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from streams.watermark import NO_WATERMARK_US

NO_SLOT = -(2**62)
#: After a longer pause, in slots, only those with content and the last one are published.
EMPTY_RUN_MAX = 240


@dataclass(frozen=True, slots=True)
class DueSlot:
    """A slot that is complete, and the sources that were silent when it became so."""

    slot: int
    silent: tuple[str, ...]


@dataclass(slots=True)
class SlotClock:
    """Slots up to `due_slot` are complete; those up to `done_slot` have been published."""

    slot_us: int
    closing_us: int
    due_slot: int = NO_SLOT
    done_slot: int = NO_SLOT
    _runs: list[tuple[int, int, tuple[str, ...]]] = field(default_factory=list)

    def slot_of(self, time_us: int) -> int:
        return time_us // self.slot_us

    def is_done(self, slot: int) -> bool:
        """Published already, perhaps before a restart."""
        return slot <= self.done_slot

    @property
    def done_us(self) -> int:
        """Rows before this time are done with."""
        return NO_WATERMARK_US if self.done_slot == NO_SLOT else (self.done_slot + 1) * self.slot_us

    def advance(self, watermark_us: int, silent: tuple[str, ...]) -> None:
        """Take note of the watermark after one message."""
        if watermark_us <= NO_WATERMARK_US:
            return
        complete = self._complete(watermark_us)
        # At the first watermark the run begins before all time: whatever was read is in it.
        if complete > self.due_slot:
            self._runs.append((self.due_slot + 1, complete, silent))
            self.due_slot = complete

    def take_due(self, filled: Iterable[int]) -> list[DueSlot]:
        """Slots that became complete since the last call, in order; marks them published.

        `filled`: slots that have content."""
        due: list[DueSlot] = []
        for first, last, silent in self._runs:
            start = max(first, self.done_slot + 1)
            if last - first < EMPTY_RUN_MAX:
                due += [DueSlot(slot, silent) for slot in range(start, last + 1)]
            elif start <= last:
                due += [DueSlot(slot, silent) for slot in sorted({*filled, last}) if start <= slot <= last]
            self.done_slot = max(self.done_slot, last)
        self._runs.clear()
        return due

    def restore(self, done_slot: int, watermark_us: int) -> None:
        """Go on where a Commit stands: slots up to `done_slot` are not published again."""
        self.done_slot = done_slot
        if watermark_us > NO_WATERMARK_US:
            self.due_slot = self._complete(watermark_us)

    def _complete(self, watermark_us: int) -> int:
        return (watermark_us - self.closing_us) // self.slot_us - 1

"""How far event time has come: the minimum of what the live sources promise.

Everything here is a function of the messages in their merged order, never of a clock.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from schemas.batch import Envelope

#: A source without a message for so much log time leaves the minimum.
SILENT_AFTER_MS = 10_000
#: A source whose promise lags so far behind the most advanced one leaves the minimum; this bounds
#: what has to be kept open for it.
LAG_MAX_US = 30_000_000
#: A promise or a row so far ahead of log time is refused: one wild clock must not close everything.
#: Less than LAG_MAX_US, or one source ahead would turn all others into laggards.
AHEAD_MAX_US = 20_000_000
#: Silent or ended sources are forgotten after so much log time.
FORGET_AFTER_MS = 600_000

NO_WATERMARK_US = -(2**62)
_OUTCOMES = 0  # side


@dataclass(slots=True)
class Source:
    """What is known of one producer on one side of one partition."""

    epoch: int
    next_sequence: int
    low_watermark_us: int
    seen_at_ms: int
    ended: bool


@dataclass(slots=True)
class Watermark:
    """Sources of both sides and the watermark they give. Mutable; `snapshot`/`restore` round-trip."""

    sources: dict[tuple[int, str], Source] = field(default_factory=dict)
    log_time_ms: int = -1
    started_at_ms: int = -1
    watermark_us: int = NO_WATERMARK_US
    #: Side that has had a source at least once.
    seen_side: list[bool] = field(default_factory=lambda: [False, False])
    #: A Prober tells of a probe when this time has passed since sending it, at the latest. So its promise
    #: about send times means that, measured as collectors measure, it is so much further.
    timeout_us: int = 0

    def advance_log_time(self, timestamp_ms: int) -> None:
        """Log time goes on with every message, readable or not."""
        self.log_time_ms = max(self.log_time_ms, timestamp_ms)
        if self.started_at_ms < 0:
            self.started_at_ms = timestamp_ms

    def accept(self, side: int, envelope: Envelope) -> str | None:
        """Take note of a batch. Returns None, or why its rows must not be used (`duplicate_batch`).

        A gap in the sequence is no reason to refuse the rows; it is counted by the caller through
        `gap_before`.
        """
        key = (side, envelope.source)
        known = self.sources.get(key)
        if known is not None and envelope.epoch == known.epoch and envelope.sequence < known.next_sequence:
            return "duplicate_batch"
        self.seen_side[side] = True
        if known is not None and envelope.epoch < known.epoch:
            return None  # left over from before a restart: the rows count, the promise is obsolete
        self.sources[key] = Source(
            epoch=envelope.epoch,
            next_sequence=envelope.sequence + 1,
            low_watermark_us=envelope.low_watermark_us,
            seen_at_ms=self.log_time_ms,
            ended=envelope.ends,
        )
        return None

    def gap_before(self, side: int, envelope: Envelope) -> int:
        """Batches of this source that are missing before this one; ask before `accept`."""
        known = self.sources.get((side, envelope.source))
        if known is None or known.epoch != envelope.epoch:
            return 0
        return max(0, envelope.sequence - known.next_sequence)

    def update(self) -> int:
        """The watermark after the last message, us; it never goes back."""
        self._forget()
        promises = [
            s.low_watermark_us + (self.timeout_us if side == _OUTCOMES else 0) for side, s in self._live()
        ]
        if promises and self._all_sides_known():
            newest = max(promises)
            promise = min(p for p in promises if p >= newest - LAG_MAX_US)
            self.watermark_us = max(self.watermark_us, promise)
        return self.watermark_us

    def nobody_left(self) -> bool:
        """Every source known has ended or fallen silent: nothing more is to be waited for."""
        return bool(self.sources) and self._all_sides_known() and not self._live()

    def silent(self) -> tuple[str, ...]:
        """Names of the sources that stopped without saying so, sorted."""
        return tuple(
            sorted(name for (_, name), s in self.sources.items() if not s.ended and not self._fresh(s))
        )

    def _live(self) -> list[tuple[int, Source]]:
        return [(side, s) for (side, _), s in self.sources.items() if not s.ended and self._fresh(s)]

    def _fresh(self, source: Source) -> bool:
        return self.log_time_ms - source.seen_at_ms <= SILENT_AFTER_MS

    def _all_sides_known(self) -> bool:
        """A topic from which nothing has come yet is waited for like a source."""
        return all(self.seen_side) or self.log_time_ms - self.started_at_ms > SILENT_AFTER_MS

    def _forget(self) -> None:
        old = [k for k, s in self.sources.items() if self.log_time_ms - s.seen_at_ms > FORGET_AFTER_MS]
        for key in old:
            del self.sources[key]

    def snapshot(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "sources": [
                [side, name, s.epoch, s.next_sequence, s.low_watermark_us, s.seen_at_ms, s.ended]
                for (side, name), s in sorted(self.sources.items())
            ],
            "log_time_ms": self.log_time_ms,
            "started_at_ms": self.started_at_ms,
            "watermark_us": self.watermark_us,
            "seen_side": list(self.seen_side),
        }

    @classmethod
    def restore(cls, values: dict[str, Any], timeout_us: int = 0) -> Watermark:
        """Reverse of `snapshot`."""
        return cls(
            sources={(side, name): Source(*rest) for side, name, *rest in values["sources"]},
            log_time_ms=values["log_time_ms"],
            started_at_ms=values["started_at_ms"],
            watermark_us=values["watermark_us"],
            seen_side=list(values["seen_side"]),
            timeout_us=timeout_us,
        )

"""Evidence of all input partitions, put together slot by slot.

A slot is complete when every partition has reported it or a later one. A partition from which
nothing came for GIVEN_UP_AFTER_MS of log time is not waited for.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from schemas.rows import EVIDENCE

#: Longer than a partition takes to find a new worker after a crash, start and catching up included:
#: what is decided without it is decided otherwise by a replay.
GIVEN_UP_AFTER_MS = 60_000

_NATIVE = EVIDENCE.dtype.newbyteorder("=")


@dataclass(frozen=True, slots=True)
class WholeSlot:
    """One slot over all partitions. `heads`: of its messages, in the order of partitions; `parts`: their
    EVIDENCE rows."""

    slot_us: int
    slot_length_us: int
    decided_at_us: int
    heads: tuple[dict[str, Any], ...]
    parts: tuple[np.ndarray, ...]

    dtype: ClassVar[np.dtype[np.void]] = EVIDENCE.dtype

    @property
    def rows(self) -> NDArray[np.void]:
        """EVIDENCE fields in native order, one row a link and leg."""
        return _sum_rows(list(self.parts))

    @property
    def examples(self) -> list[dict[str, Any]]:
        return [example for head in self.heads for example in head["examples"]]

    @property
    def silent_sources(self) -> tuple[str, ...]:
        return tuple(sorted({s for head in self.heads for s in head["silent_sources"]}))

    @property
    def damaged(self) -> list[tuple[int, int]]:
        """Switches (nodes) whose mirrors damaged copies, and how many."""
        exporters = (e for head in self.heads for e in head["exporters"])
        return [(e["switch"], e["damaged"]) for e in exporters if e.get("damaged")]

    def table(self, name: str) -> list[bytes]:
        """A mapped array of the heads (see schemas.rows.EVIDENCE_TABLES), of each partition."""
        return [head.get(name, b"") for head in self.heads]


@dataclass(slots=True)
class SlotAlignment:
    """Holds evidence until its slot is complete. JSON-able through `snapshot`/`restore`."""

    partitions: int
    reached_us: dict[int, int] = field(default_factory=dict)
    seen_at_ms: dict[int, int] = field(default_factory=dict)
    done_us: int = -(2**62)
    log_time_ms: int = -1
    started_at_ms: int = -1
    _parts: dict[int, list[tuple[dict[str, Any], np.ndarray]]] = field(default_factory=dict)
    late: int = 0

    def offer(
        self, head: dict[str, Any], rows: np.ndarray, timestamp_ms: int, *, again: bool = False
    ) -> None:
        """Add what one partition says about one slot. `again`: it is read a second time, after a
        restart; then it says nothing new about who is alive."""
        partition, slot_us = head["partition"], head["slot_us"]
        if not again:
            self.log_time_ms = max(self.log_time_ms, timestamp_ms)
            if self.started_at_ms < 0:
                self.started_at_ms = timestamp_ms
            self.seen_at_ms[partition] = self.log_time_ms
        if slot_us <= self.done_us:
            self.late += 1  # said again after a restart, or by a partition that was given up
            return
        parts = self._parts.setdefault(slot_us, [])
        if all(known["partition"] != partition for known, _ in parts):
            parts.append((head, rows))
        self.reached_us[partition] = max(self.reached_us.get(partition, slot_us), slot_us)

    def complete(self) -> Iterator[WholeSlot]:
        """Slots that are complete now, oldest first."""
        limit = self._limit_us()
        for slot_us in sorted(s for s in self._parts if s <= limit):
            parts = sorted(self._parts.pop(slot_us), key=lambda part: part[0]["partition"])
            self.done_us = slot_us
            yield WholeSlot(
                slot_us=slot_us,
                slot_length_us=parts[0][0]["slot_length_us"],
                decided_at_us=max(head["watermark_us"] for head, _ in parts),
                heads=tuple(head for head, _ in parts),
                parts=tuple(rows for _, rows in parts),
            )

    def _limit_us(self) -> int:
        live = [p for p, seen in self.seen_at_ms.items() if self.log_time_ms - seen <= GIVEN_UP_AFTER_MS]
        everyone = len(self.seen_at_ms) >= self.partitions
        if not live or not (everyone or self.log_time_ms - self.started_at_ms > GIVEN_UP_AFTER_MS):
            return -(2**62)
        return min(self.reached_us.get(p, -(2**62)) for p in live)

    def snapshot(self) -> dict[str, Any]:
        """Plain values; what is held is read again from the log."""
        return {
            "seen_at_ms": sorted(self.seen_at_ms.items()),
            "reached_us": sorted(self.reached_us.items()),
            "done_us": self.done_us,
            "log_time_ms": self.log_time_ms,
            "started_at_ms": self.started_at_ms,
        }

    @classmethod
    def restore(cls, partitions: int, values: dict[str, Any]) -> SlotAlignment:
        """Reverse of `snapshot`."""
        return cls(
            partitions,
            dict(values["reached_us"]),
            dict(values["seen_at_ms"]),
            values["done_us"],
            values["log_time_ms"],
            values["started_at_ms"],
        )


def _sum_rows(parts: list[np.ndarray]) -> NDArray[np.void]:
    rows = np.concatenate([part.astype(_NATIVE) for part in parts])
    keys = ["from_node", "to_node", "leg"]
    order = np.lexsort([rows[k] for k in reversed(keys)])
    rows = rows[order]
    if not len(rows):
        return rows
    new = np.append(True, np.any([rows[k][1:] != rows[k][:-1] for k in keys], axis=0))
    starts = np.flatnonzero(new)
    out: NDArray[np.void] = rows[starts]
    for name in ("passed", "lost", "altered", "mirror_missing"):
        out[name] = np.add.reduceat(rows[name], starts)
    return out

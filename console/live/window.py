"""The state of links: evidence of the last seconds of event time, summed up per direction of a cable.
Pure."""

from __future__ import annotations

import base64
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from console.layout import Layout
from console.models import LinksNow

#: passed, lost, altered, missing.
_COLUMNS = ("passed", "lost", "altered", "mirror_missing")
#: More bad links than that are a broken fabric, and no page can show them one by one: the worst are listed.
BAD_MAX = 5_000
#: Slots this far ahead of all others are a producer's clock gone wrong, not the present.
_AHEAD_MAX_US = 60_000_000


@dataclass(frozen=True, slots=True)
class _Slot:
    directions: NDArray[np.int32]
    counts: NDArray[np.int64]  # i8[n, 4]
    probes: int
    verdicts: dict[str, int]
    length_us: int


class LinksWindow:
    """Sums over the window that ends with the newest slot. One thread."""

    def __init__(self, layout: Layout, window_us: int) -> None:
        self._layout = layout
        self._window_us = window_us
        self._sums = np.zeros((2 * layout.cables, len(_COLUMNS)), dtype=np.int64)
        self._slots: dict[tuple[int, int], _Slot] = {}
        self._oldest_us = 0
        self.probes = 0
        self.verdicts: Counter[str] = Counter()
        #: End of the newest slot, us since 1970; 0: nothing came yet.
        self.at_us = 0

    def take(self, head: dict[str, Any], rows: NDArray[np.void]) -> bool:
        """Add the evidence of one slot and input partition; what was said before counts once. Returns
        whether it is in the window."""
        key = (int(head["slot_us"]), int(head["partition"]))
        end_us = key[0] + int(head["slot_length_us"])
        if key[1] < 0 or key in self._slots or end_us <= self.at_us - self._window_us:
            return False
        if self.at_us and end_us > self.at_us + _AHEAD_MAX_US:
            self._forget_all()  # a new run, or an outage: what was before says nothing of now
        slot = self._slot(head, rows)
        self._slots[key] = slot
        np.add.at(self._sums, slot.directions, slot.counts)
        self.probes += slot.probes
        self.verdicts.update(slot.verdicts)
        if end_us > self.at_us:
            self.at_us = end_us
            self._expire()
        return True

    def _slot(self, head: dict[str, Any], rows: NDArray[np.void]) -> _Slot:
        directions = self._layout.direction_of(
            rows["from_node"].astype(np.int32), rows["to_node"].astype(np.int32)
        )
        between = np.flatnonzero(directions >= 0)
        counts = np.stack([rows[name][between].astype(np.int64) for name in _COLUMNS], axis=1)
        return _Slot(
            directions[between],
            counts,
            int(head["probes"]),
            dict(head["verdicts"]),
            int(head["slot_length_us"]),
        )

    def _expire(self) -> None:
        start_us = self.at_us - self._window_us
        for key in [key for key in self._slots if key[0] < start_us]:
            slot = self._slots.pop(key)
            np.subtract.at(self._sums, slot.directions, slot.counts)
            self.probes -= slot.probes
            self.verdicts.subtract(slot.verdicts)

    def _forget_all(self) -> None:
        self._slots.clear()
        self._sums[:] = 0
        self.probes = 0
        self.verdicts.clear()

    @property
    def spanned_us(self) -> int:
        """Event time that the window really holds: less than its length in the first seconds."""
        if not self._slots:
            return 0
        return self.at_us - min(slot_us for slot_us, _ in self._slots)

    def now(self) -> LinksNow:
        return links_now(self._sums, self.at_us, self._window_us)


def links_now(sums: NDArray[np.int64], at_us: int, window_us: int) -> LinksNow:
    """The answer for sums i8[2C, 4] (passed, lost, altered, missing)."""
    crossed = np.packbits((sums[:, :3].sum(axis=1) > 0), bitorder="little")
    wrong = np.flatnonzero((sums[:, 1] > 0) | (sums[:, 2] > 0))
    if len(wrong) > BAD_MAX:
        worst = np.argsort(-(sums[wrong, 1] + sums[wrong, 2]), kind="stable")[:BAD_MAX]
        wrong = np.sort(wrong[worst])
    bad = [
        (direction >> 1, direction & 1, *counts)
        for direction, counts in zip(wrong.tolist(), sums[wrong].tolist(), strict=True)
    ]
    return LinksNow(
        at_us=at_us, window_us=window_us, crossed=base64.b64encode(crossed.tobytes()).decode(), bad=bad
    )

"""Rows that wait for their slot to close: outcomes by slot, digests as they came.

Each digest is kept with the watermark that it found when it came: it is late if its probe was closed at
that watermark. That is a property of its place in the log, so it does not matter how many messages a
closing step takes in at once.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from schemas.rows import DIGEST, gather
from streams.hops import ProbeLookup
from streams.probes import Probes
from streams.settings import JoinSettings

I4 = NDArray[np.int32]
I8 = NDArray[np.int64]


@dataclass(slots=True)
class OpenOutcomes:
    """OUTCOME rows by the slot of their send time, in log order."""

    slot_us: int
    count: int = 0
    _rows: dict[int, list[np.ndarray]] = field(default_factory=dict)

    def add(self, rows: np.ndarray) -> None:
        """Append rows of any slots."""
        if not len(rows):
            return
        self.count += len(rows)
        slot_of = rows["sent_at_us"].astype(np.int64) // self.slot_us
        first, last = int(slot_of.min()), int(slot_of.max())
        for slot in [first] if first == last else np.unique(slot_of).tolist():
            mine = rows if first == last else gather(rows, slot_of == slot)
            self._rows.setdefault(slot, []).append(mine)

    def slots_until(self, last: int) -> list[int]:
        """Slots up to `last` that have rows, in order."""
        return sorted(slot for slot in self._rows if slot <= last)

    def take(self, slot: int) -> np.ndarray:
        """The rows of a slot, shape (n,); leaves none of them behind."""
        rows = _stacked(self._rows.pop(slot))
        self.count -= len(rows)
        return rows


@dataclass(slots=True)
class _Pile:
    """Digests that came between two closings, shape (n,), with the watermarks that they found. `ids`: the
    probes among them, sorted. `due_us`: when the first of them is given up."""

    rows: np.ndarray
    found_us: I8
    ids: I8
    due_us: int

    def keep(self, which: NDArray[np.bool_]) -> None:
        self.rows, self.found_us = gather(self.rows, which), self.found_us[which]


@dataclass(slots=True)
class OpenDigests:
    """DIGEST rows in piles, most of which hold nothing of the probes that close: those are not touched."""

    settings: JoinSettings
    count: int = 0
    _came: list[tuple[np.ndarray, int]] = field(default_factory=list)
    _piles: list[_Pile] = field(default_factory=list)

    def add(self, rows: np.ndarray, watermark_us: int) -> None:
        """Append rows that came when the watermark stood at `watermark_us`."""
        if len(rows):
            self._came.append((rows, watermark_us))
            self.count += len(rows)

    def take(self, probes: Probes) -> tuple[np.ndarray, I4]:
        """The digests of closing probes, shape (n,), and the row of the probe that each belongs to, i4[n];
        leaves none of them behind."""
        self._pile_up()
        lookup, ids = ProbeLookup(probes.probe_id), np.sort(probes.probe_id)
        taken, of = [np.empty(0, DIGEST.dtype)], [np.empty(0, np.int32)]
        for pile in self._piles:
            if not _meet(pile.ids, ids):
                continue
            joined = self._match(pile, lookup, probes)
            hit = joined >= 0
            taken.append(gather(pile.rows, hit))
            of.append(joined[hit])
            pile.keep(~hit)
        rows = _stacked(taken)
        self.count -= len(rows)
        return rows, np.concatenate(of)

    def give_up(self, last: int) -> I8:
        """Drop digests for which no probe can come any more once the slots up to `last` have closed;
        returns the slots, i8[n], in which they count as late."""
        self._pile_up()
        late = [np.empty(0, np.int64)]
        for pile in self._piles:
            if pile.due_us // self.settings.slot_us > last:
                continue
            due_us = self._due_us(pile.rows, pile.found_us)
            slot = due_us // self.settings.slot_us
            stays = slot > last
            late.append(slot[~stays])
            pile.keep(stays)
            pile.due_us = int(due_us[stays].min(initial=2**62))
        self._piles = [pile for pile in self._piles if len(pile.rows)]
        given_up = np.concatenate(late)
        self.count -= len(given_up)
        return given_up

    def _pile_up(self) -> None:
        if not self._came:
            return
        rows = _stacked([rows for rows, _ in self._came])
        found_us = np.repeat([found for _, found in self._came], [len(rows) for rows, _ in self._came])
        ids = np.sort(rows["probe_id"].astype(np.int64))
        ids = ids[np.append(True, ids[1:] != ids[:-1])]  # three times as fast as np.unique
        self._piles.append(_Pile(rows, found_us, ids, int(self._due_us(rows, found_us).min())))
        self._came = []

    def _due_us(self, rows: np.ndarray, found_us: I8) -> I8:
        return np.maximum(rows["observed_at_us"].astype(np.int64) + self.settings.skew_max_us, found_us)

    def _match(self, pile: _Pile, lookup: ProbeLookup, probes: Probes) -> I4:
        """The probe that each digest of a pile belongs to, i4[n], -1: none (yet, or no more)."""
        settings = self.settings
        joined = lookup(pile.rows["probe_id"].astype(np.int64))
        hit = np.flatnonzero(joined >= 0)
        sent = probes.sent_at_us[joined[hit]]
        after = pile.rows["observed_at_us"][hit].astype(np.int64) - sent
        belongs = (after >= -settings.skew_max_us) & (after <= settings.closing_us + settings.skew_max_us)
        belongs &= sent + settings.closing_us > pile.found_us[hit]  # else it came too late
        joined[hit[~belongs]] = -1
        return joined


def _meet(some: I8, others: I8) -> bool:
    """Whether two sorted columns share a value."""
    if not len(some) or not len(others):
        return False
    at = np.minimum(np.searchsorted(some, others), len(some) - 1)
    return bool((some[at] == others).any())


def _stacked(parts: list[np.ndarray]) -> np.ndarray:
    """All rows one after the other; as opaque items, which NumPy copies much faster."""
    dtype = parts[0].dtype
    return np.concatenate([part.view(np.dtype((np.void, dtype.itemsize))) for part in parts]).view(dtype)

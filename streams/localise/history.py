"""What crossed and what went wrong lately, to be asked for by place and time.

Traffic is kept per slot for a few seconds, and per block for longer; before that it is taken to have been
as usual, for Probers send at a steady pace. Losses are few, and kept singly.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from streams.localise.counts import SlotCounts, Spots

I4 = NDArray[np.int32]
I8 = NDArray[np.int64]
F8 = NDArray[np.float64]

#: Single slots are kept for so long.
FINE_US = 5_000_000
BLOCK_US = 2_500_000
BLOCKS = 8
#: Everything that `Traffic` says follows from the evidence of so much time.
HISTORY_US = BLOCK_US * (BLOCKS + 1) + FINE_US
#: Losses and alterations are remembered for so long.
LOG_US = 300_000_000
LOG_MAX = 20_000


@dataclass(slots=True)
class _Block:
    number: int
    length_us: int
    big: I8
    small: I8
    missing: I8


class Traffic:
    """Packets that passed each link. `links`: how many there are."""

    def __init__(self, links: int) -> None:
        self._links = links
        self._fine: deque[SlotCounts] = deque()
        self._blocks: deque[_Block] = deque()
        self._usual: tuple[F8, F8] | None = None

    def add(self, counts: SlotCounts) -> None:
        """Take in a slot; slots come in order."""
        while self._fine and self._fine[0].slot_us <= counts.slot_us - FINE_US:
            self._fine.popleft()
        self._fine.append(counts)
        number = counts.slot_us // BLOCK_US
        if not self._blocks or self._blocks[-1].number != number:
            empty = [np.zeros(self._links, np.int64) for _ in range(3)]
            self._blocks.append(_Block(number, 0, *empty))
        while self._blocks[0].number < number - BLOCKS:
            self._blocks.popleft()
        block = self._blocks[-1]
        block.length_us += counts.length_us
        block.big[counts.links] += counts.big
        block.small[counts.links] += counts.small
        block.missing[counts.links] += counts.missing
        self._usual = None

    def passed(self, links: I4, since_us: int, until_us: int) -> tuple[F8, F8]:
        """Big and small packets that passed each of some links, about: i4[n] -> f8[n], f8[n]."""
        big, small = np.zeros(len(links)), np.zeros(len(links))
        known_us = 0
        if self._fine and since_us >= self._fine[0].slot_us:
            for counts in self._fine:
                if counts.slot_us >= since_us:
                    more = counts.passed_on(links)
                    big += more[0]
                    small += more[1]
            return big, small
        for block in self._blocks:
            if block.number >= since_us // BLOCK_US:
                big += block.big[links]
                small += block.small[links]
                known_us += block.length_us
        rest_us = until_us - since_us - known_us
        if rest_us > BLOCK_US:
            usual = self.usual()
            big += usual[0][links] * rest_us
            small += usual[1][links] * rest_us
        return big, small

    def usual(self) -> tuple[F8, F8]:
        """Big and small packets per us that pass each link: means over the blocks at hand. f8[L] twice."""
        if self._usual is None:
            length_us = max(1, sum(b.length_us for b in self._blocks))
            self._usual = (
                sum((b.big for b in self._blocks), np.zeros(self._links)) / length_us,
                sum((b.small for b in self._blocks), np.zeros(self._links)) / length_us,
            )
        return self._usual

    def before(self, links: I4, until_us: int) -> F8:
        """Packets per us that passed each link before a time; nan if nothing is known of then."""
        earlier = [b for b in self._blocks if (b.number + 1) * BLOCK_US <= until_us]
        length_us = sum(b.length_us for b in earlier)
        if not length_us:
            return np.full(len(links), np.nan)
        total = sum((b.big[links] + b.small[links] for b in earlier), np.zeros(len(links)))
        return np.asarray(total / length_us)

    def mirrored(self, since_us: int) -> tuple[I8, I8]:
        """Packets that came over each link and, of these, those without a copy: i8[L] twice."""
        passed, missing = np.zeros(self._links, np.int64), np.zeros(self._links, np.int64)
        if self._fine and since_us >= self._fine[0].slot_us:
            for counts in self._fine:
                if counts.slot_us >= since_us:
                    passed[counts.links] += counts.big + counts.small
                    missing[counts.links] += counts.missing
        else:
            for block in self._blocks:
                if block.number >= since_us // BLOCK_US:
                    passed += block.big + block.small
                    missing += block.missing
        return passed, missing


class TurnTraffic:
    """Packets from chip to chip, for as long as Traffic knows links."""

    def __init__(self) -> None:
        self._slots: deque[tuple[int, int, I8, I8]] = deque()

    def add(self, counts: SlotCounts) -> None:
        """Take in a slot."""
        while self._slots and self._slots[0][0] <= counts.slot_us - BLOCK_US * BLOCKS:
            self._slots.popleft()
        self._slots.append((counts.slot_us, counts.length_us, counts.turn, counts.turn_passed))

    def passed(self, turns: I8, since_us: int, until_us: int) -> F8:
        """Packets that took each of some turns (sorted), about: i8[n] -> f8[n]."""
        total = np.zeros(len(turns))
        known_us = 0
        for slot_us, length_us, turn, passed in self._slots:
            if slot_us >= since_us and len(turns):
                first, last = np.searchsorted(turn, (turns[0], turns[-1] + 1))
                mine = turn[first:last]
                at = np.minimum(np.searchsorted(turns, mine), len(turns) - 1)
                hit = turns[at] == mine
                total[at[hit]] += passed[first:last][hit]
                known_us += length_us
        rest_us = until_us - since_us - known_us
        if known_us and rest_us > BLOCK_US:
            total *= 1 + rest_us / known_us
        return total


@dataclass(slots=True)
class EventLog:
    """What went wrong, by slot, place (a cell or a turn) and leg, for LOG_US. Columns i8[n], by time."""

    slot_us: I8 = field(default_factory=lambda: np.empty(0, np.int64))
    place: I8 = field(default_factory=lambda: np.empty(0, np.int64))
    leg: I8 = field(default_factory=lambda: np.empty(0, np.int64))
    count: I8 = field(default_factory=lambda: np.empty(0, np.int64))

    def add(self, slot_us: int, place: I8, leg: NDArray[np.integer], count: I8) -> None:
        """Take in what a slot brought."""
        begin = int(np.searchsorted(self.slot_us, slot_us - LOG_US))
        begin = max(begin, len(self.slot_us) + len(place) - LOG_MAX)
        if not len(place) and not begin:
            return
        begin = min(max(begin, 0), len(self.slot_us))
        stamp = np.full(len(place), slot_us, np.int64)
        self.slot_us = np.concatenate([self.slot_us[begin:], stamp])
        self.place = np.concatenate([self.place[begin:], place])
        self.leg = np.concatenate([self.leg[begin:], leg.astype(np.int64)])
        self.count = np.concatenate([self.count[begin:], count])

    def add_spots(self, slot_us: int, spots: Spots) -> None:
        self.add(slot_us, spots.cell, spots.leg, spots.count)

    def since(self, since_us: int) -> Spots:
        """All from a time on, summed over time."""
        begin = int(np.searchsorted(self.slot_us, since_us))
        key, at = np.unique(self.place[begin:] << 2 | self.leg[begin:], return_inverse=True)
        count = np.bincount(at, self.count[begin:], len(key)).astype(np.int64)
        return Spots(key >> 2, (key & 3).astype(np.int8), count)

    def span(self, places: NDArray[np.integer], since_us: int) -> tuple[int, int]:
        """Slots of the first and the last of some places since a time; (-1, -1) if there is none."""
        begin = int(np.searchsorted(self.slot_us, since_us))
        hit = self.slot_us[begin:][np.isin(self.place[begin:], places)]
        return (int(hit[0]), int(hit[-1])) if len(hit) else (-1, -1)

    def forget(self, places: NDArray[np.integer]) -> None:
        """Drop what happened at some places."""
        keep = ~np.isin(self.place, places)
        self.slot_us, self.place = self.slot_us[keep], self.place[keep]
        self.leg, self.count = self.leg[keep], self.count[keep]

    def snapshot(self) -> list[list[int]]:
        """Plain values."""
        columns = (self.slot_us, self.place, self.leg, self.count)
        return [column.tolist() for column in columns]

    @classmethod
    def restore(cls, values: list[list[int]]) -> EventLog:
        """Reverse of `snapshot`."""
        return cls(*np.array(values, np.int64).reshape(4, -1))


def counted(spots: Spots, places: NDArray[np.integer]) -> I8:
    """Sum over legs at each of some places: i[n] -> i8[n]."""
    if not len(spots) or not len(places):
        return np.zeros(len(places), np.int64)
    key, at = np.unique(spots.cell, return_inverse=True)
    total = np.bincount(at, spots.count, len(key)).astype(np.int64)
    where = np.minimum(np.searchsorted(key, places), len(key) - 1)
    return np.where(key[where] == places, total[where], 0)

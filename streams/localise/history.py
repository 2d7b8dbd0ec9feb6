"""What crossed and what went wrong lately, to be asked for by place and time.

Traffic is kept per slot for some time; before that it is taken to have been alike, for Probers send at a
steady pace. Losses are few, and kept for longer.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from schemas.rows import Leg
from streams.localise.counts import SlotCounts, Spots
from streams.localise.terrain import Terrain

I4 = NDArray[np.int32]
I8 = NDArray[np.int64]
F8 = NDArray[np.float64]

#: Traffic is known slot by slot for so long; everything that `Traffic` says follows from the evidence of
#: so much time.
HISTORY_US = 25_000_000
#: A stretch of time that is no longer known slot by slot and is shorter than this is not made up for.
_UNKNOWN_MIN_US = 1_000_000
#: Losses and alterations are remembered for so long.
LOG_US = 300_000_000
LOG_MAX = 20_000
#: Events are over when none has come for this time, and for so many mean intervals.
OVER_MIN_US, OVER_INTERVALS = 250_000, 5


@dataclass(frozen=True, slots=True)
class _Slot:
    counts: SlotCounts
    came: I8  # i8[S], packets that came to each switch
    unseen: I8  # i8[S], of these, those without a copy


class Traffic:
    """Packets that passed each link, over the last HISTORY_US."""

    def __init__(self, terrain: Terrain) -> None:
        self._terrain = terrain
        self._slots: deque[_Slot] = deque()
        self.length_us = 0
        self._big = np.zeros(terrain.links, np.int64)
        self._small = np.zeros(terrain.links, np.int64)

    def add(self, counts: SlotCounts) -> None:
        """Take in a slot; slots come in order."""
        while self._slots and self._slots[0].counts.slot_us <= counts.slot_us - HISTORY_US:
            self._change(self._slots.popleft().counts, -1)
        self._change(counts, 1)
        to_row = self._terrain.to_row[counts.links]
        known = to_row >= 0
        switches = self._terrain.switches
        passed = counts.big + counts.small
        self._slots.append(
            _Slot(
                counts,
                np.bincount(to_row[known], passed[known], switches).astype(np.int64),
                np.bincount(to_row[known], counts.missing[known], switches).astype(np.int64),
            )
        )

    def _change(self, counts: SlotCounts, sign: int) -> None:
        self.length_us += sign * counts.length_us
        self._big[counts.links] += sign * counts.big
        self._small[counts.links] += sign * counts.small

    def passed(self, links: I4, since_us: int, until_us: int) -> tuple[F8, F8]:
        """Big and small packets that passed each of some links: i4[n] -> f8[n], f8[n]. What lies before
        the slots at hand is taken to have been as those of them are that lie between the two times."""
        big, small = np.zeros(len(links)), np.zeros(len(links))
        known_us = 0
        for slot in reversed(self._slots):
            if slot.counts.slot_us < since_us:
                break
            if slot.counts.slot_us >= until_us:
                continue
            more = slot.counts.passed_on(links)
            big += more[0]
            small += more[1]
            known_us += slot.counts.length_us
        rest_us = until_us - since_us - known_us
        if rest_us > _UNKNOWN_MIN_US:
            # What passed after that stretch of time may be the end of a fault, and says nothing of it.
            alike = (
                (big, small, known_us) if known_us else (self._big[links], self._small[links], self.length_us)
            )
            usual = rest_us / max(1, alike[2])
            big, small = big + alike[0] * usual, small + alike[1] * usual
        return big, small

    def before(self, links: I4, until_us: int) -> F8:
        """Packets per us that passed each link in the slots before a time: i4[n] -> f8[n], nan if none of
        these is at hand."""
        total, length_us = np.zeros(len(links)), 0
        for slot in self._slots:
            if slot.counts.end_us > until_us:
                break
            big, small = slot.counts.passed_on(links)
            total += big + small
            length_us += slot.counts.length_us
        return total / length_us if length_us else np.full(len(links), np.nan)

    def mirrored(self, since_us: int) -> tuple[I8, I8]:
        """Packets that came to each switch since a time and, of these, those without a copy: i8[S] twice."""
        came = np.zeros(self._terrain.switches, np.int64)
        unseen = np.zeros(self._terrain.switches, np.int64)
        for slot in reversed(self._slots):
            if slot.counts.slot_us < since_us:
                break
            came += slot.came
            unseen += slot.unseen
        return came, unseen


class TurnTraffic:
    """Packets from chip to chip, for as long as Traffic knows links."""

    def __init__(self) -> None:
        self._slots: deque[tuple[int, int, I8, I8]] = deque()

    def add(self, counts: SlotCounts) -> None:
        """Take in a slot."""
        while self._slots and self._slots[0][0] <= counts.slot_us - HISTORY_US:
            self._slots.popleft()
        self._slots.append((counts.slot_us, counts.length_us, counts.turn, counts.turn_passed))

    def passed(self, turns: I8, since_us: int, until_us: int) -> F8:
        """Packets that took each of some turns (sorted), about: i8[n] -> f8[n]."""
        total = np.zeros(len(turns))
        known_us = 0
        for slot_us, length_us, turn, passed in self._slots:
            if since_us <= slot_us < until_us and len(turns):
                first, last = np.searchsorted(turn, (turns[0], turns[-1] + 1))
                mine = turn[first:last]
                at = np.minimum(np.searchsorted(turns, mine), len(turns) - 1)
                hit = turns[at] == mine
                total[at[hit]] += passed[first:last][hit]
                known_us += length_us
        rest_us = until_us - since_us - known_us
        if known_us and rest_us > _UNKNOWN_MIN_US:
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

    def total(self, places: NDArray[np.integer], since_us: int, until_us: int) -> int:
        """Events at some places in the slots from one time to before another."""
        return int(self._between(places, since_us, until_us)[1].sum())

    def by_size(self, places: NDArray[np.integer], since_us: int, until_us: int) -> tuple[int, int]:
        """The same of probes, which are big, and of replies."""
        leg, count = self._between(places, since_us, until_us)
        small = int(count[leg == Leg.REPLY].sum())
        return int(count.sum()) - small, small

    def _between(self, places: NDArray[np.integer], since_us: int, until_us: int) -> tuple[I8, I8]:
        begin, end = np.searchsorted(self.slot_us, (since_us, until_us))
        hit = np.isin(self.place[begin:end], places)
        return self.leg[begin:end][hit], self.count[begin:end][hit]

    def ended_us(self, places: NDArray[np.integer], since_us: int, now_us: int) -> int:
        """`now_us` while events at some places go on; the time of the last one if they seem to be over:
        none has come for several times as long as it took one to come before."""
        first_us, last_us = self.span(places, since_us)
        if last_us < 0:
            return now_us
        begin = int(np.searchsorted(self.slot_us, since_us))
        count = int(self.count[begin:][np.isin(self.place[begin:], places)].sum())
        patience_us = max(OVER_MIN_US, OVER_INTERVALS * (last_us - first_us) // max(1, count))
        return now_us if now_us - last_us <= patience_us else last_us + 1

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

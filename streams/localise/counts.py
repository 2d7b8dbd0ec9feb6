"""One slot of evidence, put together over all partitions, as counts on cells and turns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from schemas.rows import TURNS, Leg
from streams.localise.align import WholeSlot
from streams.localise.terrain import Terrain

I1 = NDArray[np.int8]
I4 = NDArray[np.int32]
I8 = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Spots:
    """What went wrong in a slot, sparse, sorted by cell and leg: cell i8[n], leg i1[n], count i8[n]."""

    cell: I8
    leg: I1
    count: I8

    def __len__(self) -> int:
        return len(self.cell)


@dataclass(frozen=True, slots=True)
class SlotCounts:
    """`links`: i4[n], sorted, the links that were crossed at all; `big`, `small`, `missing`: i4[n], probes
    (512 bytes of payload) and replies (none) that passed, and mirror copies that were not seen. `lost`,
    `altered`: on cells. `turn`: i8[m], sorted; `turn_passed`, `turn_lost`, `turn_altered`: i8[m]."""

    slot_us: int
    length_us: int
    links: I4
    big: I4
    small: I4
    missing: I4
    lost: Spots
    altered: Spots
    turn: I8
    turn_passed: I8
    turn_lost: I8
    turn_altered: I8

    @property
    def end_us(self) -> int:
        return self.slot_us + self.length_us

    def passed_on(self, links: I4) -> tuple[I4, I4]:
        """Big and small packets that passed each of some links: i4[k] -> i4[k], i4[k]."""
        return _at(self.links, links, self.big), _at(self.links, links, self.small)


def _at(keys: NDArray[np.integer], wanted: NDArray[np.integer], values: I4) -> I4:
    if not len(keys):
        return np.zeros(len(wanted), values.dtype)
    at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[at] == wanted, values[at], 0)


def count(slot: WholeSlot, terrain: Terrain) -> SlotCounts:
    """The counts of a slot. Rows that name what the fabric does not have are left out."""
    rows = np.concatenate(slot.parts) if slot.parts else np.empty(0, slot.dtype)
    from_node, to_node = rows["from_node"].astype(np.int32), rows["to_node"].astype(np.int32)
    cell = terrain.cell_of(from_node, to_node)
    leg = rows["leg"].astype(np.int8)
    lost, altered = rows["lost"].astype(np.int64), rows["altered"].astype(np.int64)
    passed, missing = rows["passed"].astype(np.int64), rows["mirror_missing"].astype(np.int64)

    crossed = np.flatnonzero((cell >= 0) & (cell < terrain.links) & ((passed > 0) | (missing > 0)))
    links, at = np.unique(cell[crossed], return_inverse=True)
    reply = leg[crossed] == Leg.REPLY

    def total(values: I8) -> I4:
        return np.bincount(at, values, len(links)).astype(np.int32)

    turn, turn_counts = _turns(slot, terrain)
    return SlotCounts(
        slot_us=slot.slot_us,
        length_us=slot.slot_length_us,
        links=links.astype(np.int32),
        big=total(np.where(reply, 0, passed[crossed])),
        small=total(np.where(reply, passed[crossed], 0)),
        missing=total(missing[crossed]),
        lost=_spots(cell, leg, lost),
        altered=_spots(cell, leg, altered),
        turn=turn,
        turn_passed=turn_counts[0],
        turn_lost=turn_counts[1],
        turn_altered=turn_counts[2],
    )


def _spots(cell: I8, leg: I1, counts: I8) -> Spots:
    hit = np.flatnonzero((counts > 0) & (cell >= 0))
    key, at = np.unique(cell[hit] << 2 | leg[hit], return_inverse=True)
    summed = np.bincount(at, counts[hit], len(key)).astype(np.int64)
    return Spots(key >> 2, (key & 3).astype(np.int8), summed)


def _turns(slot: WholeSlot, terrain: Terrain) -> tuple[I8, tuple[I8, I8, I8]]:
    rows = np.frombuffer(b"".join(slot.table("turns")), TURNS.dtype)
    turn = terrain.turn_of(
        rows["switch"].astype(np.int32), rows["from_chip"].astype(np.int16), rows["to_chip"].astype(np.int16)
    )
    known = turn >= 0
    ids, at = np.unique(turn[known], return_inverse=True)

    def total(name: str) -> I8:
        return np.bincount(at, rows[name][known].astype(np.int64), len(ids)).astype(np.int64)

    return ids, (total("passed"), total("lost"), total("altered"))

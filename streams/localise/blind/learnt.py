"""The ways of flows, learnt while mirrors showed them, for the time when they do not.

What is learnt is kept by what decides it. The way of a reply does not depend on the decapsulating ToR of its
probe, so what North-South probes taught holds for East-West ones too. The way of an encapsulated probe
depends on its outer addresses alone, which are those of its Prober and that ToR.
"""

from __future__ import annotations

import base64
import zlib

import numpy as np
from numpy.typing import NDArray

from schemas.partition import mix64
from schemas.rows import PATHS, Leg, gather
from streams.localise.blind.cells import LEG_CELLS, LEG_SWITCHES, UNKNOWN_CELLS, Cells

I1 = NDArray[np.int8]
I4 = NDArray[np.int32]
I8 = NDArray[np.int64]
U8 = NDArray[np.uint64]

#: Those of 100,000 servers are 3.4 million; a way takes 70 bytes.
WAYS_MAX = 4_000_000
SNAPSHOT_MAX = 20_000
#: A way that is said again gains trust up to this; one that changes loses it. Below 0 it is not believed:
#: the flow is routed adaptively, or not by its five-tuple alone.
TRUST_MAX, TRUST_NEW, TRUST_CHANGE = 4, 2, -2

_SMALLEST = 4_096
#: New keys are merged when they are more than this share of the others.
NEW_SHARE = 1 / 16

#: Bytes of a way in a snapshot before it is deflated: when, trust, switches, fields and leg.
_PACKED_BYTES = 8 + 1 + 4 * LEG_SWITCHES + 4 * 5

_FIELDS = ("prober", "target", "via", "source_port")
#: Fields that the way of a leg does not depend on.
_INDIFFERENT = {Leg.ENCAPSULATED: ("target", "source_port"), Leg.PROBE: (), Leg.REPLY: ("via",)}


#: A PATHS row as plain bytes, which are moved ten times as fast as its fields.
_ROW = np.dtype((np.void, PATHS.dtype.itemsize))


class LearntWays:
    """Table of ways. Bounded: of more than `ways_max` those that were said last are kept.

    `_key` is sorted, and `_at` says where each way stands in the other columns. There a way keeps its place,
    and new ones take those that were given up, so that little is ever moved. New keys wait in `_new_key`,
    sorted as well, until they are many.
    """

    def __init__(self, cells: Cells, ways_max: int = WAYS_MAX, snapshot_max: int = SNAPSHOT_MAX) -> None:
        self._cells, self._ways_max, self._snapshot_max = cells, ways_max, snapshot_max
        self._key: U8 = np.empty(0, np.uint64)
        self._at: I4 = np.empty(0, np.int32)
        self._new_key, self._new_at = self._key, self._at
        self._rows = np.empty(0, _ROW)
        self._trust: I1 = np.empty(0, np.int8)
        self._said_us: I8 = np.empty(0, np.int64)
        self._end = 0  # places from here on were never taken
        self._free: I4 = np.empty(0, np.int32)  # places before it that were given up
        self._packed: str | None = None  # the newest snapshot, while nothing has been learnt since

    def __len__(self) -> int:
        return len(self._key) + len(self._new_key)

    def learn(self, slot_us: int, rows: np.ndarray) -> None:
        """Take in PATHS rows of a slot. Legs that no cables make a whole of are left out, and so is what was
        said no later than what is known: after a restart slots come again."""
        if not len(rows):
            return
        self._packed = None
        rows = gather(rows, np.isin(rows["leg"], list(Leg))).astype(PATHS.dtype, copy=False)
        key = _keys_of_rows(rows)
        # Of a way that is said twice the later word holds.
        key, last = np.unique(key[::-1], return_index=True)
        rows = gather(rows, len(rows) - 1 - last)
        at, known = self._find(key)
        later = ~known
        later[known] = slot_us > self._said_us[at[known]]
        same = known & later
        same[same] = self._rows[at[same]].view(PATHS.dtype)["switches"] == rows["switches"][same]
        # What is as it was has been found to make sense before.
        other = np.flatnonzero(later & ~same)
        other = other[self._makes_sense(rows[other])]
        new, changed = other[~known[other]], other[known[other]]
        self._trust[at[changed]] = np.maximum(self._trust[at[changed]] + TRUST_CHANGE, -TRUST_MAX)
        self._trust[at[same]] = np.minimum(self._trust[at[same]] + 1, TRUST_MAX)
        self._rows[at[changed]] = rows[changed].view(_ROW)
        self._said_us[at[changed]] = self._said_us[at[same]] = slot_us
        self._insert(slot_us, key[new], rows[new])

    def cells_of(self, rows: np.ndarray) -> I4:
        """Cells that probes of each flow cross, there and back, servers' and Probers' cables included.

        rows: of a layout with prober, target, via and source_port, such as BLIND, shape (n,). Returns
        i4[n, w], -1 where there is none; a flow of which an end is not in the fabric crosses nothing.
        """
        index = self._cells.index
        prober, target, via = (rows[name].astype(np.int32) for name in _FIELDS[:3])
        attached, tor = self._attached(prober), self._last_switch(target)
        legs = (
            (Leg.ENCAPSULATED, np.where(via >= 0, attached, -1), np.where(via >= 0, via, -1)),
            (Leg.PROBE, np.where(via >= 0, via, attached), tor),
            (Leg.REPLY, tor, attached),
        )
        parts = [index.link_index(prober, attached)[:, None]]
        parts += [
            self._leg(rows, leg, first.astype(np.int32), last.astype(np.int32)) for leg, first, last in legs
        ]
        parts += [
            index.link_index(near, far)[:, None]
            for near, far in ((tor, target), (target, tor), (attached, prober))
        ]
        way: I4 = np.concatenate(parts, axis=1)
        way[(attached < 0) | (tor < 0)] = -1
        return way

    def _leg(self, rows: np.ndarray, leg: Leg, first: I4, last: I4) -> I4:
        way = np.full((len(rows), LEG_CELLS), -1, np.int32)
        at, known = self._find(_keys(rows, np.full(len(rows), leg)))
        known &= (first >= 0) & (last >= 0)
        known[known] = self._trust[at[known]] >= 0
        switches = _switches(self._rows[at[known]].view(PATHS.dtype))
        way[known], _ = self._cells.leg(first[known], switches, last[known])
        way[~known, :UNKNOWN_CELLS] = self._cells.unknown(first[~known], last[~known])
        return way

    def _find(self, key: U8) -> tuple[I4, NDArray[np.bool_]]:
        """Where the ways of some keys stand, and which are known: i4[n], bool[n]."""
        at, known = np.zeros(len(key), np.int32), np.zeros(len(key), np.bool_)
        for keys, places in ((self._key, self._at), (self._new_key, self._new_at)):
            if len(keys):
                place = np.minimum(np.searchsorted(keys, key), len(keys) - 1)
                here = keys[place] == key
                at[here], known[here] = places[place[here]], True
        return at, known

    # -- learning -------------------------------------------------------------------------------

    def _makes_sense(self, rows: np.ndarray) -> NDArray[np.bool_]:
        """Which legs lie between ends that the fabric has, and are whole: bool[n]."""
        first, last = self._ends(rows)
        _, whole = self._cells.leg(first, _switches(rows), last)
        sensible: NDArray[np.bool_] = whole & (first >= 0) & (last >= 0)
        return sensible

    def _insert(self, slot_us: int, key: U8, rows: np.ndarray) -> None:
        if not len(key):
            return
        at = self._places(len(key))
        self._rows[at], self._trust[at], self._said_us[at] = rows.view(_ROW), TRUST_NEW, slot_us
        self._new_key, self._new_at = _merged(self._new_key, self._new_at, key, at)
        if len(self._new_key) > len(self._key) * NEW_SHARE:
            self._merge()
        if len(self) > self._ways_max:
            # A tenth at a time, so that it is not done again with the next few.
            self._keep(self._newest(self._ways_max * 9 // 10))

    def _merge(self) -> None:
        self._key, self._at = _merged(self._key, self._at, self._new_key, self._new_at)
        self._new_key, self._new_at = self._key[:0], self._at[:0]

    def _places(self, count: int) -> I4:
        """Places for so many new ways: i4[count]."""
        given_up, self._free = self._free[:count], self._free[count:]
        fresh = np.arange(self._end, self._end + count - len(given_up), dtype=np.int32)
        self._end += len(fresh)
        if self._end > len(self._said_us):
            # Twice what there was, so that it is seldom done.
            room = max(self._end, 2 * len(self._said_us), _SMALLEST)
            self._rows, self._trust, self._said_us = (
                _grown(column, room) for column in (self._rows, self._trust, self._said_us)
            )
        return np.concatenate([given_up, fresh])

    def _newest(self, count: int) -> NDArray[np.intp]:
        """Places in `_key` of the ways that were said last, in its order; all keys are there afterwards."""
        self._merge()
        if len(self) <= count:
            return np.arange(len(self))
        said_us = self._said_us[self._at]
        least = np.partition(said_us, len(self) - count)[len(self) - count]
        newer = said_us > least
        alike = np.flatnonzero(said_us == least)[: count - int(newer.sum())]
        return np.sort(np.concatenate([np.flatnonzero(newer), alike]))

    def _keep(self, places: NDArray[np.intp]) -> None:
        """Give up all ways but those at some places in `_key`."""
        is_kept = np.zeros(len(self._key), np.bool_)
        is_kept[places] = True
        self._free = np.concatenate([self._free, self._at[~is_kept]])
        self._key, self._at = self._key[is_kept], self._at[is_kept]

    def _ends(self, rows: np.ndarray) -> tuple[I4, I4]:
        prober, target, via = (rows[name].astype(np.int32) for name in _FIELDS[:3])
        attached, tor = self._attached(prober), self._last_switch(target)
        leg = rows["leg"]
        first = np.where(leg == Leg.REPLY, tor, np.where((leg == Leg.PROBE) & (via >= 0), via, attached))
        last = np.where(leg == Leg.REPLY, attached, np.where(leg == Leg.ENCAPSULATED, via, tor))
        return first.astype(np.int32), last.astype(np.int32)

    def _attached(self, prober: I4) -> I4:
        """Switch that each Prober hangs on, -1 for what is none: i4[n] -> i4[n]."""
        nodes = np.array(sorted(self._cells.attached), np.int32)
        switch = np.array([self._cells.attached[node] for node in nodes.tolist()], np.int32)
        if not len(nodes):
            return np.full(len(prober), -1, np.int32)
        at = np.minimum(np.searchsorted(nodes, prober), len(nodes) - 1)
        return np.where(nodes[at] == prober, switch[at], np.int32(-1))

    def _last_switch(self, target: I4) -> I4:
        tor = self._cells.index.tor_of_server(target)
        return np.where(tor >= 0, tor, self._attached(target))

    # -- state ----------------------------------------------------------------------------------

    def snapshot(self) -> str:
        """The ways that were said last, at most `snapshot_max`: deflated columns in base 85, some 4 bytes a
        way. Said again as it was while nothing is learnt."""
        if self._packed is None:
            newest = self._newest(self._snapshot_max)
            rows = self._at[newest]
            mine = self._rows[rows].view(PATHS.dtype)
            # Neighbours are alike in this order, and alike bytes stand together in columns.
            order = np.lexsort([mine[name] for name in ("source_port", "via", "target", "prober", "leg")])
            rows, mine = rows[order], mine[order]
            columns = [self._said_us[rows].astype(">i8"), self._trust[rows], _switches(mine).T.astype(">i4")]
            for name in (*_FIELDS, "leg"):
                values = mine[name].astype(np.int64)
                columns.append(np.diff(values, prepend=0).astype(">i4"))
            packed = b"".join(
                np.ascontiguousarray(c).view(np.uint8).reshape(-1, 1).tobytes() for c in columns
            )
            self._packed = base64.b85encode(zlib.compress(packed, 1)).decode()
        return self._packed

    def restore(self, values: str) -> None:
        """Reverse of `snapshot`, on an empty table."""
        data = zlib.decompress(base64.b85decode(values))
        count = len(data) // _PACKED_BYTES
        said_us = np.frombuffer(data, ">i8", count).astype(np.int64)
        trust = np.frombuffer(data, np.int8, count, 8 * count)
        switches = np.frombuffer(data, ">i4", LEG_SWITCHES * count, 9 * count).reshape(LEG_SWITCHES, count)
        rows = np.zeros(count, PATHS.dtype)
        rows["switches"] = np.ascontiguousarray(switches.T).view(rows.dtype["switches"]).reshape(-1)
        numbers = np.frombuffer(data, ">i4", 5 * count, (9 + 4 * LEG_SWITCHES) * count).reshape(5, count)
        for name, column in zip((*_FIELDS, "leg"), numbers, strict=True):
            rows[name] = np.cumsum(column, dtype=np.int64)
        key = _keys_of_rows(rows)
        order = np.argsort(key)
        order = order[self._makes_sense(gather(rows, order))]
        self._rows, self._trust, self._said_us = rows.view(_ROW)[order], trust[order], said_us[order]
        self._key, self._end = key[order], len(order)
        self._at = np.arange(self._end, dtype=np.int32)


def _merged(key: U8, at: I4, more_key: U8, more_at: I4) -> tuple[U8, I4]:
    """One table of two that are sorted by key and have none in common."""
    if not len(more_key):
        return key, at
    place = np.searchsorted(key, more_key)
    return np.insert(key, place, more_key), np.insert(at, place, more_at)


def _grown(column: np.ndarray, room: int) -> np.ndarray:
    """The same column with room for so many: [n] -> [room], undefined from n on."""
    grown = np.empty(room, column.dtype)
    grown[: len(column)] = column
    return grown


def _switches(rows: np.ndarray) -> I4:
    """Nodes of the switches of PATHS rows: i4[n, LEG_SWITCHES]."""
    packed = np.ascontiguousarray(rows["switches"])
    nodes: I4 = packed.view(">i4").reshape(len(rows), LEG_SWITCHES).astype(np.int32)
    return nodes


def _keys_of_rows(rows: np.ndarray) -> U8:
    return _keys(rows, rows["leg"].astype(np.int64))


def _keys(rows: np.ndarray, leg: NDArray[np.integer]) -> U8:
    """A number for what decides the way of each leg: u8[n]. Two legs share one by a chance of 2**-64."""
    key = mix64(leg.astype(np.uint64) + np.uint64(1))
    for name in _FIELDS:
        indifferent = np.isin(leg, [each for each, names in _INDIFFERENT.items() if name in names])
        value = np.where(indifferent, -2, rows[name].astype(np.int64))
        key = mix64(key + value.astype(np.uint64))
    return key

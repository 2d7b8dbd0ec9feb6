"""Digests to hops: which probe each copy belongs to, and in which order the copies were passed.

Along a leg the TTL falls strictly, so it orders hops without trusting any clock.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from schemas.rows import Direction, Leg

I1 = NDArray[np.int8]
I4 = NDArray[np.int32]
I8 = NDArray[np.int64]
U8 = NDArray[np.uint64]
Bools = NDArray[np.bool_]

_ROW_BITS = 26
_LEG_TTL_BITS = 11
#: Most digests and most probes that one closing step may join.
DIGESTS_MAX = 1 << _ROW_BITS
PROBES_MAX = 1 << 25


#: Of a linear congruential generator; gives each level of a lookup a hash of its own.
_NEXT_MULTIPLIER, _NEXT_INCREMENT = 0x5851F42D4C957F2D, 0x14057B7EF767814F


class ProbeLookup:
    """Finds probes by ID: a hash table without chains, and a smaller one, hashed in another way, for
    the probes whose place is taken. About 10 ns a query, a binary search takes 100."""

    def __init__(self, probe_id: I8, multiplier: int = 0x9E3779B97F4A7C15) -> None:
        """`probe_id`: i8[n]; of rows with the same ID the last one is found. `multiplier`: of the hash."""
        count = len(probe_id)
        bits = max(10, (4 * count).bit_length())
        self._ids = probe_id
        self._multiplier, self._shift = np.uint64(multiplier), np.uint64(64 - bits)
        self._table = np.zeros(1 << bits, np.int32)
        slot = self._slot(probe_id)
        self._table[slot] = np.arange(count, dtype=np.int32)
        self._displaced = np.flatnonzero(probe_id[self._table[slot]] != probe_id).astype(np.int32)
        self._rest: ProbeLookup | None = None
        if len(self._displaced):
            following = (multiplier * _NEXT_MULTIPLIER + _NEXT_INCREMENT) % 2**64 | 1
            self._rest = ProbeLookup(probe_id[self._displaced], following)

    def __call__(self, probe_id: I8) -> I4:
        """Row of each probe: i8[n] -> i4[n], -1 where there is none."""
        if not len(self._ids):
            return np.full(len(probe_id), -1, np.int32)
        row: I4 = self._table[self._slot(probe_id)]
        row[self._ids[row] != probe_id] = -1
        if self._rest is not None:
            missed = np.flatnonzero(row < 0)
            found = self._rest(probe_id[missed])
            row[missed] = np.where(found >= 0, self._displaced[found], np.int32(-1))
        return row

    def _slot(self, probe_id: I8) -> NDArray[np.uint64]:
        return (probe_id.astype(np.uint64) * self._multiplier) >> self._shift


def ttl_on_arrival(rows: np.ndarray) -> NDArray[np.int16]:
    """TTL with which a packet came to the switch that mirrored it: DIGEST rows (n,) -> i2[n].

    A copy taken as the packet went out shows one less. So both copies of a switch that mirrors both
    ways are one hop, and a network that mirrors only what goes out is read like any other.
    """
    arrived: NDArray[np.int16] = rows["ttl"].astype(np.int16) + (rows["direction"] == Direction.EGRESS)
    return np.minimum(arrived, 255)


@dataclass(frozen=True, slots=True)
class Hops:
    """Copies of joined probes, sorted by probe, leg and falling TTL; each column of shape (m,).

    `probe` is the row of the probe, `digest` the row of the digest. Copies that the same switch had
    sent already are left out.
    """

    probe: I4
    leg: I1
    ttl: NDArray[np.int16]
    switch: I4
    digest: I8
    #: Per probe, shape (p,): copies left out, and those of them on the reply leg (a packet that the
    #: network duplicated is doubled at every later switch, a doubled mirror at one only).
    doubled: I4
    doubled_replies: I4

    def __len__(self) -> int:
        return len(self.probe)


def order_hops(probe: I4, leg: I1, ttl: NDArray[np.int16], switch: I4, probes: int) -> Hops:
    """Sort copies into hops. All columns of shape (n,); `probe` in [0, probes).

    Raises OverflowError above DIGESTS_MAX copies or PROBES_MAX probes: the sort key has 64 bits.
    """
    count = len(probe)
    if count > DIGESTS_MAX or probes > PROBES_MAX:
        raise OverflowError(f"{count} digests of {probes} probes in one step; close in smaller steps")
    # One integer holds what is sorted by and where it came from, so that a plain sort does.
    key = probe.astype(np.int64) << _LEG_TTL_BITS
    key |= leg.astype(np.int64) << 8
    key |= 255 - ttl.astype(np.int64)
    key <<= _ROW_BITS
    key |= np.arange(count)
    key.sort()
    row = key & (DIGESTS_MAX - 1)
    key >>= _ROW_BITS
    switch = switch[row]
    doubled, doubled_replies = np.zeros(probes, np.int32), np.zeros(probes, np.int32)
    again = np.zeros(count, np.bool_)
    again[1:] = (key[1:] == key[:-1]) & (switch[1:] == switch[:-1])
    if again.any():
        of_reply = again & (((key >> 8) & 3) == Leg.REPLY)
        doubled += np.bincount(key[again] >> _LEG_TTL_BITS, minlength=probes).astype(np.int32)
        doubled_replies += np.bincount(key[of_reply] >> _LEG_TTL_BITS, minlength=probes).astype(np.int32)
        keep = ~again
        key, row, switch = key[keep], row[keep], switch[keep]
    return Hops(
        probe=(key >> _LEG_TTL_BITS).astype(np.int32),
        leg=((key >> 8) & 3).astype(np.int8),
        ttl=(255 - (key & 255)).astype(np.int16),
        switch=switch,
        digest=row,
        doubled=doubled,
        doubled_replies=doubled_replies,
    )

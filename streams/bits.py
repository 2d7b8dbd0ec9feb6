"""Which bits were altered where, and what they became."""

from __future__ import annotations

import numpy as np

from schemas.rows import BITS, rows_of
from streams.altered_bytes import AlteredBytes
from streams.closing import Closed
from streams.places import LEGS, Places
from streams.tally import tally

#: Rows of a slot; those of the bits that were altered most often are kept. Packets that are garbage from
#: some byte on would name each of their bits.
BITS_MAX = 4_096

_OFFSET_BITS, _BIT_BITS = 16, 3


def bit_rows(closed: Closed, altered: AlteredBytes, places: Places) -> np.ndarray:
    """BITS rows of a slot, sorted by place, leg, byte and bit."""
    if not len(altered.probe):
        return np.empty(0, BITS.dtype)
    place = closed.altered.place[altered.probe].astype(np.int64)
    cell = place * LEGS + closed.altered.leg[altered.probe]
    byte = cell << _OFFSET_BITS | altered.byte_offset
    flipped = np.unpackbits(altered.sent ^ altered.seen, bitorder="little").reshape(-1, 8)
    became = np.unpackbits(altered.seen, bitorder="little").reshape(-1, 8)
    row, bit = np.nonzero(flipped.astype(np.bool_) & (place >= 0)[:, None])
    key = byte[row] << _BIT_BITS | bit
    one = became[row, bit] == 1
    key, (to_one, to_zero) = tally(key[one], key[~one])
    most = np.sort(np.argsort(-(to_one + to_zero), kind="stable")[:BITS_MAX])
    key, to_one, to_zero = key[most], to_one[most], to_zero[most]
    place, leg = np.divmod(key >> (_OFFSET_BITS + _BIT_BITS), LEGS)
    return rows_of(
        BITS,
        {
            "from_node": places.from_node[place],
            "to_node": places.to_node[place],
            "leg": leg,
            "byte_offset": key >> _BIT_BITS & ((1 << _OFFSET_BITS) - 1),
            "bit": key & ((1 << _BIT_BITS) - 1),
            "to_one": to_one,
            "to_zero": to_zero,
        },
        len(key),
    )

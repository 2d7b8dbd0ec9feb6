"""Which bits a flip alters: drawn, given, or stuck at a value."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fabric.faults import FLIP_OFFSET_FIRST
from fabric.simulator.active import ActiveFault
from fabric.simulator.content import header_length, packets_of
from fabric.simulator.draws import draw_bits
from fabric.simulator.ledger import Alteration
from producers.wire import TCP_HEADER_LENGTH, TCP_LENGTH

I2 = NDArray[np.int16]
I4 = NDArray[np.int32]
U1 = NDArray[np.uint8]
U8 = NDArray[np.uint64]
Rows = NDArray[np.intp]


def segment_bytes(reply: bool) -> int:
    """Length of the TCP segment. A RST is its header: window, checksum and urgent pointer may change."""
    return TCP_HEADER_LENGTH if reply else TCP_LENGTH


def bits_to_flip(fault: ActiveFault, lot: U8, seed: int, reply: bool, *where: int) -> tuple[I4, U1]:
    """Byte of the TCP segment, and bits of it: u8[n] -> i4[n], u1[n].

    A given offset may lie beyond the segment: then there is nothing to alter. Random ones lie within it.
    """
    bits = draw_bits(lot, seed, fault.number, *where, 1)
    choices = np.uint64(segment_bytes(reply) - FLIP_OFFSET_FIRST)
    offset = (FLIP_OFFSET_FIRST + (bits >> np.uint64(8)) % choices).astype(np.int32)
    mask = (np.uint64(1) << (bits & np.uint64(7))).astype(np.uint8)
    params = fault.spec.params
    if "offset" in params:
        offset[:] = params["offset"]
    if "mask" in params:
        mask[:] = params["mask"]
    return offset, mask


def not_yet_stuck(
    value: int, probes: NDArray[np.void], flip: Alteration, earlier: list[Alteration], version: I2
) -> U1:
    """Of the bits in `flip.mask` those that are not `value` (0 or 1) yet: u1[m].

    flip: what would be inverted, within the segment. version: i2[m], alterations that the packets have
    behind them, which are in `earlier`.
    """
    packets = packets_of(probes, flip.probe, version, flip.reply, earlier)
    column = header_length(probes[flip.probe]) + flip.offset
    byte = packets[np.arange(len(packets)), column]
    return np.asarray(flip.mask & (~byte if value else byte), dtype=np.uint8)

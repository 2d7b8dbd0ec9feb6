"""Chance without a generator: every draw is a hash of the seed, the probe and what the draw decides.

So a run is a function of its seed, faults and probes alone, however the probes are cut into slices.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from schemas.partition import mix64

I8 = NDArray[np.int64]
U8 = NDArray[np.uint64]

_SCALE_53 = 2.0**-53
_SCALE_32 = 2.0**-32
_LOW_32 = np.uint64(0xFFFFFFFF)
_WORD = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15


def lots(probe_id: I8, sent_at_us: I8) -> U8:
    """What stands for each probe in all its draws: i8[n], i8[n] -> u8[n].

    Probe IDs come round again; with the send time no draw is made twice.
    """
    return mix64(mix64(sent_at_us.astype(np.uint64)) ^ probe_id.astype(np.uint64))


def draw_bits(lot: U8, seed: int, *purpose: int) -> U8:
    """64 random bits for each lot, which is a hash itself: u8[n] -> u8[n].

    `purpose` tells draws for one lot apart.
    """
    salt = _mixed(seed & _WORD)
    for number in purpose:
        salt = _mixed((salt ^ number) + _GOLDEN & _WORD)
    return mix64(lot ^ np.uint64(salt))


def draw_uniform(lot: U8, seed: int, *purpose: int) -> NDArray[np.float64]:
    """Uniform numbers in [0, 1) for each lot: u8[n] -> f8[n]."""
    return (draw_bits(lot, seed, *purpose) >> np.uint64(11)).astype(np.float64) * _SCALE_53


def draw_pair(lot: U8, seed: int, *purpose: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Two independent uniform numbers in [0, 1) for each lot, of 32 bits each: u8[n] -> f8[n], f8[n]."""
    bits = draw_bits(lot, seed, *purpose)
    first = (bits >> np.uint64(32)).astype(np.float64)
    second = (bits & _LOW_32).astype(np.float64)
    return first * _SCALE_32, second * _SCALE_32


def draw_exponential_pair(
    lot: U8, seed: int, *purpose: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Two independent exponential numbers of mean 1 for each lot: u8[n] -> f8[n], f8[n].

    Both come from one draw: they are delays, whose tails end at 22 means then.
    """
    first, second = draw_pair(lot, seed, *purpose)
    return -np.log1p(-first), -np.log1p(-second)


def _mixed(word: int) -> int:
    """`mix64` of one number; see there."""
    word = (word ^ word >> 30) * 0xBF58476D1CE4E5B9 & _WORD
    word = (word ^ word >> 27) * 0x94D049BB133111EB & _WORD
    return word ^ word >> 31

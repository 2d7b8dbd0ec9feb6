"""Chance without a generator: every draw is a hash of the seed, the probe and what the draw decides.

So a run is a function of its seed, faults and probes alone, however the probes are cut into slices.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from schemas.partition import mix64

_SCALE_53 = 2.0**-53
_SCALE_32 = 2.0**-32
_LOW_32 = np.uint64(0xFFFFFFFF)
_WORD = (1 << 64) - 1


def draw_bits(probe_id: NDArray[np.int64], seed: int, *purpose: int) -> NDArray[np.uint64]:
    """64 random bits for each probe: i8[n] -> u8[n]. `purpose` tells draws for one probe apart."""
    salt = seed & _WORD
    for number in purpose:
        salt = (salt ^ number) * 0x9E3779B97F4A7C15 & _WORD
        salt ^= salt >> 29
    return mix64(mix64(probe_id.astype(np.uint64) ^ np.uint64(salt)) + np.uint64(salt))


def draw_uniform(probe_id: NDArray[np.int64], seed: int, *purpose: int) -> NDArray[np.float64]:
    """Uniform numbers in [0, 1) for each probe: i8[n] -> f8[n]."""
    return (draw_bits(probe_id, seed, *purpose) >> np.uint64(11)).astype(np.float64) * _SCALE_53


def draw_exponential_pair(
    probe_id: NDArray[np.int64], seed: int, *purpose: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Two independent exponential numbers of mean 1 for each probe: i8[n] -> f8[n], f8[n].

    Both come from one draw, of 32 bits each: they are delays, whose tails end at 22 means then.
    """
    bits = draw_bits(probe_id, seed, *purpose)
    first = (bits >> np.uint64(32)).astype(np.float64)
    second = (bits & _LOW_32).astype(np.float64)
    return -np.log1p(-first * _SCALE_32), -np.log1p(-second * _SCALE_32)

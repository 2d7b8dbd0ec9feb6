"""SplitMix64's output function on columns: one 64-bit mix for payload patterns, hash keys and hash finishing.

Source of the constants: Steele, Lea, Flood, "Fast Splittable Pseudorandom Number Generators", OOPSLA 2014.
"""

import numpy as np
from numpy.typing import NDArray

U64 = NDArray[np.uint64]

_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_MULTIPLIER_1 = np.uint64(0xBF58476D1CE4E5B9)
_MULTIPLIER_2 = np.uint64(0x94D049BB133111EB)


def splitmix64(values: U64) -> U64:
    """Mix every element; a bijection on 64 bits.

    values: u64[...]. Returns a new u64 array of the same shape.
    """
    z = np.asarray(values, dtype=np.uint64) + _GAMMA
    z = (z ^ (z >> np.uint64(30))) * _MULTIPLIER_1
    z = (z ^ (z >> np.uint64(27))) * _MULTIPLIER_2
    return z ^ (z >> np.uint64(31))

"""Counting by key: how often each key occurs in each of several columns."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

I8 = NDArray[np.int64]


def tally(*columns: I8) -> tuple[I8, list[I8]]:
    """Every key that occurs, i8[k], sorted, and how often it does in each of the columns, i8[k] each."""
    keys, at = np.unique(np.concatenate(columns), return_inverse=True)
    ends = np.cumsum([len(column) for column in columns])[:-1]
    return keys, [np.bincount(part, minlength=len(keys)) for part in np.split(at, ends)]

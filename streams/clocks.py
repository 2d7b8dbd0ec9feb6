"""How far the clock of a collector is from that of a Prober, as the probes themselves tell.

The reply to a probe passes the Prober's switch just before the Prober has it. So for probes that were
answered in time, the time at which the collector received that last copy, less the time at which the Prober
had the reply, is how much the collector's clock is ahead.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

I4 = NDArray[np.int32]
I8 = NDArray[np.int64]
Bools = NDArray[np.bool_]


def ahead_us(prober: I4, answered: Bools, had_us: I8, received_us: I8) -> I8:
    """For each probe, by how much the clock that took its last copy is ahead of its Prober's: i8[p], us; the
    median over the probes of that Prober that were answered, 0 where none was.

    prober: i4[p]; answered: bool[p], answered in time and seen at the Prober's switch; had_us: i8[p], when
    the Prober had the reply; received_us: i8[p], when the collector had the copy.
    """
    mine = np.flatnonzero(answered)
    ahead = received_us[mine] - had_us[mine]
    order = mine[np.lexsort((ahead, prober[mine]))]
    known, first, count = np.unique(prober[order], return_index=True, return_counts=True)
    if not len(known):
        return np.zeros(len(prober), np.int64)
    middle = order[first + (count - 1) // 2]
    median = received_us[middle] - had_us[middle]
    at = np.minimum(np.searchsorted(known, prober), len(known) - 1)
    return np.where(known[at] == prober, median[at], 0)

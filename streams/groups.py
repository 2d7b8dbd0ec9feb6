"""Groups: the parallel probes to one target, sent in one burst."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from streams.probes import Probes

Bools = NDArray[np.bool_]

_MEMBER_BITS = 3


def all_members(probes: Probes, hit: Bools) -> Bools:
    """Probes of groups of which every member is hit: bool[p] -> bool[p]. Of a group whose outcomes are not
    all there nobody knows."""
    if not len(probes):
        return hit.copy()
    group = probes.probe_id >> _MEMBER_BITS
    is_first = np.ones(len(probes), np.bool_)
    # Probes are sorted by send time and ID, so members stand together.
    is_first[1:] = (group[1:] != group[:-1]) | (probes.sent_at_us[1:] != probes.sent_at_us[:-1])
    first = np.flatnonzero(is_first)
    members = np.diff(first, append=len(probes))
    whole = np.logical_and.reduceat(hit, first)
    is_all: Bools = np.repeat(whole, members) & (np.repeat(members, members) == probes.rows["group_size"])
    return is_all

"""Pingmesh: a pair of racks that loses more than one packet in a thousand is reported.

It detects and does not locate: nothing below the pair is named.

Source: Guo et al., Pingmesh: A Large-Scale System for Data Center Network Latency Measurement and Analysis,
SIGCOMM 2015.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

I4 = NDArray[np.int32]
I8 = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class PingmeshSettings:
    #: share of lost probes above which a pair is reported
    rate_min: float = 1e-3
    #: and at least so many lost probes; 1 as published
    lost_min: int = 1


@dataclass(frozen=True, slots=True)
class LossyPair:
    """Nodes of a pair, and what was sent from the first to the second and not answered."""

    from_node: int
    to_node: int
    sent: int
    lost: int

    @property
    def rate(self) -> float:
        return self.lost / self.sent


def detect(
    from_node: I4, to_node: I4, sent: I8, lost: I8, settings: PingmeshSettings | None = None
) -> list[LossyPair]:
    """Pairs above the threshold, the worst first.

    All columns of shape (n,); rows of one pair are added up: the pairs of a window, as `PAIRS` rows have them
    (lost: probes less answered).
    """
    settings = settings or PingmeshSettings()
    key = from_node.astype(np.int64) << 32 | to_node.astype(np.int64)
    pair, row = np.unique(key, return_inverse=True)
    sent_by, lost_by = (
        np.bincount(row.reshape(-1), column, len(pair)).astype(np.int64) for column in (sent, lost)
    )
    found = np.flatnonzero((lost_by > settings.rate_min * sent_by) & (lost_by >= settings.lost_min))
    lossy = [
        LossyPair(int(pair[i] >> 32), int(pair[i] & 0xFFFFFFFF), int(sent_by[i]), int(lost_by[i]))
        for i in found
    ]
    return sorted(lossy, key=lambda each: (-each.rate, each.from_node, each.to_node))

"""What really happened to each probe: the scoreboard that verdicts and faults are judged by."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NOWHERE = -1
BACKGROUND = -2
NO_ROUTE = -3


@dataclass(frozen=True, slots=True)
class Truth:
    """One row per probe, in the order of the probes; -1 where nothing happened.

    A packet that is lost inside a switch has `lost_at` and no `lost_link`; one that is lost on a cable has
    both, `lost_at` then being the node it had left. Faults are numbered by their `Simulator.inject` calls,
    from 0; BACKGROUND stands for the chance loss of a healthy network, NO_ROUTE for a switch without a way.
    """

    lost_leg: NDArray[np.int8]
    lost_at: NDArray[np.int32]  # node
    lost_link: NDArray[np.int32]  # row of the link table
    lost_by: NDArray[np.int32]  # fault
    altered_leg: NDArray[np.int8]  # where the packet was first altered
    altered_at: NDArray[np.int32]  # node
    altered_link: NDArray[np.int32]  # row of the link table
    altered_by: NDArray[np.int32]  # fault
    host_silent: NDArray[np.bool_]  # the probe arrived and its target sent no reply
    silenced_by: NDArray[np.int32]  # fault; -1 for hosts known to be silent and for bad checksums

    @classmethod
    def empty(cls, probes: int) -> Truth:
        """Nothing happened to any of n probes."""

        def nowhere() -> NDArray[np.int32]:
            return np.full(probes, NOWHERE, dtype=np.int32)

        return cls(
            lost_leg=np.full(probes, NOWHERE, dtype=np.int8),
            lost_at=nowhere(),
            lost_link=nowhere(),
            lost_by=nowhere(),
            altered_leg=np.full(probes, NOWHERE, dtype=np.int8),
            altered_at=nowhere(),
            altered_link=nowhere(),
            altered_by=nowhere(),
            host_silent=np.zeros(probes, dtype=np.bool_),
            silenced_by=nowhere(),
        )

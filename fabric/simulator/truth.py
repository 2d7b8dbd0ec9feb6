"""What really happened to each probe: the scoreboard that verdicts and faults are judged by."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

I1 = NDArray[np.int8]
I4 = NDArray[np.int32]

NOWHERE = -1
BACKGROUND = -2
NO_ROUTE = -3


@dataclass(frozen=True, slots=True)
class Truth:
    """One row per probe, in the order of the probes; -1 where nothing happened.

    A packet that is lost inside a switch has `lost_at` and no `lost_link`; one that is lost on a cable has
    both, `lost_at` then being the node it had left. Faults are numbered by their `Simulator.inject` calls,
    from 0; BACKGROUND stands for the chance loss and silence of a healthy network, NO_ROUTE for a switch
    without a way. What dies because a fault sent it astray is lost by that fault.
    """

    lost_leg: I1
    lost_at: I4  # node
    lost_link: I4  # row of the link table
    lost_by: I4  # fault
    altered_leg: I1  # where the packet was first altered
    altered_at: I4  # node
    altered_link: I4  # row of the link table
    altered_by: I4  # fault
    strayed_leg: I1  # where the packet was first sent a wrong way
    strayed_at: I4  # node that sent it
    strayed_link: I4  # row of the link table: by which
    strayed_by: I4  # fault
    host_silent: NDArray[np.bool_]  # the probe arrived and its target sent no reply
    silenced_by: I4  # fault; -1 for hosts known to be silent and for bad checksums
    delayed_by: I4  # fault: the target replied later than the Prober waits

    @classmethod
    def empty(cls, probes: int) -> Truth:
        """Nothing happened to any of n probes."""

        def legs() -> I1:
            return np.full(probes, NOWHERE, dtype=np.int8)

        def nowhere() -> I4:
            return np.full(probes, NOWHERE, dtype=np.int32)

        return cls(
            lost_leg=legs(),
            lost_at=nowhere(),
            lost_link=nowhere(),
            lost_by=nowhere(),
            altered_leg=legs(),
            altered_at=nowhere(),
            altered_link=nowhere(),
            altered_by=nowhere(),
            strayed_leg=legs(),
            strayed_at=nowhere(),
            strayed_link=nowhere(),
            strayed_by=nowhere(),
            host_silent=np.zeros(probes, dtype=np.bool_),
            silenced_by=nowhere(),
            delayed_by=nowhere(),
        )

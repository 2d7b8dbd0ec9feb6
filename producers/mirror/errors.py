"""Why a frame gave no mirrored packet. Each is counted under one of these."""

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray


class MirrorError(IntEnum):
    """Outcome of decoding one frame."""

    NONE = 0
    NOT_A_MIRROR = 1
    OUTER_FRAGMENT = 2
    OUTER_IP_INVALID = 3
    GRE_CUT = 4
    GRE_ROUTING = 5
    ERSPAN_CUT = 6
    ERSPAN_VERSION = 7
    ERSPAN_FRAME_TYPE = 8
    INNER_CUT = 9
    INNER_IP_INVALID = 10


EXPLANATION: dict[MirrorError, str] = {
    MirrorError.NOT_A_MIRROR: "no mirrored packet",
    MirrorError.OUTER_FRAGMENT: "fragment of an outer packet whose other fragments are missing",
    MirrorError.OUTER_IP_INVALID: "the lengths in the outer IP header contradict the frame",
    MirrorError.GRE_CUT: "the packet ends inside its GRE header",
    MirrorError.GRE_ROUTING: "GRE source routing (RFC 1701) is not supported",
    MirrorError.ERSPAN_CUT: "the packet ends inside its ERSPAN header",
    MirrorError.ERSPAN_VERSION: "the ERSPAN version contradicts the GRE protocol",
    MirrorError.ERSPAN_FRAME_TYPE: "the ERSPAN frame type is neither Ethernet nor IP",
    MirrorError.INNER_CUT: "the copy ends before the inner IP header is complete",
    MirrorError.INNER_IP_INVALID: "the inner IP header contradicts itself",
}


class Verdicts:
    """The first thing that was found wrong with each row."""

    def __init__(self, rows: int) -> None:
        self.errors: NDArray[np.uint8] = np.zeros(rows, dtype=np.uint8)
        self.good: NDArray[np.bool_] = np.ones(rows, dtype=np.bool_)

    def fail(self, where: NDArray[np.bool_], error: MirrorError) -> None:
        """Record an error for the rows in `where` that had none so far. where: bool[n]."""
        found = where & self.good
        if np.count_nonzero(found):
            self.errors[found] = error
            self.good = self.good & ~found

"""The rotating part of a plan: by which ToR and to which server a pair of pods is probed in a round."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from producers.flow_table import NO_ROW

I4 = NDArray[np.int32]
I8 = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class EastWest:
    """Ordered pairs of pods, shape (p,): rows of the `via` and `target` tables that each rotates through.

    A pair may have chosen *steps*, of shape (s,): a ToR, a server and a row of the table of chosen flows.
    It goes through its steps, then once to where it would have rotated without them, and so on.
    """

    stagger: I8  # rounds by which a pair turns earlier than the first
    via_start: I8
    via_count: I8
    target_start: I8
    target_count: I8
    via: NDArray[np.void]  # V16[ToRs]
    via_node: I4
    target: NDArray[np.void]  # V16[server addresses]
    target_node: I4
    step_start: I8
    step_count: I8
    step_via: I8  # row of `via`
    step_target: I8  # row of `target`
    step_flows: I4  # row of the table of chosen flows

    def __len__(self) -> int:
        return len(self.stagger)

    def at(self, pair: I4, round_: int, dwell_rounds: int) -> tuple[I8, I8, I4]:
        """Rows of `via` and `target`, and of chosen flows (NO_ROW: none), in a round: i4[n] -> three [n]."""
        turn = (round_ + self.stagger[pair]) // dwell_rounds
        steps = self.step_count[pair]
        place, turn = turn % (steps + 1), turn // (steps + 1)
        vias, targets = self.via_count[pair], self.target_count[pair]
        # Both turn by one; the extra step after a common period makes every ToR meet every server.
        via = self.via_start[pair] + turn % vias
        target = self.target_start[pair] + (turn + turn // np.lcm(vias, targets)) % targets
        flows = np.full(len(pair), NO_ROW, np.int32)
        stepping = np.flatnonzero(place < steps)
        step = self.step_start[pair[stepping]] + place[stepping]
        via[stepping] = self.step_via[step]
        target[stepping] = self.step_target[step]
        flows[stepping] = self.step_flows[step]
        return via, target, flows

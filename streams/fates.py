"""Flows that were lost: are they lost again, or do they pass the next time?

Where packets are lost by chance, a flow that has just lost one passes the next time as often as any other. In
a black hole it never does. So of each flow whose last probe was lost at a place, the next one tells which of
the two it is. What is said of a slot is a function of that slot and of a fixed number of slots before it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from schemas.rows import FATES, rows_of
from streams.closing import Closed
from streams.flows import FlowMemory
from streams.places import LEGS, Places
from streams.tally import tally
from streams.verdict import counts_as_lost

I4 = NDArray[np.int32]
I8 = NDArray[np.int64]

_NOWHERE = -1
#: Flows are hashes. A table of flags by their lowest bits tells cheaply which probes are worth a search.
_FLAGS = 1 << 16


@dataclass(frozen=True, slots=True)
class Fates:
    """Of the probes of a slot whose flows had lost their last probe in an earlier slot: rows of those lost at
    the same place and leg again, i8[a], and of those that were answered, i8[r]; and the cells (place * LEGS +
    leg) where the earlier ones of the latter were lost, i4[r]. Who was lost elsewhere is in neither."""

    again: I8
    recovered: I8
    recovered_cell: I4


class LostFlows:
    """Flows whose last probe was lost, in one of the last `slots` slots. Mutable; one for each partition.

    Places are as they are judged from a probe alone: that of a loss on the way up is "beyond" a switch.
    """

    def __init__(self, slots: int) -> None:
        self._slots = slots
        # Sorted by flow: when and where its last probe was lost.
        self._flow: I8 = np.empty(0, np.int64)
        self._number: I8 = np.empty(0, np.int64)
        self._cell: I4 = np.empty(0, np.int32)

    def remember(self, number: int, flow: I8, closed: Closed) -> Fates:
        """Take in a slot; slots come in order. `flow`: of its probes, i8[p], in the order of sending.

        Of a flow that occurs several times, each probe is held against what was known before the slot,
        and the last one is remembered.
        """
        judgement = closed.judgement
        is_lost = counts_as_lost(judgement, closed.probes)
        self._keep(self._number >= number - self._slots)
        wanted = np.unique(np.concatenate([self._flow, flow[is_lost]]))
        if not len(wanted):
            none = np.empty(0, np.int64)
            return Fates(none, none, np.empty(0, np.int32))
        known = np.searchsorted(wanted, self._flow)
        earlier = np.full(len(wanted), _NOWHERE, np.int32)
        earlier[known] = self._cell
        row, of = _occurrences(wanted, flow)
        last = np.full(len(wanted), -1, np.int64)
        last[of] = row  # of several the last one stays

        cell = np.where(is_lost[row], judgement.place[row] * np.int32(LEGS) + judgement.leg[row], _NOWHERE)
        before = earlier[of]
        was_lost = before != _NOWHERE
        passed = was_lost & (closed.probes.rtt_ns[row] >= 0)
        fates = Fates(row[was_lost & (cell == before)], row[passed], before[passed])

        self._keep(last[known] < 0)
        ended = np.flatnonzero((last[of] == row) & is_lost[row])
        self._insert(wanted[of[ended]], number, cell[ended].astype(np.int32))
        return fates

    def _keep(self, which: NDArray[np.bool_]) -> None:
        if not which.all():
            self._flow, self._number, self._cell = self._flow[which], self._number[which], self._cell[which]

    def _insert(self, flow: I8, number: int, cell: I4) -> None:
        if not len(flow):
            return
        flows = np.concatenate([self._flow, flow])
        order = np.argsort(flows)
        self._flow = flows[order]
        self._number = np.concatenate([self._number, np.full(len(flow), number, np.int64)])[order]
        self._cell = np.concatenate([self._cell, cell])[order]


def fate_rows(fates: Fates, closed: Closed, flow: I8, memory: FlowMemory, places: Places) -> np.ndarray:
    """FATES rows of a slot, sorted by place and leg. `closed`: with its losses located. `flow`: of its
    probes, which `memory` has taken in; it tells where the lost packets of those that pass now had gone."""
    judgement = closed.judgement
    again = judgement.place[fates.again] * np.int32(LEGS) + judgement.leg[fates.again]
    place, leg = np.divmod(fates.recovered_cell, np.int32(LEGS))
    beyond = np.flatnonzero(place >= places.links)
    if len(beyond):
        link = memory.next_link(
            flow[fates.recovered[beyond]], place[beyond] - places.links, leg[beyond].astype(np.int8)
        )
        place[beyond] = np.where(link >= 0, link, place[beyond])
    cell, (n_again, n_recovered) = tally(again.astype(np.int32), place * np.int32(LEGS) + leg)
    place, leg = np.divmod(cell, np.int32(LEGS))
    return rows_of(
        FATES,
        {
            "from_node": places.from_node[place],
            "to_node": places.to_node[place],
            "leg": leg,
            "lost_again": n_again,
            "recovered": n_recovered,
        },
        len(cell),
    )


def _occurrences(wanted: I8, flow: I8) -> tuple[I8, I8]:
    """Where some flows occur: sorted i8[k], i8[p] -> rows of `flow`, rising, and places in `wanted`."""
    flags = np.zeros(_FLAGS, np.bool_)
    flags[wanted & (_FLAGS - 1)] = True
    row = np.flatnonzero(flags[flow & (_FLAGS - 1)])
    of = np.minimum(np.searchsorted(wanted, flow[row]), len(wanted) - 1)
    is_it = wanted[of] == flow[row]
    return row[is_it], of[is_it]

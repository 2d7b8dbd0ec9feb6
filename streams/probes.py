"""Outcomes of the probes that close together, as native columns with their nodes looked up."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fabric.index import FabricIndex
from schemas.nodes import PROBER_BASE
from schemas.rows import gather

I1 = NDArray[np.int8]
I4 = NDArray[np.int32]
I8 = NDArray[np.int64]
U8 = NDArray[np.uint64]

PROBER_SHIFT = 32


@dataclass(frozen=True, slots=True)
class Probes:
    """Columns of shape (p,), sorted by (sent_at_us, probe_id). Nodes are -1 where none is known."""

    probe_id: I8
    sent_at_us: I8
    rtt_ns: I8
    content_hash: U8
    kind: I1
    reply_kind: I1
    target_node: I4
    tor_node: I4
    prober_node: I4
    attached_node: I4  # switch that the Prober hangs on
    via_node: I4
    answers: NDArray[np.bool_]  # False: known-silent host
    rows: np.ndarray  # the outcomes as they came, for what only a kept result needs

    def __len__(self) -> int:
        return len(self.probe_id)


class ProbeColumns:
    """Turns outcome rows into Probes; holds what is looked up of the fabric."""

    def __init__(self, index: FabricIndex) -> None:
        self._index = index
        probers = index.fabric.probers
        self._attached = np.full(max((p.number for p in probers), default=0) + 1, -1, np.int32)
        for prober in probers:
            self._attached[prober.number] = index.fabric.node(prober.switch)

    def __call__(self, rows: np.ndarray) -> Probes:
        """OUTCOME rows of shape (p,) to columns; sorts them."""
        order = np.lexsort((rows["probe_id"].astype(np.int64), rows["sent_at_us"].astype(np.int64)))
        rows = gather(rows, order)
        probe_id = rows["probe_id"].astype(np.int64)
        number = probe_id >> PROBER_SHIFT
        known = (number >= 0) & (number < len(self._attached))
        target = self._index.node_of(rows["target"])
        is_server = target >= 0
        tor = self._index.tor_of_server(target)
        return Probes(
            probe_id=probe_id,
            sent_at_us=rows["sent_at_us"].astype(np.int64),
            rtt_ns=rows["rtt_ns"].astype(np.int64),
            content_hash=rows["content_hash"].astype(np.uint64),
            kind=rows["kind"].astype(np.int8),
            reply_kind=rows["reply_kind"].astype(np.int8),
            target_node=target,
            tor_node=np.where(tor >= 0, tor, self._attached_of_target(target)),
            prober_node=np.where(number < PROBER_BASE, PROBER_BASE + number, -1).astype(np.int32),
            attached_node=np.where(known, self._attached[np.where(known, number, 0)], -1).astype(np.int32),
            via_node=self._index.node_of(rows["via"]),
            answers=np.where(is_server & (tor >= 0), self._index.answers_of(target), True),
            rows=rows,
        )

    def _attached_of_target(self, target: I4) -> I4:
        """An inter-Prober target hangs on its Prober's switch instead of a ToR."""
        number = target - PROBER_BASE
        known = (number >= 0) & (number < len(self._attached))
        return np.where(known, self._attached[np.where(known, number, 0)], np.int32(-1))

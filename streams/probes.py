"""Outcomes of the probes that close together, as native columns with their nodes looked up."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fabric.address import address_words
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
    """Columns of shape (p,), sorted by (sent_at_us, probe_id). Nodes and links are -1 where none is known."""

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
    uplink: I4  # from the Prober
    to_prober: I4
    to_target: I4  # from its ToR
    from_target: I4
    answers: NDArray[np.bool_]  # False: known-silent host
    rows: np.ndarray  # the outcomes as they came, for what only a kept result needs

    def __len__(self) -> int:
        return len(self.probe_id)


class ProbeColumns:
    """Turns outcome rows into Probes; holds what is looked up of the fabric."""

    def __init__(self, index: FabricIndex) -> None:
        self._index = index
        probers, servers = index.fabric.probers, index.server_node
        self._numbers = max((p.number for p in probers), default=0) + 1
        # By Prober number, and one more entry that stands for none.
        node, attached = (np.full(self._numbers + 1, -1, np.int32) for _ in range(2))
        for prober in probers:
            node[prober.number], attached[prober.number] = prober.node, index.fabric.node(prober.switch)
        self._attached = attached
        self._uplink, self._to_prober = index.link_index(node, attached), index.link_index(attached, node)
        # By server row, and one more entry that stands for none.
        self._tor = np.append(index.server_tor, np.int32(-1))
        self._answers = np.append(index.answers, np.True_)
        self._to_server = np.append(index.link_index(index.server_tor, servers), np.int32(-1))
        self._from_server = np.append(index.link_index(servers, index.server_tor), np.int32(-1))

    def __call__(self, rows: np.ndarray) -> Probes:
        """OUTCOME rows of shape (p,) to columns; sorts them."""
        order = np.lexsort((rows["probe_id"].astype(np.int64), rows["sent_at_us"].astype(np.int64)))
        rows = gather(rows, order)
        probe_id = rows["probe_id"].astype(np.int64)
        number = probe_id >> PROBER_SHIFT
        prober = self._known(number)
        target = self._index.node_of(rows["target"])
        server = self._index.server_row(target)
        # An inter-Prober target hangs on its Prober's switch instead of a ToR.
        other = self._known(target.astype(np.int64) - PROBER_BASE)
        is_server = server >= 0
        return Probes(
            probe_id=probe_id,
            sent_at_us=rows["sent_at_us"].astype(np.int64),
            rtt_ns=rows["rtt_ns"].astype(np.int64),
            content_hash=rows["content_hash"].astype(np.uint64),
            kind=rows["kind"].astype(np.int8),
            reply_kind=rows["reply_kind"].astype(np.int8),
            target_node=target,
            tor_node=np.where(is_server, self._tor[server], self._attached[other]),
            prober_node=np.where(number < PROBER_BASE, PROBER_BASE + number, -1).astype(np.int32),
            attached_node=self._attached[prober],
            via_node=self._via(rows["via"]),
            uplink=self._uplink[prober],
            to_prober=self._to_prober[prober],
            to_target=np.where(is_server, self._to_server[server], self._to_prober[other]),
            from_target=np.where(is_server, self._from_server[server], self._uplink[other]),
            answers=self._answers[server],
            rows=rows,
        )

    def _known(self, number: I8) -> I8:
        """Prober numbers, -1 for those of no Prober: i8[n] -> i8[n]."""
        return np.where((number >= 0) & (number < self._numbers), number, -1)

    def _via(self, address: NDArray[np.void]) -> I4:
        """Node of each decapsulating ToR: V16[n] -> i4[n], -1 where there is none, as of most probes."""
        node = np.full(len(address), -1, np.int32)
        high, low = address_words(address)
        rows = np.flatnonzero(high | low)
        node[rows] = self._index.node_of(address[rows])
        return node

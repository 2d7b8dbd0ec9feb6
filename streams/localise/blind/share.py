"""Which pairs of switches nothing is seen between: only there do blind probes tell the truth.

Where mirrors work, a probe of which no copy was seen is one that was lost on its first cable, so that blind
probes are all losses, and prove nothing but that. Between a Prober's switch and a ToR that no mirror covers
nearly all probes are blind, answered ones too.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from fabric.index import FabricIndex
from schemas.rows import PAIRS, Kind

I4 = NDArray[np.int32]
F8 = NDArray[np.float64]
Bools = NDArray[np.bool_]

#: Share of blind probes from which on a pair counts as blind, over about MEMORY_US.
SHARE_MIN = 0.9
MEMORY_US = 500_000


class BlindShare:
    """Blind probes and all probes by pair, old ones fading. East-West probes count by the ToR of their target
    alone: their pairs are too many for one to be measured."""

    def __init__(self, index: FabricIndex, attached: I4) -> None:
        """attached: i4[k], nodes of the switches that Probers hang on."""
        self._index = index
        self._origin = np.full(len(index.switch_node), -1, np.int32)
        rows = np.unique(index.switch_row(attached))
        self._origin[rows] = np.arange(1, len(rows) + 1)
        self._blind: F8 = np.zeros((len(rows) + 1, len(index.switch_node)))
        self._all: F8 = np.zeros_like(self._blind)
        self._answered: F8 = np.zeros(len(rows) + 1)  # blind and answered, by origin
        self._attached: I4 = index.switch_node[rows]

    @property
    def dark(self) -> frozenset[int]:
        """Switches with Probers (nodes) from which nearly all probes are blind, answered ones too: no mirror
        on any way from there shows anything. None while no PAIRS rows are told."""
        probes = self._all.sum(axis=1)
        mine = (probes > 0) & (self._blind.sum(axis=1) > SHARE_MIN * probes) & (self._answered >= 1)
        return frozenset(self._attached[mine[1:]].tolist())

    def select(
        self,
        length_us: int,
        origin: I4,
        via: I4,
        tor: I4,
        sent: NDArray[np.integer],
        lost: NDArray[np.integer],
        pairs: np.ndarray,
    ) -> Bools:
        """Take in a slot; says which of its blind flows are of blind pairs: bool[n].

        origin: switch of the Prober, via: decapsulating ToR or -1, tor: last switch of each flow, all nodes,
        i4[n]; sent, lost: their probes; pairs: PAIRS rows of the same slot.
        """
        fade = math.exp(-length_us / MEMORY_US)
        self._blind *= fade
        self._all *= fade
        self._answered *= fade
        at = self._at(via >= 0, origin, tor)
        known = at[0] >= 0
        np.add.at(self._blind, (at[0][known], at[1][known]), sent[known])
        np.add.at(self._answered, at[0][known], (sent - lost)[known])
        east_west = pairs["kind"] == Kind.EAST_WEST
        nodes = (pairs[name].astype(np.int32) for name in ("from_node", "to_node"))
        near, far = self._at(east_west, *nodes)
        there = near >= 0
        np.add.at(self._all, (near[there], far[there]), pairs["probes"][there].astype(np.float64))
        # A pair of which nothing is told has no other probes.
        share = self._blind / np.maximum(self._all, 1e-9)
        blind: Bools = known & ((share[at] >= SHARE_MIN) | (self._all[at] == 0))
        return blind

    def _at(self, east_west: Bools, origin: I4, tor: I4) -> tuple[I4, I4]:
        far = self._index.switch_row(tor)
        near = np.where(east_west, np.int32(0), self._origin[self._index.switch_row(origin)])
        known = (far >= 0) & (near >= 0) & (east_west | (self._index.switch_row(origin) >= 0))
        return np.where(known, near, np.int32(-1)), far


NO_PAIRS = np.empty(0, PAIRS.dtype)

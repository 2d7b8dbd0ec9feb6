"""What became of the probes between each pair of switches: exact counts for loss matrices.

A pair is a kind of probe, the switch from which probes enter the network (the decapsulating ToR of an
East-West probe, else the switch that the Prober hangs on) and the ToR of their target (the switch that it
hangs on, if it is a Prober). Probes of which the inventory does not know one of both are in no pair.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from schemas.rows import PAIRS, Kind, rows_of
from streams.probes import Probes
from streams.verdict import Judgement, Verdict

I8 = NDArray[np.int64]

_NODE_BITS = 30  # of a node number
_NODE_MASK = (1 << _NODE_BITS) - 1
#: A round trip counts as no longer than this: sums stay exact, and within the digits of their column.
RTT_MAX_NS = 10**12

NETWORK_LOST = (Verdict.NETWORK_LOSS, Verdict.LOOP)
ALTERED = (Verdict.ALTERED, Verdict.CORRUPTED)


class PairCounts:
    """Probes of one slot, counted when the slot goes out: so it does not matter in which steps they came."""

    __slots__ = ("_keys", "_rtt_ns", "_verdicts")

    def __init__(self) -> None:
        self._keys: list[I8] = []
        self._verdicts: list[NDArray[np.int8]] = []
        self._rtt_ns: list[I8] = []

    def add(self, probes: Probes, judgement: Judgement) -> None:
        """Take in probes."""
        origin = np.where(probes.kind == Kind.EAST_WEST, probes.via_node, probes.attached_node)
        known = (origin >= 0) & (probes.tor_node >= 0)
        kind = probes.kind.astype(np.int64) << (2 * _NODE_BITS)
        key = kind | origin.astype(np.int64) << _NODE_BITS | probes.tor_node
        self._keys.append(key[known])
        self._verdicts.append(judgement.verdict[known])
        self._rtt_ns.append(probes.rtt_ns[known])

    def rows(self) -> np.ndarray:
        """PAIRS rows, sorted by kind, from_node and to_node."""
        if not self._keys:
            return np.empty(0, PAIRS.dtype)
        key = np.concatenate(self._keys)
        order = np.argsort(key)
        key = key[order]
        verdict = np.concatenate(self._verdicts)[order]
        rtt_ns = np.concatenate(self._rtt_ns)[order]
        is_first = np.ones(len(key), np.bool_)
        is_first[1:] = key[1:] != key[:-1]
        first = np.flatnonzero(is_first)
        key = key[first]
        pair = np.cumsum(is_first) - 1

        by_verdict = np.bincount(pair * len(Verdict) + verdict, minlength=len(key) * len(Verdict))
        by_verdict = by_verdict.reshape(-1, len(Verdict))
        answered = np.bincount(pair[rtt_ns >= 0], minlength=len(key))
        rtt_ns = np.clip(rtt_ns, 0, RTT_MAX_NS)
        return rows_of(
            PAIRS,
            {
                "kind": key >> (2 * _NODE_BITS),
                "from_node": key >> _NODE_BITS & _NODE_MASK,
                "to_node": key & _NODE_MASK,
                "probes": np.diff(first, append=len(pair)),
                "answered": answered,
                "network_lost": by_verdict[:, NETWORK_LOST].sum(axis=1),
                "silent": by_verdict[:, Verdict.HOST_SILENT],
                "altered": by_verdict[:, ALTERED].sum(axis=1),
                "rtt_sum_ns": np.add.reduceat(rtt_ns, first) if len(first) else 0,
                "rtt_max_ns": np.maximum.reduceat(rtt_ns, first) if len(first) else 0,
            },
            len(key),
        )

"""Mirror copies lost between exporter and collector, counted from gaps in GRE sequence numbers.

State is a value: `count` takes the state and a batch of copies and gives the next state. Per (switch,
session), each copy's number is compared with that of the copy before it. In order, a step of d means d - 1
copies lost; a copy that arrives late makes a negative step and the next one a larger step, so their sum is
right without reordering anything.

What numbers do in the field (and what is done about it): they wrap at 2**32 (steps are taken modulo 2**32);
they are flagged but always 0, or repeated (a step of 0 counts nothing); the exporter restarts (a step
farther back than REORDER_MAX, or farther ahead than GAP_MAX, counts nothing).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from producers.packets import I32, I64
from schemas.batch import ExporterCount

REORDER_MAX = 4_096
GAP_MAX = 1 << 24

_SESSION_BITS = 11  # sessions have 10 bits; -1 (none) is carried as 0
_NO_SEQUENCE = -1


@dataclass(frozen=True, slots=True)
class Copies:
    """Mirrored copies in the order of arrival: columns of one length."""

    switch: I32
    session: I32  # -1: the format has none
    sequence: I64  # -1: none

    def rows(self, selection: NDArray[np.bool_]) -> Self:
        """The selected copies."""
        return type(self)(self.switch[selection], self.session[selection], self.sequence[selection])

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Consecutive copies as one."""
        empty = np.zeros(0, dtype=np.int32)
        return cls(
            np.concatenate([empty, *(part.switch for part in parts)]),
            np.concatenate([empty, *(part.session for part in parts)]),
            np.concatenate([empty.astype(np.int64), *(part.sequence for part in parts)]),
        )


@dataclass(frozen=True, slots=True)
class SequenceState:
    """Per (switch, session), in the order of `keys`: what came last, and counts since the last `drain`."""

    keys: I64
    last: I64  # sequence number of the copy before, -1: none yet
    received: I64
    lost: I64  # below 0 while a late copy has been counted before its gap


def no_copies() -> SequenceState:
    """The state before the first copy."""
    empty = np.zeros(0, dtype=np.int64)
    return SequenceState(empty, empty, empty, empty)


def count(state: SequenceState, copies: Copies) -> SequenceState:
    """The state after these copies. The result does not depend on how copies are cut into batches."""
    if not len(copies.switch):
        return state
    key = copies.switch.astype(np.int64) << _SESSION_BITS | (copies.session + 1)
    state = _with_keys(state, np.unique(key))
    row = np.searchsorted(state.keys, key)
    received = state.received + np.bincount(row, minlength=len(state.keys))
    numbered = np.flatnonzero(copies.sequence != _NO_SEQUENCE)
    order = numbered[np.argsort(row[numbered], kind="stable")]
    row, sequence = row[order], copies.sequence[order]
    is_first = np.diff(row, prepend=-1) != 0
    before = np.where(is_first, state.last[row], np.roll(sequence, 1))
    lost = state.lost + np.bincount(row, _lost_in_step(before, sequence), len(state.keys)).astype(np.int64)
    last = state.last.copy()
    is_last = np.diff(row, append=-1) != 0
    last[row[is_last]] = sequence[is_last]
    return SequenceState(state.keys, last, received, lost)


def drain(state: SequenceState) -> tuple[SequenceState, tuple[ExporterCount, ...]]:
    """The counts since the last time, and the state with them taken out."""
    lost = np.maximum(state.lost, 0)
    some = np.flatnonzero(state.received)
    counts = tuple(
        ExporterCount(
            switch=key >> _SESSION_BITS,
            session=(key & ((1 << _SESSION_BITS) - 1)) - 1,
            received=copies_received,
            lost=copies_lost,
        )
        for key, copies_received, copies_lost in zip(
            state.keys[some].tolist(), state.received[some].tolist(), lost[some].tolist(), strict=True
        )
    )
    kept = state.lost.copy()
    kept[some] -= lost[some]
    return SequenceState(state.keys, state.last, np.zeros_like(state.received), kept), counts


def _lost_in_step(before: I64, sequence: I64) -> I64:
    step = (sequence - before + 2**31) % 2**32 - 2**31
    means_nothing = (before == _NO_SEQUENCE) | (step == 0) | (step < -REORDER_MAX) | (step > GAP_MAX)
    return np.where(means_nothing, 0, step - 1)


def _with_keys(state: SequenceState, keys: I64) -> SequenceState:
    new = np.setdiff1d(keys, state.keys, assume_unique=True)
    if not len(new):
        return state
    place = np.searchsorted(state.keys, new)
    return SequenceState(
        np.insert(state.keys, place, new),
        np.insert(state.last, place, _NO_SEQUENCE),
        np.insert(state.received, place, 0),
        np.insert(state.lost, place, 0),
    )

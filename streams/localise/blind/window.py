"""What blind probes said over the last seconds: answers by place as sums, losses one by one.

Answers are many and enter the likelihood as sums over places; losses are few. In an outage they are not, so
of their ways only a sample is kept, each way then standing for several.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from streams.localise.tomography.paths import PathCounts

I4 = NDArray[np.int32]
I8 = NDArray[np.int64]
F8 = NDArray[np.float64]
Bools = NDArray[np.bool_]

#: Event time is kept in blocks of this length.
BLOCK_US = 500_000
#: Ways of losses that are kept of a slot, and looked at together.
LOSSY_MAX = 20_000


@dataclass(frozen=True, slots=True)
class Lost:
    """Losses by flow, columns of shape (n,). way: i4[n, w], cells crossed, -1 where there is none; lost,
    group_lost: as in BLIND rows; weight: how many losses each of them stands for."""

    block: I8
    way: I4
    prober: I4  # rows of the detector's tables
    target: I4
    lost: I8
    group_lost: I8
    weight: I8

    def __len__(self) -> int:
        return len(self.lost)

    def take(self, rows: Bools | NDArray[np.intp] | slice) -> Lost:
        """Some of them."""
        return Lost(
            self.block[rows],
            self.way[rows],
            self.prober[rows],
            self.target[rows],
            self.lost[rows],
            self.group_lost[rows],
            self.weight[rows],
        )

    def sample(self, most: int) -> Lost:
        """At most so many, evenly chosen, each standing for as many as were left out beside it."""
        step = -(-len(self) // most)
        if step <= 1:
            return self
        chosen = self.take(slice(None, None, step))
        return replace(chosen, weight=chosen.weight * step)

    def counts(self, cells: int) -> PathCounts:
        """As paths, of which only the losses are counted."""
        lost = self.lost * self.weight
        return PathCounts.of_matrix(self.way, lost, lost, cells)

    @staticmethod
    def joined(parts: list[Lost]) -> Lost:
        """All of several; ways may differ in width."""
        width = max(part.way.shape[1] for part in parts)
        ways = [
            np.pad(part.way, ((0, 0), (0, width - part.way.shape[1])), constant_values=-1) for part in parts
        ]
        return Lost(
            np.concatenate([part.block for part in parts]),
            np.concatenate(ways),
            *(
                np.concatenate([getattr(part, name) for part in parts])
                for name in ("prober", "target", "lost", "group_lost", "weight")
            ),
        )


@dataclass(slots=True)
class Block:
    """Sums over half a second. passed: i4[cells]; answered: i4[targets]; by_prober: i8[probers]; tallies of
    losses by prober and target: (prober, target, lost, group_lost), i8[4, n]."""

    number: int
    passed: I4
    answered: I4
    by_prober: I8
    tallies: list[I8] = field(default_factory=list)
    lost: list[Lost] = field(default_factory=list)

    @property
    def sums(self) -> tuple[NDArray[np.signedinteger], ...]:
        return self.passed, self.answered, self.by_prober


@dataclass(frozen=True, slots=True)
class Span:
    """The last so many blocks, summed. tallies: i8[4, n], as in Block, not summed over time; lost: None if
    nothing was."""

    blocks: tuple[Block, ...]
    passed: I8
    answered: I8
    by_prober: I8
    tallies: I8
    lost: Lost | None


class Window:
    """Blocks of the longest span, and sums over each span."""

    def __init__(self, cells: int, targets: int, probers: int, spans_us: tuple[int, ...]) -> None:
        self._shape = (cells, targets, probers)
        self._spans_us = spans_us
        self._blocks: deque[Block] = deque()
        self._sums: list[list[I8]] = [[np.zeros(size, np.int64) for size in self._shape] for _ in spans_us]
        self._begun: list[int] = [0 for _ in spans_us]  # how many of the blocks are older than each span

    def add(self, slot_us: int, way: I4, prober: I4, target: I4, sent: I8, lost: I8, group_lost: I8) -> None:
        """Take in flows of a slot, columns of shape (n,) and way i4[n, w]. Slots come in order."""
        self.advance(slot_us)
        block = self._blocks[-1]
        answered = sent - lost
        cells, targets, probers = self._shape
        row, column = np.nonzero(way >= 0)
        more = (
            np.bincount(way[row, column], answered[row], cells),
            np.bincount(target, answered, targets),
            np.bincount(prober, answered, probers),
        )
        for sums in (block.sums, *self._sums):
            for total, part in zip(sums, more, strict=True):
                np.add(total, part, out=total, casting="unsafe")
        hit = np.flatnonzero(lost > 0)
        if len(hit):
            block.tallies.append(
                np.stack([prober[hit], target[hit], lost[hit], group_lost[hit]]).astype(np.int64)
            )
            found = Lost(
                np.full(len(hit), block.number, np.int64),
                _narrow(way[hit]),
                prober[hit],
                target[hit],
                lost[hit],
                group_lost[hit],
                np.ones(len(hit), np.int64),
            )
            block.lost.append(found.sample(LOSSY_MAX))

    def advance(self, slot_us: int) -> None:
        """Let time pass until the slot that begins at `slot_us`: what is too old for a span leaves it."""
        number = slot_us // BLOCK_US
        if not self._blocks or self._blocks[-1].number < number:
            cells, targets, probers = self._shape
            self._blocks.append(
                Block(
                    number,
                    np.zeros(cells, np.int32),
                    np.zeros(targets, np.int32),
                    np.zeros(probers, np.int64),
                )
            )
        for i, span_us in enumerate(self._spans_us):
            while self._blocks[self._begun[i]].number <= number - span_us // BLOCK_US:
                old = self._blocks[self._begun[i]]
                for total, part in zip(self._sums[i], old.sums, strict=True):
                    np.subtract(total, part, out=total)
                self._begun[i] += 1
        for _ in range(min(self._begun)):
            self._blocks.popleft()
        self._begun = [begun - min(self._begun) for begun in self._begun]

    def spans(self) -> list[Span]:
        """All spans, the shortest first."""
        return [
            self._span(tuple(self._blocks)[begun:], sums)
            for begun, sums in zip(self._begun, self._sums, strict=True)
        ]

    @staticmethod
    def _span(blocks: tuple[Block, ...], sums: list[I8]) -> Span:
        tallies = [np.zeros((4, 0), np.int64), *(tally for block in blocks for tally in block.tallies)]
        lost = [lost for block in blocks for lost in block.lost]
        passed, answered, by_prober = sums
        joined = Lost.joined(lost) if lost else None
        return Span(blocks, passed, answered, by_prober, np.concatenate(tallies, axis=1), joined)


def _narrow(way: I4) -> I4:
    """The same ways without holes, as wide as the longest: most of a way's columns are empty."""
    order = np.argsort(way < 0, axis=1, kind="stable")
    width = int((way >= 0).sum(axis=1).max(initial=1))
    narrow: I4 = np.take_along_axis(way, order[:, :width], axis=1)
    return narrow

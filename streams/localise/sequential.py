"""Sequential tests of many elements at once: does this one lose more than a healthy one would?

Page's CUSUM over the log-likelihood ratio of Wald's SPRT (Page, Biometrika 1954; Wald 1947), at several
scales: each scale asks whether the loss is RATIOS[scale] times what is expected. Its score rises by
ln(p1/p0) on a loss, falls by (p1 - p0) per packet that passed, and starts anew at zero. A heavy loss is
found by a high ratio within few packets, a slight one by a low ratio, in time.

Only elements that lost something lately have a score; they alone cost time and state.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

I8 = NDArray[np.int64]
F8 = NDArray[np.float64]

RATIOS = np.array([12.0, 64.0, 512.0, 4_096.0, 32_768.0])
#: A loss rate that no scale goes beyond.
RATE_MAX = 0.9
#: An element is suspect above these scores. Of the losses of a healthy network one in e**16, about nine
#: million, takes a score above 16; the lowest ratio asks for more, because the background may be twice what
#: it was taken for. Five losses within 50,000 packets reach 17 where one in a million is expected.
SCORES_MIN = np.array([24.0, 16.0, 16.0, 16.0, 16.0])
#: Above it a score says nothing new, and would only take longer to fall.
SCORE_MAX = 60.0
LOST_MIN = 5


class SequentialTest:
    """Scores of `size` elements.

    Of element i and scale s: `score[s, i]`, `onset_us[s, i]` (start of the slot in which the score left
    zero) and `lost[s, i]` since then. `last_us[i]`: end of the last slot with a loss.
    """

    def __init__(self, size: int, lost_min: int = LOST_MIN) -> None:
        scales = len(RATIOS)
        self.lost_min = lost_min
        self.score = np.zeros((scales, size), np.float64)
        self.onset_us = np.zeros((scales, size), np.int64)
        self.lost = np.zeros((scales, size), np.int64)
        self.last_us = np.zeros(size, np.int64)
        self.active: I8 = np.empty(0, np.int64)

    def step(
        self,
        element: I8,
        lost: I8,
        passed: Callable[[I8], F8],
        expected: Callable[[I8], F8],
        slot_us: int,
        end_us: int,
    ) -> None:
        """Take in a slot. element, lost: i8[n], those that lost something, distinct. `passed` and
        `expected` give packets that passed and the expected loss rate of some elements."""
        at = np.union1d(self.active, element)
        if not len(at):
            return
        here = np.zeros(len(at), np.int64)
        here[np.searchsorted(at, element)] = lost
        rate = np.maximum(expected(at), 1e-12)
        crossing = passed(at)
        worse = np.minimum(RATIOS[:, None] * rate, RATE_MAX)
        worse = np.maximum(worse, np.minimum(2 * rate, 0.99))
        rise = np.log(worse / rate)
        fall = np.log1p(-rate) - np.log1p(-worse)
        before = self.score[:, at]
        score = np.clip(before + rise * here - fall * crossing, 0, SCORE_MAX)
        begun = (before <= 0) & (score > 0)
        over = score <= 0
        self.onset_us[:, at] = np.where(begun, slot_us, self.onset_us[:, at])
        self.lost[:, at] = np.where(over, 0, np.where(begun, 0, self.lost[:, at]) + here)
        self.score[:, at] = score
        self.last_us[element] = end_us
        self.active = at[~over.all(axis=0)]

    def alarms(self) -> I8:
        """Elements that are suspect now, sorted."""
        at = self.active
        sure = (self.score[:, at] >= SCORES_MIN[:, None]) & (self.lost[:, at] >= self.lost_min)
        return at[sure.any(axis=0)]

    def onset_of(self, element: int) -> int:
        """When the losses of an element began: of the scales that find it suspect, the one that is
        surest, and of those alike the latest."""
        sure = np.where(self.lost[:, element] >= self.lost_min, self.score[:, element], 0)
        best = np.flatnonzero(sure >= sure.max() - 1e-9)
        return int(self.onset_us[best, element].max())

    def forget(self, elements: I8) -> None:
        """Begin anew with some elements."""
        self.score[:, elements] = 0
        self.lost[:, elements] = 0
        self.active = np.setdiff1d(self.active, elements, assume_unique=True)

    def snapshot(self) -> list[list[Any]]:
        """Plain values, of the active elements only."""
        return [
            [
                i,
                self.score[:, i].tolist(),
                self.onset_us[:, i].tolist(),
                self.lost[:, i].tolist(),
                int(self.last_us[i]),
            ]
            for i in self.active.tolist()
        ]

    def restore(self, values: list[list[Any]]) -> None:
        """Reverse of `snapshot`."""
        for i, score, onset_us, lost, last_us in values:
            self.score[:, i], self.onset_us[:, i], self.lost[:, i] = score, onset_us, lost
            self.last_us[i] = last_us
        self.active = np.array(sorted(v[0] for v in values), np.int64)

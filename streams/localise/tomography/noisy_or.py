"""Losses by independent causes: a packet is lost if any of them drops it (a noisy or).

The log-likelihood of what got through is linear in log(1 - r), so the paths without losses enter as one sum
per element; only paths that lost something are looked at one by one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streams.localise.tomography.elements import Elements
from streams.localise.tomography.paths import PathCounts, summed

I8 = NDArray[np.int64]
F8 = NDArray[np.float64]
Rows = NDArray[np.intp]

_RATE_MAX = 1 - 1e-9
_RATE_MIN = 1e-9
#: Rounds of expectation maximisation for one candidate, and for all that is blamed together.
_ROUNDS, _ROUNDS_TOGETHER = 12, 30


@dataclass(frozen=True, slots=True)
class Losses:
    """Counts, reduced to what the likelihood needs.

    lossy: the paths that lost something; passed: f8[cells], answered probes by cell, over all paths;
    answered: all of them.
    """

    lossy: PathCounts
    passed: F8
    answered: int

    @classmethod
    def of(cls, counts: PathCounts) -> Losses:
        """From the counts of all paths."""
        passed = (counts.sent - counts.lost).astype(np.float64)
        return cls(counts.take(counts.lost > 0), counts.by_cell(passed), int(passed.sum()))


class NoisyOr:
    """The model of one set of counts. It knows only elements across which something was lost, and numbers
    them anew. All columns are of shape (e,) over these, or (q,) over the lossy paths.

    element: i8[e], numbers of the elements; lost: f8[q]; lost_by, crossed: f8[e], losses on paths across
    each element, and probes that crossed it, each as often as it did.
    """

    def __init__(self, losses: Losses, elements: Elements) -> None:
        counts = losses.lossy.aggregated()
        self.lost: F8 = counts.lost.astype(np.float64)
        self.paths = len(counts)
        self._total = losses.answered + float(self.lost.sum())
        self.element, self._path, self._times, self._start = _crossings(counts, elements)
        self._owner: I8 = np.repeat(np.arange(len(self.element)), np.diff(self._start))
        self._passed: F8 = elements.sums(losses.passed, self.element)
        self.lost_by: F8 = self.crossing(self.lost)
        self.crossed: F8 = self._passed + self.lost_by

    def paths_of(self, element: int) -> I8:
        """Lossy paths across an element."""
        return self._path[self._start[element] : self._start[element + 1]]

    def crossing(self, weight: F8, once: bool = False) -> F8:
        """Sum of weights f8[q] of the lossy paths across each element, as often as they cross it, or once."""
        each = weight[self._path] if once else self._times * weight[self._path]
        return summed(self._owner, each, len(self.element))

    def survival(self, rates: Mapping[int, float], background: float) -> F8:
        """Probability of each lossy path that neither the background nor one of some elements drops a
        packet, at their rates: f8[q]."""
        survival: F8 = np.full(self.paths, 1 - background)
        for element, rate in rates.items():
            survival[self.paths_of(element)] *= (1 - rate) ** self._times_of(element)
        np.minimum(survival, 1 - _RATE_MIN, out=survival)
        return survival

    def gains_at(self, rate: F8, survival: F8) -> F8:
        """Log-likelihood that each element adds at a rate, f8[e], to what explains `survival`."""
        clipped = np.clip(rate, 0, _RATE_MAX)
        return self._gain(slice(None), self._owner, clipped, survival, slice(None))

    def gains(self, candidates: Rows, survival: F8) -> tuple[F8, F8]:
        """What each of some elements adds at the rate that is best for it, and that rate: f8[n], f8[n]."""
        length = np.diff(self._start)[candidates]
        begin = np.cumsum(length) - length
        rows = np.arange(int(length.sum())) + np.repeat(self._start[candidates] - begin, length)
        owner = np.repeat(np.arange(len(candidates)), length)
        path, times = self._path[rows], self._times[rows]
        crossed = np.maximum(self.crossed[candidates], 1)
        rate = np.clip(self.lost_by[candidates] / crossed, _RATE_MIN, _RATE_MAX)
        for _ in range(_ROUNDS):
            lost_with = 1 - survival[path] * (1 - rate[owner]) ** times
            share = summed(owner, times * self.lost[path] / lost_with, len(rate))
            rate = np.clip(rate * share / crossed, _RATE_MIN, _RATE_MAX)
        return self._gain(rows, owner, rate, survival, candidates), rate

    def _gain(self, rows: Rows | slice, owner: I8, rate: F8, survival: F8, candidates: Rows | slice) -> F8:
        path, times = self._path[rows], self._times[rows]
        before = 1 - survival[path]
        after = 1 - survival[path] * (1 - rate[owner]) ** times
        gain = summed(owner, self.lost[path] * np.log(after / before), len(rate))
        gain += self._passed[candidates] * np.log1p(-rate)
        return gain

    def likelihood(self, rates: Mapping[int, float], background: float) -> float:
        """Log-likelihood of the counts, but for what neither rates nor background change."""
        lost = float((self.lost * np.log(1 - self.survival(rates, background))).sum())
        elements = np.array(list(rates), np.int64)
        passed = float((self._passed[elements] * np.log1p(-np.array(list(rates.values())))).sum())
        return lost + passed + (self._total - float(self.lost.sum())) * float(np.log1p(-background))

    def fit(
        self, rates: Mapping[int, float], background: float, prior: tuple[float, float, float]
    ) -> tuple[dict[int, float], float]:
        """Rates of all that is blamed, and of the background, at which the counts are most likely.

        prior: background that is expected, the probes that this weighs as much as, and the most it may be.
        """
        elements = list(rates)
        rate = np.array([rates[each] for each in elements])
        path = np.concatenate([np.empty(0, np.int64), *(self.paths_of(each) for each in elements)])
        times = np.concatenate([np.empty(0), *(self._times_of(each) for each in elements)])
        owner = np.repeat(np.arange(len(elements)), [len(self.paths_of(each)) for each in elements])
        crossed = np.maximum(self.crossed[elements], 1) if elements else np.empty(0)
        expected, weight, most = prior
        for _ in range(_ROUNDS_TOGETHER):
            dropped = summed(path, times * np.log1p(-rate[owner]), self.paths)
            survival = np.minimum((1 - background) * np.exp(dropped), 1 - _RATE_MIN)
            per_loss = self.lost / (1 - survival)
            background = (background * float(per_loss.sum()) + expected * weight) / (self._total + weight)
            background = min(background, most)
            share = summed(owner, times * per_loss[path], len(rate))
            rate = np.clip(rate * share / crossed, _RATE_MIN, _RATE_MAX)
        return dict(zip(elements, rate.tolist(), strict=True)), background

    def put_down(self, element: int, rate: float, survival: F8) -> float:
        """Losses that are put down to an element, where `survival` is that of all that is blamed."""
        per_loss = self.lost / (1 - survival)
        return float((self._times_of(element) * per_loss[self.paths_of(element)]).sum() * rate)

    def _times_of(self, element: int) -> F8:
        return self._times[self._start[element] : self._start[element + 1]]


def _crossings(counts: PathCounts, elements: Elements) -> tuple[I8, I8, F8, I8]:
    """Which paths cross which elements how often: element i8[e], of those that are crossed; path i8[n] and
    times f8[n], sorted by element; start i8[e + 1]."""
    start, element = elements.containing
    degree = np.diff(start)[counts.link]
    first = np.repeat(start[counts.link] - np.cumsum(degree) + degree, degree)
    at = element[first + np.arange(int(degree.sum()))].astype(np.int64)
    key, times = np.unique(at * len(counts) + np.repeat(counts.path, degree), return_counts=True)
    crossed, begin = np.unique(key // len(counts), return_index=True)
    return crossed, key % len(counts), times.astype(np.float64), np.append(begin, len(key)).astype(np.int64)

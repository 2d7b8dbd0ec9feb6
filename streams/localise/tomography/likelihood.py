"""The causes that make what was lost most likely, found one by one.

Model: a packet is lost by the background with probability b, and by each faulty element that it crosses with
that element's rate r, all independently; an element crossed c times takes c chances. For every candidate the
gain in log-likelihood of its best rate is worked out, given what is blamed already; the one with the greatest
gain less its cost is blamed if that exceeds a bound; then all rates and the background are fitted again, and
each blame is tried anew: it is dropped if the others explain its losses, exchanged if another element now
does so better. So a switch does not stay blamed for what turns out to be two of its links, nor a rack for
three dead servers.

Good paths speak as loudly as bad ones, which is what votes and hit ratios leave out. Their log-likelihood is
linear in log(1 - r), so they enter as one sum per element, and only paths that lost something are looked at
one by one.

Kin: Flock (Harsh et al., PACMNET 2023) maximises a likelihood greedily too, for faults of given rates. The
fit is expectation maximisation for causes joined by a noisy or (each lost packet is divided among the causes
that may have lost it). A gain of g nats for one candidate comes about by chance with at most probability
exp(-g) (Chernoff), hence the bound of ln(candidates) + score_min.
"""

from __future__ import annotations

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


@dataclass(frozen=True, slots=True)
class LikelihoodSettings:
    #: gain in nats, over ln(candidates), from which on an element is blamed
    score_min: float = 16.0
    #: probes that must be lost on paths across it, more than the background would lose
    lost_min: float = 3.0
    #: least rate, and least rate over that of the background: hosts are not all alike
    rate_min: float = 3e-4
    ratio_min: float = 1.0
    #: share of probes lost by nobody's fault, where the rest of the counts does not say better
    background: float = 1e-3
    #: probes that this guess weighs as much as
    background_weight: float = 2_000.0
    #: and at most so much: what all paths lose alike is somebody's fault too
    background_max: float = 5e-3
    suspects_max: int = 20
    #: candidates whose rate is fitted, the most likely ones of all
    screened: int = 96
    #: rivals that are told
    rivals_max: int = 8


@dataclass(frozen=True, slots=True)
class Blame:
    """An element that is held to drop packets, with those that might do so instead.

    element: its number; gain: nats that it adds to the log-likelihood, given the others; rate: share of
    crossing packets that it drops; lost: losses put down to it; crossed: probes that crossed it (twice those
    that crossed it twice). rivals: (element, confidence) of all candidates for this blame, this one
    included, most likely first; confidences add up to 1.
    """

    element: int
    gain: float
    rate: float
    lost: float
    crossed: float
    rivals: tuple[tuple[int, float], ...]


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


def locate(losses: Losses, elements: Elements, settings: LikelihoodSettings | None = None) -> list[Blame]:
    """Elements to blame, the strongest case first."""
    if not len(losses.lossy):
        return []
    return _Search(losses, elements, settings or LikelihoodSettings()).run()


class _Search:
    """State of one search. It knows only elements across which something was lost, and numbers them anew;
    entries are (element, lossy path, times), sorted by element."""

    def __init__(self, losses: Losses, elements: Elements, settings: LikelihoodSettings) -> None:
        counts = losses.lossy.aggregated()
        self._settings = settings
        self._lost = counts.lost.astype(np.float64)
        self._total = losses.answered + float(self._lost.sum())
        self._element, self._path, self._times, self._start = _crossings(counts, elements)
        self._cost: F8 = elements.cost[self._element]
        lost_by = np.concatenate([[0], np.cumsum(self._times * self._lost[self._path])])
        self._lost_by: F8 = np.diff(lost_by[self._start])  # losses on paths across each element
        self._passed: F8 = elements.sums(losses.passed, self._element)
        self._bound = settings.score_min + float(np.log(max(1, len(elements))))
        self._background = settings.background
        self._blamed: dict[int, float] = {}  # element -> rate

    def run(self) -> list[Blame]:
        self._fit()
        for _ in range(self._settings.suspects_max):
            candidates, gains, rates = self._candidates(())
            best = self._pick(candidates, gains, rates)
            if best is None:
                break
            self._blamed[best[0]] = best[1]
            self._fit()
            if len(self._blamed) > 1:
                self._polish()
        return self._report()

    # -- the search -----------------------------------------------------------------------------

    def _pick(self, candidates: Rows, gains: F8, rates: F8) -> tuple[int, float] | None:
        """The candidate with the strongest case that is strong enough."""
        settings = self._settings
        excess = self._lost_by[candidates] - self._background * self._crossed(candidates)
        enough = (gains - self._cost[candidates] >= self._bound) & (excess >= settings.lost_min)
        enough &= rates >= max(settings.rate_min, settings.ratio_min * self._background)
        if not enough.any():
            return None
        at = int(np.where(enough, gains - self._cost[candidates], -np.inf).argmax())
        return int(candidates[at]), float(rates[at])

    def _polish(self) -> None:
        """Try each blame anew, given the others."""
        for element in list(self._blamed):
            candidates, gains, rates = self._candidates((element,))
            best = self._pick(candidates, gains, rates)
            if best is not None and best[0] == element:
                continue
            del self._blamed[element]
            if best is not None:
                self._blamed[best[0]] = best[1]
            self._fit()

    def _candidates(self, without: tuple[int, ...]) -> tuple[Rows, F8, F8]:
        """Elements that may be blamed next, were it not for `without`; their gains and rates."""
        survival = self._survival(without)
        others = [element for element in self._blamed if element not in without]
        screen = self._screen(survival)
        screen[others] = -np.inf
        most = min(self._settings.screened, len(screen))
        if not most:
            return np.empty(0, np.intp), np.empty(0), np.empty(0)
        candidates = np.sort(np.argpartition(-screen, most - 1)[:most])
        candidates = candidates[np.isfinite(screen[candidates])]
        gains, rates = self._gains(candidates, survival)
        return candidates, gains, rates

    def _screen(self, survival: F8) -> F8:
        """Gains of all elements at rates that are only guessed, less their cost."""
        known = 1 - survival
        crossed = self._passed + self._lost_by
        best = np.full(len(crossed), -np.inf)
        # The losses that only the background explains so far are one guess, all losses the other.
        unexplained = self._lost * np.minimum(1, self._background / known)
        for lost in (self._lost, unexplained):
            total = np.concatenate([[0], np.cumsum(self._times * lost[self._path])])
            mine = np.diff(total[self._start])
            rate = np.clip(mine / np.maximum(crossed, 1), 0, _RATE_MAX)
            best = np.maximum(best, self._gain(slice(None), self._start, rate, survival))
        screened: F8 = best - self._cost
        return screened

    def _gains(self, candidates: Rows, survival: F8) -> tuple[F8, F8]:
        """Gain and rate of each candidate at its best rate."""
        length = np.diff(self._start)[candidates]
        start = np.concatenate([[0], np.cumsum(length)])
        rows = np.arange(int(start[-1])) + np.repeat(self._start[candidates] - start[:-1], length)
        path, times, owner = self._path[rows], self._times[rows], np.repeat(np.arange(len(length)), length)
        crossed = self._crossed(candidates)
        rate = np.clip(self._lost_by[candidates] / np.maximum(crossed, 1), _RATE_MIN, _RATE_MAX)
        for _ in range(12):
            lost_with = 1 - survival[path] * (1 - rate[owner]) ** times
            share = summed(owner, times * self._lost[path] / lost_with, len(rate))
            rate = np.clip(rate * share / np.maximum(crossed, 1), _RATE_MIN, _RATE_MAX)
        return self._gain(rows, start, rate, survival, candidates), rate

    def _gain(
        self,
        rows: Rows | slice,
        start: I8,
        rate: F8,
        survival: F8,
        candidates: Rows | slice = slice(None),
    ) -> F8:
        """Log-likelihood that each element adds at a rate; `rows`: the entries of all of them."""
        path, times = self._path[rows], self._times[rows]
        owner = np.repeat(np.arange(len(rate)), np.diff(start))
        before = 1 - survival[path]
        after = 1 - survival[path] * (1 - rate[owner]) ** times
        total = np.concatenate([[0], np.cumsum(self._lost[path] * np.log(after / before))])
        gain: F8 = np.diff(total[start]) + self._passed[candidates] * np.log1p(-rate)
        return gain

    # -- the fit --------------------------------------------------------------------------------

    def _survival(self, without: tuple[int, ...] = ()) -> F8:
        """Probability of each lossy path that neither the background nor what is blamed drops a packet."""
        survival: F8 = np.full(len(self._lost), 1 - self._background)
        for element, rate in self._blamed.items():
            if element not in without:
                rows = slice(self._start[element], self._start[element + 1])
                survival[self._path[rows]] *= (1 - rate) ** self._times[rows]
        np.minimum(survival, 1 - _RATE_MIN, out=survival)
        return survival

    def _fit(self) -> None:
        """Rates of all that is blamed, and of the background, at which the counts are most likely."""
        settings = self._settings
        for _ in range(30 if self._blamed else 10):
            per_loss = self._lost / (1 - self._survival())
            guess = settings.background * settings.background_weight
            background = (self._background * per_loss.sum() + guess) / (
                self._total + settings.background_weight
            )
            self._background = min(float(background), settings.background_max)
            for element, rate in list(self._blamed.items()):
                rows = slice(self._start[element], self._start[element + 1])
                share = float((self._times[rows] * per_loss[self._path[rows]]).sum())
                crossed = float(self._passed[element] + self._lost_by[element])
                self._blamed[element] = min(max(rate * share / crossed, _RATE_MIN), _RATE_MAX)

    def _crossed(self, candidates: Rows) -> F8:
        crossed: F8 = self._passed[candidates] + self._lost_by[candidates]
        return crossed

    # -- the answer -----------------------------------------------------------------------------

    def _report(self) -> list[Blame]:
        per_loss = self._lost / (1 - self._survival())
        blames = []
        for element, rate in self._blamed.items():
            candidates, gains, _ = self._candidates((element,))
            rows = slice(self._start[element], self._start[element + 1])
            lost = float((self._times[rows] * per_loss[self._path[rows]]).sum() * rate)
            crossed = float(self._passed[element] + self._lost_by[element])
            gain = float(gains[candidates == element].max(initial=0))
            rivals = self._rivals(candidates, gains)
            blames.append(Blame(int(self._element[element]), gain, rate, lost, crossed, rivals))
        return sorted(blames, key=lambda blame: (-blame.gain, blame.element))

    def _rivals(self, candidates: Rows, gains: F8) -> tuple[tuple[int, float], ...]:
        score = gains - self._cost[candidates]
        weight = np.exp(score - score.max())
        weight /= weight.sum()
        order = np.lexsort((candidates, -weight))[: self._settings.rivals_max]
        return tuple((int(self._element[candidates[i]]), float(weight[i])) for i in order)


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

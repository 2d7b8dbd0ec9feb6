"""The causes that make what was lost most likely, found one by one.

Model: a packet is lost by the background with probability b, and by each faulty element that it crosses with
that element's rate r, all independently; an element crossed c times takes c chances. For every candidate the
gain in log-likelihood of its best rate is worked out, given what is blamed already; the one with the greatest
gain less its cost is blamed if that exceeds a bound, and with it the next best ones that share no losses with
it or each other; then all rates and the background are fitted again, and each blame that shares losses with
another is tried anew: it is dropped if the others explain them, exchanged if another element now does better,
or merged with others into what they are parts of. So a switch does not stay blamed for what turns out to be
two of its links, nor a rack for three dead servers.

Good paths speak as loudly as bad ones, which is what votes and hit ratios leave out.

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
from streams.localise.tomography.noisy_or import Losses, NoisyOr

F8 = NDArray[np.float64]
Rows = NDArray[np.intp]

#: Share of the losses across an element that must lie on one that is to stand for it and others.
COVERED = 0.95


@dataclass(frozen=True, slots=True)
class LikelihoodSettings:
    #: gain in nats, over ln(candidates), from which on an element is blamed
    score_min: float = 14.0
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
    suspects_max: int = 200
    #: rounds of blaming; each blames all that can be blamed side by side
    rounds_max: int = 20
    #: candidates whose rate is fitted, the most likely ones of all
    screened: int = 96
    #: share of the losses across a blamed element that its rivals must be able to explain
    shared_min: float = 0.3
    #: elements that are tried in place of several blamed ones
    merged_max: int = 16
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


def locate(losses: Losses, elements: Elements, settings: LikelihoodSettings | None = None) -> list[Blame]:
    """Elements to blame, the strongest case first."""
    if not len(losses.lossy):
        return []
    return _Search(losses, elements, settings or LikelihoodSettings()).run()


class _Search:
    """State of one search: which elements are blamed, and at which rate. Elements are those of the model."""

    def __init__(self, losses: Losses, elements: Elements, settings: LikelihoodSettings) -> None:
        self._settings = settings
        self._model = model = NoisyOr(losses, elements)
        self._cost: F8 = elements.cost[model.element]
        self._bound = settings.score_min + float(np.log(max(1, len(elements))))
        self._background = settings.background
        self._blamed: dict[int, float] = {}
        self._prior = (settings.background, settings.background_weight, settings.background_max)

    def run(self) -> list[Blame]:
        self._fit()
        for _ in range(self._settings.rounds_max):
            more = self._next()
            if not more:
                break
            self._blamed |= more
            self._fit()
            self._polish()
            self._merge()
        return self._report()

    def _next(self) -> dict[int, float]:
        """What is to be blamed next, besides what is blamed: causes that share no lossy path."""
        survival = self._survival()
        score = self._screen(survival)
        score[list(self._blamed)] = -np.inf
        most = min(self._settings.screened, len(score))
        if not most:
            return {}
        candidates = np.sort(np.argpartition(-score, most - 1)[:most])
        candidates = candidates[np.isfinite(score[candidates])]
        gains, rates = self._model.gains(candidates, survival)
        found: dict[int, float] = {}
        taken = np.zeros(self._model.paths, np.bool_)
        for at in self._strong(candidates, gains, rates):
            mine = self._model.paths_of(int(candidates[at]))
            if not taken[mine].any() and len(self._blamed) + len(found) < self._settings.suspects_max:
                found[int(candidates[at])] = float(rates[at])
            # Of one that has to wait the losses wait too: a part of it would only be second best.
            taken[mine] = True
        return found

    def _screen(self, survival: F8) -> F8:
        """Gains of all elements at rates that are only guessed, less their cost."""
        model = self._model
        # The losses that only the background explains so far are one guess, all losses the other.
        unexplained = model.lost * np.minimum(1, self._background / (1 - survival))
        guesses = [model.crossing(lost) / np.maximum(model.crossed, 1) for lost in (model.lost, unexplained)]
        gains = [model.gains_at(rate, survival) for rate in guesses]
        screened: F8 = np.maximum(*gains) - self._cost
        return screened

    def _strong(self, candidates: Rows, gains: F8, rates: F8) -> list[int]:
        """Places of the candidates whose case is strong enough, the strongest first."""
        settings, model = self._settings, self._model
        excess = model.lost_by[candidates] - self._background * model.crossed[candidates]
        score = gains - self._cost[candidates]
        enough = (score >= self._bound) & (excess >= settings.lost_min)
        enough &= rates >= max(settings.rate_min, settings.ratio_min * self._background)
        order = np.lexsort((candidates, -score))
        return [int(at) for at in order if enough[at]]

    def _polish(self) -> None:
        """Try each blame anew that shares losses with another, given the others."""
        for element in list(self._blamed):
            cover = np.zeros(self._model.paths, np.int64)
            for each in self._blamed:
                cover[self._model.paths_of(each)] += 1
            if cover[self._model.paths_of(element)].max() < 2:
                continue
            candidates, gains, rates = self._rivals_of(element)
            strong = self._strong(candidates, gains, rates)
            if strong and candidates[strong[0]] == element:
                continue
            del self._blamed[element]
            if strong:
                self._blamed[int(candidates[strong[0]])] = float(rates[strong[0]])
            self._fit()

    def _merge(self) -> None:
        """Exchange several blames for one element that is crossed by what crosses them, if together they do
        not explain so much more as so many causes must."""
        blamed = list(self._blamed)
        if len(blamed) < 2:
            return
        model = self._model
        covers = np.stack([self._covering(element) for element in blamed])
        covers[:, blamed] = False
        several = np.flatnonzero(covers.sum(axis=0) >= 2)
        order = np.lexsort((several, -covers[:, several].sum(axis=0)))[: self._settings.merged_max]
        now = model.likelihood(self._blamed, self._background)
        for element in several[order].tolist():
            inside = [each for each, covered in zip(blamed, covers[:, element], strict=True) if covered]
            if any(each not in self._blamed for each in inside):
                continue
            rates = {each: rate for each, rate in self._blamed.items() if each not in inside}
            rates[element] = float(np.mean([self._blamed[each] for each in inside]))
            fitted = model.fit(rates, self._background, self._prior)
            then = model.likelihood(*fitted)
            price = self._cost[element] - self._cost[inside].sum() - (len(inside) - 1) * self._bound
            if then - now > price:
                self._blamed, self._background = fitted
                now = then

    def _covering(self, element: int) -> NDArray[np.bool_]:
        """Elements that nearly all losses across an element lie on as well: bool[e]."""
        lost = np.zeros(self._model.paths)
        mine = self._model.paths_of(element)
        lost[mine] = self._model.lost[mine]
        covering: NDArray[np.bool_] = self._model.crossing(lost, once=True) >= COVERED * lost.sum()
        return covering

    def _rivals_of(self, element: int) -> tuple[Rows, F8, F8]:
        """Elements that might explain the losses across a blamed one in its stead, itself included; their
        gains and rates, were it not blamed."""
        model = self._model
        survival = self._survival(element)
        lost = np.zeros(model.paths)
        mine = model.paths_of(element)
        # What the other blames explain is nobody's to claim.
        lost[mine] = (model.lost * np.minimum(1, self._background / (1 - survival)))[mine]
        shared = model.crossing(lost, once=True)
        shared[[each for each in self._blamed if each != element]] = 0
        order = np.lexsort((np.arange(len(shared)), -shared))[: self._settings.screened]
        candidates = order[shared[order] >= self._settings.shared_min * shared[element]]
        candidates = np.unique(np.append(candidates, element))
        return candidates, *model.gains(candidates, survival)

    # -- the fit --------------------------------------------------------------------------------

    def _survival(self, without: int | None = None) -> F8:
        rates = {element: rate for element, rate in self._blamed.items() if element != without}
        return self._model.survival(rates, self._background)

    def _fit(self) -> None:
        self._blamed, self._background = self._model.fit(self._blamed, self._background, self._prior)

    # -- the answer -----------------------------------------------------------------------------

    def _report(self) -> list[Blame]:
        model = self._model
        survival = self._survival()
        blames = []
        for element, rate in self._blamed.items():
            candidates, gains, _ = self._rivals_of(element)
            blames.append(
                Blame(
                    element=int(model.element[element]),
                    gain=float(gains[candidates == element][0]),
                    rate=rate,
                    lost=model.put_down(element, rate, survival),
                    crossed=float(model.crossed[element]),
                    rivals=self._confidences(candidates, gains),
                )
            )
        return sorted(blames, key=lambda blame: (-blame.gain, blame.element))

    def _confidences(self, candidates: Rows, gains: F8) -> tuple[tuple[int, float], ...]:
        score = gains - self._cost[candidates]
        weight = np.exp(score - score.max())
        weight /= weight.sum()
        order = np.lexsort((candidates, -weight))[: self._settings.rivals_max]
        return tuple((int(self._model.element[candidates[i]]), float(weight[i])) for i in order)

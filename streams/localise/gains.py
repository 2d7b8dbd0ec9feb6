"""How much better an explanation fits than a healthy network does, in nats of log-likelihood.

Losses are binomial; a cause adds a rate to what healthy places show.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

F8 = NDArray[np.float64]

#: Log-likelihoods are divided by this before they become probabilities: losses come in bursts and by
#: flows, so that they tell less than as many independent ones would.
TEMPERATURE = 2.0
PROBABILITY_MAX = 0.98


def gain(bad: F8, all_: F8, expected: F8) -> F8:
    """Log-likelihood ratio of the observed share against the expected one, 0 if it is not higher: [n]."""
    extra = np.maximum(0.0, bad / np.maximum(all_, 1e-9) - expected)
    return _ratio(bad, all_, expected, extra)


def group_gain(bad: F8, all_: F8, expected: F8) -> float:
    """The same for one rate that is added to the expected shares of all members."""
    total = float(all_.sum())
    if total <= 0:
        return 0.0
    extra = max(0.0, (float(bad.sum()) - float((all_ * expected).sum())) / total)
    return float(_ratio(bad, all_, expected, np.full(len(bad), extra)).sum())


def _ratio(bad: F8, all_: F8, expected: F8, extra: F8) -> F8:
    rate = np.minimum(expected + extra, 1 - 1e-9)
    good = np.maximum(all_ - bad, 0.0)
    ratio: F8 = bad * np.log(rate / expected) + good * (np.log1p(-rate) - np.log1p(-expected))
    return ratio


def probability_of(score: float, others: Iterable[float]) -> float:
    """Share of one explanation among all, by their scores."""
    rivals = sum(math.exp(min(700.0, (other - score) / TEMPERATURE)) for other in others)
    return min(PROBABILITY_MAX, 1.0 / (1.0 + rivals))

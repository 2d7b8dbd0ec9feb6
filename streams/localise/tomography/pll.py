"""PLL, deTector's localisation of packet losses.

A path is lossy if it lost more than noise would. Only links of which most paths are lossy come into question
(hit ratio above 0.6). Of these the one that explains the most losses is blamed, its lossy paths are taken
out, and so on until nothing is left to explain.

Source: Peng et al., deTector: a Topology-aware Monitoring System for Data Center Networks, ATC 2017.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from streams.localise.tomography.paths import PathCounts, Suspect


@dataclass(frozen=True, slots=True)
class PllSettings:
    #: a path that lost no greater share of its probes is not lossy
    noise_rate: float = 1e-3
    #: least share of lossy paths among the paths across a link
    hit_ratio_min: float = 0.6
    suspects_max: int = 50


def locate(counts: PathCounts, settings: PllSettings | None = None) -> list[Suspect]:
    """Links by falling number of losses explained (the score). Equal paths are put together first."""
    settings = settings or PllSettings()
    counts = counts.aggregated()
    lossy = counts.lost > settings.noise_rate * counts.sent
    hit, across = counts.by_cell(lossy.astype(np.float64)), counts.by_cell(np.ones(len(counts)))
    candidate = hit > settings.hit_ratio_min * across
    sent = counts.by_cell(counts.sent.astype(np.float64))
    lost = counts.by_cell(counts.lost.astype(np.float64))
    left = counts.take(lossy)
    suspects: list[Suspect] = []
    while len(left) and len(suspects) < settings.suspects_max:
        score = np.where(candidate, left.by_cell(left.lost.astype(np.float64)), 0)
        top = int(score.argmax()) if len(score) else 0
        if score[top] <= 0:
            break
        suspects.append(Suspect((top,), top, float(score[top]), float(lost[top] / sent[top])))
        explained = np.zeros(len(left), np.bool_)
        explained[left.path[left.link == top]] = True
        left = left.take(~explained)
    return suspects

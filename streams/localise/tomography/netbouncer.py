"""NetBouncer: success probabilities of links that fit the shares of probes that came through.

Minimises, over 0 <= x <= 1,

    sum over paths j of w_j (y_j - product of x_i over the links of j)^2 + lambda * sum of x_i (1 - x_i)

by coordinate descent: with t_j the product without x_i, S1 = sum w t y and S2 = sum w t^2 over the paths
across i, the best x_i is (2 S1 - lambda) / (2 (S2 - lambda)) clipped to 0..1 if S2 > lambda, else the better
end. Devices are looked at first: one of which no path came through whole is faulty, and all its paths go.

Source: Tan et al., NetBouncer: Active Device and Link Failure Localization in Data Center Networks, NSDI
2019. Ours are three things. w_j: probes of a path over their mean (1 where all are alike). Steps for many
links at once, where none of them shares a path. And loss bands: beside a link that loses 10 %, the chance in
its paths' shares hides one that loses 0.1 %, and a lambda that keeps the first apart presses the second to 1;
so heavy links are found first, their paths are taken out, and the rest is solved again for lighter ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streams.localise.tomography.elements import Elements
from streams.localise.tomography.paths import PathCounts, Suspect, summed

F8 = NDArray[np.float64]
I8 = NDArray[np.int64]

_X_MIN = 1e-9  # keeps the quotient of products defined


@dataclass(frozen=True, slots=True)
class NetBouncerSettings:
    #: least loss rate of each band, falling; (RATE,) solves once
    bands: tuple[float, ...] = (0.05, 5e-3, 1e-3)
    #: lambda over (band's rate * mean weight of a link's paths): 2 presses links below the rate to 1
    pressure: float = 1.0
    sweeps_max: int = 100
    #: descent ends when a sweep lowers the objective by a smaller share
    improvement_min: float = 1e-6
    #: a device of which fewer paths are known is not judged
    device_paths_min: int = 4


def locate(
    counts: PathCounts, settings: NetBouncerSettings | None = None, devices: Elements | None = None
) -> list[Suspect]:
    """Faulty devices, then links by falling loss rate (the score). Equal paths are put together first.

    `devices`: sets of links that may be faulty as a whole; the number of one is the `element` of its suspect,
    that of a link alone is len(devices) + link.
    """
    settings = settings or NetBouncerSettings()
    counts = counts.aggregated()
    counts = counts.take(counts.sent > 0)
    known = len(devices) if devices is not None else 0
    suspects: list[Suspect] = []
    if devices is not None:
        faulty, counts = _faulty_devices(counts, devices, settings)
        suspects += faulty
    for band in settings.bands:
        x = solve(counts, band, settings)
        found = np.flatnonzero(1 - x > band)
        suspects += [
            Suspect((int(i),), known + int(i), float(1 - x[i]), float(1 - x[i]))
            for i in found[np.argsort(x[found], kind="stable")]
        ]
        counts = counts.take(~_across(counts, found))
    return suspects


def solve(counts: PathCounts, rate: float, settings: NetBouncerSettings) -> F8:
    """Success probability of each cell, f8[cells], 1 where nothing crossed; tuned to loss rates from `rate`
    on."""
    x = np.ones(counts.cells)
    if not len(counts):
        return x
    share = 1 - counts.lost / counts.sent
    weight = counts.sent / counts.sent.mean()
    path, cell = _entries(counts)
    crossing = summed(cell, weight[path], counts.cells)
    crossed = crossing > 0
    penalty = settings.pressure * rate * float(np.median(crossing[crossed]))
    x[crossed] = (summed(cell, (weight * share)[path], counts.cells) / np.maximum(crossing, 1e-12))[crossed]
    np.maximum(x, _X_MIN, out=x)
    classes = [(path[rows], cell[rows], np.unique(cell[rows])) for rows in _classes(path, cell, counts.cells)]
    product = _products(x, path, cell, len(counts))
    before = np.inf
    for _ in range(settings.sweeps_max):
        for paths, cells, mine in classes:
            rest = product[paths] / x[cells]
            s1 = summed(cells, weight[paths] * rest * share[paths], counts.cells)
            s2 = summed(cells, weight[paths] * rest**2, counts.cells)
            x[mine] = _best(s1[mine], s2[mine], penalty)
            product[paths] = rest * x[cells]
        product = _products(x, path, cell, len(counts))
        now = float((weight * (share - product) ** 2).sum() + penalty * (x * (1 - x)).sum())
        if before - now <= settings.improvement_min * now:
            break
        before = now
    return x


def _best(s1: F8, s2: F8, penalty: float) -> F8:
    """The best coordinate given the others."""
    inside = s2 > penalty
    middle = (2 * s1 - penalty) / np.where(inside, 2 * (s2 - penalty), 1)
    end = np.where(2 * s1 >= s2, 1.0, 0.0)
    best: F8 = np.clip(np.where(inside, middle, end), _X_MIN, 1)
    return best


def _products(x: F8, path: I8, cell: I8, paths: int) -> F8:
    products: F8 = np.exp(summed(path, np.log(x)[cell], paths))
    return products


def _entries(counts: PathCounts) -> tuple[I8, I8]:
    """Path and cell of every crossing; a cell that a path crosses twice stands here once."""
    key = np.unique(counts.path * counts.cells + counts.link)
    return key // counts.cells, key % counts.cells


def _classes(path: I8, cell: I8, cells: int) -> list[NDArray[np.intp]]:
    """Entries by class of cell, so that no path crosses two cells of a class: their steps do not touch.

    Cells start in one class. Of those of a class that share a path all but the least move on to the next.
    """
    class_of = np.zeros(cells, np.int64)
    for number in range(cells):
        mine = np.flatnonzero(class_of[cell] == number)
        if not len(mine):
            break
        # Entries are sorted by path and cell: one that follows an entry of its path and class moves on.
        clash = mine[1:][path[mine[1:]] == path[mine[:-1]]]
        class_of[cell[clash]] += 1
    return [np.flatnonzero(class_of[cell] == number) for number in range(int(class_of.max()) + 1)]


def _faulty_devices(
    counts: PathCounts, devices: Elements, settings: NetBouncerSettings
) -> tuple[list[Suspect], PathCounts]:
    """Devices of which no path came through whole, the one with the most paths first, each without the paths
    of those before it. Returns the paths across none of them as well."""
    suspects: list[Suspect] = []
    while True:
        crossing = _device_paths(counts, devices, np.ones(len(counts)))
        whole = _device_paths(counts, devices, (counts.lost == 0).astype(np.float64))
        score = np.where((crossing >= settings.device_paths_min) & (whole == 0), crossing, 0)
        top = int(score.argmax()) if len(score) else 0
        if not len(score) or score[top] == 0:
            return suspects, counts
        links = devices.links(top)
        across = _across(counts, np.array(links))
        rate = float(counts.lost[across].sum() / counts.sent[across].sum())
        suspects.append(Suspect(links, top, rate, rate))
        counts = counts.take(~across)


def _device_paths(counts: PathCounts, devices: Elements, weight: F8) -> F8:
    """Sum of weights f8[p] over the paths across each device, each counted once: f8[devices]."""
    start, element = devices.containing
    degree = np.diff(start)[counts.link]
    first = np.repeat(start[counts.link] - np.cumsum(degree) + degree, degree)
    at = element[first + np.arange(int(degree.sum()))]
    key = np.unique(np.repeat(counts.path, degree) * len(devices) + at)
    return summed(key % len(devices), weight[key // len(devices)], len(devices))


def _across(counts: PathCounts, cells: NDArray[np.integer]) -> NDArray[np.bool_]:
    across = np.zeros(len(counts), np.bool_)
    across[counts.path[np.isin(counts.link, cells)]] = True
    return across

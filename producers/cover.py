"""The fewest flows that together cross everything: greedy set cover, and bounds from below.

Greedy set cover (Chvatal, Mathematics of Operations Research 1979) takes the flow that crosses most of what
is still open, again and again. Here many flows that have nothing in common are taken at a time: of all flows
with the largest gain, those that are first in a random order at each open element they cross. Afterwards
flows that the others make superfluous are dropped, the oldest choice first.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from producers.flow_paths import Crossings, spans

I4 = NDArray[np.int32]
I8 = NDArray[np.int64]
Bools = NDArray[np.bool_]


def greedy_cover(crossings: Crossings, wanted: Bools, allowed: Bools, seed: int = 0) -> I8:
    """Flows that together cross every element in `wanted` that any allowed flow crosses.

    wanted: bool[elements]; allowed: bool[flows]. Returns i8[k], rows of flows, in the order of choice. A
    function of its arguments.
    """
    open_ = wanted.copy()
    flows = len(crossings.start) - 1
    rank = np.random.default_rng(seed).permutation(flows)
    gain = np.where(allowed, _gains(crossings, np.arange(flows), open_), 0)
    chosen: list[I8] = []
    level = int(gain.max(initial=0))
    while level > 0:
        bucket = np.flatnonzero(gain >= level)
        gain[bucket] = _gains(crossings, bucket, open_)
        bucket = bucket[gain[bucket] == level]
        if not len(bucket):
            level -= 1
            continue
        won = bucket[_first_everywhere(crossings, bucket, rank, open_)]
        chosen.append(won[np.argsort(rank[won])])
        open_[crossings.of(won)] = False
        gain[won] = 0
    picked = np.concatenate(chosen) if chosen else np.empty(0, np.int64)
    return without_spare(crossings, picked, wanted)


def _gains(crossings: Crossings, flows: I8, open_: Bools) -> I8:
    """How many open elements each flow crosses."""
    at = spans(crossings.start, flows)
    ends = np.cumsum(crossings.start[flows + 1] - crossings.start[flows])
    total = np.concatenate([[0], np.cumsum(open_[crossings.element[at]])])
    gains: I8 = np.diff(total[np.concatenate([[0], ends])])
    return gains


def _first_everywhere(crossings: Crossings, flows: I8, rank: I8, open_: Bools) -> Bools:
    """Flows that no flow of lower rank meets at an open element: they can all be taken at once."""
    size = crossings.start[flows + 1] - crossings.start[flows]
    element = crossings.element[spans(crossings.start, flows)]
    which = np.repeat(np.arange(len(flows)), size)
    matters = open_[element]
    element, which = element[matters], which[matters]
    lowest = np.full(len(open_), np.iinfo(np.int64).max)
    np.minimum.at(lowest, element, rank[flows[which]])
    beaten = np.zeros(len(flows), np.bool_)
    beaten[which[lowest[element] < rank[flows[which]]]] = True
    return ~beaten


def without_spare(crossings: Crossings, picked: I8, wanted: Bools) -> I8:
    """Some of the picked flows: without those that the others make superfluous, the oldest choice first."""
    times = np.bincount(crossings.of(picked), minlength=len(wanted))
    spare = np.zeros(len(picked), np.bool_)
    # A flow is a candidate only if all it crosses is crossed twice; few are, so a loop will do.
    single = wanted & (times == 1)
    start = np.concatenate([[0], np.cumsum(crossings.start[picked + 1] - crossings.start[picked])])
    alone = np.concatenate([[0], np.cumsum(single[crossings.of(picked)])])
    for at in np.flatnonzero(alone[start[1:]] == alone[start[:-1]]).tolist():
        mine = crossings.element[crossings.start[picked[at]] : crossings.start[picked[at] + 1]]
        mine = mine[wanted[mine]]
        if (times[mine] > 1).all():
            times[mine] -= 1
            spare[at] = True
    return picked[~spare]


def least_flows(crossings: Crossings, wanted: Bools, label: I4, kind: I4) -> int:
    """A number of flows that no cover of `wanted` can do without.

    label: i4[elements], elements of a label are alike: if no flow crosses more than m of the n with one
    label, n / m flows are needed. kind: i4[flows]; what only flows of one kind cross needs flows of that
    kind, so the bounds of the kinds add up.
    """
    flow = crossings.flow
    known = wanted[crossings.element]
    flow, element = flow[known], crossings.element[known]
    kinds = int(kind.max(initial=-1)) + 1
    crossed_by = np.zeros((len(wanted), kinds), np.bool_)
    crossed_by[element, kind[flow]] = True
    alone = crossed_by.sum(axis=1) == 1
    of_one = sum(
        _by_label(flow, element, label, alone & crossed_by[:, each], kind[flow] == each)
        for each in range(kinds)
    )
    crossed = np.logical_or.reduce(crossed_by, axis=1)
    return max(of_one, _by_label(flow, element, label, crossed, np.ones(len(flow), np.bool_)))


def _by_label(flow: I8, element: I4, label: I4, wanted: Bools, of_flow: Bools) -> int:
    labels = int(label.max(initial=-1)) + 1
    keep = of_flow & wanted[element]
    if not keep.any():
        return 0
    key = np.sort(flow[keep] * labels + label[element[keep]])
    first = np.flatnonzero(np.append(True, key[1:] != key[:-1]))
    times, key = np.diff(np.append(first, len(key))), key[first]
    most = np.zeros(labels, np.int64)
    np.maximum.at(most, key % labels, times)
    number = np.bincount(label[wanted], minlength=labels)
    return int((-(-number // np.maximum(most, 1))).max())

"""A cover with one flow per target, found by exchanging flows of one target.

Greedy choice comes to targets whose own port alone is still open, while links elsewhere stay open too: it
then needs further flows. Here every target keeps exactly one flow. Again and again, for each element that is
open, a few flows that cross it are looked at; one takes the place of its target's flow if no more elements
open than close. Exchanges that have nothing in common are made at once. (Min-conflicts local search: Minton
et al., Artificial Intelligence 1992.)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from producers.flow_paths import Crossings, spans

I4 = NDArray[np.int32]
I8 = NDArray[np.int64]
Bools = NDArray[np.bool_]

#: Flows that are looked at for each open element.
_LOOKED_AT = 4
ROUNDS_MAX = 2_000
#: The search ends after so many rounds without a new best.
PATIENCE = 150


@dataclass(slots=True)
class _Exchanges:
    """Proposals, one row each: flow `new` for flow `old` of the same target. `closed`, `opened`: elements
    that only one of the two crosses, with the proposals that they belong to."""

    new: I8
    old: I8
    closed: I8
    closed_by: I8
    opened: I8
    opened_by: I8


def one_flow_per_target(
    crossings: Crossings, wanted: Bools, target: I4, picked: I8, seed: int = 0, rounds: int = ROUNDS_MAX
) -> I8:
    """Flows, one for each target of `picked`, that leave few elements of `wanted` uncrossed.

    target: i4[flows]. Returns i8[targets], rows of flows. A function of its arguments.
    """
    if not len(picked):
        return picked
    rng = np.random.default_rng(seed)
    names, owner = np.unique(target, return_inverse=True)
    current = np.full(len(names), -1, np.int64)
    current[owner[picked[::-1]]] = picked[::-1]
    times = np.bincount(crossings.of(current[current >= 0]), minlength=len(wanted))
    by_element = np.argsort(crossings.element, kind="stable")
    flow_of = crossings.flow[by_element].astype(np.int32)
    start = np.searchsorted(crossings.element, np.arange(len(wanted) + 1), sorter=by_element)
    best, fewest, patience = current.copy(), len(wanted) + 1, PATIENCE
    for _ in range(rounds):
        open_ = np.flatnonzero(wanted & (times == 0) & (np.diff(start) > 0))
        if len(open_) < fewest:
            best, fewest, patience = current.copy(), len(open_), PATIENCE
        patience -= 1
        if not len(open_) or not patience:
            break
        asked = np.repeat(rng.permutation(open_), _LOOKED_AT)
        at = start[asked] + (rng.random(len(asked)) * (start[asked + 1] - start[asked])).astype(np.int64)
        new = flow_of[at].astype(np.int64)
        old = current[owner[new]]
        real = (old >= 0) & (old != new)
        asked, new, old = asked[real], new[real], old[real]
        exchanges = _compared(crossings, wanted, new, old)
        done = _accepted(exchanges, times, asked, owner)
        current[owner[new[done]]] = new[done]
        times += np.bincount(exchanges.closed[done[exchanges.closed_by]], minlength=len(wanted))
        times -= np.bincount(exchanges.opened[done[exchanges.opened_by]], minlength=len(wanted))
    return best[best >= 0]


def _compared(crossings: Crossings, wanted: Bools, new: I8, old: I8) -> _Exchanges:
    def of(flows: I8) -> tuple[I8, I8]:
        element = crossings.element[spans(crossings.start, flows)].astype(np.int64)
        which = np.repeat(np.arange(len(flows)), crossings.start[flows + 1] - crossings.start[flows])
        matters = wanted[element]
        return element[matters], which[matters]

    closed, closed_by = of(new)
    opened, opened_by = of(old)
    keys = closed_by * len(wanted) + closed, opened_by * len(wanted) + opened
    # Both are sorted: each flow's elements are, and proposals stand one after the other.
    only_new, only_old = _absent(keys[0], keys[1]), _absent(keys[1], keys[0])
    return _Exchanges(new, old, closed[only_new], closed_by[only_new], opened[only_old], opened_by[only_old])


def _absent(keys: I8, others: I8) -> Bools:
    """Which keys are not among the others; both sorted."""
    if not len(others):
        return np.ones(len(keys), np.bool_)
    at = np.minimum(np.searchsorted(others, keys), len(others) - 1)
    absent: Bools = others[at] != keys
    return absent


def _accepted(exchanges: _Exchanges, times: I8, asked: I8, owner: I8) -> Bools:
    """Exchanges that open no more than they close, of each element and target the best one, and none that
    would count on what another one does."""
    each = exchanges
    count = len(each.new)
    gain = np.bincount(each.closed_by[times[each.closed] == 0], minlength=count)
    gain -= np.bincount(each.opened_by[times[each.opened] == 1], minlength=count)
    order = np.argsort(-gain, kind="stable")
    order = order[gain[order] >= 0]
    for key in (asked, owner[each.new]):
        order = order[np.sort(np.unique(key[order], return_index=True)[1])]
    rank = np.full(count, count)
    rank[order] = np.arange(len(order))
    done = rank < count
    # Two that close one element: the better one. Several that together open what each alone would not: one.
    claims = done[each.closed_by] & (times[each.closed] == 0)
    _keep_first(done, rank, each.closed[claims], each.closed_by[claims], len(times))
    leaving = done[each.opened_by]
    together = np.bincount(each.opened[leaving], minlength=len(times))
    risky = leaving & (times > 1)[each.opened] & (together >= times)[each.opened]
    _keep_first(done, rank, each.opened[risky], each.opened_by[risky], len(times))
    return done


def _keep_first(done: Bools, rank: I8, element: I8, proposal: I8, elements: int) -> None:
    first = np.full(elements, len(rank))
    np.minimum.at(first, element, rank[proposal])
    done[proposal[first[element] < rank[proposal]]] = False

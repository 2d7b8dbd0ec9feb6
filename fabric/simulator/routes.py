"""Equal-cost shortest paths, and the hash by which each switch picks one of them.

Distances are worked out at once, next hops per (destination switch, switch) the first time that such a pair
is asked for; after that a hop costs a few array look-ups per packet. Most pairs have their next hops in
common with others (all ToRs of a pod with each other), so each distinct set is kept once. A switch hashes
the five-tuple with a seed of its own, so that the choices of two tiers are independent. Drained switches
carry no transit.

Memory: 5 bytes per switch and destination switch.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fabric.index import FabricIndex
from schemas.partition import mix64

I1 = NDArray[np.int8]
I4 = NDArray[np.int32]
I8 = NDArray[np.int64]
U8 = NDArray[np.uint64]

NO_LINK = -1
_UNREACHABLE = np.int8(127)
_DISTANCE_MAX = 32
_WORD_BITS = 64
#: Words of destinations that are searched from at a time, and pairs that are resolved at a time.
_WORDS_AT_ONCE = 8
_PAIRS_AT_ONCE = 1 << 15


class Routes:
    """Next hops of a fabric. Rows of switches and links are those of its FabricIndex."""

    def __init__(self, index: FabricIndex, seed: int) -> None:
        switches = len(index.switch_node)
        self.from_row: I4 = index.switch_row(index.link_from)  # i4[L]: switch row at each end, -1: no switch
        self.to_row: I4 = index.switch_row(index.link_to)
        between = np.flatnonzero((self.from_row >= 0) & (self.to_row >= 0)).astype(np.int32)
        self._drained = index.drained

        ends = np.unique(self.from_row[self.to_row < 0])
        self._destinations = ends.astype(np.int32)  # switches that servers or Probers hang from
        self._destination_of: I8 = np.full(switches, -1, dtype=np.int64)
        self._destination_of[ends] = np.arange(len(ends))

        # The links that leave a switch for another stand together: from `_out_start` on, `_degree` of them.
        self._out_link: I4 = between[np.argsort(self.from_row[between], kind="stable")]
        self._degree: I8 = np.bincount(self.from_row[between], minlength=switches)
        self._out_start: I8 = np.cumsum(self._degree) - self._degree
        self._distance = _distances(
            self.from_row[between], self.to_row[between], self._destinations, self._drained
        )
        self._set_of: I4 = np.full(len(ends) * switches, -1, dtype=np.int32)  # pair -> set of next hops
        self._sets = _LinkSets(len(index.link_from))
        self._seeds: U8 = mix64(mix64(index.switch_node.astype(np.uint64)) ^ np.uint64(seed & (1 << 64) - 1))

    def next_link(self, switch: I4, destination: I4, flow: U8) -> I4:
        """Link by which each packet leaves.

        switch, destination: i4[n], switch rows, not equal; destination has servers or Probers.
        flow: u8[n], hash of the five-tuple. Returns i4[n], link rows, NO_LINK where there is no way.
        """
        pair = self._destination_of[destination] * len(self._seeds) + switch
        chosen = self._set_of[pair]
        if len(chosen) and chosen.min() < 0:
            self._resolve(np.unique(pair[chosen < 0]))
            chosen = self._set_of[pair]
        return self._sets.pick(chosen, self.hash(switch, flow) >> np.uint64(32))

    def hash(self, switch: I4, flow: U8) -> U8:
        """What each switch makes of a flow: i4[n], u8[n] -> u8[n]."""
        return mix64(flow ^ self._seeds[switch])

    def next_links(self, switch: int, destination: int) -> I4:
        """All equal-cost next hops of one switch row towards another, as link rows; for tests and plans."""
        pair = int(self._destination_of[destination]) * len(self._seeds) + switch
        if self._set_of[pair] < 0:
            self._resolve(np.array([pair]))
        return self._sets.members_of(int(self._set_of[pair]))

    def _resolve(self, pairs: I8) -> None:
        for begin in range(0, len(pairs), _PAIRS_AT_ONCE):
            some = pairs[begin : begin + _PAIRS_AT_ONCE]
            destination, switch = np.divmod(some, len(self._seeds))
            # All links of all these switches, one after another.
            degree = self._degree[switch]
            end = np.cumsum(degree)
            row = np.repeat(np.arange(len(some)), degree)
            links = self._out_link[np.arange(len(row)) + (self._out_start[switch] - end + degree)[row]]
            neighbour = self.to_row[links]
            here = self._distance[destination, switch][row]
            usable = self._distance[destination[row], neighbour] == here - 1
            usable &= ~self._drained[neighbour] | (neighbour == self._destinations[destination][row])
            usable &= here != _UNREACHABLE
            count = np.bincount(row[usable], minlength=len(some))
            self._set_of[some] = self._sets.numbers_of(links[usable], count)


class _LinkSets:
    """Sets of links, each kept once."""

    def __init__(self, links: int) -> None:
        # A set is known by the sum of 64-bit hashes of its links.
        self._link_key: U8 = mix64(np.arange(1, links + 1, dtype=np.uint64))
        self._keys: U8 = np.empty(0, dtype=np.uint64)  # sorted
        self._number_of_key: I4 = np.empty(0, dtype=np.int32)
        self._first: I8 = np.empty(0, dtype=np.int64)
        self._count: U8 = np.empty(0, dtype=np.uint64)
        self._members: I4 = np.full(1, NO_LINK, dtype=np.int32)  # the first is what an empty set gives

    def numbers_of(self, links: I4, count: I8) -> I4:
        """Number of each set: the links of all sets one after another, count i8[n] -> i4[n]."""
        first = np.cumsum(count) - count
        total = np.concatenate([np.zeros(1, np.uint64), np.cumsum(self._link_key[links], dtype=np.uint64)])
        key = total[first + count] - total[first]
        distinct, example, row = np.unique(key, return_index=True, return_inverse=True)
        fresh = ~np.isin(distinct, self._keys, assume_unique=True)
        if fresh.any():
            self._add(distinct[fresh], links, first[example[fresh]], count[example[fresh]])
        return self._number_of_key[np.searchsorted(self._keys, distinct)][row]

    def _add(self, keys: U8, links: I4, first: I8, count: I8) -> None:
        numbers = len(self._first) + np.arange(len(keys), dtype=np.int32)
        start = np.cumsum(count) - count
        at = np.arange(int(count.sum())) + np.repeat(first - start, count)
        self._first = np.concatenate([self._first, np.where(count, len(self._members) + start, 0)])
        self._count = np.concatenate([self._count, count.astype(np.uint64)])
        self._members = np.concatenate([self._members, links[at]])
        order = np.argsort(np.concatenate([self._keys, keys]))
        self._keys = np.concatenate([self._keys, keys])[order]
        self._number_of_key = np.concatenate([self._number_of_key, numbers])[order]

    def pick(self, number: I4, choice: U8) -> I4:
        """One link of each set: i4[n], u8[n] (even below 2**32) -> i4[n], NO_LINK of an empty set."""
        # Multiply-shift instead of a remainder: it does not need a division.
        nth = (choice * self._count[number]) >> np.uint64(32)
        return self._members[self._first[number] + nth.astype(np.int64)]

    def members_of(self, number: int) -> I4:
        first = int(self._first[number])
        return self._members[first : first + int(self._count[number])]


def _distances(from_row: I4, to_row: I4, destinations: I4, drained: NDArray[np.bool_]) -> I1:
    """Hops from each switch to each destination: i1[destinations, switches].

    Breadth-first search from 64 destinations per word, which have a bit each: one step is one pass over
    the links. from_row, to_row: i4[l], ends of the links between switches.
    """
    distance = np.full((len(destinations), len(drained)), _UNREACHABLE, dtype=np.int8)
    order = np.argsort(from_row, kind="stable")
    near, start = np.unique(from_row[order], return_index=True)
    far = to_row[order]
    at_once = _WORD_BITS * _WORDS_AT_ONCE
    for begin in range(0, len(destinations), at_once):
        some = destinations[begin : begin + at_once]
        number = np.arange(len(some))
        frontier = np.zeros((len(drained), -(-len(some) // _WORD_BITS)), dtype=np.uint64)
        bit = np.uint64(1) << (number % _WORD_BITS).astype(np.uint64)
        frontier[some, number // _WORD_BITS] = bit
        seen = frontier.copy()
        distance[begin + number, some] = 0
        for hops in range(1, _DISTANCE_MAX):
            reached = np.zeros_like(frontier)
            if len(near):
                reached[near] = np.bitwise_or.reduceat(frontier[far], start, axis=0)
            reached &= ~seen
            if not reached.any():
                break
            seen |= reached
            distance[begin : begin + len(some)][_bits(reached, len(some))] = hops
            reached[drained] = 0
            frontier = reached
    return distance


def _bits(words: U8, count: int) -> NDArray[np.bool_]:
    """The first `count` bits of each row, transposed: u8[n, words] -> bool[count, n]."""
    little = words.astype("<u8").view(np.uint8)
    return np.unpackbits(little, axis=1, bitorder="little", count=count).astype(np.bool_).T

"""What explanations are weighed on: what was lost where, of what came by, over any stretch of time.

A probe that was last seen at a switch, and could have gone on by several of its links, was lost "beyond" it.
Such losses are put on the links up: shared out as those are known to have lost, or all on the one whose
traffic fell.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

import numpy as np
from numpy.typing import NDArray

from streams.localise.counts import Spots
from streams.localise.history import LOG_US, EventLog, Traffic, TurnTraffic, counted
from streams.localise.terrain import Terrain

I8 = NDArray[np.int64]
F8 = NDArray[np.float64]

#: A link whose traffic fell by this share, and by so many standard deviations, is where packets went.
FALL_MIN, FALL_SIGMAS = 0.10, 3.0
#: A switch is judged by what is lost on the way into it if so much of what used to come is seen or missed.
SEEN_MIN = 0.5


class Scene:
    """One kind of event (losses, or alterations), up to `now_us`.

    `expected`: share of packets that healthy cells show, i8[n] -> f8[n]. `least`: events below which
    nothing is said. `at_servers`: such events show on cables to servers too.
    """

    def __init__(
        self,
        terrain: Terrain,
        traffic: Traffic,
        log: EventLog,
        turn_log: EventLog,
        turn_traffic: TurnTraffic,
        expected: Callable[[I8], F8],
        now_us: int,
        least: int,
        at_servers: bool = True,
    ) -> None:
        self.terrain = terrain
        self.least, self.at_servers = least, at_servers
        self.now_us = now_us
        self._traffic, self._log, self._turn_log = traffic, log, turn_log
        self._turn_traffic, self._expected = turn_traffic, expected
        self._located: dict[int, tuple[I8, F8, dict[int, float]]] = {}

    def events(self, since_us: int) -> Spots:
        return self._log.since(since_us)

    def located(self, since_us: int) -> tuple[I8, F8, dict[int, float]]:
        """Events on links since a time, those beyond a switch put on the link they were meant for where
        that can be told: links i8[n] sorted, f8[n]; and what is left, by switch."""
        if since_us not in self._located:
            self._located[since_us] = self._locate(since_us)
        return self._located[since_us]

    def _locate(self, since_us: int) -> tuple[I8, F8, dict[int, float]]:
        spots = self._log.since(since_us)
        on_link = spots.cell < self.terrain.links
        links, at = np.unique(spots.cell[on_link], return_inverse=True)
        bad: dict[int, float] = dict(
            zip(links.tolist(), np.bincount(at, spots.count[on_link], len(links)).tolist(), strict=True)
        )
        left: dict[int, float] = {}
        switches, at = np.unique(spots.cell[~on_link] - self.terrain.links, return_inverse=True)
        for switch, count in zip(
            switches.tolist(), np.bincount(at, spots.count[~on_link], len(switches)).tolist(), strict=True
        ):
            ups = self.terrain.out_links(switch)
            ups = ups[self.terrain.up[ups]]
            known = np.array([bad.get(int(up), 0.0) for up in ups])
            if known.sum() <= 0:
                # A flow that is always lost is soon forgotten by the join; its first losses were placed.
                known = counted(self._log.since(since_us - LOG_US), ups).astype(np.float64)
            if known.sum() <= 0:
                known = self._fallen(ups, since_us)
            if known.sum() <= 0:
                left[switch] = count
                continue
            for up, share in zip(ups.tolist(), (known / known.sum()).tolist(), strict=True):
                if share > 0:
                    bad[up] = bad.get(up, 0.0) + count * share
        keys = np.array(sorted(bad), np.int64)
        return keys, np.array([bad[k] for k in keys.tolist()]), left

    def _fallen(self, ups: NDArray[np.int32], since_us: int) -> F8:
        """1 for the link up whose traffic fell most clearly, compared with before, or if nothing is
        known of then, with its siblings."""
        length_us = max(1, self.now_us - since_us)
        big, small = self._traffic.passed(ups, since_us, self.now_us)
        usual = self._traffic.before(ups, since_us) * length_us
        if len(ups) < 2:
            return np.zeros(len(ups))
        if np.isnan(usual).any():
            usual = np.full(len(ups), np.median(big + small))
        fall = usual - (big + small)
        sigmas = fall / np.sqrt(np.maximum(usual, 1.0))
        found = (fall > FALL_MIN * usual) & (sigmas > FALL_SIGMAS)
        best = np.zeros(len(ups))
        if found.any():
            best[int(np.argmax(np.where(found, sigmas, -np.inf)))] = 1.0
        return best

    def bad_on(self, links: NDArray[np.integer], since_us: int) -> F8:
        """Events on each of some links since a time: f8[n]."""
        keys, bad, _ = self.located(since_us)
        if not len(keys):
            return np.zeros(len(links))
        at = np.minimum(np.searchsorted(keys, links), len(keys) - 1)
        return np.where(keys[at] == links, bad[at], 0.0)

    def passed_on(self, links: NDArray[np.integer], since_us: int) -> tuple[F8, F8]:
        """Big and small packets that passed: f8[n] twice."""
        return self._traffic.passed(links.astype(np.int32), since_us, self.now_us)

    def by_size(
        self, cells: NDArray[np.integer], links: NDArray[np.integer], since_us: int, until_us: int
    ) -> tuple[F8, F8]:
        """Events at some cells, and packets that passed some links, in a stretch of time: of big and of small
        ones, f8[2] each."""
        bad = np.array(self._log.by_size(cells, since_us, until_us), np.float64)
        big, small = self._traffic.passed(links.astype(np.int32), since_us, until_us)
        return bad, np.array([big.sum(), small.sum()])

    def span(self, cells: NDArray[np.integer], since_us: int) -> tuple[int, int]:
        return self._log.span(cells, since_us)

    def weigh(self, links: NDArray[np.integer], since_us: int) -> tuple[F8, F8, F8]:
        """Bad, all, and the expected share of bad packets on links."""
        bad = self.bad_on(links, since_us)
        # What passed after the last event would speak against causes that are over.
        near = np.unique(self.terrain.from_row[links])
        places = np.concatenate([links, self.terrain.links + near[near >= 0]])
        until_us = self._log.ended_us(places, since_us, self.now_us)
        big, small = self._traffic.passed(links.astype(np.int32), since_us, until_us)
        return bad, big + small + bad, self._expected(links.astype(np.int64))

    def is_dark(self, links: NDArray[np.int32], seen: F8, since_us: int) -> bool:
        """Whether most packets that used to come by some links are neither seen there nor missed: the mirror
        behind these is dark, and what is lost there is not all that comes."""
        usual = self._traffic.before(links, since_us)
        places = links.astype(np.int64)
        until_us = self._log.ended_us(places, since_us, self.now_us)
        return bool(seen.sum() < SEEN_MIN * np.nansum(usual) * (until_us - since_us))

    def turns_of(self, switch: int, since_us: int, covered: Collection[int]) -> tuple[I8, F8, F8] | None:
        """Turns of a multi-chip switch with their bad and passed packets, None for other switches. What is
        explained already, on links that are covered, is not counted again."""
        base = int(self.terrain.turn_base[switch])
        if base < 0:
            return None
        chips = int(self.terrain.chips[switch])
        turns = np.arange(base, base + chips * (chips + 1), dtype=np.int64)
        bad = counted(self._turn_log.since(since_us), turns).astype(np.float64)
        out = self.terrain.out_links(switch)
        explained = np.isin(out, list(covered))
        if explained.any():
            on_link = self.bad_on(out, since_us)
            by = self.terrain.departs_by[out]
            all_ = np.append(np.bincount(by, on_link, chips), on_link.sum())
            known = np.append(np.bincount(by[explained], on_link[explained], chips), on_link[explained].sum())
            share = np.divide(known, all_, out=np.zeros_like(all_), where=all_ > 0)
            bad *= 1 - share[self.terrain.turn_out[turns]]
        until_us = self._turn_log.ended_us(turns, since_us, self.now_us)
        return turns, bad, self._turn_traffic.passed(turns, since_us, until_us)

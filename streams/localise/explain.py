"""From suspect elements to causes: the fewest and likeliest things that explain what was lost where.

Losses on several links of a switch may be several bad links, a bad chip, a bad pair of chips, or the
switch. Each explanation is scored by its gain in log-likelihood over a healthy network (losses are
binomial; a cause adds one rate to all that it covers) less the cost of assuming it (minus the log of how
rare such causes are). The best one is taken; how much better it is than the others is its probability.

Where a copy was last seen at the mirror of k and the next one would have been m's, the forwarding of k,
the cable and the input of m before its mirror cannot be told apart: "the link k~m" stands for all of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from streams.localise.counts import Spots
from streams.localise.history import LOG_US, EventLog, Traffic, TurnTraffic, counted
from streams.localise.terrain import Terrain

I8 = NDArray[np.int64]
F8 = NDArray[np.float64]

Shape = Literal["link", "host", "beyond", "switch", "dead", "chip", "pair", "fabric"]

#: Minus the logarithm of how rare a cause is, about: one link in three thousand, at any moment.
COST: dict[Shape, float] = {
    "host": 3.0,
    "link": 8.0,
    "beyond": 8.0,
    "chip": 9.0,
    "pair": 9.5,
    "fabric": 9.0,
    "switch": 10.0,
    "dead": 9.0,
}
#: Log-likelihoods are divided by this before they become probabilities: losses come in bursts and by
#: flows, so that they tell less than as many independent ones would.
TEMPERATURE = 2.0
PROBABILITY_MAX = 0.98
#: A link whose traffic fell by this share, and by so many standard deviations, is where packets went.
FALL_MIN, FALL_SIGMAS = 0.10, 3.0
PAIRS_MAX = 16
#: A server that leaves this share unanswered is silent; that must be likelier, by so many nats, than that its
#: switch alone loses them.
SILENT, SILENT_GAIN_MIN = 0.9, 20.0
#: A switch is judged by what is lost on the way into it if so much of what used to come is seen or missed.
SEEN_MIN = 0.5
#: Events of a switch that count when explanations are compared.
EVIDENCE_MAX = 100.0


@dataclass(frozen=True, slots=True)
class Cause:
    """One explanation. `cells`: all that it covers; `hit`: those of them that lost something since
    `since_us`. `lost` of `total` packets. `others`: alternative elements with their probabilities."""

    shape: Shape
    switch: int  # row; of a link or host the near end, -1 for a Prober's cable
    chips: tuple[int, ...]
    cells: I8
    hit: I8
    since_us: int
    lost: float
    total: float
    probability: float
    others: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Alarms:
    """Suspects of each family: index -> when it began. Cells; switches by what is lost behind them and
    by what is lost on the way into them; chips as (switch, chip), pairs as turns."""

    cells: dict[int, int]
    switches: dict[int, int] = field(default_factory=dict)
    into: dict[int, int] = field(default_factory=dict)
    chips: dict[tuple[int, int], int] = field(default_factory=dict)
    pairs: dict[int, int] = field(default_factory=dict)


class Scene:
    """What explanations are weighed on: one kind of event (losses, or alterations), up to `now_us`.

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
        self._least, self._at_servers = least, at_servers
        self.now_us = now_us
        self._traffic, self._log, self._turn_log = traffic, log, turn_log
        self._turn_traffic, self._expected = turn_traffic, expected
        self._located: dict[int, tuple[I8, F8, dict[int, float]]] = {}

    def explain(self, alarms: Alarms) -> list[Cause]:
        """The causes of what is suspect."""
        causes = self._dead(alarms)
        covered = set(_all_cells(causes))
        into = {c.switch: c.probability for c in causes}
        near = {self._near(cell) for cell in alarms.cells if cell not in covered}
        for switch in sorted(near | set(alarms.switches) | {s for s, _ in alarms.chips} - {-1}):
            if switch >= 0:
                causes += self._behind(switch, alarms, covered)
        for cell, since_us in alarms.cells.items():
            if cell not in covered and self._near(cell) < 0:  # a Prober's cable
                cause = self._single(cell, since_us, 1.0, ())
                causes += [cause] if cause else []
        return [c for c in causes if c.shape == "dead" or c.switch not in into or not set(c.hit) <= covered]

    # -- what is known of places and times ----------------------------------------------------------

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

    def _weigh(self, links: NDArray[np.integer], since_us: int) -> tuple[F8, F8, F8]:
        """Bad, all, and the expected share of bad packets on links."""
        bad = self.bad_on(links, since_us)
        # What passed after the last event would speak against causes that are over.
        near = np.unique(self.terrain.from_row[links])
        places = np.concatenate([links, self.terrain.links + near[near >= 0]])
        until_us = self._log.ended_us(places, since_us, self.now_us)
        big, small = self._traffic.passed(links.astype(np.int32), since_us, until_us)
        return bad, big + small + bad, self._expected(links.astype(np.int64))

    def _near(self, cell: int) -> int:
        return int(self.terrain.from_row[cell]) if cell < self.terrain.links else cell - self.terrain.links

    def _cost(self, links: NDArray[np.integer]) -> F8:
        return np.where(self.terrain.to_server[links], COST["host"], COST["link"])

    # -- explanations -------------------------------------------------------------------------------

    def _dead(self, alarms: Alarms) -> list[Cause]:
        """Switches into which nothing, or less, gets."""
        found: list[tuple[float, Cause]] = []
        for switch, since_us in alarms.into.items():
            links = self.terrain.in_links(switch)
            bad, all_, expected = self._weigh(links, since_us)
            if np.count_nonzero(bad > 0) < 2 or self._is_dark(links, all_, since_us):
                continue
            apart = np.maximum(0, gain(bad, all_, expected) - self._cost(links)) * (bad > 0)
            whole = group_gain(bad, all_, expected) - COST["dead"]
            if whole > apart.sum():
                found.append(
                    (
                        whole - float(apart.sum()),
                        Cause(
                            "dead",
                            switch,
                            (),
                            links.astype(np.int64),
                            links[bad > 0].astype(np.int64),
                            since_us,
                            float(bad.sum()),
                            float(all_.sum()),
                            _probability(whole, [float(apart.sum())]),
                        ),
                    )
                )
        # A link between two that look dead belongs to the surer one.
        taken: set[int] = set()
        causes = []
        for _, cause in sorted(found, key=lambda f: (-f[0], f[1].switch)):
            free = [c for c in cause.hit.tolist() if c not in taken]
            if 2 * len(free) > len(cause.hit) or len(free) >= 2:
                taken.update(cause.hit.tolist())
                causes.append(cause)
        return causes

    def _is_dark(self, links: NDArray[np.int32], seen: F8, since_us: int) -> bool:
        """Whether most packets that used to come by some links are neither seen there nor missed: the mirror
        behind these is dark, and what is lost there is not all that comes."""
        usual = self._traffic.before(links, since_us)
        places = links.astype(np.int64)
        until_us = self._log.ended_us(places, since_us, self.now_us)
        return bool(seen.sum() < SEEN_MIN * np.nansum(usual) * (until_us - since_us))

    def _behind(self, switch: int, alarms: Alarms, covered: set[int]) -> list[Cause]:
        """What explains the events last seen at a switch."""
        links = np.array([x for x in self.terrain.out_links(switch).tolist() if x not in covered], np.int64)
        if not self._at_servers:
            links = links[~self.terrain.to_server[links]]
        beyond = self.terrain.beyond(switch)
        mine = {c: t for c, t in alarms.cells.items() if self._near(c) == switch and c not in covered}
        group: dict[tuple[str, tuple[int, ...]], int] = {}
        if switch in alarms.switches:
            group["switch", ()] = alarms.switches[switch]
        group |= {("chip", (c,)): t for (s, c), t in alarms.chips.items() if s == switch}
        pairs = [t for t in alarms.pairs if self.terrain.turn_switch[t] == switch][:PAIRS_MAX]
        group |= {
            ("pair", (int(self.terrain.turn_in[t]), int(self.terrain.turn_out[t]))): alarms.pairs[t]
            for t in pairs
        }
        if self.terrain.chips[switch] > 2 and switch in alarms.switches:
            group["fabric", ()] = alarms.switches[switch]
        others: tuple[tuple[str, float], ...] = ()
        alone = 1.0
        if group and len(links):
            since_us = min([*group.values(), *mine.values()])
            scores = self._scores(switch, links, since_us, group, covered)
            best = max(scores, key=lambda k: scores[k])
            if best != ("apart", ()):
                cause = self._grouped(switch, best, links, since_us, scores, covered)
                if cause is not None:
                    covered.update(cause.cells.tolist())
                    covered.add(beyond)
                    return [cause, *self._silent_within(cause, mine)]
            alone = _probability(scores[best], [v for k, v in scores.items() if k != best])
            others = self._alternatives(switch, scores, best)
            mine |= self._enough_apart(links, since_us, mine)
        causes = []
        for cell, since_us in sorted(mine.items()):
            if cell == beyond:
                if self.located(since_us)[2].get(switch, 0.0) > 0:
                    causes.append(self._unplaced(switch, since_us))
                continue
            cause = self._single(cell, since_us, alone, others)
            if cause is not None:
                causes.append(cause)
                covered.add(cell)
        return causes

    def _enough_apart(self, links: I8, since_us: int, mine: dict[int, int]) -> dict[int, int]:
        """Links up that lost enough to explain that their switch is suspect, of themselves and of what was
        lost beyond it: their own score does not know of the latter. Not where a link explains it already:
        what was lost beyond a switch is shared out among all links that lost something."""
        ups = links[self.terrain.up[links]]
        if not mine.keys().isdisjoint(ups.tolist()):
            return {}
        enough = ups[self.bad_on(ups, since_us) >= self._least]
        return dict.fromkeys(enough.tolist(), since_us)

    def _silent_within(self, group: Cause, mine: dict[int, int]) -> list[Cause]:
        """Servers that are silent altogether behind a switch that loses only some of their packets."""
        causes: list[Cause] = []
        if group.lost >= SILENT * group.total:
            return causes
        for cell, since_us in sorted(mine.items()):
            if cell >= self.terrain.links or not self.terrain.to_server[cell]:
                continue
            link = np.array([cell], np.int64)
            bad, all_, _ = self._weigh(link, since_us)
            share = np.array([group.lost / group.total])
            if bad[0] >= SILENT * all_[0] and gain(bad, all_, share)[0] > SILENT_GAIN_MIN:
                cause = self._single(cell, since_us, 1.0, ())
                causes += [cause] if cause else []
        return causes

    def _scores(
        self,
        switch: int,
        links: I8,
        since_us: int,
        group: Iterable[tuple[str, tuple[int, ...]]],
        covered: set[int],
    ) -> dict[tuple[str, tuple[int, ...]], float]:
        """Gain less cost of every way to explain the events behind a switch."""
        bad, all_, expected = self._weigh(links, since_us)
        # Losses come by flows, and no two links lose alike: of very many losses not all are evidence.
        part = min(1.0, EVIDENCE_MAX / max(1.0, float(bad.sum())))
        bad, all_ = bad * part, all_ * part
        turns = self._turns_of(switch, since_us, covered)
        if turns is not None:
            # Links and turns are to be measured by one background: that of where the events were.
            weight = bad if bad.sum() > 0 else np.ones(len(links))
            expected[:] = np.exp((weight * np.log(expected)).sum() / weight.sum())
        apart = np.maximum(0, gain(bad, all_, expected) - self._cost(links)) * (bad > 0)
        scores: dict[tuple[str, tuple[int, ...]], float] = {("apart", ()): float(apart.sum())}
        for shape, chips in group:
            if turns is None:
                if shape == "switch" and bad.sum() >= self._least:
                    scores[shape, chips] = group_gain(bad, all_, expected) - COST["switch"]
                continue
            inside = self._inside(switch, shape, chips, turns[0])
            turn_bad, turn_all = turns[1] * part, (turns[1] + turns[2]) * part
            if turn_bad[inside].sum() < self._least:
                continue
            rate = np.full(int(inside.sum()), expected[0])
            within = group_gain(turn_bad[inside], turn_all[inside], rate)
            # What the group does not explain is explained link by link.
            outside = self._outside(switch, turns[0], turn_bad, turn_all, ~inside)
            by = self.terrain.departs_by[links]
            left, left_all = bad * outside[0][by], all_ * outside[1][by]
            rest = float(
                (np.maximum(0, gain(left, left_all, expected) - self._cost(links)) * (left >= 0.5)).sum()
            )
            scores[shape, chips] = within - COST[shape] + rest  # type: ignore[index]
        return scores

    def _turns_of(self, switch: int, since_us: int, covered: set[int]) -> tuple[I8, F8, F8] | None:
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

    def _outside(
        self, switch: int, turns: I8, bad: F8, all_: F8, outside: NDArray[np.bool_]
    ) -> tuple[F8, F8]:
        """Shares of the bad packets and of all packets by each chip out that took some turns: f8[chips]."""
        out, chips = self.terrain.turn_out[turns], int(self.terrain.chips[switch])
        shares = []
        for values in (bad, all_):
            total = np.bincount(out, values, chips + 1)[:chips]
            part = np.bincount(out, values * outside, chips + 1)[:chips]
            shares.append(np.divide(part, total, out=np.zeros_like(part), where=total > 0))
        return shares[0], shares[1]

    def _inside(self, switch: int, shape: str, chips: tuple[int, ...], turns: I8) -> NDArray[np.bool_]:
        came, left = self.terrain.turn_in[turns], self.terrain.turn_out[turns]
        match shape:
            case "chip":
                return np.asarray((came == chips[0]) | (left == chips[0]))
            case "pair":
                return np.asarray((came == chips[0]) & (left == chips[1]))
            case "fabric":
                return np.asarray(came != left)
            case _:
                return np.ones(len(turns), np.bool_)

    def _grouped(
        self,
        switch: int,
        best: tuple[str, tuple[int, ...]],
        links: I8,
        since_us: int,
        scores: dict[tuple[str, tuple[int, ...]], float],
        covered: set[int],
    ) -> Cause | None:
        shape, chips = best
        bad, all_, _ = self._weigh(links, since_us)
        lost, total = float(bad.sum()), float(all_.sum())
        turns = self._turns_of(switch, since_us, covered)
        if turns is not None and shape != "switch":
            inside = self._inside(switch, shape, chips, turns[0])
            lost, total = float(turns[1][inside].sum()), float((turns[1] + turns[2])[inside].sum())
        if not lost:
            return None
        probability = _probability(scores[best], [v for k, v in scores.items() if k != best])
        return Cause(
            shape,  # type: ignore[arg-type]
            switch,
            chips,
            links,
            links[bad > 0],
            since_us,
            lost,
            total,
            probability,
            self._alternatives(switch, scores, best),
        )

    def _alternatives(
        self,
        switch: int,
        scores: dict[tuple[str, tuple[int, ...]], float],
        best: tuple[str, tuple[int, ...]],
    ) -> tuple[tuple[str, float], ...]:
        """Elements of the other explanations, with their probabilities."""
        found = []
        for (shape, chips), score in scores.items():
            if (shape, chips) == best or shape == "apart":
                continue
            share = _probability(score, [v for k, v in scores.items() if k != (shape, chips)])
            name = self.terrain.switch_name(switch)
            if shape == "chip":
                name = self.terrain.chip_name(switch, chips[0])
            elif shape == "pair":
                name = pair_name(self.terrain, switch, chips)
            if share >= 0.01:
                found.append((name, share))
        return tuple(sorted(found, key=lambda f: (-f[1], f[0]))[:4])

    def _single(
        self, cell: int, since_us: int, alone: float, others: tuple[tuple[str, float], ...]
    ) -> Cause | None:
        """A link, or a server."""
        link = np.array([cell], np.int64)
        bad, all_, expected = self._weigh(link, since_us)
        score = float(gain(bad, all_, expected)[0] - self._cost(link)[0])
        if score <= 0:
            return None
        shape: Shape = "host" if self.terrain.to_server[cell] else "link"
        return Cause(
            shape,
            int(self.terrain.from_row[cell]),
            (),
            link,
            link,
            since_us,
            float(bad[0]),
            float(all_[0]),
            min(alone, _probability(score, [0.0])),
            others,
        )

    def _unplaced(self, switch: int, since_us: int) -> Cause:
        ups = self.terrain.out_links(switch)
        ups = ups[self.terrain.up[ups]]
        big, small = self.passed_on(ups, since_us)
        cell = np.array([self.terrain.beyond(switch)], np.int64)
        lost = self.located(since_us)[2][switch]
        share = 0.4 / max(1, len(ups))
        others = tuple((self.terrain.link_name(int(up)), share) for up in ups.tolist()[:8])
        return Cause(
            "beyond",
            switch,
            (),
            cell,
            cell,
            since_us,
            lost,
            lost + float((big + small).sum()),
            0.6,
            others,
        )


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


def _probability(score: float, others: Iterable[float]) -> float:
    """Share of one explanation among all, by their scores."""
    rivals = sum(math.exp(min(700.0, (other - score) / TEMPERATURE)) for other in others)
    return min(PROBABILITY_MAX, 1.0 / (1.0 + rivals))


def _all_cells(causes: Iterable[Cause]) -> Iterable[int]:
    for cause in causes:
        yield from cause.cells.tolist()


def pair_name(terrain: Terrain, switch: int, chips: tuple[int, ...]) -> str:
    """`S/C1>C2`: from one chip of a switch to another."""
    labels = [c.label for c in terrain.fabric.switches[switch].chips]
    return f"{terrain.chip_name(switch, chips[0])}>{labels[chips[1]]}"

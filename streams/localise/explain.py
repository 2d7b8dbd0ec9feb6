"""From suspect elements to causes: the fewest and likeliest things that explain what was lost where.

Losses on several links of a switch may be several bad links, a bad chip, a bad pair of chips, or the
switch. Each explanation is scored by its gain in log-likelihood over a healthy network (losses are
binomial; a cause adds one rate to all that it covers) less the cost of assuming it (minus the log of how
rare such causes are). The best one is taken; how much better it is than the others is its probability.

Where a copy was last seen at the mirror of k and the next one would have been m's, the forwarding of k,
the cable and the input of m before its mirror cannot be told apart: "the link k~m" stands for all of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from streams.localise.gains import gain, group_gain, probability_of
from streams.localise.scene import Scene
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
PAIRS_MAX = 16
#: A server that leaves this share unanswered is silent; that must be likelier, by so many nats, than that its
#: switch alone loses them.
SILENT, SILENT_GAIN_MIN = 0.9, 20.0
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


def explain(scene: Scene, alarms: Alarms) -> list[Cause]:
    """The causes of what is suspect."""
    return _Explainer(scene, alarms).causes()


class _Explainer:
    """Goes through what is suspect; what is explained is covered, and not explained again."""

    def __init__(self, scene: Scene, alarms: Alarms) -> None:
        self._scene, self._terrain, self._alarms = scene, scene.terrain, alarms
        self._covered: set[int] = set()

    def causes(self) -> list[Cause]:
        causes = self._dead()
        self._covered.update(_all_cells(causes))
        into = {c.switch for c in causes}
        cells, chips = self._alarms.cells, self._alarms.chips
        near = {self._near(cell) for cell in cells if cell not in self._covered}
        for switch in sorted(near | set(self._alarms.switches) | {s for s, _ in chips} - {-1}):
            if switch >= 0:
                causes += self._behind(switch)
        for cell, since_us in cells.items():
            if cell not in self._covered and self._near(cell) < 0:  # a Prober's cable
                cause = self._single(cell, since_us, 1.0, ())
                causes += [cause] if cause else []
        return [
            c for c in causes if c.shape == "dead" or c.switch not in into or not set(c.hit) <= self._covered
        ]

    def _near(self, cell: int) -> int:
        return int(self._terrain.from_row[cell]) if cell < self._terrain.links else cell - self._terrain.links

    def _cost(self, links: NDArray[np.integer]) -> F8:
        return np.where(self._terrain.to_server[links], COST["host"], COST["link"])

    def _dead(self) -> list[Cause]:
        """Switches into which nothing, or less, gets."""
        found: list[tuple[float, Cause]] = []
        for switch, since_us in self._alarms.into.items():
            links = self._terrain.in_links(switch)
            bad, all_, expected = self._scene.weigh(links, since_us)
            if np.count_nonzero(bad > 0) < 2 or self._scene.is_dark(links, all_, since_us):
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
                            probability_of(whole, [float(apart.sum())]),
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

    def _behind(self, switch: int) -> list[Cause]:
        """What explains the events last seen at a switch."""
        links = np.array(
            [x for x in self._terrain.out_links(switch).tolist() if x not in self._covered], np.int64
        )
        if not self._scene.at_servers:
            links = links[~self._terrain.to_server[links]]
        beyond = self._terrain.beyond(switch)
        mine = {
            c: t for c, t in self._alarms.cells.items() if self._near(c) == switch and c not in self._covered
        }
        group: dict[tuple[str, tuple[int, ...]], int] = {}
        if switch in self._alarms.switches:
            group["switch", ()] = self._alarms.switches[switch]
        group |= {("chip", (c,)): t for (s, c), t in self._alarms.chips.items() if s == switch}
        pairs = [t for t in self._alarms.pairs if self._terrain.turn_switch[t] == switch][:PAIRS_MAX]
        group |= {
            ("pair", (int(self._terrain.turn_in[t]), int(self._terrain.turn_out[t]))): self._alarms.pairs[t]
            for t in pairs
        }
        if self._terrain.chips[switch] > 2 and switch in self._alarms.switches:
            group["fabric", ()] = self._alarms.switches[switch]
        others: tuple[tuple[str, float], ...] = ()
        alone = 1.0
        if group and len(links):
            since_us = min([*group.values(), *mine.values()])
            scores = self._scores(switch, links, since_us, group)
            best = max(scores, key=lambda k: scores[k])
            if best != ("apart", ()):
                cause = self._grouped(switch, best, links, since_us, scores)
                if cause is not None:
                    self._covered.update(cause.cells.tolist())
                    self._covered.add(beyond)
                    return [cause, *self._silent_within(cause, mine)]
            alone = probability_of(scores[best], [v for k, v in scores.items() if k != best])
            others = self._alternatives(switch, scores, best)
            mine |= self._enough_apart(links, since_us, mine)
        causes = []
        for cell, since_us in sorted(mine.items()):
            if cell == beyond:
                if self._scene.located(since_us)[2].get(switch, 0.0) > 0:
                    causes.append(self._unplaced(switch, since_us))
                continue
            cause = self._single(cell, since_us, alone, others)
            if cause is not None:
                causes.append(cause)
                self._covered.add(cell)
        return causes

    def _enough_apart(self, links: I8, since_us: int, mine: dict[int, int]) -> dict[int, int]:
        """Links up that lost enough to explain that their switch is suspect, of themselves and of what was
        lost beyond it: their own score does not know of the latter. Not where a link explains it already:
        what was lost beyond a switch is shared out among all links that lost something."""
        ups = links[self._terrain.up[links]]
        if not mine.keys().isdisjoint(ups.tolist()):
            return {}
        enough = ups[self._scene.bad_on(ups, since_us) >= self._scene.least]
        return dict.fromkeys(enough.tolist(), since_us)

    def _silent_within(self, group: Cause, mine: dict[int, int]) -> list[Cause]:
        """Servers that are silent altogether behind a switch that loses only some of their packets."""
        causes: list[Cause] = []
        if group.lost >= SILENT * group.total:
            return causes
        for cell, since_us in sorted(mine.items()):
            if cell >= self._terrain.links or not self._terrain.to_server[cell]:
                continue
            link = np.array([cell], np.int64)
            bad, all_, _ = self._scene.weigh(link, since_us)
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
    ) -> dict[tuple[str, tuple[int, ...]], float]:
        """Gain less cost of every way to explain the events behind a switch."""
        bad, all_, expected = self._scene.weigh(links, since_us)
        # Losses come by flows, and no two links lose alike: of very many losses not all are evidence.
        part = min(1.0, EVIDENCE_MAX / max(1.0, float(bad.sum())))
        bad, all_ = bad * part, all_ * part
        turns = self._scene.turns_of(switch, since_us, self._covered)
        if turns is not None:
            # Links and turns are to be measured by one background: that of where the events were.
            weight = bad if bad.sum() > 0 else np.ones(len(links))
            expected[:] = np.exp((weight * np.log(expected)).sum() / weight.sum())
        apart = np.maximum(0, gain(bad, all_, expected) - self._cost(links)) * (bad > 0)
        scores: dict[tuple[str, tuple[int, ...]], float] = {("apart", ()): float(apart.sum())}
        for shape, chips in group:
            if turns is None:
                if shape == "switch" and bad.sum() >= self._scene.least:
                    scores[shape, chips] = group_gain(bad, all_, expected) - COST["switch"]
                continue
            inside = self._inside(switch, shape, chips, turns[0])
            turn_bad, turn_all = turns[1] * part, (turns[1] + turns[2]) * part
            if turn_bad[inside].sum() < self._scene.least:
                continue
            rate = np.full(int(inside.sum()), expected[0])
            within = group_gain(turn_bad[inside], turn_all[inside], rate)
            # What the group does not explain is explained link by link.
            outside = self._outside(switch, turns[0], turn_bad, turn_all, ~inside)
            by = self._terrain.departs_by[links]
            left, left_all = bad * outside[0][by], all_ * outside[1][by]
            rest = float(
                (np.maximum(0, gain(left, left_all, expected) - self._cost(links)) * (left >= 0.5)).sum()
            )
            scores[shape, chips] = within - COST[shape] + rest  # type: ignore[index]
        return scores

    def _outside(
        self, switch: int, turns: I8, bad: F8, all_: F8, outside: NDArray[np.bool_]
    ) -> tuple[F8, F8]:
        """Shares of the bad packets and of all packets by each chip out that took some turns: f8[chips]."""
        out, chips = self._terrain.turn_out[turns], int(self._terrain.chips[switch])
        shares = []
        for values in (bad, all_):
            total = np.bincount(out, values, chips + 1)[:chips]
            part = np.bincount(out, values * outside, chips + 1)[:chips]
            shares.append(np.divide(part, total, out=np.zeros_like(part), where=total > 0))
        return shares[0], shares[1]

    def _inside(self, switch: int, shape: str, chips: tuple[int, ...], turns: I8) -> NDArray[np.bool_]:
        came, left = self._terrain.turn_in[turns], self._terrain.turn_out[turns]
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
    ) -> Cause | None:
        shape, chips = best
        bad, all_, _ = self._scene.weigh(links, since_us)
        lost, total = float(bad.sum()), float(all_.sum())
        turns = self._scene.turns_of(switch, since_us, self._covered)
        if turns is not None and shape != "switch":
            inside = self._inside(switch, shape, chips, turns[0])
            lost, total = float(turns[1][inside].sum()), float((turns[1] + turns[2])[inside].sum())
        if not lost:
            return None
        probability = probability_of(scores[best], [v for k, v in scores.items() if k != best])
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
            share = probability_of(score, [v for k, v in scores.items() if k != (shape, chips)])
            name = self._terrain.switch_name(switch)
            if shape == "chip":
                name = self._terrain.chip_name(switch, chips[0])
            elif shape == "pair":
                name = pair_name(self._terrain, switch, chips)
            if share >= 0.01:
                found.append((name, share))
        return tuple(sorted(found, key=lambda f: (-f[1], f[0]))[:4])

    def _single(
        self, cell: int, since_us: int, alone: float, others: tuple[tuple[str, float], ...]
    ) -> Cause | None:
        """A link, or a server."""
        link = np.array([cell], np.int64)
        bad, all_, expected = self._scene.weigh(link, since_us)
        score = float(gain(bad, all_, expected)[0] - self._cost(link)[0])
        if score <= 0:
            return None
        shape: Shape = "host" if self._terrain.to_server[cell] else "link"
        return Cause(
            shape,
            int(self._terrain.from_row[cell]),
            (),
            link,
            link,
            since_us,
            float(bad[0]),
            float(all_[0]),
            min(alone, probability_of(score, [0.0])),
            others,
        )

    def _unplaced(self, switch: int, since_us: int) -> Cause:
        ups = self._terrain.out_links(switch)
        ups = ups[self._terrain.up[ups]]
        big, small = self._scene.passed_on(ups, since_us)
        cell = np.array([self._terrain.beyond(switch)], np.int64)
        lost = self._scene.located(since_us)[2][switch]
        share = 0.4 / max(1, len(ups))
        others = tuple((self._terrain.link_name(int(up)), share) for up in ups.tolist()[:8])
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


def _all_cells(causes: Iterable[Cause]) -> Iterable[int]:
    for cause in causes:
        yield from cause.cells.tolist()


def pair_name(terrain: Terrain, switch: int, chips: tuple[int, ...]) -> str:
    """`S/C1>C2`: from one chip of a switch to another."""
    labels = [c.label for c in terrain.fabric.switches[switch].chips]
    return f"{terrain.chip_name(switch, chips[0])}>{labels[chips[1]]}"

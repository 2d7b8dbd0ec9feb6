"""`python -m benchmarks.tomography`: how well each tomography locates faults from timeouts and learnt ways.

Every row is a kind of fault, simulated some times at random places of a fabric, with noise of hosts (1e-3 of
the probes) and of cables (1e-6). All methods get the same counts of the same flows with their true ways.

- found: share of the faults of which the method blames the link (of a cable either direction; of a switch or
  chip the element itself, or a link of it, for methods that know only links).
- false: elements blamed per run that have nothing to do with a fault.

Methods that know only links are spared the cables of servers and Probers, which in this design are common to
many flows, and which none of them could tell from the rest. `best` is each of them with the threshold that
suits it best over all rows, chosen with hindsight.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from rich.console import Console
from rich.table import Table

from fabric.builtin import builtin_fabric
from fabric.model import Fabric
from streams.localise.blind.cells import Cells
from streams.localise.blind.learnt import LearntWays
from streams.localise.tomography import likelihood, netbouncer, pll, votes
from streams.localise.tomography.noisy_or import Losses
from streams.localise.tomography.paths import PathCounts, Suspect
from tests.streams.blind_rows import planned, run, ways

Names = list[frozenset[str]]  # of each blame, the names of all that it would be right about
Method = Callable[[PathCounts], Names]


@dataclass(frozen=True)
class Row:
    """A kind of scenario: what its faults are drawn from."""

    name: str
    faults: tuple[tuple[str, float, float], ...]  # element kind, least rate, most rate
    runs: int = 1  # times as many as of other rows


ROWS = (
    Row("none", (), runs=5),
    Row("link, 1 %", (("link", 0.01, 0.01),)),
    Row("link, 3 %", (("link", 0.03, 0.03),)),
    Row("link, 10 %", (("link", 0.1, 0.1),)),
    Row("link, 30 %", (("link", 0.3, 0.3),)),
    Row("link, 100 %", (("link", 1, 1),)),
    Row("cable cut", (("cable", 1, 1),)),
    Row("switch, 3 to 30 %", (("switch", 0.03, 0.3),)),
    Row("chip, 3 to 30 %", (("chip", 0.03, 0.3),)),
    Row("link at 50 % and link at 3 %", (("link", 0.5, 0.5), ("link", 0.03, 0.03))),
    Row("3 links, 3 to 100 %", (("link", 0.03, 1),) * 3),
    Row("5 of all kinds, 3 to 100 %", (("link", 0.03, 1),) * 3 + (("switch", 0.03, 1), ("cable", 1, 1))),
)


class Place:
    """A fabric and what is asked of it."""

    def __init__(self, fabric: Fabric, seconds: float) -> None:
        self.fabric, self.seconds = fabric, seconds
        self.cells = Cells(fabric)
        self._ways: dict[int, LearntWays] = {}
        self._links = [link.name for link in fabric.switch_links]
        self._switches = [s.name for s in fabric.switches if s.tier != "border"]
        self._chips = [
            c.name for s in fabric.switches if s.is_multi_chip for c in s.chips if c.role != "fabric"
        ]
        index = fabric.index
        between = (index.switch_row(index.link_from) >= 0) & (index.switch_row(index.link_to) >= 0)
        self._keep = np.append(between, False)

    def draw(self, row: Row, rng: random.Random) -> tuple[tuple[str, ...], Names]:
        """Faults as they are written, and the names that are right for each."""
        faults, right = [], []
        for kind, least, most in row.faults:
            rate = least if least == most else float(np.exp(rng.uniform(np.log(least), np.log(most))))
            if kind in ("link", "cable"):
                name = rng.choice(self._links)
                back = "~".join(reversed(name.split("~")))
                right.append(frozenset({name} if kind == "link" else {name, back}))
                faults.append(f"link_down:{name}" if kind == "cable" else f"loss:{name}:rate={rate:.4f}")
            else:
                name = rng.choice(self._chips if kind == "chip" and self._chips else self._switches)
                right.append(self.within(name))
                faults.append(f"loss:{name}:rate={rate:.4f}")
        return tuple(faults), right

    def within(self, name: str) -> frozenset[str]:
        """A switch or chip, the chips of a switch, and the links at their ports."""
        switch = self.fabric.switch_by_name[name.split("/", maxsplit=1)[0]]
        ports = [p for p in switch.ports if "/" not in name or f"{switch.name}/{p.chip}" == name]
        links = {f"{switch.name}~{p.peer}" for p in ports} | {f"{p.peer}~{switch.name}" for p in ports}
        inner = {c.name for c in switch.chips} if "/" not in name else set()
        return frozenset({name, *links, *inner})

    def counts(self, faults: tuple[str, ...], seed: int) -> PathCounts:
        """Paths over all cells. The seed decides what is lost and which way flows go."""
        if seed not in self._ways:
            self._ways[seed] = LearntWays(self.cells)
            self._ways[seed].learn(0, ways(self.fabric, planned(self.fabric, self.seconds), seed))
        rows = run(self.fabric, faults, self.seconds, seed).rows()
        way = self._ways[seed].cells_of(rows)
        return PathCounts.of_matrix(way, rows["sent"], rows["lost"], self.cells.cells)

    def between_switches(self, counts: PathCounts) -> PathCounts:
        """The same, without what methods that know only links cannot use."""
        matrix = counts.matrix()
        kept = np.where(self._keep[np.minimum(matrix, len(self._keep) - 1)], matrix, -1)
        return PathCounts.of_matrix(
            np.where(matrix >= 0, kept, -1), counts.sent, counts.lost, self.cells.links
        )

    def names_of_links(self, suspects: Iterable[Suspect]) -> Names:
        return [frozenset({self.fabric.index.link_name(s.links[0])}) for s in suspects]

    def likelihood(self, score_min: float) -> Method:
        settings = likelihood.LikelihoodSettings(score_min=score_min)

        def locate(counts: PathCounts) -> Names:
            blames = likelihood.locate(Losses.of(counts), self.cells.elements, settings)
            return [frozenset(self.cells.named[blame.element].names) for blame in blames]

        return locate

    def methods(self) -> dict[str, dict[str, Method]]:
        """Variants of each method, the published one first."""

        def of_links(locate: Callable[[PathCounts], list[Suspect]]) -> Method:
            return lambda counts: self.names_of_links(locate(self.between_switches(counts)))

        return {
            "likelihood": {f"{least} nats": self.likelihood(least) for least in (14, 10, 6, 3)},
            "NetBouncer": {
                "bands": of_links(netbouncer.locate),
                **{f"bands down to {least:g}": of_links(_netbouncer(least)) for least in (0.005, 0.02, 0.05)},
            },
            "007": {
                "1 % of the votes": of_links(votes.locate),
                **{f"{least:g} votes": of_links(_votes(least)) for least in (0.5, 1, 2, 4)},
            },
            "PLL": {
                "hit ratio 0.6": of_links(pll.locate),
                **{f"hit ratio {least:g}": of_links(_pll(least)) for least in (0.3, 0.1, 0.03)},
            },
        }


def _netbouncer(least: float) -> Callable[[PathCounts], list[Suspect]]:
    bands = tuple(band for band in (0.3, 0.05, 0.02, 0.005) if band >= least)
    return lambda counts: netbouncer.locate(counts, netbouncer.NetBouncerSettings(bands=bands))


def _votes(least: float) -> Callable[[PathCounts], list[Suspect]]:
    return lambda counts: votes.locate(counts, votes.VoteSettings(votes_min=least))


def _pll(least: float) -> Callable[[PathCounts], list[Suspect]]:
    return lambda counts: pll.locate(counts, pll.PllSettings(hit_ratio_min=least))


@dataclass
class Score:
    faults: int = 0
    found: int = 0
    false: int = 0
    runs: int = 0
    seconds: float = 0.0

    def add(self, blamed: Names, right: Names, seconds: float) -> None:
        self.runs += 1
        self.seconds += seconds
        self.faults += len(right)
        self.found += sum(any(names & mine for names in blamed) for mine in right)
        self.false += sum(not any(names & mine for mine in right) for names in blamed)

    @property
    def f1(self) -> float:
        return 2 * self.found / (self.faults + self.found + self.false) if self.faults else 0.0


def measure(fabric_name: str, runs: int, seconds: float) -> dict[str, dict[str, list[Score]]]:
    """Scores of each method and variant, one a row."""
    place = Place(builtin_fabric(fabric_name), seconds)
    methods = place.methods()
    scores = {m: {v: [Score() for _ in ROWS] for v in variants} for m, variants in methods.items()}
    for number, row in enumerate(ROWS):
        for i in range(runs * row.runs):
            rng = random.Random(f"{fabric_name} {row.name} {i}")
            faults, right = place.draw(row, rng)
            counts = place.counts(faults, seed=i + 1)
            for method, variants in methods.items():
                for variant, locate in variants.items():
                    started = time.perf_counter()
                    blamed = locate(counts)
                    scores[method][variant][number].add(blamed, right, time.perf_counter() - started)
    return scores


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.tomography", description=__doc__.split("\n", 1)[0])
    parser.add_argument("fabrics", nargs="*", default=["demo", "fat-tree-8"])
    parser.add_argument("--runs", type=int, default=12, help="runs a row (%(default)s)")
    parser.add_argument("--seconds", type=float, default=24.0, help="of probes a run (%(default)s)")
    options = parser.parse_args(arguments)
    console = Console(width=150)
    for fabric in options.fabrics:
        scores = measure(fabric, options.runs, options.seconds)
        console.print(table(fabric, options.runs, scores))


def table(fabric: str, runs: int, scores: dict[str, dict[str, list[Score]]]) -> Table:
    """found %, false blames a run: as published, and with the variant that is best over all rows."""
    shown = Table(title=f"{fabric}, {runs} runs a row: found, false blames a run")
    shown.add_column("faults")
    chosen: list[list[Score]] = []
    for method, variants in scores.items():
        best = max(variants, key=lambda variant: sum(score.f1 for score in variants[variant]))
        for label, variant in ((f"{method}, as it is", next(iter(variants))), (f"{method}, best", best)):
            shown.add_column(f"{label}\n{variant}")
            chosen.append(variants[variant])
    for number, row in enumerate(ROWS):
        shown.add_row(row.name, *(_cell(rows[number]) for rows in chosen))
    total = [f"{1e3 * sum(s.seconds for s in rows) / sum(s.runs for s in rows):.0f} ms" for rows in chosen]
    shown.add_row("time of a run", *total)
    return shown


def _cell(score: Score) -> str:
    false = f"{score.false / score.runs:.2f}"
    return f"{score.found / score.faults:.0%}, {false}" if score.faults else false


if __name__ == "__main__":
    main()

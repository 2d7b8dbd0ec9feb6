"""What the losses of each span are laid to, and what of it is said. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streams.localise.blind.cells import ROUGH, Cells
from streams.localise.blind.naming import WHOLE_MIN, Stretch
from streams.localise.blind.window import BLOCK_US, LOSSY_MAX, Lost, Span
from streams.localise.tomography.likelihood import Blame, LikelihoodSettings, locate
from streams.localise.tomography.noisy_or import Losses
from streams.localise.tomography.paths import summed

F8 = NDArray[np.float64]
Bools = NDArray[np.bool_]

#: How often what hosts lost is set aside before the network is looked at again.
ROUNDS_MAX = 4


@dataclass(frozen=True, slots=True)
class Case:
    """A blame, the span that it was found in, and the stretch of time in which it shows."""

    span: int
    blame: Blame
    stretch: Stretch


class Explainer:
    """Lays losses to elements, span by span. `targets`: how many targets there are."""

    def __init__(self, cells: Cells, targets: int, settings: LikelihoodSettings) -> None:
        self._cells, self._targets, self._settings = cells, targets, settings

    def blames(self, number: int, span: Span, lost: Lost, now_us: int) -> list[Case]:
        """What losses of a span are laid to. `number`: that of the span; `lost`: those of its losses that
        are not explained already."""
        lost = lost.sample(LOSSY_MAX)
        passed, answered = span.passed.astype(np.float64), int(span.by_prober.sum())
        for _ in range(ROUNDS_MAX):
            losses = Losses(lost.counts(self._cells.cells), passed, answered)
            blames = locate(losses, self._cells.elements, self._settings)
            cases = [Case(number, blame, self._stretch(blame, span, lost, now_us)) for blame in blames]
            own = [c for c in cases if c.stretch.is_of_hosts and not self._is_server(c)]
            if not own:
                break
            lost = lost.take(~self._lost_whole(lost, own))
        cases = [c for c in cases if not c.stretch.is_of_hosts]
        # What a server loses as whole groups is its own affair; if it loses all, it will be silent.
        return [c for c in cases if not (self._is_server(c) and c.stretch.whole_share > WHOLE_MIN)]

    def _is_server(self, case: Case) -> bool:
        return self._cells.named[case.blame.element].kind == "server"

    def _lost_whole(self, lost: Lost, cases: list[Case]) -> Bools:
        """Losses across some elements of servers that lose most of what they lose as whole groups."""
        links = [cell for case in cases for cell in self._cells.elements.links(case.blame.element)]
        size = self._targets
        whole = summed(lost.target, lost.group_lost * lost.weight, size)
        of_all = summed(lost.target, lost.lost * lost.weight, size)
        across = np.isin(lost.way, links).any(axis=1)
        return across & (whole > WHOLE_MIN * of_all)[lost.target]

    def _stretch(self, blame: Blame, span: Span, lost: Lost, now_us: int) -> Stretch:
        """From when to when a fault shows: the stretch of blocks in which its rate explains most."""
        links = np.array(self._cells.elements.links(blame.element))
        hit = np.isin(lost.way, links).any(axis=1)
        first = span.blocks[0].number
        count = span.blocks[-1].number - first + 1
        bad = summed(lost.block[hit] - first, (lost.lost * lost.weight)[hit], count)
        passed = np.zeros(count)
        for block in span.blocks:
            passed[block.number - first] = block.passed[links].sum()
        rate = blame.rate
        start, stop = 0, count
        for _ in range(3):
            start, stop = _best_stretch(bad, passed, rate, self._settings.background)
            rate = float(bad[start:stop].sum() / max(1.0, bad[start:stop].sum() + passed[start:stop].sum()))
        inside = hit & (lost.block >= first + start) & (lost.block < first + stop)
        group_lost = float((lost.group_lost * lost.weight)[inside].sum())
        times = float(np.isin(lost.way[hit], links).sum() / max(1, hit.sum()))
        return Stretch(
            first_us=(first + start) * BLOCK_US,
            last_us=min(now_us, (first + stop) * BLOCK_US),
            lost=round(float(bad[start:stop].sum())),
            crossed=round(float(bad[start:stop].sum() + passed[start:stop].sum())),
            whole_share=group_lost / max(1.0, float(bad[start:stop].sum())),
            times=times,
        )

    def chosen(self, cases: list[Case], spans: list[Span]) -> list[Case]:
        """Of what several spans say about the same losses, that which has the strongest case."""
        chosen: list[Case] = []
        said = {(case.span, case.blame.element) for case in cases}
        for case in sorted(cases, key=lambda c: (-c.blame.gain, c.span, c.blame.element)):
            rivals = [
                other
                for other in chosen
                # Blamed beside each other in one span, they are two faults.
                if (case.span, other.blame.element) not in said or other.blame.element == case.blame.element
            ]
            if not any(self._same(case, other, spans) for other in rivals):
                chosen.append(case)
        return self._without_shadows(chosen)

    def _without_shadows(self, chosen: list[Case]) -> list[Case]:
        """Less what is only roughly known where something that is known lies: probes whose ways are not known
        cross that too, and their losses cannot be laid to it."""
        cells = self._cells
        rough = [cells.named[case.blame.element].kind in ROUGH for case in chosen]
        areas = [cells.area(case.blame.element) for case in chosen]
        known = frozenset[int]().union(*(a for a, is_rough in zip(areas, rough, strict=True) if not is_rough))
        return [
            case
            for case, area, is_rough in zip(chosen, areas, rough, strict=True)
            if not (is_rough and area & known)
        ]

    def _same(self, case: Case, other: Case, spans: list[Span]) -> bool:
        """Whether most of the losses of one are on ways across the other as well."""
        lost = spans[case.span].lost
        assert lost is not None
        elements = self._cells.elements
        mine = np.isin(lost.way, elements.links(case.blame.element)).any(axis=1)
        its = np.isin(lost.way, elements.links(other.blame.element)).any(axis=1)
        weight = lost.lost * lost.weight
        return bool(weight[mine & its].sum() > 0.5 * weight[mine].sum())


def _best_stretch(bad: F8, passed: F8, rate: float, background: float) -> tuple[int, int]:
    """First block and the one after the last of the stretch in which losses at a rate on top of the
    background are the likeliest, against the background alone."""
    rate = min(max(rate, 1e-9), 1 - 1e-9)
    gain = bad * np.log(1 + rate / background) + passed * np.log1p(-rate)
    total = np.concatenate([[0.0], np.cumsum(gain)])
    lowest = np.minimum.accumulate(total)
    stop = int((total - lowest).argmax())
    return int(total[: stop + 1].argmin()), stop

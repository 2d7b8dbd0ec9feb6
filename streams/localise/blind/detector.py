"""Faults from timeouts alone: what is lost where nothing is mirrored, or while mirrors are dark. Pure.

The group rule first sets aside what is silent as a whole: servers, racks, pods, Probers. What some members of
groups lost is then laid to links, chips, switches or servers by the ways that their flows had when mirrors
still showed them (see streams.localise.tomography.likelihood); of a flow whose way is not known, what is
certain of it still counts. All that is found follows from the last SPANS_US of evidence and from the learnt
ways, so `snapshot` holds only these.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fabric.model import Fabric
from streams.localise.blind.cases import Case, Explainer
from streams.localise.blind.cells import Cells
from streams.localise.blind.groups import Racks, Silence, silence
from streams.localise.blind.learnt import LearntWays
from streams.localise.blind.naming import Naming, Stretch
from streams.localise.blind.share import NO_PAIRS, BlindShare
from streams.localise.blind.window import BLOCK_US, Lost, Span, Window
from streams.localise.finding import Finding
from streams.localise.tomography.likelihood import LikelihoodSettings

I4 = NDArray[np.int32]
I8 = NDArray[np.int64]
F8 = NDArray[np.float64]

#: Heavy faults show in the shortest span, light ones in the longest. The localiser reads that much again
#: after a restart.
SPANS_US = (2_000_000, 8_000_000, 24_000_000)


@dataclass(frozen=True, slots=True)
class BlindSettings:
    spans_us: tuple[int, ...] = SPANS_US
    #: what has shown no sign for so long is not said any more
    quiet_us: int = 8_000_000
    #: nats by which silence must be likelier than what is blamed on the network
    own_min: float = 12.0
    #: for so long nothing must have been mirrored anywhere
    dark_min_us: int = 2_000_000
    likelihood: LikelihoodSettings = field(default_factory=LikelihoodSettings)


class BlindDetector:
    """Give it every slot of evidence: `learn`, then `add`; ask `findings` at its end.

    While mirrors work it costs what learning costs: nearly no probe is blind.
    """

    def __init__(self, fabric: Fabric, settings: BlindSettings | None = None) -> None:
        self._settings = settings or BlindSettings()
        self._cells = cells = Cells(fabric)
        self._ways = LearntWays(cells)
        index = fabric.index
        self._probers: I4 = np.array(sorted(cells.attached), np.int32)
        self._attached: I4 = np.array([cells.attached[p] for p in self._probers.tolist()], np.int32)
        nodes = np.concatenate([index.server_node, self._probers])
        self._target_order = np.argsort(nodes)
        self._target_nodes: I4 = nodes[self._target_order]
        tor = np.concatenate([index.switch_row(index.server_tor), np.full(len(self._probers), -1)])
        self._racks = Racks(tor.astype(np.int32), index.pod.astype(np.int32))
        self._share = BlindShare(index, self._attached)
        self._window = Window(cells.cells, len(nodes), len(self._probers), self._settings.spans_us)
        self._explain = Explainer(cells, len(nodes), self._settings.likelihood)
        self._naming = Naming(cells, nodes)
        self._borders = frozenset(self._attached.tolist())
        self._last_us = -(2**62)
        self._dark_since_us: int | None = None

    def learn(self, slot_us: int, rows: np.ndarray) -> None:
        """Take in the PATHS rows of a slot."""
        self._ways.learn(slot_us, rows)

    def add(self, slot_us: int, length_us: int, rows: np.ndarray, pairs: np.ndarray = NO_PAIRS) -> None:
        """Take in the BLIND rows of a slot, and its PAIRS rows, which tell where probes are blind because
        nothing is mirrored there. Without PAIRS rows all are taken to be. Slots come in order."""
        prober, target = rows["prober"].astype(np.int32), rows["target"].astype(np.int32)
        from_row, to_row = _row_of(self._probers, prober), self._target_row(target)
        index = self._cells.index
        known = (from_row >= 0) & (to_row >= 0)
        known &= index.answers_of(target) | (index.tor_of_server(target) < 0)
        rows, from_row, to_row = rows[known], from_row[known], to_row[known]
        tor = index.tor_of_server(target[known])
        tor = np.where(tor >= 0, tor, self._attached[_row_of(self._probers, target[known])])
        via = rows["via"].astype(np.int32)
        sent, lost, group_lost = (rows[name].astype(np.int64) for name in ("sent", "lost", "group_lost"))
        mine = self._share.select(length_us, self._attached[from_row], via, tor, sent, lost, pairs)
        if mine.any():
            way = self._ways.cells_of(rows[mine])
            self._window.add(
                slot_us, way, from_row[mine], to_row[mine], sent[mine], lost[mine], group_lost[mine]
            )
            self._last_us = slot_us
        elif slot_us - self._last_us <= self._settings.spans_us[-1]:
            self._window.advance(slot_us)
        if self._share.dark != self._borders:
            self._dark_since_us = None
        elif self._dark_since_us is None:
            self._dark_since_us = slot_us

    def findings(self, now_us: int) -> list[Finding]:
        """What is wrong at `now_us`, the end of the slot that was added last."""
        if now_us - self._last_us > self._settings.spans_us[-1]:
            return []
        spans = self._window.spans()
        silences: list[Silence] = []
        cases: list[Case] = []
        for number, span in enumerate(spans):
            silences.append(silence(span.tallies, span.answered, span.by_prober, self._racks))
            if span.lost is not None:
                lost = self._set_aside(span.lost, silences)
                cases += self._explain.blames(number, span, lost, now_us)
        quiet_us = now_us - self._settings.quiet_us
        chosen = self._explain.chosen([c for c in cases if c.stretch.last_us >= quiet_us], spans)
        found = self._silences(silences, spans, chosen)
        found += [self._naming.blamed(case.blame, case.stretch, now_us) for case in chosen]
        found = [each for each in found if each.last_seen_us >= quiet_us]
        return found + self._outage(now_us)

    def _set_aside(self, lost: Lost, silences: list[Silence]) -> Lost:
        """Losses that what is silent, in this span or a shorter one, does not explain."""
        silent = np.logical_or.reduce([each.all for each in silences])
        mute = [row for each in silences for row in each.probers]
        cells = self._cells
        pods = {pod for each in silences for pod in each.pods}
        tors = {tor for each in silences for tor in each.tors}
        tors |= set(np.flatnonzero(np.isin(self._racks.pod, list(pods))).tolist())
        cut = [cell for pod in pods for cell in cells.cells_of("pod", pod)]
        cut += [cell for tor in tors for cell in cells.cells_of("switch", tor)]
        keep = ~silent[lost.target] & ~np.isin(lost.prober, mute)
        return lost.take(keep & ~np.isin(lost.way, cut).any(axis=1))

    def _outage(self, now_us: int) -> list[Finding]:
        """Mirrors that have shown ways and show nothing any more, none of them: a single dark one is told
        from the gaps that it leaves between others."""
        since_us = self._dark_since_us
        if since_us is None or now_us - since_us < self._settings.dark_min_us or not len(self._ways):
            return []
        return [self._naming.outage(since_us, now_us)]

    # -- silence --------------------------------------------------------------------------------

    def _silences(self, silences: list[Silence], spans: list[Span], chosen: list[Case]) -> list[Finding]:
        longest = spans[-1]
        probers = sorted({row for each in silences for row in each.probers})
        pods = sorted({row for each in silences for row in each.pods})
        gone = {s for each in silences for s in each.tors if self._racks.pod[s] not in pods}
        servers = {s for each in silences for s in each.servers}
        servers = {s for s in servers if self._racks.tor[s] not in gone and self._pod(s) not in pods}
        servers -= self._explained(servers, spans, chosen)
        found = [self._naming.prober(row, self._silent(longest, prober=row)) for row in probers]
        for pod in pods:
            targets = np.flatnonzero(np.isin(self._racks.tor, np.flatnonzero(self._racks.pod == pod)))
            found.append(self._naming.pod(pod, self._silent(longest, targets)))
        for tor in sorted(gone):
            found.append(self._naming.tor(tor, self._silent(longest, np.flatnonzero(self._racks.tor == tor))))
        found += [self._naming.server(s, self._silent(longest, np.array([s]))) for s in sorted(servers)]
        return found

    def _pod(self, target: int) -> int:
        tor = int(self._racks.tor[target])
        return int(self._racks.pod[tor]) if tor >= 0 else -1

    def _silent(self, span: Span, targets: I8 | None = None, prober: int = -1) -> Stretch:
        """Since when targets, or all that a Prober probes, have been as good as silent, and what was lost."""
        first, last, lost, crossed = -1, -1, 0, 0
        for block in span.blocks:
            answered = block.by_prober[prober] if targets is None else block.answered[targets].sum()
            bad = sum(
                int(t[2][t[0] == prober].sum() if targets is None else t[2][np.isin(t[1], targets)].sum())
                for t in block.tallies
            )
            if answered > bad:
                first, lost, crossed = -1, 0, 0
            elif bad:
                first = block.number if first < 0 else first
                last, lost, crossed = block.number, lost + bad, crossed + bad + int(answered)
        return Stretch(max(first, 0) * BLOCK_US, (last + 1) * BLOCK_US, lost, crossed)

    def _explained(self, servers: set[int], spans: list[Span], chosen: list[Case]) -> set[int]:
        """Silent servers whose losses may well be the network's: its faults lie on all ways to them."""
        lost = spans[0].lost
        if lost is None or not chosen or not servers:
            return set()
        survival = np.full(len(lost), 1 - self._settings.likelihood.background)
        for case in chosen:
            links = self._cells.elements.links(case.blame.element)
            survival *= (1 - min(case.stretch.rate, 0.999)) ** np.isin(lost.way, links).sum(axis=1)
        doubt = -lost.lost * np.log(1 - survival)
        return {s for s in servers if doubt[lost.target == s].sum() < self._settings.own_min}

    # -- rows -----------------------------------------------------------------------------------

    def _target_row(self, node: I4) -> I4:
        row = _row_of(self._target_nodes, node)
        return np.where(row >= 0, self._target_order[row].astype(np.int32), np.int32(-1))

    def snapshot(self) -> dict[str, Any]:
        """Plain values, bounded: the ways that were said last (see learnt.SNAPSHOT_MAX)."""
        return {"ways": self._ways.snapshot()}

    def restore(self, values: dict[str, Any]) -> None:
        """Reverse of `snapshot`; slots of the last span have to be added again next."""
        self._ways.restore(values["ways"])


def _row_of(nodes: I4, node: I4) -> I4:
    """Place of each node in a sorted table: i4[n] -> i4[n], -1 if it is not there."""
    if not len(nodes):
        return np.full(len(node), -1, np.int32)
    at = np.minimum(np.searchsorted(nodes, node), len(nodes) - 1)
    return np.where(nodes[at] == node, at, -1).astype(np.int32)

"""Causes as findings: names, directions, legs, examples, what a person should know besides."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas.rows import Leg
from streams.localise.black_holes import ALL, BlackHoles
from streams.localise.counts import Spots
from streams.localise.explain import SILENT, Cause, pair_name
from streams.localise.finding import Finding, Kind
from streams.localise.scene import Scene
from streams.localise.terrain import Terrain

I8 = NDArray[np.int64]

LEG_NAMES = {Leg.ENCAPSULATED: "encapsulated", Leg.PROBE: "probe", Leg.REPLY: "reply"}
EXAMPLES_MAX = 5
SERVERS_MAX = 100
#: Small packets that should have been lost, had they been treated like the big ones, and were not.
SPARED_MIN = 12.0

#: Probes by the cell at which they were last seen: (sent_at_us, probe_id), oldest first.
Examples = dict[int, list[tuple[int, int]]]


class Reporter:
    """Turns causes into findings; holds the names of a fabric."""

    def __init__(self, terrain: Terrain) -> None:
        self._terrain = terrain

    def __call__(
        self,
        kind: Kind,
        causes: Iterable[Cause],
        scene: Scene,
        examples: Examples,
        length_us: int,
        black_holes: BlackHoles | None = None,
    ) -> list[Finding]:
        """One finding for each cause, both directions of a cable and all switches of a pod in one.

        `kind`: network_loss or alteration; hosts are reported as host_silent, and what `black_holes` knows to
        be one as that."""
        known = list(causes)
        found = [self._finding(kind, cause, scene, examples, length_us) for cause in known]
        if black_holes is not None:
            flows = [black_holes.flows(cause, scene) for cause in known]
            found = [
                replace(each, kind="black_hole", flows=taken) if taken else each
                for each, taken in zip(found, flows, strict=True)
            ]
        return self._pods(known, self._cables(known, found))

    def _finding(self, kind: Kind, cause: Cause, scene: Scene, examples: Examples, length_us: int) -> Finding:
        spots = scene.events(cause.since_us)
        hit = np.flatnonzero(np.isin(spots.cell, self._cells(cause)))
        first_us, last_us = scene.span(self._cells(cause), cause.since_us)
        probes = sorted(
            e
            for cell in self._cells(cause).tolist()
            for e in examples.get(cell, ())
            if e[0] >= cause.since_us
        )
        suspects, direction, where = self._suspects(cause)
        legs = tuple(LEG_NAMES[Leg(leg)] for leg in sorted(set(spots.leg[hit].tolist())))
        is_host = cause.shape == "host" and kind == "network_loss"
        return Finding(
            kind="host_silent" if is_host else kind,
            suspects=suspects,
            where=where,
            direction=direction,
            bad=round(cause.lost),
            total=max(round(cause.total), round(cause.lost)),
            first_seen_us=probes[0][0] if probes else max(first_us, cause.since_us),
            last_seen_us=(last_us if last_us >= 0 else cause.since_us) + length_us,
            servers=self._servers(cause),
            examples=tuple((probe_id, sent_at_us) for sent_at_us, probe_id in probes[:EXAMPLES_MAX]),
            legs=legs,
            note=self._note(cause, scene, spots, kind),
        )

    def _cells(self, cause: Cause) -> I8:
        if cause.shape in ("link", "host", "dead", "beyond"):
            return cause.hit
        return np.append(cause.hit, self._terrain.beyond(cause.switch))

    def _suspects(self, cause: Cause) -> tuple[tuple[tuple[str, float], ...], str, frozenset[str]]:
        terrain, p = self._terrain, cause.probability
        where = {name for cell in cause.hit.tolist() for name in terrain.cell_names(cell)}
        rest = [(name, round(share * (1 - p) / max(1e-9, sum(s for _, s in cause.others)), 3))
                for name, share in cause.others if name]  # fmt: skip
        if cause.shape == "link":
            name = terrain.link_name(int(cause.hit[0]))
            return ((name, p), *rest), name, frozenset(where)
        if cause.shape == "host":
            link = int(cause.hit[0])
            tor, server = terrain.link_name(link).split("~")
            silent = cause.lost >= SILENT * cause.total
            shares = (0.9, 0.05, 0.05) if silent else (0.4, 0.3, 0.3)
            hosts = (server, f"{tor}~{server}", f"{server}~{tor}")
            suspects = tuple((n, p * s) for n, s in zip(hosts, shares, strict=True))
            return suspects, f"{tor}~{server}", frozenset({server, *where})
        switch = terrain.switch_name(cause.switch)
        match cause.shape:
            case "beyond":
                ups = terrain.out_links(cause.switch)
                cables = {terrain.cable_name(int(up)) for up in ups[terrain.up[ups]]}
                return ((switch, p), *cause.others), "", frozenset({switch, *cables})
            case "chip":
                top = [(terrain.chip_name(cause.switch, cause.chips[0]), p)]
            case "pair":
                top = [(pair_name(terrain, cause.switch, cause.chips), p)]
            case "fabric":
                chips = [c.name for c in terrain.fabric.switches[cause.switch].chips if c.role == "fabric"]
                top = [(name, p / len(chips)) for name in chips] or [(switch, p)]
            case _:
                top = [(switch, p)]
        names = {name for name, _ in top}
        return (*top, *(r for r in rest if r[0] not in names)), "", frozenset({switch, *names, *where})

    def _servers(self, cause: Cause) -> tuple[str, ...]:
        terrain, fabric = self._terrain, self._terrain.fabric
        nodes = terrain.index.link_to[cause.hit[cause.hit < terrain.links]]
        if cause.shape in ("switch", "dead"):
            tors = np.array([terrain.index.switch_node[cause.switch]])
        else:
            tors = nodes
        behind = terrain.index.server_node[np.isin(terrain.index.server_tor, tors)]
        hosts = nodes[terrain.to_server[cause.hit[cause.hit < terrain.links]]]
        both = np.unique(np.concatenate([behind, hosts]))[:SERVERS_MAX]
        return tuple(fabric.node_name(int(n)) for n in both)

    def _note(self, cause: Cause, scene: Scene, spots: Spots, kind: Kind) -> str:  # noqa: PLR0911 - one line a note
        terrain = self._terrain
        if kind == "alteration":
            return ""
        if cause.shape == "dead" and cause.lost >= ALL * cause.total:
            return "nothing gets into it"
        if cause.shape == "switch" and cause.lost >= ALL * cause.total and terrain.to_server[cause.hit].any():
            return "none of its servers is reached: the switch, or their power"
        if cause.shape == "fabric":
            return "only between line cards: one of its fabric chips"
        if cause.shape == "beyond":
            return "on the way up, the next hop is not known"
        links = cause.hit[cause.hit < terrain.links]
        big, small = scene.passed_on(links, cause.since_us)
        on_them = np.isin(spots.cell, links)
        reply = spots.leg == Leg.REPLY
        lost_big = int(spots.count[on_them & ~reply].sum())
        lost_small = int(spots.count[on_them & reply].sum())
        if lost_big and not lost_small and small.sum() * lost_big / (big.sum() + lost_big) > SPARED_MIN:
            return "only large packets are lost"
        return ""

    def _cables(self, causes: Sequence[Cause], found: Sequence[Finding]) -> list[Finding]:
        """Both directions of a cable are one cause."""
        by_link = {int(c.hit[0]): i for i, c in enumerate(causes) if c.shape == "link"}
        merged = dict(enumerate(found))
        for link, i in by_link.items():
            back = by_link.get(int(self._terrain.reverse[link]))
            if back is None or i not in merged or back not in merged or i == back:
                continue
            first, second = sorted((i, back), key=lambda k: (-found[k].bad, k))
            merged.pop(second)
            merged[first] = _both(found[first], found[second], "in both directions")
        return [merged.get(i, _GONE) for i in range(len(found))]

    def _pods(self, causes: Sequence[Cause], found: Sequence[Finding]) -> list[Finding]:
        """All leaves of a pod dead: the pod."""
        terrain = self._terrain
        index = terrain.index
        dead: dict[int, list[int]] = defaultdict(list)
        for i, cause in enumerate(causes):
            if cause.shape == "dead" and index.pod[cause.switch] >= 0 and index.rank[cause.switch] > 0:
                dead[int(index.pod[cause.switch])].append(i)
        whole: dict[int, Finding] = {i: f for i, f in enumerate(found) if f is not _GONE}
        for pod, members in dead.items():
            leaves = int(np.count_nonzero((index.pod == pod) & (index.rank > 0) & ~index.drained))
            if len(members) < max(2, leaves):
                continue
            first = whole[members[0]]
            for i in members[1:]:
                first = _both(first, whole.pop(i), "")
            name = index.pods[pod]
            names = {s.name for s in terrain.fabric.switches if s.pod == name}
            whole[members[0]] = replace(
                first,
                suspects=((name, 0.9), *((n, 0.02) for n, _ in first.suspects[:4])),
                where=frozenset({*first.where, name, *names}),
                note="nothing gets into any of its leaves",
            )
        return [whole[i] for i in sorted(whole)]


def _both(first: Finding, second: Finding, note: str) -> Finding:
    return replace(
        first,
        where=first.where | second.where,
        bad=first.bad + second.bad,
        total=first.total + second.total,
        first_seen_us=min(first.first_seen_us, second.first_seen_us),
        last_seen_us=max(first.last_seen_us, second.last_seen_us),
        servers=tuple(dict.fromkeys((*first.servers, *second.servers)))[:SERVERS_MAX],
        examples=(first.examples + second.examples)[:EXAMPLES_MAX],
        legs=tuple(sorted({*first.legs, *second.legs})),
        note=note or first.note,
        flows=first.flows + second.flows,
    )


_GONE = Finding("network_loss", (), frozenset(), "", 0, 0, 0, 0)


class ExampleStore:
    """A few recent probes of every cell that lost or altered some. JSON-able."""

    def __init__(self, terrain: Terrain, verdicts: frozenset[str]) -> None:
        self._terrain, self._verdicts = terrain, verdicts
        self.by_cell: Examples = {}

    def add(self, records: Iterable[dict[str, Any]], forget_before_us: int) -> None:
        """Take in the examples of a slot; of each cell the newest few are kept."""
        for record in records:
            if record["verdict"] in self._verdicts:
                cell = int(
                    self._terrain.cell_of(
                        np.array([record["from_node"]], np.int32), np.array([record["to_node"]], np.int32)
                    )[0]
                )
                if cell >= 0:
                    kept = self.by_cell.setdefault(cell, [])
                    kept.append((record["sent_at_us"], record["probe_id"]))
                    if len(kept) > 4 * EXAMPLES_MAX:
                        # The first ones tell when it began.
                        kept[:] = kept[:EXAMPLES_MAX] + kept[-EXAMPLES_MAX:]
        for cell in [c for c, kept in self.by_cell.items() if kept[-1][0] < forget_before_us]:
            del self.by_cell[cell]

    def snapshot(self) -> list[list[Any]]:
        """Plain values."""
        return [[cell, [list(e) for e in kept]] for cell, kept in sorted(self.by_cell.items())]

    def restore(self, values: list[list[Any]]) -> None:
        """Reverse of `snapshot`."""
        self.by_cell = {cell: [(t, p) for t, p in kept] for cell, kept in values}

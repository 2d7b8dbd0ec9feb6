"""Elements that are not crossed, put together: a switch instead of its forty ports."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Set

import numpy as np
from numpy.typing import NDArray

from fabric.coverage import Elements
from fabric.model import CHIP_SEPARATOR, Chip
from schemas.nodes import PROBER_BASE, SERVER_BASE
from streams.localise.finding import Finding

I4 = NDArray[np.int32]
I8 = NDArray[np.int64]
Bools = NDArray[np.bool_]

#: A switch, or the whole network, is the gap if at least this share of what can be crossed there is unseen.
SHARE = 0.5
#: A switch with fewer unseen elements is not blamed for them.
ELEMENTS_MIN = 4
SUSPECTS_MAX = 10
SERVERS_MAX = 100
NAMES_MAX = 300
#: More gaps than this are told as one more.
FINDINGS_MAX = 50
#: Elements whose names are looked for among those of all that is wrong; switches are looked up for all.
NAMES_LOOKED_AT = 2_000


class Gaps:
    """Turns unseen elements into findings; holds the names of a fabric."""

    def __init__(self, elements: Elements) -> None:
        self._elements = elements
        fabric, index = elements.fabric, elements.fabric.index
        self._crossable_at: I8 = np.bincount(
            elements.switch_row[elements.crossable], minlength=len(index.switch_node)
        )
        borders = index.switch_row(np.array([fabric.node(p.switch) for p in fabric.probers], np.int32))
        self._row_of_prober = dict(zip((p.number for p in fabric.probers), borders.tolist(), strict=True))
        # The other end of the cable of a port or link: its switch, or the server or Prober.
        self._far = np.full(elements.count, -1, np.int32)
        self._host = np.full(elements.count, -1, np.int32)
        rows = np.flatnonzero(elements.from_port >= 0)
        ports = elements.from_port[rows]
        self._far[ports] = elements.to_row[rows]
        is_host = index.link_to[rows] >= SERVER_BASE
        self._host[ports[is_host]] = index.link_to[rows[is_host]]
        links = np.flatnonzero(elements.link >= 0)
        self._far[elements.link[links]] = elements.to_row[links]
        self._cable = np.full(elements.count, -1, np.int64)
        reverse = index.link_index(index.link_to, index.link_from)
        cable = np.minimum(np.arange(len(reverse)), np.where(reverse < 0, len(reverse), reverse))
        for column in (elements.from_port, elements.to_port, elements.link):
            known = column >= 0
            self._cable[column[known]] = cable[known]

    def explained(self, unseen: I4, names: Set[str]) -> Bools:
        """Which unseen elements something else explains, given the names of all that is wrong: a switch or
        the Prober at one of its ends, its cable, or itself. i4[n] -> bool[n]."""
        elements = self._elements
        fabric, index = elements.fabric, elements.fabric.index
        wrong = np.zeros(len(index.switch_node) + 1, np.bool_)  # the last one for ends that are no switch
        nodes = [fabric.switch_by_name[name].node for name in names if name in fabric.switch_by_name]
        wrong[index.switch_row(np.array(nodes, np.int32))] = True
        for prober in fabric.probers:
            if prober.name in names:
                wrong[self._row_of_prober[prober.number]] = True
        found: Bools = wrong[elements.switch_row[unseen]] | wrong[self._far[unseen]]
        for at in np.flatnonzero(~found)[:NAMES_LOOKED_AT].tolist():
            found[at] = not names.isdisjoint(self._own_names(int(unseen[at])))
        return found

    def _own_names(self, element: int) -> set[str]:
        """Names by which others speak of an element: of a cable both directions are one."""
        elements = self._elements
        if self._cable[element] < 0:
            return {elements.name(element)}
        index = elements.fabric.index
        cable = int(self._cable[element])
        ends = [elements.fabric.node_name(int(n[cable])) for n in (index.link_from, index.link_to)]
        return {elements.name(element), "~".join(ends), "~".join(ends[::-1]), "<>".join(sorted(ends))}

    def of(self, unseen: I4, since_us: I8) -> list[Finding]:
        """Findings of the unseen elements: i4[n]; since_us: i8[elements], when each was last seen."""
        elements = self._elements
        if not len(unseen):
            return []
        if len(unseen) >= max(ELEMENTS_MIN, SHARE * np.count_nonzero(elements.crossable)):
            return [self._finding(unseen, since_us, (elements.fabric.name,))]
        row = elements.switch_row[unseen]
        number = np.bincount(row, minlength=len(self._crossable_at))
        dark = (number >= ELEMENTS_MIN) & (number >= SHARE * self._crossable_at)
        groups: dict[tuple[str, int], list[int]] = defaultdict(list)
        for element in unseen.tolist():
            groups[self._group(element, dark)].append(element)
        found: list[Finding] = []
        rest: list[int] = []
        for (what, which), members in sorted(groups.items(), key=lambda item: (-len(item[1]), item[0])):
            if len(found) == FINDINGS_MAX:
                rest += members
                continue
            names = (elements.fabric.switches[which].name,) if what == "switch" else self._names(members)
            found.append(self._finding(np.array(members, np.int32), since_us, names))
        if rest:
            found.append(self._finding(np.array(rest, np.int32), since_us, self._names(rest)))
        return found

    def _group(self, element: int, dark: Bools) -> tuple[str, int]:
        near, far = int(self._elements.switch_row[element]), int(self._far[element])
        for row in (near, far):
            if row >= 0 and dark[row]:
                return "switch", row
        if self._cable[element] >= 0:
            return "cable", int(self._cable[element])
        return "chips", near

    def _names(self, members: Iterable[int]) -> tuple[str, ...]:
        """The most telling elements: links before ports, and a chip before all its pairs."""
        elements = self._elements
        ordered = sorted(members, key=lambda e: (elements.class_of(e) != "link", e))
        chip = self._chip(ordered)
        if chip is not None:
            return (chip,)
        links = [e for e in ordered if elements.class_of(e) == "link"]
        return tuple(elements.name(e) for e in (links or ordered)[:SUSPECTS_MAX])

    def _chip(self, members: list[int]) -> str | None:
        """The one chip that all pairs have in common and of which no pair is seen in that direction."""
        elements = self._elements
        if len(members) < ELEMENTS_MIN or min(members) < elements.pair_first:
            return None
        pairs = np.array(members) - elements.pair_first
        for side in (elements.pair_in, elements.pair_out):
            chips = np.unique(side[pairs])
            switches = np.unique(elements.pair_switch[pairs])
            if len(chips) == 1 and len(switches) == 1:
                same = (elements.pair_switch == switches[0]) & (side == chips[0])
                if len(pairs) == np.count_nonzero(same & elements.crossable[elements.pair_first :]):
                    chip: Chip = elements.fabric.switches[switches[0]].chips[chips[0]]
                    return chip.name
        return None

    def _finding(self, members: I4, since_us: I8, names: tuple[str, ...]) -> Finding:
        elements = self._elements
        fabric = elements.fabric
        shown = [elements.name(e) for e in members[:NAMES_MAX].tolist()]
        hosts = self._host[members]
        servers = hosts[(hosts >= 0) & (hosts < PROBER_BASE)]
        # A Prober that is out explains what lies around it; a server that is silent explains nothing.
        ends = {*elements.switch_row[members].tolist(), *self._far[members].tolist()}
        probers = [p.name for p in fabric.probers if self._row_of_prober[p.number] in ends]
        direction = names[0] if elements.class_of(int(members[0])) == "link" and "~" in names[0] else ""
        return Finding(
            kind="coverage_gap",
            # All of them are unseen, for certain; they are not alternatives.
            suspects=tuple((name, 1.0) for name in names),
            where=frozenset({*names, *shown, *probers, *_switches_of_pairs(shown)}),
            direction=direction,
            bad=0,
            total=0,
            first_seen_us=int(since_us[members].min()),
            last_seen_us=int(since_us[members].max()),
            servers=tuple(fabric.node_name(s) for s in servers[:SERVERS_MAX].tolist()),
            note=_counted(members, elements),
        )


def _switches_of_pairs(names: list[str]) -> set[str]:
    """Switches of pairs of chips: gaps inside one switch are one cause."""
    return {name.split(CHIP_SEPARATOR, 1)[0] for name in names if CHIP_SEPARATOR in name and ":" not in name}


def _counted(members: I4, elements: Elements) -> str:
    counts = {"port": 0, "link": 0, "chip_pair": 0}
    for element in members.tolist():
        counts[elements.class_of(element)] += 1
    words = {"port": "port(s)", "link": "directed link(s)", "chip_pair": "pair(s) of chips"}
    told = ", ".join(f"{count} {words[each]}" for each, count in counts.items() if count)
    return f"not crossed: {told}"

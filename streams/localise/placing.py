"""Losses "beyond a switch", put on the link on which that switch has lost others of their leg lately.

The join remembers the way of a flow for a few seconds (streams.flows). A flow of which everything is lost
outlives that: from then on only the last switch that saw it is known. But its first losses were placed, and
the later ones have the same cause. So what one switch loses on one leg goes on where it began, until it
stops. Only links that a packet may choose between matter: on the others the join needs no memory.

A switch that loses on most of its links is not such a case: where its first losses were says nothing of where
the others would have gone, and to put them there would make some links look worse than their sisters.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas.rows import Leg
from streams.localise.counts import Spots
from streams.localise.terrain import Terrain

#: A link that has lost nothing of a leg for so long says nothing of the next losses.
KEEP_US = 15_000_000
#: Losses count half as much after so long.
HALF_US = 2_000_000
#: So many losses are a beginning; they lie on at most this share of the links that the switch may
#: choose between, and on one of them in any case.
LOST_MIN = 3
LINKS_SHARE = 0.25
#: Legs that go the same way: probes, in a tunnel or not.
_ALIKE: dict[int, int] = {Leg.PROBE: Leg.ENCAPSULATED, Leg.ENCAPSULATED: Leg.PROBE}

Key = tuple[int, int]  # switch row, leg


@dataclass(slots=True)
class Placing:
    """`lost`: by switch and leg, links with what each has lost: faded, when last, and in all. JSON-able."""

    terrain: Terrain
    lost: dict[Key, dict[int, tuple[float, int, int]]] = field(default_factory=dict)

    def __call__(self, spots: Spots, end_us: int) -> Spots:
        """The losses of a slot that ends at `end_us`, those beyond switches placed where that can be told."""
        terrain = self.terrain
        self._forget(end_us - KEEP_US)
        on_link = spots.cell < terrain.links
        chosen = on_link & terrain.chosen[np.where(on_link, spots.cell, 0)]
        for link, leg, count in _rows(spots, chosen):
            self._note((int(terrain.from_row[link]), leg), link, count, end_us)
        moved = [row for spot in _rows(spots, ~on_link) for row in self._placed(*spot, end_us)]
        if not moved:
            return spots
        cell, leg_, count_ = np.array(moved, np.int64).T
        return _summed(
            np.concatenate([spots.cell[on_link], cell]),
            np.concatenate([spots.leg[on_link].astype(np.int64), leg_]),
            np.concatenate([spots.count[on_link], count_]),
        )

    def _placed(self, cell: int, leg: int, count: int, end_us: int) -> list[tuple[int, int, int]]:
        """A spot beyond a switch as spots on its links; as it is if nothing is known."""
        switch = cell - self.terrain.links
        known = self.lost.get((switch, leg)) or self.lost.get((switch, _ALIKE.get(leg, leg))) or {}
        shares = {link: _faded(*each[:2], end_us) for link, each in sorted(known.items())}
        out = self.terrain.out_links(switch)
        links_max = max(1.0, LINKS_SHARE * np.count_nonzero(self.terrain.chosen[out]))
        if len(known) > links_max or sum(each[2] for each in known.values()) < LOST_MIN:
            return [(cell, leg, count)]
        parts = split(count, shares)
        for link, part in parts.items():
            self._note((switch, leg), link, part, end_us)
        return [(link, leg, part) for link, part in parts.items()]

    def _note(self, key: Key, link: int, count: int, end_us: int) -> None:
        links = self.lost.setdefault(key, {})
        weight, last_us, before = links.get(link, (0.0, end_us, 0))
        links[link] = (_faded(weight, last_us, end_us) + count, end_us, before + count)

    def _forget(self, before_us: int) -> None:
        kept = {
            key: {link: each for link, each in links.items() if each[1] > before_us}
            for key, links in self.lost.items()
        }
        self.lost = {key: links for key, links in kept.items() if links}

    def snapshot(self) -> list[list[Any]]:
        """Plain values."""
        return [
            [*key, link, *each]
            for key, links in sorted(self.lost.items())
            for link, each in sorted(links.items())
        ]

    def restore(self, values: list[list[Any]]) -> None:
        """Reverse of `snapshot`."""
        self.lost = {}
        for switch, leg, link, *each in values:
            self.lost.setdefault((switch, leg), {})[link] = (each[0], each[1], each[2])


def split(count: int, shares: dict[int, float]) -> dict[int, int]:
    """A whole number in proportion to shares, by largest remainders; without parts of zero."""
    total = sum(shares.values())
    exact = {key: count * share / total for key, share in shares.items()}
    parts = {key: int(part) for key, part in exact.items()}
    rest = count - sum(parts.values())
    for key in sorted(exact, key=lambda k: (parts[k] - exact[k], k))[:rest]:
        parts[key] += 1
    return {key: part for key, part in parts.items() if part}


def _faded(weight: float, last_us: int, now_us: int) -> float:
    return weight * math.pow(0.5, (now_us - last_us) / HALF_US)


def _rows(spots: Spots, which: NDArray[np.bool_]) -> Iterator[tuple[int, int, int]]:
    """Cell, leg and count of some spots."""
    columns = (spots.cell[which].tolist(), spots.leg[which].tolist(), spots.count[which].tolist())
    return zip(*columns, strict=True)


def _summed(cell: NDArray[np.int64], leg: NDArray[np.int64], count: NDArray[np.int64]) -> Spots:
    key, at = np.unique(cell << 2 | leg, return_inverse=True)
    total = np.bincount(at, count, len(key)).astype(np.int64)
    return Spots(key >> 2, (key & 3).astype(np.int8), total)

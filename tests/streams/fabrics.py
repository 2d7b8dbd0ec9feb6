"""Fabrics that tests of the join look at, and the arrays of evidence with names instead of numbers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from fabric.clos import ClosShape, build_clos
from schemas.rows import EVIDENCE_TABLES

#: Spines of two line cards and a fabric chip. Ports are dealt to line cards in turn: those towards
#: leaf-1-1, leaf-2-1 and border-1 are on the first one, the others on the second.
CHIPS = build_clos(
    ClosShape(
        "with-chips",
        pods=2,
        tors_per_pod=2,
        leaves_per_pod=2,
        spines=2,
        servers_per_tor=2,
        borders=2,
        spine_line_cards=2,
        spine_fabric_chips=1,
        probers=2,
        collectors=2,
    )
)


def table(heads: Iterable[dict[str, Any]], name: str) -> list[tuple[Any, ...]]:
    """Rows of a mapped array, of all messages one after the other."""
    dtype = EVIDENCE_TABLES[name].dtype
    return [row for head in heads for row in np.frombuffer(head.get(name, b""), dtype).tolist()]

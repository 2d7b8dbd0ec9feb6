"""PATHS rows as the join would write them, from what simulated mirrors saw; for tests of what reads them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fabric.model import Fabric
from fabric.simulator import Simulator
from producers.flow_paths import HOPS
from producers.plan import PlanSettings, build_plan
from schemas.nodes import PROBER_BASE
from schemas.rows import PATHS, rows_of

START_US = 1_763_840_000_000_000
SECOND_US = 1_000_000


def probes_of(fabric: Fabric, seconds: int, settings: PlanSettings) -> NDArray[np.void]:
    """What all Probers send."""
    until_us = START_US + seconds * SECOND_US
    return np.concatenate([build_plan(fabric, p, settings).due(START_US, until_us) for p in fabric.probers])


def learnt(fabric: Fabric, probes: NDArray[np.void], seed: int = 1) -> NDArray[np.void]:
    """PATHS rows of all flows of these probes. A plain loop: for small fabrics."""
    digests = Simulator(fabric, seed).run(probes).digests
    seen: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for digest in digests:
        key = int(digest["probe_id"]), int(digest["leg"])
        seen.setdefault(key, []).append((-int(digest["ttl"]), int(digest["switch"])))
    ways: dict[tuple[int, int, int, int, int], bytes] = {}
    for probe in probes:
        for leg in range(3):
            hops = [switch for _, switch in sorted(seen.get((int(probe["probe_id"]), leg), []))]
            if hops:
                flow = (
                    PROBER_BASE + (int(probe["probe_id"]) >> 32),
                    int(probe["target_node"]),
                    int(probe["via_node"]),
                    int(probe["source_port"]),
                    leg,
                )
                ways[flow] = np.array([*hops, *[-1] * (HOPS - len(hops))], ">i4").tobytes()
    columns = np.array(list(ways), np.int64)
    return rows_of(
        PATHS,
        {
            **{
                name: columns[:, i]
                for i, name in enumerate(("prober", "target", "via", "source_port", "leg"))
            },
            "switches": np.frombuffer(b"".join(ways.values()), "V32"),
        },
        len(ways),
    )

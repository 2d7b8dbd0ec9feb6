"""The inventory as rows, so that SQL knows of pods, tiers and links that nothing was heard of."""

from __future__ import annotations

import numpy as np

from fabric.model import Fabric
from sinks.columns import TableRows, objects, texts


def inventory_rows(fabric: Fabric, loaded_at_us: int) -> tuple[TableRows, ...]:
    """All nodes, directed links and planned maintenance. `loaded_at_us`: us since 1970; the newest load is
    what the views show."""
    pod_of_switch = {s.name: s.pod or "" for s in fabric.switches}
    records = [
        *(
            (
                s.name,
                "switch",
                s.tier,
                s.pod or "",
                "",
                [c.name for c in s.chips],
                [s.address],
                s.drained,
                True,
                s.node,
            )
            for s in fabric.switches
        ),
        *(
            (
                s.name,
                "server",
                "",
                pod_of_switch.get(s.tor, ""),
                s.tor,
                [],
                list(s.addresses),
                False,
                s.answers,
                s.node,
            )
            for s in fabric.servers
        ),
        *((p.name, "prober", "", "", p.switch, [], [p.address], False, True, p.node) for p in fabric.probers),
    ]
    nodes = TableRows(
        "inventory_nodes",
        {
            **{
                name: texts(r[at] for r in records)
                for at, name in enumerate(("name", "kind", "tier", "pod", "attached_to"))
            },
            "chips": objects([r[5] for r in records]),
            "addresses": objects([r[6] for r in records]),
            "drained": np.array([r[7] for r in records], dtype=bool),
            "answers": np.array([r[8] for r in records], dtype=bool),
            "node_number": np.array([r[9] for r in records], dtype=np.int32),
            "loaded_at": np.full(len(records), loaded_at_us, np.int64),
        },
    )
    links = TableRows(
        "inventory_links",
        {
            "from_node": texts(link.from_name for link in fabric.links),
            "to_node": texts(link.to_name for link in fabric.links),
            "from_port": np.array([link.from_port for link in fabric.links], dtype=np.int32),
            "to_port": np.array([link.to_port for link in fabric.links], dtype=np.int32),
            "loaded_at": np.full(len(fabric.links), loaded_at_us, np.int64),
        },
    )
    maintenance = TableRows(
        "inventory_maintenance",
        {
            "element": texts(entry.element for entry in fabric.maintenance),
            "starts_at": np.array([entry.from_us for entry in fabric.maintenance], dtype=np.int64),
            "ends_at": np.array([entry.until_us for entry in fabric.maintenance], dtype=np.int64),
            "why": texts(entry.why for entry in fabric.maintenance),
            "loaded_at": np.full(len(fabric.maintenance), loaded_at_us, np.int64),
        },
    )
    return tuple(rows for rows in (nodes, links, maintenance) if rows.count)

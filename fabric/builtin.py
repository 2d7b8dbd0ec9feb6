"""Fabrics that are known by name, without an inventory file."""

from __future__ import annotations

import re

from fabric.clos import build_clos
from fabric.model import Fabric
from fabric.shapes import CampusShape, ClosShape, fat_tree

SHAPES: dict[str, ClosShape | CampusShape] = {
    shape.name: shape
    for shape in (
        # What `bytetracker demo` runs. Two Probers, because a border switch without one carries no
        # probes and a fault on its links could not be seen; 12 servers a ToR, so that every link is
        # crossed often enough for a loss of 30 % to show within 3 s.
        ClosShape(
            "demo",
            pods=4,
            tors_per_pod=4,
            leaves_per_pod=4,
            spines=8,
            servers_per_tor=12,
            borders=2,
            planes=True,
            spine_line_cards=2,
            spine_fabric_chips=2,
            probers=2,
            collectors=2,
        ),
        # What `bytetracker lab` builds from network namespaces.
        ClosShape("lab", pods=2, tors_per_pod=2, leaves_per_pod=2, spines=2, servers_per_tor=2),
        # For tests that want a Clos and nothing more.
        ClosShape("small", pods=2, tors_per_pod=2, leaves_per_pod=2, spines=2, servers_per_tor=4),
        # The least there can be: one switch of each tier.
        ClosShape("tiny", pods=1, tors_per_pod=1, leaves_per_pod=1, spines=1, servers_per_tor=4),
        # Two sites below DCI switches, for tests.
        CampusShape(
            "dci",
            sites=(
                ClosShape(
                    "site",
                    pods=2,
                    tors_per_pod=2,
                    leaves_per_pod=2,
                    spines=4,
                    servers_per_tor=4,
                    borders=2,
                    planes=True,
                    spine_line_cards=2,
                    spine_fabric_chips=2,
                    probers=2,
                    collectors=2,
                ),
            )
            * 2,
            dci=2,
        ),
        # 2,000 servers.
        ClosShape(
            "medium",
            pods=10,
            tors_per_pod=10,
            leaves_per_pod=4,
            spines=16,
            servers_per_tor=20,
            borders=2,
            planes=True,
            spine_line_cards=4,
            spine_fabric_chips=2,
            probers=2,
            collectors=2,
        ),
        # 102,400 servers in two sites: 3,352 switches, spines of 12 chips.
        CampusShape(
            "large",
            sites=(
                ClosShape(
                    "site",
                    pods=32,
                    tors_per_pod=40,
                    leaves_per_pod=8,
                    spines=128,
                    servers_per_tor=40,
                    borders=2,
                    planes=True,
                    spine_line_cards=8,
                    spine_fabric_chips=4,
                    probers=2,
                    collectors=4,
                ),
            )
            * 2,
            dci=8,
        ),
    )
}

_FAT_TREE = re.compile(r"fat-tree-(\d{1,3})")


def builtin_fabric(name: str) -> Fabric:
    """A fabric of SHAPES, or `fat-tree-K`. Raises KeyError for any other name, ValueError for a bad K."""
    matched = _FAT_TREE.fullmatch(name)
    if matched:
        return build_clos(fat_tree(int(matched[1])))
    return build_clos(SHAPES[name])


def builtin_names() -> tuple[str, ...]:
    return (*SHAPES, "fat-tree-K")

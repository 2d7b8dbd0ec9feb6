"""Routes of the lab: valley-free, equal-cost, and complete."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from fabric.builtin import builtin_fabric
from fabric.lab.routes import next_hops
from fabric.model import TIER_RANK, Fabric


def paths(fabric: Fabric, source: str, destination: str) -> set[tuple[str, ...]]:
    hops = next_hops(fabric, destination)
    done, open_paths = set(), [(source,)]
    while open_paths:
        path = open_paths.pop()
        if path[-1] == destination:
            done.add(path)
            continue
        assert len(path) < 10, f"loop: {path}"
        open_paths += [(*path, hop) for hop in hops.get(path[-1], ())]
    return done


@pytest.mark.parametrize("name", ["lab", "demo", "fat-tree-4"])
def test_all_pairs_are_joined_by_valley_free_paths_of_one_length(name: str) -> None:
    fabric = builtin_fabric(name)
    ends = [s.name for s in fabric.switches if s.tier in ("tor", "border")][:12]
    for source in ends:
        for destination in ends:
            found = paths(fabric, source, destination)
            assert found
            assert len({len(path) for path in found}) == 1
            for path in found:
                ranks = [TIER_RANK[fabric.switch_by_name[name].tier] for name in path]
                falls = [b < a for a, b in pairwise(ranks)]
                assert falls == sorted(falls), path


def test_between_pods_every_leaf_and_spine_is_used() -> None:
    assert paths(builtin_fabric("lab"), "tor-1-1", "tor-2-2") == {
        ("tor-1-1", f"leaf-1-{i}", f"spine-{j}", f"leaf-2-{k}", "tor-2-2")
        for i in (1, 2)
        for j in (1, 2)
        for k in (1, 2)
    }


def test_leaf_to_leaf_of_a_pod_climbs_instead_of_crossing_a_tor() -> None:
    assert paths(builtin_fabric("lab"), "leaf-1-1", "leaf-1-2") == {
        ("leaf-1-1", "spine-1", "leaf-1-2"),
        ("leaf-1-1", "spine-2", "leaf-1-2"),
    }


def test_drained_switches_carry_no_transit_but_can_be_reached() -> None:
    fabric = builtin_fabric("lab")
    drained = replace(
        fabric,
        switches=tuple(replace(s, drained=s.name in ("spine-1", "leaf-2-1")) for s in fabric.switches),
    )
    assert paths(drained, "tor-1-1", "tor-2-2") == {
        ("tor-1-1", "leaf-1-1", "spine-2", "leaf-2-2", "tor-2-2"),
        ("tor-1-1", "leaf-1-2", "spine-2", "leaf-2-2", "tor-2-2"),
    }
    assert paths(drained, "border-1", "spine-1") == {("border-1", "spine-1")}

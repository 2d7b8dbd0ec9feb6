"""Probes that no mirror saw, by flow, of probes written by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from streams.groups import all_members
from streams.settings import JoinSettings
from tests.streams.by_hand import HEALTHY, Path, closed_by_hand, judge, lost
from tests.streams.fabrics import table
from tests.streams.logs import SMALL

NO_MIRRORS = JoinSettings(sample_one_in=1, mirrors=False)
UNSEEN = Path()
FLOW = ("prober-1", "server-2-1-1", "")


def blind(*paths: Path, settings: JoinSettings | None = None) -> dict[tuple[str, str, str, int], tuple]:
    """(Prober, target, via, source port) -> (sent, lost, lost with the whole group)."""
    numbered = [replace(path, member=member) for member, path in enumerate(paths)]
    rows = table(judge(*numbered, settings=settings).heads, "blind")
    assert rows == sorted(rows)
    name = {-1: "", **{n.node: n.name for n in (*SMALL.switches, *SMALL.servers, *SMALL.probers)}}
    return {(name[p], name[t], name[v], port): tuple(counts) for p, t, v, port, *counts in rows}


def test_probes_that_were_seen_are_not_blind():
    assert blind(HEALTHY, lost("border-1"), lost("", "tor-2-1")) == {}


def test_unseen_probes_by_flow():
    assert blind(UNSEEN, lost(source_port=20_001), HEALTHY) == {
        (*FLOW, 20_000): (1, 0, 0),
        (*FLOW, 20_001): (1, 1, 0),
    }


def test_all_probes_where_nothing_is_mirrored():
    found = blind(UNSEEN, HEALTHY, lost(source_port=20_001), settings=NO_MIRRORS)
    assert found == {(*FLOW, 20_000): (2, 0, 0), (*FLOW, 20_001): (1, 1, 0)}


@pytest.mark.parametrize(
    ("members", "group_lost"),
    [
        ((lost(), lost(), lost()), 3),
        ((lost(), lost("border-1"), lost()), 2),  # seen or not, it was not answered
        ((lost(), UNSEEN, lost()), 0),
        ((lost(), lost()), 0),  # nobody knows of the third
    ],
)
def test_groups_of_which_no_member_was_answered(members, group_lost):
    unseen = [path for path in members if not path.out]
    counts = len(unseen), sum(path.rtt_ns < 0 for path in unseen), group_lost
    assert blind(*members) == {(*FLOW, 20_000): counts}


def test_flows_have_four_parts():
    others = {"target": "server-1-2-1"}, {"via": "tor-1-1"}, {"source_port": 65_535}, {"prober": 2}
    found = blind(*(replace(UNSEEN, **other) for other in others), UNSEEN)
    assert set(found.values()) == {(1, 0, 0)}
    assert set(found) == {
        (*FLOW, 20_000),
        ("prober-1", "server-1-2-1", "", 20_000),
        ("prober-1", "server-2-1-1", "tor-1-1", 20_000),
        (*FLOW, 65_535),
        ("prober-2", "server-2-1-1", "", 20_000),
    }


def test_a_target_of_no_inventory_is_left_out():
    assert blind(lost(target="192.0.2.77")) == {}


def test_groups_are_told_apart_by_time_and_number():
    probes = closed_by_hand(*([UNSEEN] * 6)).probes
    assert all_members(probes, np.ones(6, np.bool_)).tolist() == [False] * 6, "six of three"
    later = closed_by_hand(*([UNSEEN] * 3), *([replace(UNSEEN, sent_us=7)] * 3)).probes
    assert all_members(later, np.array([True] * 4 + [False, True])).tolist() == [True] * 3 + [False] * 3

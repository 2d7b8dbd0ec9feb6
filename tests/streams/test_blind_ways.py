"""Ways of flows: which cells they are, and how they are learnt, doubted and kept."""

from __future__ import annotations

import json
from functools import cache
from itertools import pairwise

import numpy as np
import pytest

from fabric.builtin import builtin_fabric
from fabric.model import CHIP_SEPARATOR
from schemas.rows import PATHS, Leg
from streams.localise.blind.cells import LEG_SWITCHES, Cells
from streams.localise.blind.learnt import LearntWays
from tests.streams.blind_rows import Blind, run, ways

DEMO = builtin_fabric("demo")
CELLS = Cells(DEMO)


@cache
def quiet() -> tuple[Blind, np.ndarray, np.ndarray]:
    """A run without faults: its probes, BLIND rows, and PATHS rows of all its flows."""
    blind = run(DEMO, seconds=4.0)
    return blind, blind.rows(), ways(DEMO, blind.planned)


def nodes(*names: str) -> np.ndarray:
    return np.array([DEMO.node(name) for name in names], np.int32)


def path(leg: Leg, *switches: str, target: str = "server-1-1-1", via: str | None = None, port: int = 20_000):
    """One PATHS row."""
    row = np.zeros(1, PATHS.dtype)
    row["prober"], row["target"] = DEMO.node("prober-1"), DEMO.node(target)
    row["via"] = DEMO.node(via) if via else -1
    row["source_port"], row["leg"] = port, leg
    seen = np.full(LEG_SWITCHES, -1, ">i4")
    seen[: len(switches)] = nodes(*switches)
    row["switches"] = seen.view(PATHS.dtype["switches"])
    return row


def names(way: np.ndarray) -> set[str]:
    """Names of the links and turns among some cells."""
    found = {DEMO.index.link_name(cell) for cell in way.reshape(-1).tolist() if 0 <= cell < CELLS.links}
    turns = set(way[way > CELLS.core].tolist())
    pairs = {e.names[0]: set(CELLS.elements.links(i)) for i, e in enumerate(CELLS.named) if e.kind == "pair"}
    return found | {name for name, cells in pairs.items() if cells & turns}


def is_known(way: np.ndarray) -> bool:
    """Whether no part of a way is only roughly known."""
    return not ((way >= CELLS.links) & (way <= CELLS.core)).any()


def test_a_leg_is_its_links_and_the_turn_in_a_switch_of_several_chips():
    way, whole = CELLS.leg(
        nodes("border-1"),
        np.array([[*nodes("border-1", "spine-1", "leaf-1-1", "tor-1-1"), -1, -1, -1, -1]], np.int32),
        nodes("tor-1-1"),
    )
    spine = DEMO.switch_by_name["spine-1"]
    chips = [next(p.chip for p in spine.ports if p.peer == peer) for peer in ("border-1", "leaf-1-1")]
    turn = f"spine-1{CHIP_SEPARATOR}{chips[0]}>{chips[1]}"
    assert whole.all()
    assert names(way) == {"border-1~spine-1", "spine-1~leaf-1-1", "leaf-1-1~tor-1-1", turn}


def test_ends_that_no_mirror_showed_are_put_to_a_leg():
    # The decapsulating ToR mirrors a packet once, before its leg 1 begins.
    rest = np.array([[*nodes("leaf-1-1", "spine-1", "leaf-2-1", "tor-2-1"), -1, -1, -1, -1]], np.int32)
    way, whole = CELLS.leg(nodes("tor-1-1"), rest, nodes("tor-2-1"))
    assert whole.all()
    assert "tor-1-1~leaf-1-1" in names(way)


def test_a_leg_that_no_cables_join_is_not_whole():
    odd = np.array([[*nodes("border-1", "leaf-1-1", "tor-1-1"), *[-1] * 5]], np.int32)
    assert not CELLS.leg(nodes("border-1"), odd, nodes("tor-1-1"))[1].any()


def test_an_unknown_leg_is_what_is_certain_of_it():
    unknown = CELLS.unknown(nodes("border-1", "tor-1-1", "tor-1-1"), nodes("tor-2-1", "tor-1-2", "tor-1-1"))
    border, one, two = (DEMO.index.switch_row(nodes(n)) for n in ("border-1", "tor-1-1", "tor-2-1"))
    other = DEMO.index.switch_row(nodes("tor-1-2"))
    pod = np.array([DEMO.index.pods.index("pod-2")], np.int32)
    assert set(unknown[0].tolist()) - {-1} == {
        int(CELLS.up(border)[0]),
        CELLS.core,
        int(CELLS.pod_in(pod)[0]),
        int(CELLS.down(two)[0]),
    }
    assert set(unknown[1].tolist()) - {-1} == {int(CELLS.up(one)[0]), int(CELLS.down(other)[0])}
    assert set(unknown[2].tolist()) == {-1}


def test_every_element_has_cells_and_names_of_the_fabric():
    assert (np.diff(CELLS.elements.start) > 0).all()
    assert 0 <= CELLS.elements.cell.min() <= CELLS.elements.cell.max() < CELLS.cells
    for each in CELLS.named:
        for name in each.names:
            assert name in DEMO.index.pods or DEMO.element(name)


def test_learnt_ways_are_those_that_probes_took():
    """Against the mirrors of the same probes, read one by one."""
    _, rows, paths = quiet()
    learnt = LearntWays(CELLS)
    learnt.learn(0, paths)
    way = learnt.cells_of(rows)
    assert all(is_known(one) for one in way)
    by_flow: dict[tuple, set[str]] = {}
    for row in paths:
        flow = tuple(int(row[name]) for name in ("prober", "target", "via", "source_port"))
        seen = [n for n in np.frombuffer(row["switches"].tobytes(), ">i4").tolist() if n >= 0]
        seen = [DEMO.node_name(n) for n in seen]
        if row["leg"] == Leg.PROBE and row["via"] >= 0:
            seen = [DEMO.node_name(int(row["via"])), *seen]
        links = {f"{a}~{b}" for a, b in pairwise(seen)}
        by_flow.setdefault(flow, set()).update(links)
    for row, one in zip(rows, way, strict=True):
        flow = tuple(int(row[name]) for name in ("prober", "target", "via", "source_port"))
        prober, target = DEMO.node_name(flow[0]), DEMO.node_name(flow[1])
        border = DEMO.prober_by_name[prober].switch
        tor = DEMO.server_by_name[target].tor if target in DEMO.server_by_name else None
        last = tor or DEMO.prober_by_name[target].switch
        ends = {f"{prober}~{border}", f"{border}~{prober}", f"{last}~{target}", f"{target}~{last}"}
        links = {name for name in names(one) if CHIP_SEPARATOR not in name}
        assert links == by_flow.get(flow, set()) | ends


def test_ways_of_flows_that_were_never_seen_are_not_known():
    _, rows, _ = quiet()
    way = LearntWays(CELLS).cells_of(rows)
    between = rows[[not is_known(one) for one in way]]
    assert len(between) == len(rows)


def test_what_decides_a_way_is_what_it_is_kept_by():
    """The reply to an East-West probe goes the way of the North-South one's; leg 0 depends on no port."""
    learnt = LearntWays(CELLS)
    learnt.learn(0, path(Leg.REPLY, "tor-1-1", "leaf-1-2", "spine-3", "border-1"))
    learnt.learn(
        0,
        path(
            Leg.ENCAPSULATED,
            "border-1",
            "spine-5",
            "leaf-2-3",
            "tor-2-1",
            target="server-3-1-1",
            via="tor-2-1",
        ),
    )
    learnt.learn(0, path(Leg.PROBE, "leaf-2-1", "spine-1", "leaf-1-1", "tor-1-1", via="tor-2-1", port=20_000))
    flow = path(Leg.PROBE, via="tor-2-1", port=20_000)
    (way,) = learnt.cells_of(flow)
    assert is_known(way)
    assert {"leaf-1-2~spine-3", "border-1~spine-5", "tor-2-1~leaf-2-1", "server-1-1-1~tor-1-1"} <= names(way)
    other = path(Leg.PROBE, via="tor-2-1", port=20_001)
    (way,) = learnt.cells_of(other)
    assert "border-1~spine-5" in names(way)
    assert "leaf-1-2~spine-3" not in names(way)


FIRST = ("border-1", "spine-1", "leaf-1-1", "tor-1-1")
SECOND = ("border-1", "spine-2", "leaf-1-1", "tor-1-1")


@pytest.mark.parametrize(
    ("said", "believed"),
    [
        ([FIRST], "spine-1"),
        ([FIRST, SECOND], "spine-2"),  # routes change
        ([FIRST, SECOND, FIRST], None),  # it is routed otherwise than by its five-tuple
        ([FIRST, SECOND, FIRST, FIRST, FIRST], "spine-1"),
        ([FIRST, FIRST, FIRST, SECOND, FIRST], "spine-1"),
    ],
)
def test_a_way_that_changes_to_and_fro_is_not_believed(said, believed):
    learnt = LearntWays(CELLS)
    for slot, way in enumerate(said):
        learnt.learn(slot, path(Leg.PROBE, *way))
    (way,) = learnt.cells_of(path(Leg.PROBE))
    up = {name for name in names(way) if name.startswith("border-1~spine")}
    assert up == ({f"border-1~{believed}"} if believed else set())


def test_of_a_way_that_is_said_twice_at_once_the_later_word_holds():
    learnt = LearntWays(CELLS)
    learnt.learn(0, np.concatenate([path(Leg.PROBE, *FIRST), path(Leg.PROBE, *SECOND)]))
    assert "border-1~spine-2" in names(learnt.cells_of(path(Leg.PROBE))[0])


def test_legs_that_make_no_sense_are_left_out():
    learnt = LearntWays(CELLS)
    stranger = path(Leg.PROBE, *FIRST)
    stranger["target"] = 199_999_999
    leg = path(Leg.PROBE, *FIRST)
    leg["leg"] = 7
    learnt.learn(0, np.concatenate([stranger, leg, path(Leg.PROBE, "border-1", "tor-1-1")]))
    assert len(learnt) == 0


def test_the_table_is_bounded_and_keeps_what_was_said_last():
    learnt = LearntWays(CELLS, ways_max=100)
    for slot in range(30):
        learnt.learn(slot, np.concatenate([path(Leg.PROBE, *FIRST, port=slot * 10 + i) for i in range(10)]))
    assert len(learnt) <= 100
    newest = np.concatenate([path(Leg.PROBE, port=200 + i) for i in range(100)])
    known = ["border-1~spine-1" in names(one) for one in learnt.cells_of(newest)]
    assert known == sorted(known)
    assert sum(known) == len(learnt)


def test_a_restored_table_knows_the_same_ways():
    _, rows, paths = quiet()
    learnt = LearntWays(CELLS)
    learnt.learn(7, paths[::2])
    learnt.learn(8, paths[::3])
    again = LearntWays(CELLS)
    again.restore(json.loads(json.dumps(learnt.snapshot())))
    assert (again.cells_of(rows) == learnt.cells_of(rows)).all()
    assert again.snapshot() == learnt.snapshot()
    # And goes on alike.
    for table in (learnt, again):
        table.learn(9, paths)
    assert again.snapshot() == learnt.snapshot()


def test_nothing_learnt_is_kept_and_restored_too():
    again = LearntWays(CELLS)
    again.restore(LearntWays(CELLS).snapshot())
    again.learn(1, path(Leg.PROBE, "border-1", "tor-1-1"))
    assert len(again) == 0
    assert again.cells_of(np.empty(0, PATHS.dtype)).shape[0] == 0


def test_slots_that_come_again_after_a_restart_change_nothing():
    said = [path(Leg.PROBE, *FIRST), path(Leg.PROBE, *SECOND), path(Leg.PROBE, *SECOND)]
    learnt = LearntWays(CELLS)
    for slot, row in enumerate(said):
        learnt.learn(slot, row)
    again = LearntWays(CELLS)
    again.restore(learnt.snapshot())
    for slot, row in enumerate(said):
        again.learn(slot, row)
    assert again.snapshot() == learnt.snapshot()


def test_a_snapshot_is_bounded():
    learnt = LearntWays(CELLS, snapshot_max=50)
    learnt.learn(1, quiet()[2][:2_000])
    learnt.learn(2, path(Leg.PROBE, *FIRST, port=5))
    again = LearntWays(CELLS)
    again.restore(learnt.snapshot())
    assert len(again) == 50
    assert "border-1~spine-1" in names(again.cells_of(path(Leg.PROBE, port=5))[0])

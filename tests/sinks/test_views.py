"""What the views say about a small hour, worked out by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from fabric.model import Fabric, Maintenance
from schemas import topics
from sinks.columns import Origin
from sinks.inventory import inventory_rows
from sinks.names import NodeNames
from sinks.rollup import roll_up
from sinks.rows import rows_of_message
from sinks.store import Store
from tests.sinks.examples import as_message, example, example_paths


@pytest.fixture(params=["fresh", "rolled up", "inserted three times"])
def filled(request: pytest.FixtureRequest, store: Store, names: NodeNames, lab: Fabric) -> Store:
    """All example messages, and an inventory that was loaded twice."""
    for at in (1, 2):
        for rows in inventory_rows(lab, at):
            store.insert(rows.table, rows.columns)
    for offset in range(3 if request.param == "inserted three times" else 1):
        for topic, path in example_paths():
            message = as_message(topic, example(topic, path.stem))
            for rows in rows_of_message(message, Origin(topic, 0, offset), names):
                store.insert(rows.table, rows.columns)
    if request.param == "rolled up":
        roll_up(store, 60, with_open=True)
    return store


def ask(store: Store, sql: str) -> list[dict[str, Any]]:
    result = store.query(sql)
    return [dict(zip(result.names, row, strict=True)) for row in result.rows]


def test_fault_history(filled: Store) -> None:
    by_id = {row["fault_id"]: row for row in ask(filled, "SELECT * FROM fault_history")}
    assert len(by_id) == 3
    fault = by_id["network_loss-spine-1~leaf-1-2-1760000000"]
    assert fault["state"] == "resolved"
    assert fault["suspects"] == ["spine-1~leaf-1-2", "spine-1"]
    assert fault["loss_rate"] == 0.3
    assert (fault["resolved_at"] - fault["opened_at"]).total_seconds() == 87
    assert fault["detection_s"] == 2.75
    assert (fault["silenced"], fault["flaps"], fault["part_of"], fault["legs"]) == ("", 0, "", [])
    part = by_id["8d3c0b1d5c9fa2e4"]
    assert part["part_of"] == "network_loss-spine-1~leaf-1-2-1760000000"
    assert part["silenced"] == "silence of spine-1: new optics (by alice)"
    assert (part["flaps"], part["legs"]) == (2, ["probe", "reply"])
    silent = by_id["source_silent-collector-1-1760000000"]
    assert silent["loss_rate"] is None
    assert silent["resolved_at"] is None


def test_worst_links_leaves_servers_to_host_health(filled: Store) -> None:
    (row,) = ask(filled, "SELECT from_node, to_node, leg, crossings, lost, loss_rate FROM worst_links")
    assert row == {
        "from_node": "tor-1-1",
        "to_node": "",
        "leg": "probe",
        "crossings": None,  # the next hop is not known
        "lost": 1,
        "loss_rate": None,
    }


def test_host_health(filled: Store) -> None:
    rows = ask(filled, "SELECT * FROM host_health")
    assert len(rows) == 8
    assert rows[0]["server"] == "server-1-1-2"
    assert (rows[0]["silent"], rows[0]["answered"], rows[0]["silent_rate"]) == (1, 0, 1.0)
    first = next(row for row in rows if row["server"] == "server-1-1-1")
    assert (first["silent"], first["answered"], first["silent_rate"]) == (0, 6, 0.0)
    assert first["network_losses"] == 1
    assert first["rtt_us_median"] == 412.345
    unheard = next(row for row in rows if row["server"] == "server-2-2-2")
    assert unheard["silent_rate"] is None and unheard["rtt_us_median"] is None


def test_mirror_health(filled: Store) -> None:
    by_name = {row["switch"]: row for row in ask(filled, "SELECT * FROM mirror_health")}
    assert len(by_name) == 11
    assert by_name["tor-1-1"]["received"] == 120
    assert by_name["tor-1-1"]["lost_in_transit"] == 3
    assert by_name["tor-1-2"]["missing"] == 1
    assert by_name["tor-1-2"]["missing_rate"] == 1 / 7
    assert by_name["spine-1"]["missing_rate"] is None


def test_coverage(filled: Store, lab: Fabric) -> None:
    rows = ask(filled, "SELECT * FROM coverage")
    assert len(rows) == len(lab.links)
    covered = {(row["from_node"], row["to_node"]): row for row in rows if row["covered"]}
    assert set(covered) == {("tor-1-1", "server-1-1-1"), ("server-1-1-1", "tor-1-1")}
    assert covered["tor-1-1", "server-1-1-1"]["legs"] == ["probe"]


def test_tor_matrix(filled: Store) -> None:
    rows = ask(filled, "SELECT * FROM tor_matrix")
    assert [(r["kind"], r["from_node"], r["to_node"], r["probes"], r["network_losses"]) for r in rows] == [
        ("north_south", "border-1", "tor-1-1", 4, 1),
        ("east_west", "tor-2-1", "tor-1-2", 3, 0),
        ("north_south", "border-1", "tor-1-2", 2, 0),
    ]
    assert [r["silent_rate"] for r in rows] == [0, 0, 0.5]


def test_pod_matrix(filled: Store) -> None:
    east, north = ask(filled, "SELECT * FROM pod_matrix")
    assert north == {
        "kind": "north_south",
        "from_pod": "border-1",
        "to_pod": "pod-1",
        "probes": 6,
        "answered": 4,
        "network_losses": 1,
        "loss_rate": 1 / 6,
        "silent": 1,
        "silent_rate": 1 / 6,
        "altered": 0,
        "rtt_us_mean": pytest.approx(412.345),
        "rtt_us_max": 430.12,
    }
    assert (east["kind"], east["from_pod"], east["to_pod"]) == ("east_west", "pod-2", "pod-1")
    assert (east["probes"], east["answered"], east["altered"], east["loss_rate"]) == (3, 2, 1, 0)
    assert (east["rtt_us_mean"], east["rtt_us_max"]) == (505, 510)


def test_a_pair_without_an_answer_has_no_round_trip(filled: Store, names: NodeNames) -> None:
    value = example(topics.EVIDENCE, "a-slot-with-losses")
    value["pairs"] = [
        value["pairs"][0] | {"kind": 2, "from_node": 11, "to_node": 9}
        | {"answered": 0, "network_lost": 4, "rtt_sum_ns": 0, "rtt_max_ns": 0}
    ]  # fmt: skip
    value["partition"] = 7
    for rows in rows_of_message(as_message(topics.EVIDENCE, value), Origin(topics.EVIDENCE, 0, 9), names):
        filled.insert(rows.table, rows.columns)
    (row,) = ask(filled, "SELECT * FROM pod_matrix WHERE kind = 'inter_prober'")
    assert (row["from_pod"], row["to_pod"], row["loss_rate"]) == ("border-1", "spine-1", 1)
    assert row["rtt_us_mean"] is None and row["rtt_us_max"] is None


def test_only_the_newest_inventory_shows(filled: Store, lab: Fabric) -> None:
    assert len(ask(filled, "SELECT * FROM nodes")) == 20
    smaller = inventory_rows(lab, 3)[0]
    few = {name: values[:5] for name, values in smaller.columns.items()}
    filled.insert("inventory_nodes", few)
    assert len(ask(filled, "SELECT * FROM nodes")) == 5


def insert(store: Store, names: NodeNames, topic: str, value: dict[str, Any], offset: int) -> None:
    for rows in rows_of_message(as_message(topic, value), Origin(topic, 0, offset), names):
        store.insert(rows.table, rows.columns)


def test_repeat_offenders(filled: Store, names: NodeNames) -> None:
    """One that came back; one with two faults; and not the one whose second fault was part of another."""
    assert ask(filled, "SELECT * FROM repeat_offenders") == []
    fault = example(topics.FAULTS, "opened")
    twice = [{"element": "leaf-1-1", "confidence": 0.9}]
    for offset, change in enumerate(
        [
            {"fault_id": "a", "flaps": 2},
            {"fault_id": "b", "suspects": twice, "kind": "alteration"},
            {"fault_id": "c", "suspects": twice},
            {"fault_id": "d", "suspects": [{"element": "tor-1-1", "confidence": 1.0}]},
            {"fault_id": "e", "suspects": [{"element": "tor-1-1", "confidence": 1.0}], "part_of": "d"},
        ]
    ):
        insert(filled, names, topics.FAULTS, fault | change, 100 + offset)
    rows = ask(filled, "SELECT element, faults, flaps, kinds, probes_bad FROM repeat_offenders")
    assert [tuple(row.values()) for row in rows] == [
        ("spine-1~leaf-1-2", 2, 2, ["network_loss"], 14),
        ("leaf-1-1", 2, 0, ["alteration", "network_loss"], 14),
    ]


def test_coverage_now_is_the_latest_report(filled: Store, names: NodeNames) -> None:
    rows = ask(filled, "SELECT element_class, total, crossable, seen, share, unseen FROM coverage_now")
    assert [tuple(row.values()) for row in rows] == [
        ("chip_pair", 32, 32, 32, 1.0, []),
        ("link", 64, 64, 64, 1.0, []),
        ("port", 97, 96, 95, 95 / 96, ["leaf-1-2:Ethernet3"]),
    ]
    report = example(topics.COVERAGE, "a-port-never-seen")
    none = [{"element_class": "chip_pair", "total": 0, "crossable": 0, "seen": 0}]
    later = {"slot_us": report["slot_us"] + 1, "unseen": [], "classes": none}
    insert(filled, names, topics.COVERAGE, report | later, 100)
    (row,) = ask(filled, "SELECT element_class, share, unseen FROM coverage_now")
    assert row == {"element_class": "chip_pair", "share": None, "unseen": []}


def test_silences_now(filled: Store, names: NodeNames, lab: Fabric) -> None:
    """What holds and what is to come; the last command about an element counts."""
    rows = ask(filled, "SELECT what, element, why, by, in_force FROM silences_now")
    assert [tuple(row.values()) for row in rows] == [("silence", "spine-1", "new optics", "alice", 0)]
    commands = example(topics.EVIDENCE, "commands")
    start_us = commands["slot_us"] - 1_000_000
    again = {**commands["commands"][0], "element": "leaf-1-2", "from_us": start_us, "why": "again"}
    insert(
        filled,
        names,
        topics.EVIDENCE,
        commands | {"slot_us": commands["slot_us"] + 1, "commands": [again]},
        50,
    )
    over = {**again, "element": "leaf-1-1", "until_us": start_us + 1}
    insert(filled, names, topics.EVIDENCE, commands | {"commands": [over]}, 51)
    end = {**commands["commands"][0], "action": "unsilence"}
    insert(
        filled, names, topics.EVIDENCE, commands | {"slot_us": commands["slot_us"] + 2, "commands": [end]}, 52
    )
    windows = (
        Maintenance("spine-2", start_us, start_us + 7_200_000_000, "planned"),
        Maintenance("spine-1", 1_000_000, 2_000_000, "long ago"),
    )
    for loaded_at, planned in (
        (3, (*windows, Maintenance("tor-1-1", start_us, 2**51, "dropped"))),
        (4, windows),
    ):
        for loaded in inventory_rows(replace(lab, maintenance=planned), loaded_at):
            filled.insert(loaded.table, loaded.columns)
    rows = ask(filled, "SELECT what, element, why, by, in_force FROM silences_now ORDER BY element")
    assert [tuple(row.values()) for row in rows] == [
        ("silence", "leaf-1-2", "again", "alice", 1),
        ("maintenance", "spine-2", "planned", "", 1),
    ]


def test_worst_chips(filled: Store) -> None:
    rows = ask(filled, "SELECT from_chip, to_chip, leg, crossings, lost, loss_rate, altered FROM worst_chips")
    assert [tuple(row.values()) for row in rows] == [
        ("spine-1/chip-1", "", "reply", None, 2, None, 0),
        ("spine-1/chip-1", "spine-1/chip-1", "probe", 12, 0, 0, 1),
    ]


def test_the_newest_way_of_a_flow_counts(filled: Store, names: NodeNames) -> None:
    """Also when the older one is stored later, from a log that begins again."""
    value = example(topics.EVIDENCE, "a-slot-with-losses")
    flow = value["paths"][0]
    for later_us, last, offset in ((2_000_000, 4, 9), (1_000_000, 7, 500)):
        hops = np.frombuffer(flow["switches"].encode("latin-1"), ">i4").copy()
        hops[2] = last
        moved = {**flow, "switches": hops.tobytes().decode("latin-1")}
        insert(
            filled,
            names,
            topics.EVIDENCE,
            value | {"slot_us": value["slot_us"] + later_us, "paths": [moved]},
            offset,
        )
    rows = ask(filled, "SELECT switches FROM flow_paths FINAL WHERE leg = 'probe'")
    assert rows == [{"switches": ["border-1", "spine-1", "leaf-1-2", "tor-1-1"]}]


def test_bits_and_strays_are_stored_once(filled: Store) -> None:
    bits = ask(filled, "SELECT from_node, to_node, byte_offset, bit, to_one, to_zero FROM altered_bits FINAL")
    assert [tuple(row.values()) for row in bits] == [("spine-1", "leaf-1-1", 57, 4, 2, 0)]
    strays = ask(filled, "SELECT verdict, from_node, to_node, probes FROM strays FINAL")
    assert [tuple(row.values()) for row in strays] == [
        ("loop", "leaf-1-1", "spine-1", 2),
        ("unexpected_path", "spine-1", "", 1),
    ]

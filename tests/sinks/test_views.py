"""What the views say about a small hour, worked out by hand."""

from __future__ import annotations

from typing import Any

import pytest

from fabric.model import Fabric
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
    assert len(by_id) == 2
    fault = by_id["network_loss-spine-1~leaf-1-2-1760000000"]
    assert fault["state"] == "resolved"
    assert fault["suspects"] == ["spine-1~leaf-1-2", "spine-1"]
    assert fault["loss_rate"] == 0.3
    assert (fault["resolved_at"] - fault["opened_at"]).total_seconds() == 87
    assert fault["detection_s"] == 2.75
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

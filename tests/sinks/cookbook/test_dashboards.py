"""Every query of the Grafana dashboards, asked of a store whose contents are known."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sinks.store import Store
from tests.deploy.dashboards import Query, as_sent, boards, sql_queries
from tests.sinks.cookbook.plants import FIRST, NEWEST, planted
from tests.sinks.cookbook.world import moment

#: All that was planted, as somebody would choose it in Grafana.
BEGIN, END = moment(FIRST), moment(NEWEST) + timedelta(minutes=1)
INTERVAL_S = 3_600


def ask(store: Store, query: Query, element: str = "", end: datetime = END) -> tuple[list[str], list[Any]]:
    variables = {"element": [element], **chosen(store, query.board)}
    found = store.query(as_sent(query.text, BEGIN, end, INTERVAL_S, variables))
    return list(found.names), list(found.rows)


def chosen(store: Store, board: str) -> dict[str, list[str]]:
    """Every query variable with all of its values chosen, as the dashboards come."""
    return {
        variable["name"]: [row[0] for row in store.query(variable["query"]).rows]
        for variable in boards()[board]["templating"]["list"]
        if variable["type"] == "query"
    }


def of(board: str, title: str) -> Query:
    return next(each for each in sql_queries() if (each.board, each.where) == (board, title))


@pytest.mark.parametrize("query", sql_queries(), ids=str)
def test_query_gives_what_its_panel_draws(query: Query, seeded: Store) -> None:
    names, rows = ask(seeded, query)
    assert rows, "nothing in the store that it could find"
    assert len(set(names)) == len(names)
    assert set(query.columns_named) <= set(names)
    if query.kind in ("stat",):
        ((value,),) = rows
        assert isinstance(value, int | float)
    if query.kind == "variable":
        assert all(len(row) == 1 and isinstance(row[0], str) for row in rows)
    if query.kind == "annotation":
        assert names == ["time", "title", "text"]
        assert all(isinstance(row[0], datetime) for row in rows)
    if query.is_series:
        check_series(names, rows)


def check_series(names: list[str], rows: list[Any]) -> None:
    """As the plugin wants a time series: time first and in order, at most one text, which names the lines."""
    assert names[0] == "time"
    times = [row[0] for row in rows]
    assert all(isinstance(time, datetime) for time in times)
    assert times == sorted(times)
    for time in times:
        assert BEGIN - timedelta(seconds=INTERVAL_S) <= time.replace(tzinfo=UTC) <= END
    texts = [at for at, value in enumerate(rows[0]) if isinstance(value, str)]
    assert len(texts) <= 1
    keys = [tuple(row[at] for at in (0, *texts)) for row in rows]
    assert len(set(keys)) == len(keys), "two points of one line at the same time"
    for row in rows:
        for at, value in enumerate(row):
            assert at == 0 or at in texts or isinstance(value, int | float)


def test_figures_of_the_fault_history_are_what_was_planted(seeded: Store) -> None:
    lives = planted().lives()
    last = [events[-1] for events in lives.values() if not events[-1]["part_of"]]
    assert value(seeded, "faults", "Open now") == sum(
        event["state"] != "resolved" and not event["silenced"] for event in last
    )
    opened = [
        events for events in lives.values()
        if not events[-1]["part_of"] and FIRST <= events[0]["detected_at_us"] <= NEWEST + 60_000_000
    ]  # fmt: skip
    assert value(seeded, "faults", "Opened") == len(opened)
    assert value(seeded, "faults", "Of them silenced") == sum(bool(e[-1]["silenced"]) for e in opened)
    names, rows = ask(seeded, of("faults", "Faults"))
    assert {row[names.index("fault_id")] for row in rows} == {events[-1]["fault_id"] for events in opened}
    _, rows = ask(seeded, of("faults", "Faults opened, by kind"))
    assert sum(row[2] for row in rows) == len(opened)


def test_losses_are_those_that_were_planted(seeded: Store) -> None:
    world = planted()
    lost = sum(
        counts.lost
        for slot in world.all_slots()
        for (near, far, _), counts in slot.links.items()
        if not {near, far} & world.servers
    )
    assert value(seeded, "links", "Packets lost") == lost
    names, rows = ask(seeded, of("links", "Links that lost or altered something"))
    assert sum(row[names.index("lost")] for row in rows) == lost
    _, rows = ask(seeded, of("links", "Packets lost, the ten worst links"))
    assert 0 < len({row[1] for row in rows}) <= 10


def test_a_filter_leaves_what_it_names(seeded: Store) -> None:
    names, rows = ask(seeded, of("links", "Links that lost or altered something"), "LEAF-1-1~spine")
    assert rows
    assert {(row[0], row[1][:5]) for row in rows} == {("leaf-1-1", "spine")}
    names, rows = ask(seeded, of("faults", "Faults"), "leaf-1-1~spine-1")
    assert {row[names.index("suspect")] for row in rows} == {"leaf-1-1~spine-1"}


@pytest.mark.parametrize("hostile", ["') OR 1 = 1 --", "\\') OR 1 = 1 --", "'; DROP TABLE slots; --", "%_"])
def test_what_is_typed_into_a_filter_is_text(hostile: str, seeded: Store) -> None:
    for query in sql_queries():
        if "element:" in query.text and query.kind == "table":
            _, rows = ask(seeded, query, hostile)
            assert rows == []


def test_nothing_in_the_range_gives_nothing(seeded: Store) -> None:
    """A dashboard of a time without data is empty, and not an error."""
    for query in sql_queries():
        if "$__timeFilter" in query.text:
            _, rows = ask(seeded, query, end=BEGIN - timedelta(days=1))
            assert len(rows) <= 1


def value(store: Store, board: str, title: str) -> float:
    ((found,),) = ask(store, of(board, title))[1]
    return float(found)

"""Aggregates are right whatever is inserted again, in whatever order and pieces, and whenever minutes are
rolled up.

The oracle is a plain sum over the messages, each counted once.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas import topics
from schemas.codec import encode
from schemas.rows import EVIDENCE, rows_of
from sinks.columns import Origin, TableRows
from sinks.names import NodeNames
from sinks.rollup import roll_up
from sinks.rows import rows_of_message
from sinks.store import Store

SLOT_US = 250_000
MINUTE = 240  # slots
START_US = 1_760_000_040_000_000  # a whole minute
LINKS = [(1, 2), (2, 1), (2, -1), (3, 100_000_001)]


@dataclass(frozen=True, slots=True)
class Evidence:
    """What one message says."""

    slot: int
    partition: int
    rows: tuple[tuple[int, int, int, int], ...]  # link, leg, passed, lost

    def message(self) -> bytes:
        n = len(self.rows)
        table = np.array(self.rows, dtype=np.int64).reshape(n, 4)
        ends = np.array(LINKS)[table[:, 0]].reshape(n, 2)
        mapped = rows_of(
            EVIDENCE,
            {
                "from_node": ends[:, 0],
                "to_node": ends[:, 1],
                "leg": table[:, 1],
                "passed": table[:, 2],
                "lost": table[:, 3],
                "altered": 0,
                "mirror_missing": 1,
            },
            n,
        )
        head = {
            "partition": self.partition,
            "slot_us": START_US + self.slot * SLOT_US,
            "slot_length_us": SLOT_US,
            "watermark_us": START_US + (self.slot + 8) * SLOT_US,
            "probes": 10,
            "verdicts": {"ok": 9, "network_loss": 1},
            "late_outcomes": 0,
            "late_digests": 0,
            "duplicates": 0,
            "silent_sources": [],
            "exporters": [{"switch": 1, "received": 7, "lost": 2}],
            "examples": [],
        }
        return encode(topics.EVIDENCE, head, mapped)


def _evidence() -> st.SearchStrategy[list[Evidence]]:
    row = st.tuples(
        st.integers(0, len(LINKS) - 1), st.integers(0, 2), st.integers(0, 1000), st.integers(0, 9)
    )
    message = st.builds(
        Evidence,
        slot=st.sampled_from([0, 1, MINUTE - 1, MINUTE, MINUTE + 1, 2 * MINUTE + 40]),
        partition=st.integers(0, 2),
        rows=st.lists(row, max_size=6, unique_by=lambda r: r[:2]).map(tuple),
    )
    return st.lists(message, min_size=1, max_size=6, unique_by=lambda m: (m.slot, m.partition))


# What may happen after the first insert of a message: a piece of any message arrives again, perhaps from
# another place in its topic, or minutes are rolled up. A number >= 0 is the message, None is a roll-up.
_ACTION = st.one_of(
    st.tuples(st.none(), st.booleans(), st.just(0), st.just(0)),
    st.tuples(st.integers(0, 5), st.booleans(), st.integers(0, 100), st.integers(0, 4)),
)


@dataclass(slots=True)
class Run:
    store: Store
    names: NodeNames
    messages: list[Evidence]

    def tables(self, which: int, offset: int) -> tuple[TableRows, ...]:
        origin = Origin(topics.EVIDENCE, 0, offset)
        return rows_of_message(self.messages[which].message(), origin, self.names)

    def insert_whole(self, which: int, offset: int) -> None:
        for rows in self.tables(which, offset):
            self.store.insert(rows.table, rows.columns)

    def insert_piece(self, which: int, offset: int, cut: int) -> None:
        """The first rows of each table, then the others, or some only: as a crash would leave it."""
        for rows in self.tables(which, offset):
            first = {name: values[:cut] for name, values in rows.columns.items()}
            rest = {name: values[cut:] for name, values in rows.columns.items()}
            self.store.insert(rows.table, rest)
            self.store.insert(rows.table, first)

    def check(self, present: list[Evidence]) -> None:
        expected: Counter[tuple[int, str, str, int]] = Counter()
        missing = 0
        for message in present:
            minute = START_US // 1_000_000 + message.slot // MINUTE * 60
            for link, leg, passed, lost in message.rows:
                ends = self.names(np.array(LINKS[link]))
                expected[minute, ends[0], ends[1], leg] += passed * 100 + lost
                missing += 1
        rows = self.store.query(
            "SELECT toUnixTimestamp(minute), from_node, to_node, leg, passed, lost FROM link_minutes"
        ).rows
        legs = ["encapsulated", "probe", "reply"]
        found = [(m, f, t, legs.index(leg)) for m, f, t, leg, _, _ in rows]
        assert len(set(found)) == len(found), "a minute came from two sources"
        sums = {key: row[4] * 100 + row[5] for key, row in zip(found, rows, strict=True)}
        assert sums == dict(expected)
        totals = self.store.query(
            """SELECT
                (SELECT sum(mirror_missing) FROM link_minutes),
                (SELECT count() FROM link_evidence FINAL),
                (SELECT sum(probes) FROM slots FINAL),
                (SELECT sum(evidence_rows) FROM slots FINAL),
                (SELECT sum(received) FROM mirror_counts FINAL)"""
        ).rows[0]
        n = len(present)
        assert totals == (missing, missing, 10 * n, missing, 7 * n)


@settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(messages=_evidence(), actions=st.lists(_ACTION, max_size=8), data=st.data())
def test_inserting_again_changes_no_answer(
    store: Store,
    names: NodeNames,
    messages: list[Evidence],
    actions: list[tuple[int | None, bool, int, int]],
    data: st.DataObject,
) -> None:
    for table in ("link_evidence", "slots", "mirror_counts", "link_minutes_rolled", "minutes_rolled"):
        store.execute(f"TRUNCATE TABLE {table}")
    run = Run(store, names, messages)
    order = data.draw(st.permutations(range(len(messages))))
    present: list[Evidence] = []
    for at, which in enumerate(order):
        run.insert_whole(which, offset=which)
        present.append(messages[which])
        for number, with_open, offset, cut in actions[at :: len(order)]:
            if number is None:
                roll_up(store, 60, with_open=with_open)
            else:
                run.insert_piece(order[number % (at + 1)], offset, cut)
            run.check(present)
    run.check(present)
    roll_up(store, 60, with_open=True)
    run.check(present)
    assert store.query("SELECT count() FROM stale_minutes").rows == [(0,)]
    assert roll_up(store, 60, with_open=True) == 0


def _two_minutes(store: Store, names: NodeNames) -> Run:
    rows = ((0, 1, 5, 0),)
    run = Run(store, names, [Evidence(0, 0, rows), Evidence(1, 0, rows), Evidence(MINUTE, 0, rows)])
    for which in (0, 1, 2):
        run.insert_whole(which, which)
    return run


def test_the_open_minute_is_left_alone(store: Store, names: NodeNames) -> None:
    run = _two_minutes(store, names)
    assert roll_up(store, 60) == 1
    assert store.query("SELECT count() FROM stale_minutes").rows == [(1,)]
    run.check(run.messages)


def test_a_bounded_number_of_minutes_at_a_time(store: Store, names: NodeNames) -> None:
    run = _two_minutes(store, names)
    assert roll_up(store, 1, with_open=True) == 1
    assert roll_up(store, 1, with_open=True) == 1
    assert roll_up(store, 1, with_open=True) == 0
    run.check(run.messages)


def test_a_result_that_rests_on_less_never_stands(store: Store, names: NodeNames) -> None:
    """A sink that rolled up from an older view of the evidence, and wrote last."""
    run = _two_minutes(store, names)
    roll_up(store, 60, with_open=True)
    store.execute(
        "INSERT INTO link_minutes_rolled (minute, from_node, to_node, leg, passed, evidence_rows) "
        "SELECT minute, from_node, to_node, leg, 1, 1 FROM link_minutes_rolled FINAL WHERE evidence_rows = 2"
    )
    store.execute("INSERT INTO minutes_rolled SELECT minute, 1 FROM minutes_rolled")
    run.check(run.messages)


def test_what_was_rolled_stays_when_the_evidence_has_expired(store: Store, names: NodeNames) -> None:
    run = _two_minutes(store, names)
    roll_up(store, 60, with_open=True)
    before = store.query("SELECT * FROM link_minutes ORDER BY ALL").rows
    for table in ("link_evidence", "slots"):
        store.execute(f"TRUNCATE TABLE {table}")
    assert store.query("SELECT * FROM link_minutes ORDER BY ALL").rows == before
    # And a piece of it that is replayed does not take its place.
    run.insert_whole(0, 0)
    roll_up(store, 60, with_open=True)
    assert store.query("SELECT * FROM link_minutes ORDER BY ALL").rows == before


@pytest.mark.parametrize("merged", [False, True])
def test_answers_do_not_depend_on_merges(store: Store, names: NodeNames, merged: bool) -> None:
    run = _two_minutes(store, names)
    for offset in range(10, 15):
        run.insert_whole(1, offset)
    if merged:
        for table in ("link_evidence", "slots", "mirror_counts"):
            store.execute(f"OPTIMIZE TABLE {table} FINAL")
    run.check(run.messages)

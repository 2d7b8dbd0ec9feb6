"""Messages to rows: golden rows of the example messages, and nothing but BadMessage for bad ones."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import topics
from schemas.errors import BadMessage
from sinks.columns import Origin, TableRows
from sinks.names import NodeNames
from sinks.rows import DAY_COLUMN, INSERT_ORDER, SOURCE_TOPICS, rows_of_message
from tests.sinks.examples import as_message, example, example_paths

_GOLDEN = Path(__file__).parent / "golden"
_EXAMPLES = example_paths()


def as_json(tables: tuple[TableRows, ...]) -> list[dict[str, Any]]:
    return [
        {"table": rows.table, "row": {name: _plain(values[at]) for name, values in rows.columns.items()}}
        for rows in tables
        for at in range(rows.count)
    ]


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    return value.decode("latin-1") if isinstance(value, bytes) else value


@pytest.mark.parametrize(("topic", "path"), _EXAMPLES, ids=[f"{t}/{p.stem}" for t, p in _EXAMPLES])
def test_rows_of_the_examples(topic: str, path: Path, names: NodeNames) -> None:
    """Set UPDATE_GOLDEN=1 to write the files anew, and read the difference."""
    found = as_json(
        rows_of_message(as_message(topic, example(topic, path.stem)), Origin(topic, 3, 42), names)
    )
    golden = _GOLDEN / topic / path.name
    if os.environ.get("UPDATE_GOLDEN"):
        golden.parent.mkdir(parents=True, exist_ok=True)
        golden.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")
    assert found == json.loads(golden.read_text())


def test_every_topic_has_examples() -> None:
    assert {topic for topic, _ in _EXAMPLES} == set(SOURCE_TOPICS)


def test_every_table_is_written_in_a_known_order(names: NodeNames) -> None:
    written = {
        rows.table
        for topic, path in _EXAMPLES
        for rows in rows_of_message(as_message(topic, example(topic, path.stem)), Origin(topic, 0, 0), names)
    }
    assert written == set(INSERT_ORDER)
    assert set(DAY_COLUMN) < set(INSERT_ORDER)
    assert INSERT_ORDER.index("link_evidence") < INSERT_ORDER.index("slots")


def _change(topic: str, name: str, *path: Any, to: Any) -> bytes:
    value = example(topic, name)
    inner: Any = value
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = to
    return as_message(topic, value)


@pytest.mark.parametrize(
    ("topic", "name", "path", "to", "reason"),
    [
        (topics.EVIDENCE, "a-slot-with-losses", ("slot_us",), -1, "time_out_of_range"),
        (topics.EVIDENCE, "a-slot-with-losses", ("watermark_us",), 2**62, "time_out_of_range"),
        (topics.EVIDENCE, "a-slot-with-losses", ("rows", 0, "leg"), 3, "out_of_range"),
        (topics.EVIDENCE, "a-slot-with-losses", ("rows", 0, "lost"), -1, "out_of_range"),
        (topics.EVIDENCE, "a-slot-with-losses", ("pairs", 0, "kind"), 3, "out_of_range"),
        (topics.EVIDENCE, "a-slot-with-losses", ("pairs", 0, "silent"), -1, "out_of_range"),
        (topics.EVIDENCE, "a-slot-with-losses", ("pairs", 0, "rtt_sum_ns"), -1, "out_of_range"),
        (topics.EVIDENCE, "a-slot-with-losses", ("probes",), -1, "out_of_range"),
        (topics.EVIDENCE, "a-slot-with-losses", ("verdicts", "ok"), -1, "out_of_range"),
        (topics.EVIDENCE, "a-slot-with-losses", ("exporters", 0, "lost"), -1, "out_of_range"),
        (topics.RESULTS, "every-kind-of-row", ("rows", 0, "probe_id"), -1, "out_of_range"),
        (topics.RESULTS, "every-kind-of-row", ("rows", 0, "sent_at_us"), 2**60, "time_out_of_range"),
        (
            topics.RESULTS,
            "every-kind-of-row",
            ("rows", 0, "hops", 0, "observed_at_us"),
            -5,
            "time_out_of_range",
        ),
        (topics.RESULTS, "every-kind-of-row", ("rows", 2, "alterations", 0, "sent"), 256, "out_of_range"),
        (topics.EVIDENCE, "a-slot-with-losses", ("turns", 0, "lost"), -1, "out_of_range"),
        (topics.EVIDENCE, "a-slot-with-losses", ("turns", 0, "leg"), 3, "out_of_range"),
        (topics.EVIDENCE, "a-slot-with-losses", ("strays", 0, "verdict"), 4, "out_of_range"),
        (topics.EVIDENCE, "a-slot-with-losses", ("bits", 0, "bit"), -1, "out_of_range"),
        (topics.EVIDENCE, "a-slot-with-losses", ("paths", 0, "leg"), 3, "out_of_range"),
        (topics.EVIDENCE, "commands", ("commands", 0, "until_us"), 2**60, "time_out_of_range"),
        (topics.COVERAGE, "a-port-never-seen", ("classes", 0, "seen"), -1, "out_of_range"),
        (topics.COVERAGE, "a-port-never-seen", ("slot_us",), -1, "time_out_of_range"),
        (topics.COVERAGE, "a-port-never-seen", ("unseen", 0, "last_seen_us"), 2**60, "time_out_of_range"),
        (topics.FAULTS, "opened", ("flaps",), -1, "out_of_range"),
        (topics.FAULTS, "silenced-and-part-of-another", ("bits", 0, "bit"), 256, "out_of_range"),
        (topics.FAULTS, "opened", ("version",), -1, "out_of_range"),
        (topics.FAULTS, "opened", ("example_probes", 0, "probe_id"), -1, "out_of_range"),
    ],
)
def test_values_that_no_column_holds(
    topic: str, name: str, path: tuple[Any, ...], to: Any, reason: str, names: NodeNames
) -> None:
    message = _change(topic, name, *path, to=to)
    with pytest.raises(BadMessage) as caught:
        rows_of_message(message, Origin(topic, 0, 0), names)
    assert caught.value.reason == reason


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_damaged_messages_give_rows_or_bad_message(data: st.DataObject, names: NodeNames) -> None:
    topic, path = data.draw(st.sampled_from(_EXAMPLES))
    message = bytearray(as_message(topic, example(topic, path.stem)))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(10, max(10, len(message) - 1)))
        if at < len(message):
            message[at] = data.draw(st.integers(0, 255))
    del message[data.draw(st.integers(10, len(message))) :]
    try:
        tables = rows_of_message(bytes(message), Origin(topic, 0, 0), names)
    except BadMessage as bad:
        assert bad.reason and bad.detail
        return
    for rows in tables:
        assert {len(column) for column in rows.columns.values()} == {rows.count}


@settings(max_examples=100, deadline=None)
@given(topic=st.sampled_from(SOURCE_TOPICS), message=st.binary(max_size=200))
def test_random_bytes_are_bad_messages(topic: str, message: bytes, names: NodeNames) -> None:
    with pytest.raises(BadMessage):
        rows_of_message(message, Origin(topic, 0, 0), names)


def test_names_of_nodes(names: NodeNames) -> None:
    nodes = np.array([1, -1, 99_999_999, 200_000_001, 1, 300_000_000], dtype=">i4")
    assert list(names(nodes)) == ["tor-1-1", "", "node:99999999", "prober-1", "tor-1-1", "node:300000000"]
    assert list(names(np.array([2, 1], dtype=np.int32))) == ["tor-1-2", "tor-1-1"]
    assert len(names(np.empty(0, np.int32))) == 0


def test_names_of_chips(names: NodeNames) -> None:
    switches = np.array([9, 9, 9, 77, 9], dtype=">i4")
    places = np.array([0, -1, 5, 0, 0], dtype=">i2")
    assert list(names.chips(switches, places)) == [
        *("spine-1/chip-1", "", "spine-1/chip:5", "node:77/chip:0", "spine-1/chip-1"),
    ]
    assert len(names.chips(np.empty(0, np.int32), np.empty(0, np.int16))) == 0


def test_commands_give_no_evidence(names: NodeNames) -> None:
    """A message of partition -1 must not look like a slot that was reported."""
    message = as_message(topics.EVIDENCE, example(topics.EVIDENCE, "commands"))
    (silences,) = rows_of_message(message, Origin(topics.EVIDENCE, 0, 7), names)
    assert silences.table == "silences"

"""How faults are printed."""

from __future__ import annotations

import csv
import io
import json

import pytest

from bytetracker.faults import lines
from tests.faults.examples import EVENTS, LINK, SERVER_OVER, SILENCED, as_fault

FAULTS = [as_fault(event) for event in (LINK, SERVER_OVER, SILENCED)]


def test_table() -> None:
    assert lines.table(FAULTS, None, colour=False).splitlines() == [
        "since (UTC)          state     severity  kind          suspect               loss   story",
        "-------------------  --------  --------  ------------  --------------------  -----  -----",
        "2026-03-08 20:00:00  open      critical  network_loss  leaf-1-1~spine-1 97%  0.312  "
        "network loss at leaf-1-1~spine-1.",
        "2026-03-08 20:00:00  resolved  info      host_silent   server-4-1-2 97%             "
        "network loss at server-4-1-2.",
        "2026-03-08 20:00:00  silenced  warning   network_loss  spine-3/lc-1 97%             "
        "network loss at spine-3/lc-1.",
    ]


def test_a_narrow_terminal_cuts_the_story_only() -> None:
    for width in (80, 90, 200):
        rows = lines.table(FAULTS, width, colour=False).splitlines()
        assert max(map(len, rows)) <= width
        whole = lines.table(FAULTS, None, colour=False).splitlines()
        for row, full in zip(rows, whole, strict=True):
            assert row == full or (row.endswith("…") and full.startswith(row[:-1]))


def test_an_event_is_one_line() -> None:
    assert lines.event_line(FAULTS[2], colour=False) == (
        "2026-03-08 20:01:00 open     warning  network_loss at spine-3/lc-1 97%: "
        "network loss at spine-3/lc-1. [silenced: silence of spine-3: optics (by alice)]"
    )
    part = as_fault(LINK | {"part_of": "0011"})
    assert lines.event_line(part, colour=False).endswith("[part of 0011]")


def test_colours_only_where_they_are_asked_for() -> None:
    for fault in FAULTS:
        plain, coloured = lines.event_line(fault, colour=False), lines.event_line(fault, colour=True)
        assert "\x1b" not in plain
        assert plain in coloured and coloured.endswith("\x1b[0m")
    assert lines.event_line(FAULTS[0], True)[:5] != lines.event_line(FAULTS[1], True)[:5]


@pytest.mark.parametrize("nasty", ["\x1b[2J\x1b]0;owned\x07", "a\r\nb", "\u202egnp.exe", "\x9b31m"])
def test_names_cannot_steer_a_terminal(nasty: str) -> None:
    fault = as_fault(
        LINK | {"story": nasty, "kind": nasty, "silenced": nasty, "part_of": nasty}
        | {"suspects": [{"element": nasty, "confidence": 1.0}]}
    )  # fmt: skip
    for text in (lines.event_line(fault, False), lines.table([fault], None, False)):
        assert all(each.isprintable() or each == "\n" for each in text)
    assert "\n" not in lines.event_line(fault, False)


def test_json_is_read_back() -> None:
    assert json.loads(lines.json_list(FAULTS)) == [fault.document() for fault in FAULTS]
    assert json.loads(lines.json_list([])) == []
    for fault in FAULTS:
        assert "\n" not in lines.json_line(fault)
        assert json.loads(lines.json_line(fault)) == fault.document()


def test_csv_is_read_back() -> None:
    awkward = as_fault(LINK | {"story": 'say "no", \n and\tgo'})
    text = "\n".join([lines.csv_head(), *(lines.csv_line(fault) for fault in [*FAULTS, awkward])])
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["fault_id"] for row in rows] == ["a1", "b2", "c3", "a1"]
    assert rows[0]["suspects"] == "leaf-1-1~spine-1=0.97" and rows[0]["loss_rate"] == "0.3125"
    assert rows[1]["loss_rate"] == "" and rows[0]["affected_servers"] == "server-1-1-1"
    assert rows[3]["story"] == awkward.story


def test_a_fault_without_a_suspect() -> None:
    fault = as_fault(EVENTS[0] | {"suspects": []})
    assert "network_loss at ?: " in lines.event_line(fault, colour=False)
    assert " ?  " in lines.table([fault], None, colour=False)

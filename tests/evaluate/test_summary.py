"""Numbers over scenarios, from entries as a report has them."""

from typing import Any

import pytest

from bytetracker.evaluate.summary import calibration, summarise
from bytetracker.evaluate.tables import summary_tables


def entry(
    kind: str = "loss",
    *,
    observable: bool = True,
    link: bool = False,
    switch: bool = False,
    fifth_ms: float | None = None,
    false: int = 0,
    extra: tuple[str, ...] = (),
) -> dict[str, Any]:
    """A scenario with one fault; `extra`: what each extra fault is part of."""
    said = {
        "false_faults": [{"part_of": ""}] * false,
        "extra_faults": [{"part_of": part_of} for part_of in extra],
        "causes": [
            {
                "fault_id": "f" if switch else None,
                "correct_link": link,
                "correct_switch": switch,
                "first_correct_link": False,
                "onset_to_fault_ms": fifth_ms and fifth_ms + 100,
                "first_hit_to_fault_ms": fifth_ms,
                "fifth_loss_to_fault_ms": fifth_ms,
            }
        ],
    }
    injected = {"kind": kind, "tier": "leaf", "rate": 0.1, "observable": observable}
    return {"injected": [injected], **said, "suspects": [], "methods": {"other": said}}


def test_what_is_not_found_is_not_right_and_what_is_said_twice_is_wrong() -> None:
    entries = [
        entry(link=True, switch=True, fifth_ms=1_000),
        entry(switch=True, fifth_ms=2_000, extra=("", "f")),  # one of them was merged into the fault
        entry(),
        entry(observable=False),
        entry("flip", link=True, switch=True, fifth_ms=3_000, false=2),
    ]
    summary = summarise(entries)["bytetracker"]
    assert summary["injected"] == 5
    assert summary["observable"] == 4
    assert summary["recall"] == summary["switch"] == 3 / 4
    assert summary["link"] == 2 / 4
    assert summary["precision"] == 3 / (3 + 2 + 1)
    assert summary["fifth_loss_to_fault_ms"] == {"p50": 2_000, "p90": 3_000, "p99": 3_000, "p100": 3_000}
    assert summary["kinds"]["loss"]["observable"] == 3
    assert summary["kinds"]["loss"]["link"] == 1 / 3
    assert summary["at_once"]["1"]["recall"] == 3 / 4
    assert summary["rates"].keys() == {"0.1"}
    assert summarise(entries)["other"]["precision"] == summary["precision"]


def test_nothing_observed_and_nothing_said_is_no_number() -> None:
    summary = summarise([entry(observable=False)])["bytetracker"]
    assert summary["recall"] is summary["link"] is summary["precision"] is None


def test_calibration_is_by_bins() -> None:
    bins = calibration([(0.92, True), (0.94, True), (0.92, False), (0.05, False), (1.0, True)])
    assert [(b["from"], b["suspects"], b["right"]) for b in bins] == [
        (0.0, 1, 0.0),
        (0.9, 3, 2 / 3),
        (0.99, 1, 1.0),
    ]
    assert bins[1]["confidence"] == pytest.approx(0.9267, abs=1e-4)


def test_tables_have_a_cell_for_every_head() -> None:
    summary = summarise(
        [entry(link=True, switch=True, fifth_ms=1_000), entry("flip"), entry(observable=False)]
    )
    tables = summary_tables(summary)
    assert {"Methods", "By kind of fault", "Right at link or chip level"} <= {table.title for table in tables}
    for table in tables:
        assert all(len(row) == len(table.heads) for row in table.rows), table.title

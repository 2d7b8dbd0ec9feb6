"""The quick suite from end to end: fast enough to be run at every change."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from bytetracker.cli import main
from bytetracker.evaluate.jobs import run_all
from bytetracker.evaluate.suites import load_suite

pytestmark = pytest.mark.slow

KEYS = {
    "name",
    "seed",
    "injected",
    "found",
    "correct_link",
    "correct_switch",
    "onset_to_fault_ms",
    "fifth_loss_to_fault_ms",
    "false_faults",
}


def test_quick_suite_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    ran = CliRunner().invoke(main, ["evaluate", "--report", str(path)])
    assert ran.exit_code == 0, ran.output
    report = json.loads(path.read_text())
    scenarios = {each["name"]: each for each in report["scenarios"]}
    assert len(scenarios) == len(load_suite("quick", None, None, None))
    assert all(set(each) >= KEYS for each in scenarios.values())
    assert not scenarios["healthy"]["found"]
    # What no method worth its name may miss.
    assert scenarios["link-down-leaf-spine"]["correct_link"]
    assert scenarios["flip-spine-leaf-0.1"]["correct_link"]
    assert scenarios["host-down"]["correct_switch"]
    ours = report["summary"]["bytetracker"]
    assert ours["observable"] == 13
    assert ours["recall"] == 1.0
    assert ours["switch"] == 1.0
    assert ours["fifth_loss_to_fault_ms"]["p99"] < 5_000


def test_results_depend_neither_on_jobs_nor_on_what_runs_beside() -> None:
    names = ["loss-leaf-spine-up-0.3", "host-down"]
    scenarios = [s for s in load_suite("quick", 3, "small", None) if s.name in names]
    together = run_all(scenarios, 2, lambda seconds: None)
    alone = [run_all([each], 1, lambda seconds: None)[0] for each in reversed(scenarios)][::-1]
    assert together == alone
    without_others = run_all(scenarios, 1, lambda seconds: None, others=False)
    assert [each["methods"] for each in without_others] == [{}, {}]
    assert without_others == [{**each, "methods": {}} for each in together]
    assert all(each["injected"][0]["observable"] for each in together)


def test_one_scenario_alone_prints_its_events() -> None:
    ran = CliRunner().invoke(main, ["evaluate", "--only", "link-down-leaf-spine", "--fabric", "small"])
    assert ran.exit_code == 0, ran.output
    assert "injected link_down:" in ran.output
    assert " open " in ran.output


def test_unknown_names_are_answered_with_the_known_ones() -> None:
    assert "no suite 'quik'" in CliRunner().invoke(main, ["evaluate", "--suite", "quik"]).output
    assert "there are: healthy" in CliRunner().invoke(main, ["evaluate", "--only", "x"]).output


def test_suites_are_dumped_as_files_that_say_the_same(tmp_path: Path) -> None:
    ran = CliRunner().invoke(main, ["evaluate", "--seed", "5", "--dump", str(tmp_path)])
    assert ran.exit_code == 0, ran.output
    for scenario in load_suite("quick", 5, None, None):
        assert load_suite(str(tmp_path / f"{scenario.name}.yaml"), None, None, None) == [scenario]

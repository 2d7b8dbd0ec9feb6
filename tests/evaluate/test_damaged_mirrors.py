"""A mirror that damages its copies is not taken for a link that alters packets, nor hides one."""

from pathlib import Path

import pytest

from bytetracker.evaluate.jobs import run_all
from bytetracker.evaluate.scenario import Scenario
from bytetracker.evaluate.suites import load_suite

pytestmark = pytest.mark.slow

SCENARIOS = load_suite(str(Path(__file__).with_name("damaged_mirrors.yaml")), None, None, None)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_damage_is_told_from_alteration(scenario: Scenario) -> None:
    entry = run_all([scenario], 1, lambda seconds: None)[0]
    assert not entry["false_faults"]
    assert entry["correct_link"]
    assert entry["found"]

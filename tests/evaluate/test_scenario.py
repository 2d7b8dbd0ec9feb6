"""Scenario files: what is read, what is written, and what is refused with its line."""

import pytest

from bytetracker.evaluate.scenario import Noise, Scenario, ScenarioError, dump_scenarios, parse_scenarios

FILE = """\
fabric: small
noise: {mirror_loss: 0.01}
scenarios:
- name: first
  seed: 7
  duration_s: 30
  interval_us: 250000
  faults: ["loss:leaf-1-1~spine-1:rate=0.01,after=5"]
- duration_s: 2.5
  fabric: demo
  noise: {host: 0}
"""


def test_what_stands_beside_the_list_holds_for_all() -> None:
    first, second = parse_scenarios(FILE, "some/where.yaml")
    assert first == Scenario(
        "first",
        "small",
        7,
        30.0,
        ("loss:leaf-1-1~spine-1:rate=0.01,after=5",),
        Noise(mirror_loss=0.01),
        interval_us=250_000,
    )
    assert second == Scenario("where-2", "demo", 1, 2.5, noise=Noise(mirror_loss=0.01, host=0.0))


def test_a_file_may_be_one_scenario() -> None:
    (only,) = parse_scenarios("fabric: lab\nseed: 3\nduration_s: 9\n", "a/b.yaml")
    assert only == Scenario("b", "lab", 3, 9.0)


@pytest.mark.parametrize("count", [1, 2])
def test_what_is_written_is_read_back(count: int) -> None:
    scenarios = parse_scenarios(FILE)[:count]
    assert parse_scenarios(dump_scenarios(scenarios)) == scenarios


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("duration_s: 3\nfabirc: demo\n", "f:2: unknown key 'fabirc'"),
        ("fabric: demo\n", "f:1: the scenario has no 'duration_s'"),
        ("duration_s: long\n", "f:1: duration_s must be a number from 0"),
        (
            "duration_s: 3\nnoise:\n  mirror_loss: 2\n",
            "f:3: mirror_loss must be a number from 0 to 1, not '2'",
        ),
        ("duration_s: 3\nnoise:\n  mirrors: 2\n", "f:3: unknown key 'mirrors' in noise"),
        ("duration_s: 3\ninterval_us: 5\n", "f:2: interval_us must be a number from 10000"),
        (
            "scenarios:\n- {name: a, duration_s: 1}\n- {name: a, duration_s: 1}\n",
            "f:3: the name 'a' is given twice",
        ),
        ("scenarios:\n- {name: a}\n", "f:2: the scenario has no 'duration_s'"),
        ("duration_s: 1\nfaults: loss\n", "f:2: faults must be a list"),
        ("[", "f:"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(text: str, complaint: str) -> None:
    with pytest.raises(ScenarioError) as raised:
        parse_scenarios(text, "f")
    assert complaint in str(raised.value)

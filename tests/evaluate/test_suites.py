"""The suites are what they say: every kind, every tier, all rates, and specifications that mean something."""

from collections import Counter

import pytest

from bytetracker.evaluate.draw import Draw, NothingToDraw, seed_of
from bytetracker.evaluate.recipe import crossings
from bytetracker.evaluate.rules import RULES
from bytetracker.evaluate.scenario import Noise, Scenario
from bytetracker.evaluate.suites import UnknownSuite, load_suite
from bytetracker.evaluate.truth import tier_of
from fabric.faults import KINDS, FaultSpec, parse_spec
from fabric.inventory import load_fabric
from fabric.model import Chip


@pytest.fixture(scope="module")
def full() -> list[Scenario]:
    return load_suite("full", None, None, None)


def specs(scenarios: list[Scenario]) -> list[tuple[Scenario, FaultSpec]]:
    return [(s, parse_spec(text, load_fabric(s.fabric))) for s in scenarios for text in s.faults]


def test_full_holds_at_least_300_scenarios_with_names_of_their_own(full: list[Scenario]) -> None:
    assert len(full) >= 300
    assert len({scenario.name for scenario in full}) == len(full)


def test_full_holds_every_kind_of_fault(full: list[Scenario]) -> None:
    assert {spec.kind for _, spec in specs(full)} == set(KINDS)
    assert set(RULES) == set(KINDS)


def test_full_holds_every_tier_and_rates_from_1e_4_to_1(full: list[Scenario]) -> None:
    tiers = {tier_of(spec.element, load_fabric(s.fabric)) for s, spec in specs(full) if spec.kind == "loss"}
    links = {"server-tor", "tor-leaf", "leaf-spine", "spine-border", "border-prober", "border-dci"}
    assert tiers >= links | {"-".join(reversed(link.split("-"))) for link in links}
    assert tiers >= {"tor", "leaf", "spine", "border", "dci", "leaf port", "spine port"}
    assert tiers >= {"spine chip", "spine fabric chip", "spine chip pair", "leaf chip"}
    rates = {spec.params["rate"] for _, spec in specs(full) if spec.kind == "loss"}
    assert min(rates) == 1e-4 and max(rates) == 1


def test_full_holds_up_to_five_faults_at_once(full: list[Scenario]) -> None:
    counts = Counter(len(scenario.faults) for scenario in full)
    assert all(counts[count] >= 10 for count in (2, 3, 4, 5))
    assert counts[0] >= 5


def test_everything_runs_with_the_noise_of_healthy_networks(full: list[Scenario]) -> None:
    assert {scenario.noise for scenario in full} == {Noise(1e-3, 1e-3, 1e-6)}


def test_faults_end_before_the_run_does(full: list[Scenario]) -> None:
    for scenario, spec in specs(full):
        assert spec.for_s is not None, scenario.name
        assert spec.after_s + spec.for_s <= scenario.duration_s - 2, scenario.name


def test_a_day_is_a_day_in_which_a_tenth_of_the_servers_reboots() -> None:
    (day,) = load_suite("healthy24h", None, None, None)
    assert day.duration_s >= 86_400
    assert len(load_fabric(day.fabric).servers) == 2_000
    found = [spec for _, spec in specs([day])]
    assert len({spec.element for spec in found}) == 200
    assert {spec.kind for spec in found} == {"reboot"}
    assert all(spec.for_s is not None and 30 <= spec.for_s <= 180 for spec in found)


def test_another_seed_strikes_elsewhere_with_the_same_kinds(full: list[Scenario]) -> None:
    other = load_suite("full", 2, None, None)
    assert [s.name for s in other] == [s.name for s in full]
    elements = [spec.element for _, spec in specs(full)]
    assert (
        sum(a != b for a, b in zip(elements, [spec.element for _, spec in specs(other)], strict=False)) > 300
    )


def test_one_scenario_alone_is_the_same_as_among_all(full: list[Scenario]) -> None:
    assert load_suite("full", None, None, full[-1].name) == [full[-1]]
    chosen = load_suite("full", None, None, "flip-*")
    assert chosen == [s for s in full if s.name.startswith("flip-")]
    with pytest.raises(UnknownSuite, match="no scenario 'flip'"):
        load_suite("full", None, None, "flip")


def test_draws_touch_different_switches() -> None:
    demo = load_fabric("demo")
    for seed in range(20):
        draw = Draw(demo, seed)
        drawn = [
            draw.link("leaf", "spine"),
            draw.switch("leaf"),
            draw.chip("line_card"),
            draw.link("tor", "leaf"),
        ]
        switches = [end for name in drawn for end in name.split("/")[0].split("~")]
        assert len(set(switches)) == len(switches)


def test_borders_without_probers_are_not_drawn() -> None:
    tree = load_fabric("lab")
    probed = {prober.switch for prober in tree.probers}
    for seed in range(20):
        assert Draw(tree, seed).link("spine", "border").split("~")[1] in probed


def test_templates_are_filled_with_elements_of_their_kind() -> None:
    demo = load_fabric("demo")
    draw = Draw(demo, seed_of(1, "x"))
    for template, tier in {
        "loss:<leaf~spine>:rate=1": "leaf-spine",
        "loss:<spine:leaf>:rate=1": "spine port",
        "loss:<fabric-chip>:rate=1": "spine fabric chip",
        "loss:<chip-pair>:rate=1": "spine chip pair",
        "loss:<leaf/chip>:rate=1": "leaf chip",
        "host_down:<server>": "server",
        "mirror_outage:<collector>": "collector",
    }.items():
        assert tier_of(parse_spec(draw.fill(template), demo).element, demo) == tier
    chip = demo.element(draw.chip("line_card"))
    assert isinstance(chip, Chip) and chip.role == "line_card"
    with pytest.raises(NothingToDraw):
        Draw(load_fabric("small"), 1).fill("loss:<fabric-chip>:rate=1")


def test_crossings_are_those_of_the_plan() -> None:
    # 16 servers, 2 pods: 16 groups North-South and 2 East-West, 3 probes each, one Prober.
    found = crossings("small")
    assert found["prober-border"] == found["border-prober"] == 54
    assert found["border"] == 2 * 54
    assert found["server-tor"] == found["tor-server"] == 54 / 16

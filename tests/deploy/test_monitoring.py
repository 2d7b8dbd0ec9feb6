"""deploy/prometheus and deploy/alertmanager: accepted by their programs, and about metrics that exist."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from docs.generate.metrics import metrics
from tests.docs.pages import page
from tests.servers.provisioned import missing_server, monitoring_tool

ROOT = Path(__file__).resolve().parents[2]
PROMETHEUS = ROOT / "deploy" / "prometheus"
RULES = sorted((PROMETHEUS / "rules").glob("*.yml"))
ALERTMANAGER = ROOT / "deploy" / "alertmanager" / "alertmanager.yml"

#: Metrics that Prometheus itself makes.
OF_PROMETHEUS = {"up"}


def rules(kind: str) -> list[dict[str, Any]]:
    """Rules of all files that are an `alert` or a `record`."""
    groups = [group for path in RULES for group in yaml.safe_load(path.read_text())["groups"]]
    return [rule for group in groups for rule in group["rules"] if kind in rule]


def run(tool: str, *arguments: str, cwd: Path = ROOT) -> None:
    program = monitoring_tool(tool)
    if program is None:
        missing_server(f"no {tool}")
    done = subprocess.run(
        [program, *arguments], cwd=cwd, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def names_in(expression: str) -> set[str]:
    """Names of metrics in a PromQL expression, told by ours and those of Prometheus; of recorded ones too."""
    # What stands in braces and quotes are labels and values.
    plain = re.sub(r"\{[^}]*\}|\"[^\"]*\"|'[^']*'", "", expression)
    plain = re.sub(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)", "", plain)
    words = set(re.findall(r"[a-zA-Z_][a-zA-Z0-9_:]*", re.sub(r"\[[^\]]*\]", "", plain)))
    return {word for word in words if ":" in word or word.startswith("bytetracker_") or word in OF_PROMETHEUS}


def known_names() -> set[str]:
    """Every series of ours that can be asked for."""
    documented = [each for part in metrics().values() for each in part]
    recorded = {rule["record"] for rule in rules("record")}
    return {series for each in documented for series in each.series} | recorded | OF_PROMETHEUS


@pytest.mark.servers
@pytest.mark.parametrize("path", RULES, ids=lambda path: path.name)
def test_prometheus_takes_the_rules(path: Path) -> None:
    run("promtool", "check", "rules", str(path))


@pytest.mark.servers
def test_prometheus_takes_its_configuration() -> None:
    run("promtool", "check", "config", str(PROMETHEUS / "prometheus.yml"))


@pytest.mark.servers
def test_alerts_fire_when_they_should_and_else_do_not() -> None:
    run("promtool", "test", "rules", "alerts.yml", cwd=PROMETHEUS / "tests")


@pytest.mark.servers
def test_alertmanager_takes_its_configuration() -> None:
    run("amtool", "check-config", str(ALERTMANAGER))


def test_every_alert_is_tested_quiet_and_firing() -> None:
    document = yaml.safe_load((PROMETHEUS / "tests" / "alerts.yml").read_text())
    cases = [case for test in document["tests"] for case in test["alert_rule_test"]]
    quiet = {case["alertname"] for case in cases if not case["exp_alerts"]}
    firing = {case["alertname"] for case in cases if case["exp_alerts"]}
    assert quiet == firing == {rule["alert"] for rule in rules("alert")}


def test_rules_ask_for_metrics_that_exist() -> None:
    known = known_names()
    for rule in [*rules("record"), *rules("alert")]:
        found = names_in(rule["expr"])
        assert found, rule
        assert found <= known, (rule, found - known)


def test_every_alert_says_what_and_how_bad_and_is_documented() -> None:
    text = page("docs/metrics.md").text
    for rule in rules("alert"):
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert rule["annotations"]["summary"]
        assert f"`{rule['alert']}`" in text, rule["alert"]


def test_names_of_metrics_follow_the_conventions() -> None:
    """prometheus.io/docs/practices/naming: a prefix, base units, `_total` for counters and only there."""
    for part, documented in metrics().items():
        for each in documented:
            assert re.fullmatch(r"bytetracker_[a-z0-9_]+", each.name), each
            assert each.name.endswith("_total") == (each.kind == "counter"), each
            assert not re.search(r"_(ms|us|ns|millis|micros|kib|mb)(_|$)", each.name), each
            if each.kind == "histogram":
                assert each.name.endswith("_seconds"), (part, each)
            assert each.meaning, each


def test_kinds_of_faults_in_the_routes_exist() -> None:
    from alerts.fault import KINDS, SEVERITIES
    from alerts.settings import OWN_LABELS

    text = ALERTMANAGER.read_text()
    for label, values in re.findall(r"'(\w+)=~?\"([^\"]*)\"'", text):
        assert label in OWN_LABELS, label
        known = {"kind": KINDS, "severity": SEVERITIES}.get(label)
        for value in values.split("|") if values and known else ():
            assert value in (known or ()), value


def test_every_part_with_metrics_is_scraped() -> None:
    from bytetracker.settings import load_settings

    document = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())
    ports: dict[str, int] = {}
    for job in document["scrape_configs"]:
        for found in job.get("dns_sd_configs", []):
            ports[job["job_name"]] = found["port"]
        for found in job.get("static_configs", []):
            ports[job["job_name"]] = int(found["targets"][0].rpartition(":")[2])
    settings = load_settings(ROOT / "deploy" / "bytetracker.yaml")
    configured = {
        f"bytetracker-{part}": getattr(settings, part)["metrics_port"]
        for part in ("prober", "collector", "worker", "sink", "alerts", "console")
    }
    assert {job: port for job, port in ports.items() if job.startswith("bytetracker-")} == configured
    assert settings.metrics_address == "0.0.0.0"

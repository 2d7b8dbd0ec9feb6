"""deploy/grafana without Grafana: whole, consistent, about things that exist. The queries to the store run in
tests/sinks/cookbook/test_dashboards.py."""

from __future__ import annotations

import re
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.dashboards import GRAFANA, Query, boards, promql
from tests.deploy.test_monitoring import known_names, names_in, run

SOURCES = yaml.safe_load((GRAFANA / "provisioning" / "datasources" / "bytetracker.yaml").read_text())


def test_the_dashboards_that_were_promised() -> None:
    assert set(boards()) == {"faults", "links", "hosts", "pipeline"}
    uids = [board["uid"] for board in boards().values()]
    assert len(set(uids)) == len(uids)
    for board in boards().values():
        assert board["title"].startswith("ByteTracker: ")
        assert "bytetracker" in board["tags"], "the menu that leads from one to the other goes by it"


@pytest.mark.parametrize("name", sorted(boards()))
def test_panels_have_ids_and_places_of_their_own(name: str) -> None:
    panels = boards()[name]["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert len({panel["title"] for panel in panels}) == len(panels)
    for panel in panels:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
    for one, other in combinations([panel["gridPos"] for panel in panels], 2):
        apart = (
            one["x"] + one["w"] <= other["x"]
            or other["x"] + other["w"] <= one["x"]
            or one["y"] + one["h"] <= other["y"]
            or other["y"] + other["h"] <= one["y"]
        )
        assert apart


def test_data_sources_are_provisioned() -> None:
    provisioned = {source["uid"]: source["type"] for source in SOURCES["datasources"]}
    used = [source for board in boards().values() for source in _sources(board)]
    assert used
    for source in used:
        assert provisioned[source["uid"]] == source["type"]


def _sources(value: Any) -> list[dict[str, str]]:
    if isinstance(value, list):
        return [found for each in value for found in _sources(each)]
    if not isinstance(value, dict):
        return []
    own = [value["datasource"]] if "datasource" in value else []
    return own + [found for each in value.values() for found in _sources(each)]


def test_no_secret_stands_in_the_provisioning() -> None:
    for source in SOURCES["datasources"]:
        for secret in source.get("secureJsonData", {}).values():
            assert re.fullmatch(r"\$[A-Z_]+", secret)


@pytest.mark.parametrize("query", promql(), ids=str)
def test_metrics_that_are_asked_for_exist(query: Query) -> None:
    found = names_in(query.text)
    assert found
    assert found <= known_names(), found - known_names()


@pytest.mark.servers
def test_prometheus_understands_every_query(tmp_path: Path) -> None:
    rules = [{"record": f"query:{number}", "expr": query.text} for number, query in enumerate(promql())]
    assert rules
    path = tmp_path / "queries.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "dashboards", "rules": rules}]}))
    run("promtool", "check", "rules", str(path))


def test_lines_are_named_by_labels_that_are_there() -> None:
    """A legend that names a label which the query has summed away shows nothing."""
    for board in boards().values():
        for panel in board["panels"]:
            for target in panel["targets"]:
                asked = set(re.findall(r"\{\{(\w+)\}\}", target.get("legendFormat", "")))
                kept = re.search(r"by \(([^)]*)\)", target.get("expr", ""))
                if asked and kept:
                    assert asked <= {label.strip() for label in kept[1].split(",")}, panel["title"]


def test_dashboards_are_where_the_provider_looks() -> None:
    document = yaml.safe_load((GRAFANA / "provisioning" / "dashboards" / "bytetracker.yaml").read_text())
    (provider,) = document["providers"]
    compose = yaml.safe_load((GRAFANA.parents[1] / "docker-compose.yml").read_text())
    mounts = [volume.split(":") for volume in compose["services"]["grafana"]["volumes"]]
    assert [provider["options"]["path"], "./deploy/grafana/dashboards"] in [
        [inside, outside] for outside, inside, *_ in mounts
    ]

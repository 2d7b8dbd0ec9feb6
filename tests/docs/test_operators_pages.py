"""What the pages for operators name exists, and what can go wrong is in them."""

import json
import re
import subprocess
from dataclasses import fields, is_dataclass
from typing import Any, get_args, get_type_hints

import pytest

from bytetracker.settings import Settings
from producers.mirror.digests import NOT_A_PROBE, UNKNOWN_EXPORTER
from producers.mirror.errors import MirrorError
from schemas.topics import all_topics
from streams.localise.finding import Kind
from tests.docs.pages import ROOT, Page, page

PAGES = [page(f"docs/{name}.md") for name in ("operations", "troubleshooting", "security")]


@pytest.mark.parametrize("where", PAGES, ids=lambda each: each.name)
def test_metrics_that_are_named_exist(where: Page) -> None:
    metrics = page("docs/metrics.md").text
    names = set(re.findall(r"\b(bytetracker_[a-z_]+)\b", where.text))
    for name in names:
        assert f"`{name}`" in metrics, name


@pytest.mark.parametrize("where", PAGES, ids=lambda each: each.name)
def test_options_that_are_named_exist(where: Page) -> None:
    # Checks of doctor have names of the same form.
    text = re.sub(r"## What doctor says.*?(?=\n## )", "", where.text, flags=re.DOTALL)
    for section, option in re.findall(r"`([a-z]+)\.([a-z_]+(?:\.[a-z_]+)*)(?:: [^`]*)?`", text):
        if section in Settings.model_fields and not option.startswith("md"):
            assert _has(section, option.split(".")), f"{section}.{option}"


def _has(section: str, names: list[str]) -> bool:
    reader = {"kafka": "kafka_settings", "store": "store_settings"}
    hints = get_type_hints(getattr(Settings, reader.get(section, f"{section}_settings")))
    kinds = [kind for kind in (hints["return"], *get_args(hints["return"])) if is_dataclass(kind)]
    for name in names:
        found: list[Any] = []
        for kind in kinds:
            types = get_type_hints(kind)
            found += [types[field.name] for field in fields(kind) if field.name == name]
        if not found:
            return False
        kinds = [kind for kind in found if is_dataclass(kind)]
    return True


@pytest.mark.parametrize("where", PAGES, ids=lambda each: each.name)
def test_topics_that_are_named_exist(where: Page) -> None:
    known = {topic.name for topic in all_topics()}
    for name in re.findall(r"`((?:probe|mirror|link|dead|streams|alerts)-[a-z]+)`", where.text):
        assert name in known, name


def test_each_kind_of_fault_has_a_paragraph() -> None:
    for kind in get_args(Kind):
        assert kind in page("docs/operations.md").anchors, kind


def test_each_reason_for_which_a_copy_is_refused_is_explained() -> None:
    text = page("docs/troubleshooting.md").text
    for reason in [UNKNOWN_EXPORTER, NOT_A_PROBE, *(e.name.lower() for e in MirrorError if e)]:
        assert f"`{reason}`" in text, reason


def test_each_reason_of_dead_letters_has_a_remedy() -> None:
    reasons = page("docs/schema.md").text.partition("| Reason | What was wrong |")[2].partition("\n\n")[0]
    text = page("docs/troubleshooting.md").text.partition("## Dead letters")[2]
    found = re.findall(r"`(\w+)`", "".join(line.split("|")[1] for line in reasons.splitlines()[2:]))
    assert found
    for reason in found:
        assert f"`{reason}`" in text, reason


def test_each_check_of_doctor_is_explained() -> None:
    """Checks that can fail: what stands first in a call of `fail` or `warn`, or is called `check`."""
    text = page("docs/troubleshooting.md").text.partition("## What doctor says")[2].partition("\n## ")[0]
    found: set[str] = set()
    for file in (ROOT / "bytetracker" / "doctor").glob("*.py"):
        source = file.read_text(encoding="utf-8")
        found |= set(re.findall(r'(?:fail|warn|judge_\w+)\(\s*f?"([\w.{}]+)"', source))
        found |= set(re.findall(r'check = f?"([\w.{}]+)"', source))
    assert len(found) > 20
    for name in found:
        parts = ("worker", "sink", "alerts") if name == "lag.{who}" else ("prober", "collector")
        for each in {re.sub(r"\{\w+\}", part, name) for part in parts}:
            assert f"`{each}`" in text, each


def test_each_topic_has_its_writers_and_readers_in_the_table_of_rights() -> None:
    rights = page("docs/security.md").text.partition("## Kafka")[2].partition("## ClickHouse")[0]
    for topic in all_topics():
        assert f"`{topic.name}`" in rights, topic.name


def test_the_configuration_for_sonic_is_json() -> None:
    (block,) = page("docs/operations.md").code("json")
    document = json.loads(block)
    session = document["ACL_RULE"]["BYTETRACKER|PROBES"]["MIRROR_INGRESS_ACTION"]
    assert session in document["MIRROR_SESSION"]


@pytest.mark.root
def test_rules_for_nftables_are_understood() -> None:
    (rules,) = page("docs/operations.md").code("nft")
    ran = subprocess.run(
        ["nft", "--check", "--file", "-"],
        input=rules,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr

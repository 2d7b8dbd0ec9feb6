"""What a network would need: against simulated runs read plainly, and against what the documents say."""

import json
import re
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from click.testing import CliRunner

from bytetracker import sizing
from bytetracker.cli import main
from bytetracker.sizing import simulate_interval, sizing_document, sizing_text
from fabric.builtin import builtin_fabric
from fabric.model import Fabric
from producers.plan import PlanSettings, build_plan
from producers.schedule import Plan
from schemas import topics
from schemas.rows import DIGEST, OUTCOME
from tests.docs.pages import page
from tests.fabric.simulated import due, run, simulator, ways_of

SLOT_US = 250_000


def plans_of(fabric: Fabric, settings: PlanSettings | None = None) -> list[Plan]:
    return [build_plan(fabric, prober, settings or PlanSettings()) for prober in fabric.probers]


@pytest.mark.parametrize("name", ["tiny", "lab", "small", "dci", "demo"])
def test_evidence_is_one_row_for_each_link_leg_slot_and_partition(name: str) -> None:
    fabric = builtin_fabric(name)
    interval = simulate_interval(fabric, plans_of(fabric), 4, SLOT_US)
    # The same, probe by probe.
    result = simulator(fabric=fabric).run(due(1.0, fabric, start_us=0))
    from schemas.partition import group_of, partition_of

    sent = {int(p["probe_id"]): int(p["sent_at_us"]) for p in result.probes}
    rows = set()
    for (probe_id, leg), way in ways_of(result, fabric).items():
        partition = int(partition_of(group_of(np.array([probe_id])), 4)[0])
        rows |= {
            (sent[probe_id] // SLOT_US, partition, leg, *cable) for cable in pairwise(dict.fromkeys(way))
        }
    assert interval.probes == len(result.probes)
    assert interval.copies == len(result.digests)
    assert interval.evidence_rows == len(rows)


def test_copies_are_counted_with_what_is_around_them() -> None:
    fabric = builtin_fabric("tiny")
    interval = simulate_interval(fabric, plans_of(fabric), 1, SLOT_US)
    lengths = Counter(run(seconds=1.0, fabric=fabric).digests["length"].tolist())
    # IPv4 probes of 552 bytes, RSTs of 40 that Ethernet pads to 60 with its header; then 50 bytes around.
    assert set(lengths) == {552, 40}
    assert interval.copy_bytes == lengths[552] * (552 + 14 + 50) + lengths[40] * (60 + 50)


def test_rates_follow_from_the_interval() -> None:
    fabric = builtin_fabric("lab")
    once = sizing_document(fabric, plans_of(fabric), 8, SLOT_US)
    twice = sizing_document(fabric, plans_of(fabric, PlanSettings(interval_us=500_000)), 8, SLOT_US)
    assert twice["probes_per_s"] == pytest.approx(2 * once["probes_per_s"])
    assert twice["cores"]["worker"] == pytest.approx(2 * once["cores"]["worker"])
    outcomes = once["topics"][topics.OUTCOMES]
    assert outcomes["bytes_per_s"] == pytest.approx(once["probes_per_s"] * 77 * sizing.COMPRESSED)
    assert outcomes["kept_s"] == 3600


def test_a_topic_is_cut_by_size_when_that_comes_first() -> None:
    spec = topics.topic(topics.DIGESTS)
    rate = 10 * spec.retention_bytes * 8 / 3600 / sizing.COMPRESSED  # ten times too much for an hour
    kept = sizing._topic(topics.DIGESTS, rate, 8)
    assert kept["kept_s"] == pytest.approx(360)
    assert kept["kept_bytes"] == pytest.approx(spec.retention_bytes * 8)


def test_without_a_prober_nothing_is_needed() -> None:
    from dataclasses import replace

    fabric = replace(builtin_fabric("tiny"), probers=())
    document = sizing_document(fabric, [], 8, SLOT_US)
    assert document["store_bytes_per_day"] == 0
    assert "0 Prober(s)" in sizing_text(document)


def test_rates_of_processes_are_those_of_the_benchmarks_page() -> None:
    text = page("docs/benchmarks.md").text
    for name, ours in {
        "decode": sizing.COPIES_PER_CORE,
        "pipeline": sizing.DIGESTS_PER_CORE,
        "prober": sizing.PROBES_PER_CORE,
        "sink": sizing.ROWS_PER_CORE,
    }.items():
        row = re.search(rf"^\| `{name}` \|[^|]*\| ([\d,]+)", text, re.MULTILINE)
        assert row is not None, name
        assert int(row[1].replace(",", "")) == ours, name


def test_the_operations_guide_says_the_same() -> None:
    text = page("docs/operations.md").text
    assert f"{OUTCOME.dtype.itemsize} bytes" in text
    assert f"{DIGEST.dtype.itemsize} bytes" in text
    for figure in (sizing.EVIDENCE_ROW_BYTES, sizing.COMPRESSED, sizing.MIRROR_OVERHEAD_BYTES):
        assert f"{figure}" in text, figure


@pytest.mark.parametrize("name", ["demo", "medium"])
def test_the_table_of_the_operations_guide_is_what_is_printed(name: str) -> None:
    row = re.search(rf"^\| `{name}` .*$", page("docs/operations.md").text, re.MULTILINE)
    assert row is not None
    probes, copies, mirrors, evidence, store = (
        float(cell.replace(",", "")) for cell in row[0].strip("|").split("|")[1:]
    )
    fabric = builtin_fabric(name)
    assert f"({len(fabric.servers):,} servers, {len(fabric.switches):,} switches)" in row[0]
    document = sizing_document(fabric, plans_of(fabric), 8, SLOT_US)
    assert document["probes_per_s"] == probes
    assert document["copies_per_s"] == copies
    assert document["mirror_bits_per_s"] / 1e6 == pytest.approx(mirrors, abs=0.5)
    assert document["evidence_rows_per_s"] == pytest.approx(evidence, rel=0.02)
    assert document["store_bytes_per_day"] / 1e9 == pytest.approx(store, abs=0.5)


def test_the_command_prints_it() -> None:
    shown = CliRunner().invoke(main, ["sizing", "--fabric", "lab"])
    assert shown.exit_code == 0, shown.output
    assert "30/s" in shown.output
    document = json.loads(CliRunner().invoke(main, ["sizing", "--fabric", "lab", "--json"]).output)
    assert document["probes_per_s"] == 30
    refused = CliRunner().invoke(main, ["sizing", "--fabric", "nowhere"])
    assert refused.exit_code == 1
    assert "no fabric" in refused.output

"""Faults on real kernels, one after the other in one `bytetracker lab`: each is found, alone, where it is.

What is right is decided by the rules of the scoreboard (bytetracker.evaluate), so that the lab and the
simulator are held to the same.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bytetracker.evaluate.truth import Cause, cause_of
from fabric.builtin import builtin_fabric
from fabric.faults import parse_spec
from tests.pipeline.commands import Command, ask_store

pytestmark = [pytest.mark.root, pytest.mark.servers, pytest.mark.slow, pytest.mark.timeout(420)]

FABRIC = builtin_fabric("lab")
#: 300 probes/s, half of them over each spine: 1 % loss of that link takes a few seconds to show.
INTERVAL_MS = 100
FIRST_AFTER_S, BETWEEN_S, LAST_S = 3, 6, 10
#: A probe may be under way when a fault begins, and a fault may be noted a moment after it began.
SLACK_S = 1.0
FLIPPED_BYTE, FLIPPED_MASK = 200, 0x24
IPV4_HEADER_BYTES = 20


@dataclass(frozen=True)
class Injected:
    """A fault of the run, and for how long."""

    name: str
    spec: str
    seconds: int


FAULTS = (
    Injected("loss of 10 %", "loss:leaf-2-1~tor-2-2:rate=0.1", 8),
    Injected("loss of 1 %", "loss:border-1~spine-1:rate=0.01", 16),
    Injected("loss of replies", "loss:leaf-1-2~spine-2:rate=0.1", 8),
    Injected("black hole", "black_hole:border-1~spine-2:share=0.2", 8),
    Injected("bit flip", f"flip:leaf-2-2~tor-2-1:rate=0.2,offset={FLIPPED_BYTE},mask=0x{FLIPPED_MASK:x}", 8),
    Injected("link down", "link_down:leaf-1-1~tor-1-2", 8),
    Injected("switch down", "switch_down:tor-1-1", 8),
    Injected("leaf down", "switch_down:leaf-2-2", 8),
    Injected("host down", "host_down:server-2-1-1", 8),
)


def _timed() -> tuple[list[str], int]:
    """Specifications with their times, and how long the run takes."""
    after_s, specs = FIRST_AFTER_S, []
    for fault in FAULTS:
        more = "," if "=" in fault.spec else ":"
        specs.append(f"{fault.spec}{more}after={after_s},for={fault.seconds}")
        after_s += fault.seconds + BETWEEN_S
    return specs, after_s - BETWEEN_S + LAST_S


@dataclass(frozen=True)
class Run:
    """A run that has ended: causes in the order of FAULTS, and what was found about each and about none."""

    report: dict[str, Any]
    folder: Path
    causes: list[Cause]
    found: list[list[dict[str, Any]]]
    of_nothing: list[dict[str, Any]]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    if os.geteuid() != 0 and os.environ.get("CI") != "true":
        pytest.skip("needs root for network namespaces")
    specs, seconds = _timed()
    folder = tmp_path_factory.mktemp("faults")
    words = [word for spec in specs for word in ("--fault", spec)]
    timing = ["--seconds", str(seconds), "--interval-ms", str(INTERVAL_MS)]
    command = Command(["lab", *timing, *words, "--report", str(folder / "r.json")], folder)
    try:
        assert command.wait(seconds + 150) == 0, command.output
        yield _judged(json.loads((folder / "r.json").read_text()), command.run_folder())
    finally:
        command.end()


def _judged(report: dict[str, Any], folder: Path) -> Run:
    """Each fault that was found belongs to the injected one that was on when it showed first."""
    begun_us = [each["started_ns"] // 1_000 for each in report["injected"]]
    causes = [
        cause_of(number, parse_spec(fault.spec, FABRIC), at_us, at_us + fault.seconds * 1_000_000, FABRIC)
        for number, (fault, at_us) in enumerate(zip(FAULTS, begun_us, strict=True))
    ]
    found: list[list[dict[str, Any]]] = [[] for _ in causes]
    of_nothing: list[dict[str, Any]] = []
    for fault in report["faults"]:
        first_us, slack_us = fault["first_seen_ns"] // 1_000, SLACK_S * 1e6
        on = [c for c in causes if c.start_us - slack_us <= first_us <= c.end_us + slack_us]
        (found[on[0].number] if on else of_nothing).append(fault)
    return Run(report, folder, causes, found, of_nothing)


def test_nothing_else_is_found(run: Run) -> None:
    assert run.of_nothing == []
    assert run.report["probes_joined"] == run.report["probes_sent"]


@pytest.mark.parametrize("number", range(len(FAULTS)), ids=[fault.name for fault in FAULTS])
def test_each_fault_is_found_alone_where_it_is(run: Run, number: int) -> None:
    cause = run.causes[number]
    # What may be said of the same element besides: a switch that is down mirrors nothing either.
    faults = [
        f
        for f in run.found[number]
        if f["kind"] not in cause.rule.beside or not cause.is_right_switch(f["suspects"][0]["element"])
    ]
    assert len(faults) == 1, run.found[number]
    kind, top = faults[0]["kind"], faults[0]["suspects"][0]["element"]
    assert cause.fits(kind, top), faults[0]
    assert top in cause.names.exact, faults[0]


def test_flipped_bits_are_named(run: Run) -> None:
    number = next(i for i, fault in enumerate(FAULTS) if fault.spec.startswith("flip"))
    [fault] = run.found[number]
    rows = ask_store(
        run.folder / "store",
        "SELECT `bits.byte_offset` AS bytes, `bits.bit` AS bits FROM fault_events FINAL "
        f"WHERE fault_id = '{fault['fault_id']}' ORDER BY version DESC LIMIT 1",
    )
    assert set(rows[0]["bytes"]) == {IPV4_HEADER_BYTES + FLIPPED_BYTE}
    assert sum(1 << bit for bit in rows[0]["bits"]) == FLIPPED_MASK

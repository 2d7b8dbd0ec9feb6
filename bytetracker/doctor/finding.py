"""What was found: one line each, with what to do about it. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal

import click

from bytetracker.faults.lines import printable

Status = Literal["ok", "warn", "fail"]
_COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}
_SEVERITY: tuple[Status, ...] = ("ok", "warn", "fail")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `check` is stable, for programs; `do` is empty if all is well."""

    check: str  # e.g. broker.topics
    status: Status
    what: str
    do: str = ""

    def __post_init__(self) -> None:
        assert (self.status == "ok") == (not self.do), "what is wrong says what to do"


def ok(check: str, what: str) -> Finding:
    return Finding(check, "ok", what)


def warn(check: str, what: str, do: str) -> Finding:
    return Finding(check, "warn", what, do)


def fail(check: str, what: str, do: str) -> Finding:
    return Finding(check, "fail", what, do)


def worst(findings: Sequence[Finding]) -> int:
    """0: all is well, 1: warnings, 2: something does not work. The exit code."""
    return max((_SEVERITY.index(finding.status) for finding in findings), default=0)


def line(finding: Finding, colour: bool) -> str:
    """As text; what to do stands on a line of its own."""
    status = finding.status.ljust(4)
    if colour:
        status = click.style(status, fg=_COLOURS[finding.status], bold=True)
    text = f"{status}  {finding.check:<20} {printable(finding.what)}"
    return f"{text}\n{'':<28}-> {printable(finding.do)}" if finding.do else text


def document(findings: Sequence[Finding]) -> str:
    """As JSON."""
    status = _SEVERITY[worst(findings)]
    return json.dumps({"status": status, "findings": [asdict(each) for each in findings]}, indent=2) + "\n"

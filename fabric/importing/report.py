"""What an import has to say: what is missing, what was assumed, what was left out, what to look at."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, get_args

#: gap: the inventory does not load before it is filled in; missing: it loads, but something will not work;
#: assumed: put in by a rule; left_out: was in the source and is not in the inventory; check: looks wrong.
Level = Literal["gap", "missing", "assumed", "left_out", "check"]

LEVEL_WORDS: dict[Level, str] = {
    "gap": "to fill in, before the inventory loads",
    "missing": "missing; the inventory loads without, but not all will work",
    "check": "to check: written as it stands",
    "assumed": "assumed",
    "left_out": "left out",
}

_SHOWN_MAX = 8
_NAME_CHARS_MAX = 100


class ImportRefused(ValueError):
    """A source cannot be read as what it is said to be. The message says where, and what to do."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that an import noticed."""

    level: Level
    what: str  # the kind of finding, a short name that does not change, e.g. "no-exporters"
    message: str  # for people
    elements: tuple[str, ...] = ()  # that it is about
    line: int | None = None  # of the written inventory, from 1


class ImportReport:
    """Findings in the order in which they came; those that differ in the element alone become one."""

    def __init__(self) -> None:
        self._elements: dict[tuple[Level, str, str, int | None], list[str]] = {}

    def add(self, level: Level, what: str, message: str, *elements: str, line: int | None = None) -> None:
        known = self._elements.setdefault((level, what, message, line), [])
        known.extend(elements)

    @property
    def findings(self) -> tuple[Finding, ...]:
        return tuple(
            Finding(level, what, message, tuple(elements), line)
            for (level, what, message, line), elements in self._elements.items()
        )

    def of(self, level: Level) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.findings if finding.level == level)


def report_document(findings: Iterable[Finding]) -> list[dict[str, Any]]:
    """The same as JSON: objects with `level`, `what`, `message`, `elements`, and `line` if it is known."""
    return [
        {"level": f.level, "what": f.what, "message": f.message, "elements": list(f.elements)}
        | ({} if f.line is None else {"line": f.line})
        for f in findings
    ]


def report_text(report: ImportReport) -> str:
    """The same for people, by level; long lists of elements are cut."""
    lines: list[str] = []
    for level, words in LEVEL_WORDS.items():
        findings = report.of(level)
        if findings:
            lines.append(f"{words}:")
            lines += [f"  - {_sentence(finding)}" for finding in findings]
    return "\n".join(lines)


def shown(name: object) -> str:
    """A name from elsewhere, fit for a terminal: no control characters, not endless."""
    text = str(name)
    if len(text) > _NAME_CHARS_MAX:
        text = text[:_NAME_CHARS_MAX] + "..."
    return text if text.isprintable() else text.encode("unicode_escape").decode("ascii")


def _sentence(finding: Finding) -> str:
    at = "" if finding.line is None else f"line {finding.line}: "
    if not finding.elements:
        return at + finding.message
    names = ", ".join(map(shown, finding.elements[:_SHOWN_MAX]))
    more = len(finding.elements) - _SHOWN_MAX
    return f"{at}{finding.message}: {names}" + (f" and {more} more" if more > 0 else "")


assert set(LEVEL_WORDS) == set(get_args(Level))

"""Block of docs/cli.md: the kinds of faults, from their source."""

from __future__ import annotations

from docs.generate.markdown import Block, code, table
from fabric.fault_kinds import ELEMENT_WORDS, KINDS, FaultKind, Parameter


def blocks() -> dict[str, Block]:
    return {"fault kinds": _kinds, "fault keys": _keys}


def _kinds() -> str:
    rows = [[code(name), _elements(kind), _names(kind), kind.doc] for name, kind in KINDS.items()]
    return table(["Kind", "Elements", "Keys", "What it does"], rows)


def _keys() -> str:
    known: dict[tuple[str, Parameter], list[str]] = {}
    for name, kind in KINDS.items():
        for key, parameter in kind.parameters.items():
            known.setdefault((key, parameter), []).append(code(name))
    rows = [
        [code(key), ", ".join(kinds), parameter.range.capitalize(), parameter.doc]
        for (key, parameter), kinds in known.items()
    ]
    return table(["Key", "Of", "Value", "Meaning"], rows)


def _elements(kind: FaultKind) -> str:
    # "a chip pair S/C1>C2" -> "chip pair"
    named = [ELEMENT_WORDS[each].split()[1:] for each in kind.elements]
    return ", ".join(" ".join(word for word in words if word.islower()) for words in named)


def _names(kind: FaultKind) -> str:
    written = [code(key) + (" (required)" if p.required else "") for key, p in kind.parameters.items()]
    return ", ".join([*written, *(["`for` (required)"] if kind.must_end else [])])

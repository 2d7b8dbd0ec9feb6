"""From a draft to the text of an inventory, with its gaps marked and named by their lines."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import yaml

from fabric.importing.assemble import assemble
from fabric.importing.draft import Draft, ImportOptions
from fabric.importing.report import ImportReport, shown
from fabric.inventory import dump_fabric
from fabric.model import Fabric
from fabric.validate import GAP, Problem, Where, problems_of


@dataclass(frozen=True, slots=True)
class Imported:
    text: str  # of the inventory file
    fabric: Fabric  # what it says; not valid unless `loads`
    report: ImportReport

    @property
    def loads(self) -> bool:
        """Whether the text can be read as an inventory as it is."""
        return not self.report.of("gap")


def import_draft(draft: Draft, options: ImportOptions, report: ImportReport, source: str) -> Imported:
    """The inventory of a draft. source: what it was read from, for the first line."""
    fabric = assemble(draft, options, report)
    problems = list(_gaps(fabric))
    text = _heading(source, bool(problems)) + dump_fabric(fabric)
    if problems:
        root = yaml.compose(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        assert root is not None, "an inventory is never empty"
        for problem in problems:
            report.add("gap", "gap", problem.message, line=_line(root, problem.where))
    return Imported(text, fabric, report)


def _gaps(fabric: Fabric) -> Iterator[Problem]:
    for row, switch in enumerate(fabric.switches):
        if switch.tier == GAP:
            message = (
                f"{switch.name}: its tier is not known; write it (of a ToR that takes no IP-in-IP also "
                "`decapsulates: false`)"
            )
            yield Problem(("switches", row, "tier"), message)
    yield from problems_of(fabric)


def _heading(source: str, has_gaps: bool) -> str:
    lines = [f"# Imported from {shown(source)}."]
    if has_gaps:
        lines.append(
            f"# What could not be known is written {GAP}. It does not load before that is filled in."
        )
    return "\n".join(lines) + "\n"


def _line(root: yaml.Node, where: Where) -> int:
    """Line of the element at that path, from 1; of the nearest one around it that there is."""
    node = root
    for step in where:
        inside: yaml.Node | None = None
        if isinstance(node, yaml.MappingNode):
            inside = next((value for key, value in node.value if key.value == step), None)
        elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
            inside = node.value[step]
        if inside is None:
            break
        node = inside
    return int(node.start_mark.line) + 1

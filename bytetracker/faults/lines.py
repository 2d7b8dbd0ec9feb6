"""Faults as text: a table, one line per event, JSON, CSV. Pure.

Names come from packets and files of others: control characters in them never reach a terminal.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from typing import Any

import click

from bytetracker.faults.fault import Fault
from bytetracker.moments import told

_COLOURS = {"critical": "red", "warning": "yellow", "info": "cyan"}
_HEADINGS = ("since (UTC)", "state", "severity", "kind", "suspect", "loss", "story")
_STORY = len(_HEADINGS) - 1
_GAP = "  "


def printable(text: str) -> str:
    """Without line breaks and whatever a terminal would obey."""
    return "".join(each if each.isprintable() else "�" for each in " ".join(text.split()))


def table(faults: Sequence[Fault], width: int | None, colour: bool) -> str:
    """One row each; the story is cut to the width of the terminal (None: not cut)."""
    cells = [[*_HEADINGS], *(_cells(fault) for fault in faults)]
    widths = [max(len(row[at]) for row in cells) for at in range(_STORY)]
    lines = [
        _line(_HEADINGS, widths, width),
        _line(["-" * each for each in widths] + ["-----"], widths, width),
    ]
    for row, fault in zip(cells[1:], faults, strict=True):
        lines.append(_coloured(_line(row, widths, width), fault, colour))
    return "\n".join(lines) + "\n"


def event_line(fault: Fault, colour: bool) -> str:
    """One event on one line, as it happens; the time is that of the event."""
    marks = f" [silenced: {printable(fault.silenced)}]" if fault.silenced else ""
    if fault.part_of:
        marks += f" [part of {printable(fault.part_of)}]"
    text = (
        f"{told(fault.detected_at_us).removesuffix(' UTC')} {fault.state:<8} {fault.severity:<8} "
        f"{printable(fault.kind)} at {_suspect(fault)}: {printable(fault.story)}{marks}"
    )
    return _coloured(text, fault, colour)


def json_list(faults: Iterable[Fault]) -> str:
    """All in one list."""
    return json.dumps([fault.document() for fault in faults], indent=2) + "\n"


def json_line(fault: Fault) -> str:
    """One on a line of its own, without its end."""
    return json.dumps(fault.document())


def csv_head() -> str:
    """The first line of CSV, without its end."""
    return _csv(list(Fault.__dataclass_fields__))


def csv_line(fault: Fault) -> str:
    """One fault, without the end of line. Lists stand in a cell, separated by blanks."""
    values = {name: getattr(fault, name) for name in Fault.__dataclass_fields__}
    values["suspects"] = " ".join(f"{name}={share:g}" for name, share in fault.suspects)
    values["affected_servers"] = " ".join(fault.affected_servers)
    return _csv(["" if value is None else value for value in values.values()])


def _csv(values: Sequence[Any]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="").writerow(values)
    return out.getvalue()


def _cells(fault: Fault) -> list[str]:
    state = "open" if fault.state == "updated" else fault.state
    return [
        told(fault.first_seen_us).removesuffix(" UTC"),
        "silenced" if fault.silenced and not fault.is_over else state,
        fault.severity,
        printable(fault.kind),
        _suspect(fault),
        "" if fault.loss_rate is None else f"{fault.loss_rate:.3g}",
        printable(fault.story),
    ]


def _suspect(fault: Fault) -> str:
    if not fault.suspects:
        return "?"
    name, confidence = fault.suspects[0]
    more = f" +{len(fault.suspects) - 1}" if len(fault.suspects) > 1 else ""
    return f"{printable(name)} {confidence:.0%}{more}"


def _line(cells: Sequence[str], widths: Sequence[int], width: int | None) -> str:
    columns = [cell.ljust(size) for cell, size in zip(cells, widths, strict=False)]
    text = _GAP.join([*columns, cells[_STORY]]).rstrip()
    return text if width is None or len(text) <= width else text[: max(1, width - 1)] + "…"


def _coloured(text: str, fault: Fault, colour: bool) -> str:
    if not colour:
        return text
    if fault.is_over:
        return click.style(text, fg="green")
    return click.style(text, fg=_COLOURS.get(fault.severity), dim=bool(fault.silenced))

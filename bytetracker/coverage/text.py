"""Coverage for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bytetracker.moments import told

_NAMES = {"port": "switch ports", "link": "directed links", "chip_pair": "chip pairs"}
UNSEEN_SHOWN = 20


def report_text(record: dict[str, Any]) -> str:
    """A record of the topic coverage."""
    lines = [
        f"at {told(record['slot_us'])}: crossed in the last {record['window_us'] // 1_000_000} s",
        "",
        *_table(
            ["", "crossed", "can be crossed", "in the inventory", ""],
            [
                [
                    _NAMES[c["element_class"]],
                    f"{c['seen']:,}",
                    f"{c['crossable']:,}",
                    f"{c['total']:,}",
                    _share(c["seen"], c["crossable"]),
                ]
                for c in record["classes"]
            ],
        ),
    ]
    unseen = record["unseen"]
    if unseen:
        lines += ["", "not crossed:"]
        for each in unseen[:UNSEEN_SHOWN]:
            last_us = each["last_seen_us"]
            lines.append(f"  {each['element']}, {'never' if last_us < 0 else 'last at ' + told(last_us)}")
        if len(unseen) > UNSEEN_SHOWN:
            lines.append(f"  and {len(unseen) - UNSEEN_SHOWN:,} more (--format json lists up to 1,000)")
    return "\n".join(lines)


def measured_text(documents: Sequence[dict[str, Any]]) -> str:
    """What `bytetracker.coverage.measure.Measured.document` says of some fabrics."""
    rows = []
    for each in documents:
        crossed = {
            c["element_class"]: f"{c['crossed']:,} of {c['crossable']:,}" if c["crossable"] else "none"
            for c in each["classes"]
        }
        rows.append(
            [
                each["fabric"],
                f"{each['servers']:,}",
                *(crossed[name] for name in _NAMES),
                _after(each["crossed_after_s"]),
                f"{each['fewest_probes']:,}",
                f"{each['lower_bound']:,}",
                f"{each['fewest_probes'] / max(1, each['lower_bound']):.3f}",
                _after(each["chosen_crossed_after_s"]),
                f"{each['groups_apart']:.1%}",
            ]
        )
    head = ["fabric", "servers", "ports", "links", "chip pairs"]
    head += ["plan: all after", "fewest probes", "bound", "ratio", "chosen: all after", "groups apart"]
    lines = _table(head, rows)
    shared = [each["fabric"] for each in documents if each["probers_per_target"]]
    if shared:
        lines += ["", f"Probers share the targets (probers_per_target: 1): {', '.join(shared)}"]
    for each in documents:
        if each["missing"]:
            lines.append(f"{each['fabric']}: no known flow crosses {', '.join(each['missing'])}")
    return "\n".join(lines)


def choice_text(document: dict[str, Any], path: str) -> str:
    """What was chosen and written."""
    classes = ", ".join(
        f"{c['crossed']:,} of {c['crossable']:,} {_NAMES[c['element_class']]}"
        for c in document["classes"]
        if c["crossable"]
    )
    return (
        f"{path}: {document['flows']:,} flows to {document['targets']:,} targets and over "
        f"{document['steps']:,} East-West steps, for {document['probers']} Prober(s). "
        f"{document['fewest_probes']:,} of the flows cross {classes}; no fewer than "
        f"{document['lower_bound']:,} could. Groups apart: {document['groups_apart']:.1%}."
    )


def _after(seconds: float | None) -> str:
    return "never" if seconds is None else f"{seconds:.2f} s"


def _share(seen: int, crossable: int) -> str:
    if not crossable:
        return ""
    # Never "100 %" while something is missing.
    return "100 %" if seen == crossable else f"{min(99.999, 100 * seen / crossable):.3f} %"


def _table(head: list[str], rows: list[list[str]]) -> list[str]:
    """Lines; the first column to the left, the others to the right."""
    width = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    return [
        "  ".join(
            cell.ljust(width[i]) if i == 0 else cell.rjust(width[i]) for i, cell in enumerate(row)
        ).rstrip()
        for row in [head, *rows]
    ]

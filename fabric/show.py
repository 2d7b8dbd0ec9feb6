"""The elements of a fabric for people (tables) and for programs (JSON): `bytetracker fabric show`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from fabric.model import Fabric, Switch


def fabric_document(fabric: Fabric) -> dict[str, Any]:
    """What `--json` prints. Other programs rely on `switches` (name, tier, pod, chips), `links` (from, to),
    `servers` (name, tor) and `probers`; more keys may be added."""
    return {
        "fabric": fabric.name,
        "switches": [
            {"name": s.name, "tier": s.tier, "pod": s.pod, "chips": [chip.name for chip in s.chips]}
            for s in fabric.switches
        ],
        "links": [{"from": link.from_name, "to": link.to_name} for link in fabric.links],
        "servers": [
            {"name": s.name, "tor": s.tor, "addresses": list(s.addresses), "answers": s.answers}
            for s in fabric.servers
        ],
        "probers": [{"name": p.name, "switch": p.switch, "address": p.address} for p in fabric.probers],
        "collectors": [{"name": c.name, "address": c.address} for c in fabric.collectors],
    }


def fabric_text(fabric: Fabric) -> str:
    """What is printed without `--json`: one table for each sort of element."""
    # Each cable once: links to servers and Probers are in their tables, the way back goes without saying.
    number = {switch.name: switch.number for switch in fabric.switches}
    cables = [link for link in fabric.switch_links if number[link.from_name] < number[link.to_name]]
    sections = [
        f"fabric {fabric.name}: {len(fabric.switches)} switches, {len(fabric.links)} directed links, "
        f"{len(fabric.servers)} servers, {len(fabric.probers)} probers",
        _table(
            ("SWITCH", "TIER", "POD", "CHIPS", "PORTS", "MIRROR", "NOTE"),
            (
                (
                    s.name,
                    s.tier,
                    s.pod or "-",
                    " ".join(chip.name for chip in s.chips) if s.is_multi_chip else "-",
                    str(len(s.ports)),
                    f"erspan-{s.dialect}" if s.dialect != "teb" else "gre-teb",
                    _note(s),
                )
                for s in fabric.switches
            ),
        ),
        _table(("LINK (A~B; the way back is B~A)",), ((link.name,) for link in cables)),
        _table(
            ("SERVER", "TOR", "ADDRESSES", "NOTE"),
            (
                (s.name, s.tor, " ".join(s.addresses), "" if s.answers else "known to be silent")
                for s in fabric.servers
            ),
        ),
        _table(
            ("PROBER", "NUMBER", "SWITCH", "ADDRESS"),
            ((p.name, str(p.number), p.switch, p.address) for p in fabric.probers),
        ),
    ]
    return "\n\n".join(sections)


def _note(switch: Switch) -> str:
    notes = ["decapsulates"] * switch.decapsulates + ["drained"] * switch.drained
    return ", ".join(notes)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )

"""A network that is made up, in the shapes of the console's API (docs/decisions/0028).

For what a real run cannot give at will: a fabric of thousands of switches, names full of markup and SQL,
parts of the pipeline that are away. Nothing here is measured; the tests of faults run against a real demo.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from console.queries.matrix import PAIRS_MAX
from fabric.index import FabricIndex
from fabric.model import TIER_RANK, Fabric

#: Event time of everything here, us since 1970: 2026-03-01 10:42:07 UTC.
NOW_US = 1_772_361_727_000_000
WINDOW_US = 10_000_000
SLOT_US = 250_000
MINUTE_US = 60_000_000


def as_it_is(name: str) -> str:
    return name


@dataclass
class FakeWorld:
    """What the fake API answers. `rename` is applied to every name that a person chose.

    `away`: "store", "broker"; `token`: asked for when it is not empty.
    """

    fabric: Fabric
    rename: Callable[[str], str] = as_it_is
    away: set[str] = field(default_factory=set)
    token: str = ""
    silences: list[dict[str, Any]] = field(default_factory=list)
    #: [cable, reverse, passed, lost, altered, missing]
    bad: list[list[int]] = field(default_factory=list)
    faults: list[dict[str, Any]] = field(default_factory=list)

    now_us: int = NOW_US

    def __post_init__(self) -> None:
        self.index = FabricIndex(self.fabric)
        self.row = {switch.name: row for row, switch in enumerate(self.fabric.switches)}
        self.tiers = sorted({s.tier for s in self.fabric.switches}, key=lambda t: (-TIER_RANK[t], t))
        ends = {
            (min(a, b), max(a, b))
            for link in self.fabric.links
            if (a := self.row.get(link.from_name)) is not None
            and (b := self.row.get(link.to_name)) is not None
        }
        self.cables = [list(pair) for pair in sorted(ends)]

    # --- making things wrong -----------------------------------------------------------------------

    def cable(self, link: str) -> tuple[int, int]:
        """Index of the cable of a directed link, and whether the link is its reverse."""
        a, b = (self.row[name] for name in link.split("~"))
        return self.cables.index([min(a, b), max(a, b)]), int(a > b)

    def lose(self, link: str, lost: int = 30, passed: int = 70, altered: int = 0) -> None:
        """Something is lost on a link now."""
        cable, reverse = self.cable(link)
        self.bad.append([cable, reverse, passed, lost, altered, 0])

    def fault(self, element: str, **changes: Any) -> dict[str, Any]:
        """Open a fault at an element; gives it as the API tells it."""
        name = self.element(element)
        made = {
            "fault_id": f"{len(self.faults) + 1:016x}",
            "version": 1,
            "state": "open",
            "kind": "network_loss",
            "severity": "critical",
            "suspects": [{"element": name, "confidence": 0.93}],
            "direction": name if "~" in element else "",
            "loss_rate": 0.3,
            "loss_rate_low": 0.27,
            "loss_rate_high": 0.33,
            "probes_bad": 30,
            "probes_total": 100,
            "first_seen_us": NOW_US - 42_000_000,
            "last_seen_us": NOW_US - 1_000_000,
            "detected_at_us": NOW_US - 1_500_000,
            "opened_at_us": NOW_US - 41_000_000,
            "resolved_at_us": None,
            "affected_servers": [self.rename(s.name) for s in self.fabric.servers[:30]],
            "example_probes": [{"probe_id": "4294967304", "sent_at_us": NOW_US - 5_000_000}],
            "story": f"About 30 % of the probes at {name} were lost (30 of 100).",
            "legs": ["probe", "reply"],
            "bits": [],
            "silenced": "",
            "flaps": 0,
            "part_of": "",
            **changes,
        }
        self.faults.append(made)
        return made

    def element(self, name: str) -> str:
        """The name of an element after renaming what it is put together from."""
        if "~" in name:
            return "~".join(self.rename(end) for end in name.split("~"))
        for separator in "/:":
            owner, found, rest = name.partition(separator)
            if found and owner in self.row:
                return f"{self.rename(owner)}{separator}{rest}"
        return self.rename(name)

    # --- answers -----------------------------------------------------------------------------------

    def overview(self) -> dict[str, Any]:
        return {
            "name": self.rename(self.fabric.name),
            "switches": len(self.fabric.switches),
            "servers": len(self.fabric.servers),
            "now_us": NOW_US,
            "probes_per_s": 1234.5,
            "loss_rate": 0.0021,
            "coverage_share": 0.998,
            **{part: part not in self.away for part in ("broker", "store")},
            "store_advice": "Start ClickHouse." if "store" in self.away else "",
            "broker_advice": "",
            "read_only": False,
            "user": "",
            "lag_us": 1_250_000,
            "silent_rate": 0.0,
            "probers": len(self.fabric.probers),
            "faults": {"critical": 1},
            "silenced": 0,
        }

    def whole(self) -> dict[str, Any]:
        """GET fabric."""
        servers = [0] * len(self.fabric.switches)
        for server in self.fabric.servers:
            servers[self.row[server.tor]] += 1
        return {
            "name": self.rename(self.fabric.name),
            "tiers": self.tiers,
            "pods": [self.rename(pod) for pod in self.index.pods],
            "switches": [
                {
                    "name": self.rename(switch.name),
                    "tier": self.tiers.index(switch.tier),
                    "pod": int(self.index.pod[row]),
                    "chips": len(switch.chips),
                    "drained": switch.drained,
                }
                for row, switch in enumerate(self.fabric.switches)
            ],
            "cables": self.cables,
            "servers_by_switch": servers,
            "probers": [
                {"name": self.rename(p.name), "switch": self.row[p.switch]} for p in self.fabric.probers
            ],
        }

    def switch(self, name: str) -> dict[str, Any] | None:
        """GET fabric/switches/{name}; None if there is none."""
        found = next((s for s in self.fabric.switches if self.rename(s.name) == name), None)
        if found is None:
            return None
        return {
            "name": name,
            "tier": found.tier,
            "pod": self.rename(found.pod) if found.pod else None,
            "chips": [{"label": chip.label, "role": chip.role} for chip in found.chips],
            "ports": [
                {
                    "number": port.number,
                    "name": port.name,
                    "chip": port.chip,
                    "peer": self.rename(port.peer),
                    "peer_kind": "switch" if port.peer in self.row else "server",
                    "mirrored": True,
                }
                for port in found.ports
            ],
            "servers": [self.rename(s.name) for s in self.fabric.servers if s.tor == found.name],
            "drained": found.drained,
            "decapsulates": found.decapsulates,
            "address": found.address,
            "mirror": f"ERSPAN type {found.dialect}",
            "exporter_addresses": list(found.exporter_addresses),
            "maintenance": [],
        }

    def links_now(self) -> dict[str, Any]:
        size = (2 * len(self.cables) + 7) // 8
        crossed = base64.b64encode(b"\xff" * size).decode()
        return {"at_us": NOW_US, "window_us": WINDOW_US, "crossed": crossed, "bad": self.bad}

    def fault_page(self, fault: dict[str, Any]) -> dict[str, Any]:
        bits = [
            {"byte_offset": offset, "bit": bit, "to_one": one, "to_zero": zero}
            for offset, bit, one, zero in ((40, 3, 12, 0), (41, 3, 0, 4), (197, 7, 2, 2), (300, 0, 1, 0))
        ]
        return {
            "fault": fault,
            "events": [fault],
            "parts": [],
            "bits": bits if fault["kind"] == "alteration" else [],
            "examples": self.probes()[:3],
        }

    def evidence(self) -> dict[str, Any]:
        slots = list(range(NOW_US - 60_000_000, NOW_US, SLOT_US))
        lost = [(i * 7 % 5) if i > len(slots) // 3 else 0 for i in range(len(slots))]
        links = [self.element(f"{a}~{b}") for a, b in self._some_links(3)]
        return {
            "slot_us": slots,
            "slot_length_us": SLOT_US,
            "series": [
                {
                    "link": link,
                    "leg": "probe",
                    "passed": [12] * len(slots),
                    "lost": lost if i == 0 else [0] * len(slots),
                    "altered": [0] * len(slots),
                    "missing": [0] * len(slots),
                }
                for i, link in enumerate(links)
            ],
        }

    def _some_links(self, many: int) -> list[tuple[str, str]]:
        names = [switch.name for switch in self.fabric.switches]
        return [(names[a], names[b]) for a, b in self.cables[:many]]

    def probes(self) -> list[dict[str, Any]]:
        """ProbeSummary rows."""
        server = self.fabric.servers[0]
        near, far = self._some_links(1)[0]
        return [
            {
                "probe_id": str(4_294_967_296 + 8 * i),
                "sent_at_us": NOW_US - i * 333_000,
                "kind": "north_south",
                "verdict": verdict,
                "reason": f"last seen at {self.rename(near)}, not at {self.rename(far)}",
                "prober": self.rename(self.fabric.probers[0].name),
                "target": self.rename(server.name),
                "via": "",
                "rtt_us": 181.25 if verdict == "ok" else None,
                "last_seen": "" if verdict == "ok" else self.rename(near),
                "next_node": "" if verdict == "ok" else self.rename(far),
                "fault_leg": "" if verdict == "ok" else "probe",
            }
            for i, verdict in enumerate(("network_loss", "ok", "altered", "host_silent", "network_loss"))
        ]

    def probe(self, probe_id: str) -> dict[str, Any]:
        """One probe that was lost between a leaf and a ToR, with one copy missing before."""
        server = self.fabric.servers[0]
        tor = next(s for s in self.fabric.switches if s.name == server.tor)
        leaf = next(p.peer for p in tor.ports if p.peer in self.row)
        spine = next(s.name for s in self.fabric.switches if s.tier == "spine")
        border = self.fabric.probers[0].switch
        sent_us = NOW_US - 5_000_000

        def node(
            name: str, kind: str, ttl: int | None, at_us: int | None, altered: bool = False
        ) -> dict[str, Any]:
            return {
                "name": self.rename(name),
                "kind": kind,
                "port": "Ethernet1" if ttl else None,
                "ttl": ttl,
                "at_us": at_us,
                "altered": altered,
                "seen": ttl is not None,
                "expected": True,
            }

        return {
            **self.probes()[0],
            "probe_id": probe_id,
            "sampled": False,
            "sent_at_us": sent_us,
            "target_address": server.addresses[0],
            "source_port": 33434,
            "destination_port": 65111,
            "reply_kind": "none",
            "reply_ttl": None,
            "last_seen": self.rename(leaf),
            "next_node": self.rename(tor.name),
            "legs": [
                {
                    "leg": "probe",
                    "nodes": [
                        node(self.fabric.probers[0].name, "prober", None, None),
                        node(border, "switch", 64, sent_us + 31),
                        node(spine, "switch", None, None),
                        node(leaf, "switch", 62, sent_us + 92, altered=True),
                        node(tor.name, "switch", None, None),
                        node(server.name, "server", None, None),
                    ],
                },
            ],
            "alterations": [{"byte_offset": 40, "xor_mask": 8, "sent": 0, "seen": 8}],
        }

    def matrix(self, level: str, pod_from: str, pod_to: str) -> dict[str, Any] | None:
        if level == "pod":
            rows = columns = [self.rename(pod) for pod in self.index.pods]
        else:
            rows, columns = self._tors(pod_from), self._tors(pod_to)
        if len(rows) * len(columns) > PAIRS_MAX:
            return None
        cells = [self._cell(r, c) for r in range(len(rows)) for c in range(len(columns)) if (r, c) != (1, 1)]
        span = {"from_us": NOW_US - 5 * MINUTE_US, "to_us": NOW_US}
        return {"rows": rows, "columns": columns, "cells": cells, **span}

    @staticmethod
    def _cell(r: int, c: int) -> list[float]:
        lost = (r * 31 + c * 17) % 97 if (r + 2 * c) % 9 == 2 else 0
        return [r, c, 1000, 998 - lost, lost, 2, 0, 120.0 + (r * 13 + c * 7) % 150, 900.5]

    def _tors(self, pod: str) -> list[str]:
        return [
            self.rename(s.name)
            for s in self.fabric.switches
            if s.tier == "tor" and pod in ("", self.rename(s.pod or ""))
        ]

    def span(self) -> dict[str, Any]:
        start = NOW_US // MINUTE_US * MINUTE_US - 120 * MINUTE_US
        return {
            "from_us": start,
            "to_us": start + 120 * MINUTE_US,
            "minutes": [
                {
                    "minute_us": start + i * MINUTE_US,
                    "probes": 70_000,
                    "lost": 900 * (i % 30 > 24),
                    "silent": 3,
                }
                for i in range(120)
            ],
        }

    def coverage(self) -> dict[str, Any]:
        ports = [f"{s.name}:{s.ports[0].name}" for s in self.fabric.switches[:3]]
        classes = [
            {
                "element_class": name,
                "total": 500,
                "crossable": 480,
                "seen": 480 - len(unseen),
                "unseen": unseen,
            }
            for name, unseen in (
                ("port", [self.element(port) for port in ports]),
                ("link", [self.element("~".join(pair)) for pair in self._some_links(2)]),
                ("chip_pair", []),
            )
        ]
        history = [
            {"slot_us": NOW_US - i * MINUTE_US, "element_class": one["element_class"], "share": 1 - i / 200}
            for i in range(30)
            for one in classes
        ]
        return {"slot_us": NOW_US, "window_us": 60_000_000, "classes": classes, "history": history}

    def health(self) -> dict[str, Any]:
        return {
            "exporters": [
                {
                    "switch": self.rename(s.name),
                    "received": 10_000 + i,
                    "missing": 3 * i,
                    "lost_in_transit": 0,
                    "missing_rate": 3 * i / 10_000,
                    "newest_us": NOW_US,
                }
                for i, s in enumerate(self.fabric.switches[:120])
            ],
            "sources": [
                {
                    "source": self.rename(p.name),
                    "kind": "prober",
                    "lag_us": 12_000,
                    "rows_per_s": 512.0,
                    "last_us": NOW_US,
                }
                for p in self.fabric.probers
            ],
            "late": {"late_outcomes": 0, "late_digests": 3, "duplicates": 0},
            "dead_letters": [
                {
                    "topic": "mirror-digests",
                    "reason": "cut short",
                    "messages": 2,
                    "example": self.rename("bytes"),
                    "newest_us": NOW_US,
                }
            ],
            "pipeline": [
                {"part": part, "what": "stored 12 345 rows", "last_us": NOW_US}
                for part in ("worker", "localiser", "sink")
            ],
        }

    def search(self, asked: str) -> list[dict[str, str]]:
        names = [
            *(("switch", s.name) for s in self.fabric.switches),
            *(("server", s.name) for s in self.fabric.servers[:500]),
            *([("probe", asked)] if asked.isdecimal() else []),
        ]
        found = [{"kind": kind, "name": self.rename(name)} for kind, name in names]
        return [one for one in found if asked.lower() in one["name"].lower()][:20]

    def question(self) -> dict[str, str]:
        return {
            "name": "now",
            "section": "Faults",
            "question": self.rename("What is wrong now?"),
            "meaning": "The open faults.",
            "sql": "SELECT 1",
        }

    def table(self) -> dict[str, Any]:
        columns = [{"name": "kind", "type": "String", "meaning": self.rename("what it is")}]
        return {"name": "fault_history", "kind": "view", "meaning": "One row a fault.", "columns": columns}

    def answer(self) -> dict[str, Any]:
        """POST sql."""
        return {
            "names": ["minute", "target", "probes", "loss"],
            "types": ["DateTime64(6)", "String", "UInt64", "Float64"],
            "rows": [
                [f"2026-03-01 10:{i:02}:00", self.rename(f"server-{i}"), i * 10, i / 100 if i % 7 else None]
                for i in range(40)
            ],
            "truncated": False,
            "elapsed_ms": 12.5,
        }

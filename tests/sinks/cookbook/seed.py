"""A world into a store, through the sink's own code: real messages, decoded, gathered, and inserted twice."""

from __future__ import annotations

from typing import Any

from schemas import topics
from schemas.nodes import UNKNOWN_NODE
from schemas.rows import Kind, Leg
from sinks.batching import Gathered
from sinks.columns import Origin
from sinks.inventory import inventory_rows
from sinks.migrate import migrate
from sinks.names import NodeNames
from sinks.rollup import roll_up
from sinks.rows import rows_of_message
from sinks.store import Store
from tests.sinks.cookbook.world import Counts, Path, Slot, World
from tests.sinks.examples import as_message

_LEGS = {leg.name.lower(): int(leg) for leg in Leg}
_KINDS = {kind.name.lower(): int(kind) for kind in Kind}
_STRAYS = {"loop": 5, "unexpected_path": 6}
_RESULTS_PER_MESSAGE = 300


def fill(store: Store, world: World) -> None:
    """Tables, views, the inventory (an older one too), and every message twice, as after a crash of the sink.
    The older minutes are rolled up, the newer ones are not."""
    migrate(store)
    for loaded_at_us in (1, 2):
        for rows in inventory_rows(world.fabric, loaded_at_us):
            store.insert(rows.table, rows.columns)
    names = NodeNames(world.fabric)
    for start in (0, 1_000_000):
        gathered = Gathered()
        for offset, (topic, value) in enumerate(messages(world), start):
            rows_found = rows_of_message(as_message(topic, value), Origin(topic, 0, offset), names)
            gathered.add(topic, 0, offset, rows_found)
        for each in gathered.inserts():
            store.insert(each.table, each.columns)
    roll_up(store, 60)


def messages(world: World) -> list[tuple[str, dict[str, Any]]]:
    """(topic, message as plain values)."""
    found = [(topics.EVIDENCE, _evidence(slot, world)) for slot in world.slots.values()]
    found += [
        (topics.EVIDENCE, _head(given_us, -1) | {"commands": [command]})
        for given_us, command in world.commands
    ]
    for start in range(0, len(world.results), _RESULTS_PER_MESSAGE):
        rows = world.results[start : start + _RESULTS_PER_MESSAGE]
        found.append((topics.RESULTS, {"partition": 0, "rows": rows}))
    found += [(topics.FAULTS, event) for event in world.faults]
    found += [(topics.COVERAGE, report) for report in world.coverage]
    found += [(topics.DEAD_LETTERS, letter) for letter in world.dead_letters]
    return found


def _head(at_us: int, partition: int) -> dict[str, Any]:
    return {
        "partition": partition,
        "slot_us": at_us,
        "slot_length_us": 250_000,
        "watermark_us": at_us + 1_250_000,
        "probes": 0,
        "digests": 0,
        "verdicts": {},
        "late_outcomes": 0,
        "late_digests": 0,
        "duplicates": 0,
        "silent_sources": [],
        "exporters": [],
        "examples": [],
        "commands": [],
        "rows": [],
    }


def _evidence(slot: Slot, world: World) -> dict[str, Any]:
    def node(name: str) -> int:
        return world.fabric.node(name) if name else UNKNOWN_NODE

    def chip(name: str) -> int:
        if not name:
            return -1
        chips = world.fabric.switch_by_name[name.split("/", maxsplit=1)[0]].chips
        return [each.name for each in chips].index(name)

    def packed(path: Path) -> str:
        nodes = [node(name) for name in path.switches]
        eight = nodes + [UNKNOWN_NODE] * (8 - len(nodes))
        return b"".join(each.to_bytes(4, "big", signed=True) for each in eight).decode("latin-1")

    def counted(counts: Counts) -> dict[str, int]:
        return {"passed": counts.passed, "lost": counts.lost, "altered": counts.altered}

    return {
        **_head(slot.at_us, slot.partition),
        "probes": slot.probes,
        "late_outcomes": slot.late_outcomes,
        "late_digests": slot.late_digests,
        "duplicates": slot.duplicates,
        "silent_sources": list(slot.silent_sources),
        "exporters": [
            {"switch": node(name), "received": received, "lost": lost}
            for name, (received, lost) in slot.mirrors.items()
        ],
        "rows": [
            {"from_node": node(near), "to_node": node(far), "leg": _LEGS[leg]}
            | counted(counts)
            | {"mirror_missing": counts.missing}
            for (near, far, leg), counts in slot.links.items()
        ],
        "pairs": [
            {"kind": _KINDS[kind], "from_node": node(near), "to_node": node(far), "probes": pair.probes}
            | {"answered": pair.answered, "network_lost": pair.network_lost, "silent": pair.silent}
            | {"altered": pair.altered, "rtt_sum_ns": pair.rtt_sum_ns, "rtt_max_ns": pair.rtt_max_ns}
            for (kind, near, far), pair in slot.pairs.items()
        ],
        "turns": [
            {"switch": node(near.split("/")[0]), "from_chip": chip(near), "to_chip": chip(far)}
            | {"leg": _LEGS[leg]}
            | counted(counts)
            for (near, far, leg), counts in slot.turns.items()
        ],
        "strays": [
            {"verdict": _STRAYS[verdict], "from_node": node(near), "to_node": node(far), "leg": _LEGS[leg]}
            | {"probes": probes}
            for (verdict, near, far, leg), probes in slot.strays.items()
        ],
        "bits": [
            {"from_node": node(near), "to_node": node(far), "leg": _LEGS[leg], "byte_offset": byte}
            | {"bit": bit, "to_one": to_one, "to_zero": to_zero}
            for (near, far, leg, byte, bit), (to_one, to_zero) in slot.bits.items()
        ],
        "fates": [
            {"from_node": node(near), "to_node": node(far), "leg": _LEGS[leg]}
            | {"lost_again": again, "recovered": recovered}
            for (near, far, leg), (again, recovered) in slot.fates.items()
        ],
        "paths": [
            {"prober": node(path.prober), "target": node(path.target), "via": node(path.via)}
            | {"source_port": path.source_port, "leg": _LEGS[path.leg], "switches": packed(path)}
            for path in slot.paths
        ],
    }

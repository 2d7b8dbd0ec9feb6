"""What happened, as plain values: the store is filled from them, and the answers expected of it are worked
out from them without SQL."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

from fabric.builtin import builtin_fabric
from fabric.model import Fabric

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: (from, to, leg), names.
LinkKey = tuple[str, str, str]


def at(text: str) -> int:
    """`2026-03-08 03:00` UTC as us since 1970."""
    return (datetime.fromisoformat(text).replace(tzinfo=UTC) - EPOCH) // timedelta(microseconds=1)


def moment(us: int) -> datetime:
    """As the store answers it."""
    return EPOCH + timedelta(microseconds=us)


@dataclass(slots=True)
class Counts:
    """Packets on a link and leg, or between two chips."""

    passed: int = 0
    lost: int = 0
    altered: int = 0
    missing: int = 0  # mirror copies


@dataclass(slots=True)
class Pair:
    """Probes between two switches."""

    probes: int
    network_lost: int = 0
    silent: int = 0
    altered: int = 0
    rtt_sum_ns: int = 0
    rtt_max_ns: int = 0

    @property
    def answered(self) -> int:
        return self.probes - self.network_lost - self.silent


@dataclass(slots=True)
class Slot:
    """What one input partition says of one slot."""

    at_us: int
    partition: int
    links: dict[LinkKey, Counts] = field(default_factory=dict)
    pairs: dict[tuple[str, str, str], Pair] = field(default_factory=dict)  # kind, from, to
    turns: dict[tuple[str, str, str], Counts] = field(default_factory=dict)  # chips from, to ("": ?), leg
    strays: dict[tuple[str, str, str, str], int] = field(default_factory=dict)  # verdict, from, to, leg
    #: from, to, leg, byte, bit -> packets in which it became 1, and 0
    bits: dict[tuple[str, str, str, int, int], tuple[int, int]] = field(default_factory=dict)
    paths: list[Path] = field(default_factory=list)
    fates: dict[LinkKey, tuple[int, int]] = field(default_factory=dict)  # flows lost again, and recovered
    mirrors: dict[str, tuple[int, int]] = field(default_factory=dict)  # switch -> received, lost
    silent_sources: tuple[str, ...] = ()
    late_outcomes: int = 0
    late_digests: int = 0
    duplicates: int = 0

    @property
    def probes(self) -> int:
        return sum(pair.probes for pair in self.pairs.values())


@dataclass(frozen=True, slots=True)
class Path:
    """Where a flow went on one leg."""

    prober: str
    target: str
    via: str
    source_port: int
    leg: str
    switches: tuple[str, ...]

    @property
    def flow(self) -> tuple[str, str, int]:
        return self.prober, self.via, self.source_port


@dataclass
class World:
    """Everything that was planted. Faults, results, reports and letters are messages, as in their schemas."""

    fabric: Fabric
    slots: dict[tuple[int, int], Slot] = field(default_factory=dict)
    results: list[dict[str, Any]] = field(default_factory=list)
    faults: list[dict[str, Any]] = field(default_factory=list)
    coverage: list[dict[str, Any]] = field(default_factory=list)
    dead_letters: list[dict[str, Any]] = field(default_factory=list)
    commands: list[tuple[int, dict[str, Any]]] = field(default_factory=list)  # given at, command

    def slot(self, text: str, partition: int = 0) -> Slot:
        return self.slots[at(text), partition]

    @property
    def newest_us(self) -> int:
        return max(at_us for at_us, _ in self.slots)

    def since(self, **ago: float) -> int:
        """So long before the newest slot, us."""
        return self.newest_us - timedelta(**ago) // timedelta(microseconds=1)

    def all_slots(self, after_us: int = 0) -> Iterator[Slot]:
        return (slot for slot in self.slots.values() if slot.at_us > after_us)

    @cached_property
    def servers(self) -> set[str]:
        return set(self.fabric.server_by_name)

    def pod(self, name: str) -> str:
        """Of a switch, server or Prober; the switch itself where there is none."""
        server, prober = self.fabric.server_by_name.get(name), self.fabric.prober_by_name.get(name)
        switch = server.tor if server else prober.switch if prober else name
        return self.fabric.switch_by_name[switch].pod or switch

    def lives(self) -> dict[str, list[dict[str, Any]]]:
        """Events of every fault, in order."""
        found: dict[str, list[dict[str, Any]]] = {}
        for event in self.faults:
            found.setdefault(event["fault_id"], []).append(event)
        return found


def demo_fabric(**changes: Any) -> Fabric:
    """The built-in one, with a server that never answers."""
    fabric = builtin_fabric("demo")
    servers = tuple(
        replace(server, answers=False) if server.name == "server-2-4-4" else server
        for server in fabric.servers
    )
    return replace(fabric, servers=servers, **changes)

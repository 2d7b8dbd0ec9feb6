"""Chosen flows, and the file that carries them from `bytetracker coverage --choose` to the Probers.

    {"format": "bytetracker-flows", "version": 1, "fabric": "demo", "group_size": 3,
     "probers": {"prober-1": {
       "targets": {"server-1-1-1": [20017, 20233, 21000, ...], ...},
       "pairs": [["tor-1-1", "server-2-1-1", [20005, 20100, 20101]], ...]}}}

JSON. Names are those of the inventory; a Prober is a target too. Source ports stand in groups of
`group_size`: each group is probed at once, and is meant to take ways that lie apart. `pairs` are East-West
probes by a decapsulating ToR. Targets without an entry, and Probers without one, are probed as if there were
no file. Names that the inventory lacks are passed over and counted, so that a server that is taken away does
not make a file useless; everything else that is not as written here is refused.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fabric.model import Fabric, UnknownElement
from producers.plan_settings import PlanRefused, PlanSettings
from schemas.nodes import PROBER_BASE

FORMAT = "bytetracker-flows"
VERSION = 1
#: No file of a fabric that one Prober can number is larger.
BYTES_MAX = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class ProberFlows:
    """What one Prober shall use. `targets`: node -> source ports; `pairs`: (decapsulating ToR, target) ->
    source ports, all in whole groups."""

    targets: Mapping[int, tuple[int, ...]] = field(default_factory=dict)
    pairs: Mapping[tuple[int, int], tuple[int, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FlowChoice:
    """Chosen flows, by number of the Prober. `unknown`: entries with names that the inventory lacks."""

    group_size: int
    probers: Mapping[int, ProberFlows]
    unknown: int = 0


def read_flows(path: str | Path, fabric: Fabric, settings: PlanSettings) -> FlowChoice:
    """Raises PlanRefused, which names the file and what is wrong with it; a file that is missing or cannot
    be read is refused too."""
    try:
        if Path(path).stat().st_size > BYTES_MAX:
            raise PlanRefused(f"the flow file {path} is larger than {BYTES_MAX >> 20} MiB")
        document = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise PlanRefused(f"cannot read the flow file {path}: {error.strerror}") from error
    except ValueError as error:
        raise PlanRefused(f"the flow file {path} is no valid JSON: {error}") from error
    try:
        return _understood(document, fabric, settings)
    except _Wrong as error:
        raise PlanRefused(f"the flow file {path} cannot be used: {error}") from error


def write_flows(path: str | Path, choice: FlowChoice, fabric: Fabric) -> None:
    """Replace the file at once: who reads it sees the old one or the new one. Raises OSError."""
    name = fabric.node_name
    probers = {
        name(PROBER_BASE + number): {
            "targets": {name(target): list(ports) for target, ports in sorted(flows.targets.items())},
            "pairs": [[name(v), name(t), list(ports)] for (v, t), ports in sorted(flows.pairs.items())],
        }
        for number, flows in sorted(choice.probers.items())
    }
    head = {"format": FORMAT, "version": VERSION, "fabric": fabric.name, "group_size": choice.group_size}
    target = Path(path)
    beside = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        beside.write_text(json.dumps({**head, "probers": probers}) + "\n", encoding="utf-8")
        beside.replace(target)
    finally:
        beside.unlink(missing_ok=True)


class _Wrong(Exception):
    """What is wrong with a document."""


def _understood(document: Any, fabric: Fabric, settings: PlanSettings) -> FlowChoice:
    head = _mapping(document, "the document")
    if head.get("format") != FORMAT:
        raise _Wrong(f"its format is {head.get('format')!r}, not {FORMAT!r}")
    if head.get("version") != VERSION:
        raise _Wrong(f"its version is {head.get('version')!r}; this Prober understands {VERSION}")
    if head.get("fabric") != fabric.name:
        raise _Wrong(f"it was made for the fabric {head.get('fabric')!r}, the inventory is {fabric.name!r}")
    if head.get("group_size") != settings.group_size:
        raise _Wrong(
            f"it was made for groups of {head.get('group_size')!r}, the plan has {settings.group_size}; "
            f"choose again"
        )
    reader = _Reader(fabric, settings)
    probers: dict[int, ProberFlows] = {}
    for name, entry in _mapping(head.get("probers"), "probers").items():
        prober = fabric.prober_by_name.get(name)
        flows = reader.flows(_mapping(entry, f"prober {name}"))
        if prober is None:
            reader.unknown += 1
        else:
            probers[prober.number] = flows
    return FlowChoice(settings.group_size, probers, reader.unknown)


class _Reader:
    """Turns names into nodes and checks ports; counts names that the fabric lacks."""

    def __init__(self, fabric: Fabric, settings: PlanSettings) -> None:
        self._fabric, self._settings = fabric, settings
        self.unknown = 0

    def flows(self, entry: Mapping[str, Any]) -> ProberFlows:
        targets: dict[int, tuple[int, ...]] = {}
        pairs: dict[tuple[int, int], tuple[int, ...]] = {}
        for name, ports in _mapping(entry.get("targets", {}), "targets").items():
            checked = self._ports(name, ports)
            if (node := self._node(name)) is not None:
                targets[node] = checked
        listed = entry.get("pairs", [])
        if not isinstance(listed, list):
            raise _Wrong("pairs is no list")
        for each in listed:
            if not (isinstance(each, list) and len(each) == 3):
                raise _Wrong(f"an entry of pairs is not [ToR, target, ports] but {str(each)[:60]}")
            checked = self._ports(each[1], each[2])
            via, node = self._node(each[0]), self._node(each[1])
            if via is not None and node is not None:
                pairs[via, node] = checked
        return ProberFlows(targets, pairs)

    def _node(self, name: Any) -> int | None:
        if not isinstance(name, str):
            raise _Wrong(f"{str(name)[:60]} stands where a name belongs")
        try:
            return self._fabric.node(name)
        except UnknownElement:
            self.unknown += 1
            return None

    def _ports(self, name: Any, ports: Any) -> tuple[int, ...]:
        first, count = self._settings.source_port_first, self._settings.source_port_count
        if not isinstance(ports, list) or not ports or len(ports) % self._settings.group_size:
            raise _Wrong(f"{name}: source ports must be a list of whole groups")
        for port in ports:
            # Booleans are integers to Python, but no ports.
            if type(port) is not int or not first <= port < first + count:
                raise _Wrong(f"{name}: source port {port!r} is not in {first}..{first + count - 1}")
        return tuple(ports)


def _mapping(value: Any, what: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise _Wrong(f"{what} is no mapping")
    return value

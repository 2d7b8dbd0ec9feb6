"""The inventory file: a fabric as YAML, read with checks and written so that it reads back equal.

    fabric: edge
    probe_port: 65111
    dscp: 4
    target_prefixes: [10.0.0.0/8]
    collectors:
    - {name: collector-1, address: 100.127.0.1}
    switches:
    - name: tor-1-1
      number: 1
      tier: tor
      pod: pod-1
      address: 172.16.0.1
      exporters: [100.64.0.1]
      ports: [leaf-1-1, leaf-1-2, server-1-1-1]
    servers:
    - {name: server-1-1-1, number: 1, tor: tor-1-1, addresses: [10.1.1.10], answers: false}
    probers:
    - {name: prober-1, number: 1, address: 10.255.0.1, switch: border-1}
    maintenance:
    - {element: leaf-1-1, from: 2026-03-01T22:00:00+01:00, until: 2026-03-02T02:00:00+01:00, why: new optics}

A port is either the bare name of its peer (then it is `Ethernet<position>` on the switch's only chip) or a
mapping of `number`, `name`, `chip` and `peer`.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import yaml

from fabric.builtin import builtin_fabric, builtin_names
from fabric.maintenance import maintenance_document, read_maintenance
from fabric.model import (
    DEFAULT_DSCP,
    DEFAULT_PROBE_PORT,
    PORT_FIELD_BY_DIALECT,
    Chip,
    ChipRole,
    Collector,
    Dialect,
    Fabric,
    Port,
    PortField,
    Prober,
    Server,
    Switch,
    Tier,
)
from fabric.validate import Where, problems_of
from fabric.yaml_record import InventoryError, Record, compose_record

__all__ = ["InventoryError", "dump_fabric", "load_fabric", "parse_fabric"]

_ONLY_CHIP = "chip-1"
_SETTINGS = ("probe_port", "dscp", "target_prefixes", "collectors")


def load_fabric(name_or_path: str | Path) -> Fabric:
    """A built-in fabric by name, or the fabric of an inventory file.

    Raises InventoryError if there is neither, or if the file is unreadable or wrong.
    """
    path = Path(name_or_path)
    if path.suffix in (".yaml", ".yml") or path.is_file():
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InventoryError(f"cannot read the inventory {path}: {error}") from error
        return parse_fabric(text, str(path))
    try:
        return builtin_fabric(str(name_or_path))
    except KeyError:
        known = ", ".join(builtin_names())
        raise InventoryError(f"no fabric {str(name_or_path)!r}: neither a file nor one of {known}") from None
    except ValueError as error:
        raise InventoryError(str(error)) from error


def parse_fabric(text: str, source: str = "inventory") -> Fabric:
    """The fabric that a YAML document describes. `source` names it in errors.

    Raises InventoryError with the line of the first thing that is wrong.
    """
    # A large document makes millions of objects, none of them garbage. To look for garbage among them again
    # and again takes longer than to read it.
    was_on = gc.isenabled()
    gc.disable()
    try:
        return _parse(text, source)
    finally:
        if was_on:
            gc.enable()


def _parse(text: str, source: str) -> Fabric:
    document = compose_record(text, source, "the inventory")
    lines: dict[Where, int] = {(key,): document.line_of(key) for key in _SETTINGS}
    fabric = Fabric(
        name=document.text("fabric"),
        probe_port=document.integer("probe_port", DEFAULT_PROBE_PORT),
        dscp=document.integer("dscp", DEFAULT_DSCP),
        target_prefixes=document.texts("target_prefixes"),
        collectors=tuple(
            _collector(record) for _, record in _located(document, "collectors", "a collector", lines)
        ),
        switches=tuple(
            _switch(record, where, lines)
            for where, record in _located(document, "switches", "a switch", lines)
        ),
        servers=tuple(_server(record) for _, record in _located(document, "servers", "a server", lines)),
        probers=tuple(_prober(record) for _, record in _located(document, "probers", "a prober", lines)),
        maintenance=tuple(
            read_maintenance(record)
            for _, record in _located(document, "maintenance", "a maintenance", lines)
        ),
    )
    document.refuse_unknown_keys()
    for problem in problems_of(fabric):
        raise InventoryError(f"{source}:{lines.get(problem.where, document.line)}: {problem.message}")
    return fabric


def dump_fabric(fabric: Fabric) -> str:
    """The YAML document that `parse_fabric` reads back as an equal fabric."""
    document: dict[str, Any] = {
        "fabric": fabric.name,
        "probe_port": fabric.probe_port,
        "dscp": fabric.dscp,
        "target_prefixes": list(fabric.target_prefixes),
        "collectors": [{"name": c.name, "address": c.address} for c in fabric.collectors],
        "switches": [_switch_document(switch) for switch in fabric.switches],
        "servers": [
            {"name": s.name, "number": s.number, "tor": s.tor, "addresses": list(s.addresses)}
            | ({} if s.answers else {"answers": False})
            for s in fabric.servers
        ],
        "probers": [
            {"name": p.name, "number": p.number, "address": p.address, "switch": p.switch}
            for p in fabric.probers
        ],
    }
    if fabric.maintenance:
        document["maintenance"] = [maintenance_document(entry) for entry in fabric.maintenance]
    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    return str(yaml.dump(document, Dumper=dumper, sort_keys=False, default_flow_style=None, width=110))


def _located(
    document: Record, key: str, what: str, lines: dict[Where, int]
) -> Iterator[tuple[Where, Record]]:
    for row, record in enumerate(document.records(key, what)):
        lines[key, row] = record.line
        yield (key, row), record


def _collector(record: Record) -> Collector:
    collector = Collector(record.text("name"), record.text("address"))
    record.refuse_unknown_keys()
    return collector


def _server(record: Record) -> Server:
    server = Server(
        name=record.text("name"),
        number=record.integer("number"),
        tor=record.text("tor"),
        addresses=record.texts("addresses"),
        answers=record.boolean("answers", True),
    )
    record.refuse_unknown_keys()
    return server


def _prober(record: Record) -> Prober:
    prober = Prober(
        name=record.text("name"),
        number=record.integer("number"),
        address=record.text("address"),
        switch=record.text("switch"),
    )
    record.refuse_unknown_keys()
    return prober


def _switch(record: Record, where: Where, lines: dict[Where, int]) -> Switch:
    name = record.text("name")
    tier: Tier = record.choice("tier", get_args(Tier))
    dialect: Dialect = record.choice("dialect", get_args(Dialect), 2)
    chips = tuple(_chip(chip, name) for chip in record.records("chips", "a chip"))
    switch = Switch(
        name=name,
        number=record.integer("number"),
        tier=tier,
        pod=record.optional_text("pod"),
        chips=chips or (Chip(name, _ONLY_CHIP),),
        address=record.text("address"),
        exporter_addresses=record.texts("exporters"),
        ports=_ports(record, where, lines),
        dialect=dialect,
        port_field=record.choice("port_field", get_args(PortField), PORT_FIELD_BY_DIALECT[dialect]),
        decapsulates=record.boolean("decapsulates", tier == "tor"),
        drained=record.boolean("drained", False),
    )
    record.refuse_unknown_keys()
    return switch


def _chip(record: Record, switch: str) -> Chip:
    chip = Chip(switch, record.text("label"), record.choice("role", get_args(ChipRole), "single"))
    record.refuse_unknown_keys()
    return chip


def _ports(record: Record, where: Where, lines: dict[Where, int]) -> tuple[Port, ...]:
    ports: list[Port] = []
    for row, node in enumerate(record.nodes("ports")):
        lines[(*where, "ports", row)] = node.start_mark.line + 1
        if isinstance(node, yaml.ScalarNode):
            ports.append(_bare_port(row + 1, str(node.value)))
            continue
        port = Record(node, record.source, "a port")
        number = port.integer("number", row + 1)
        chip = port.text("chip", _ONLY_CHIP)
        ports.append(Port(number, port.text("name", f"Ethernet{number}"), chip, port.text("peer")))
        port.refuse_unknown_keys()
    return tuple(ports)


def _bare_port(number: int, peer: str) -> Port:
    return Port(number, f"Ethernet{number}", _ONLY_CHIP, peer)


def _switch_document(switch: Switch) -> dict[str, Any]:
    document: dict[str, Any] = {"name": switch.name, "number": switch.number, "tier": switch.tier}
    if switch.pod is not None:
        document["pod"] = switch.pod
    document |= {"address": switch.address, "exporters": list(switch.exporter_addresses)}
    document |= {"dialect": switch.dialect, "port_field": switch.port_field}
    if switch.decapsulates != (switch.tier == "tor"):
        document["decapsulates"] = switch.decapsulates
    if switch.drained:
        document["drained"] = True
    if switch.chips != (Chip(switch.name, _ONLY_CHIP),):
        document["chips"] = [{"label": c.label, "role": c.role} for c in switch.chips]
    document["ports"] = [
        port.peer
        if port == _bare_port(position, port.peer)
        else {"number": port.number, "name": port.name, "chip": port.chip, "peer": port.peer}
        for position, port in enumerate(switch.ports, start=1)
    ]
    return document

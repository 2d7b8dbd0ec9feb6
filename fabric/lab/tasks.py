"""What the exporter process of a lab has to do, as values that travel as one JSON line."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from fabric.lab.topology import namespace_of, port_device
from fabric.model import Dialect, Fabric, PortField


@dataclass(frozen=True, slots=True)
class Tap:
    """Mirror what comes in at one switch port."""

    switch: str
    switch_number: int
    port: int
    namespace: str
    device: str
    source: str  # exporter address
    collector: str  # address
    dialect: Dialect
    port_field: PortField


@dataclass(frozen=True, slots=True)
class Decapsulator:
    """Take IP-in-IP addressed to one switch, and let its kernel forward what is inside."""

    switch: str
    namespace: str
    address: str


@dataclass(frozen=True, slots=True)
class ExporterTasks:
    dscp: int  # of the packets to mirror
    taps: tuple[Tap, ...]
    decapsulators: tuple[Decapsulator, ...]

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> ExporterTasks:
        fields = json.loads(text)
        return cls(
            fields["dscp"],
            tuple(Tap(**tap) for tap in fields["taps"]),
            tuple(Decapsulator(**decapsulator) for decapsulator in fields["decapsulators"]),
        )


def exporter_tasks(fabric: Fabric, run: str) -> ExporterTasks:
    """Every port of every switch that has a collector, and every decapsulating switch."""
    taps: list[Tap] = []
    for switch in fabric.switches:
        collector = fabric.collector_of(switch)
        if collector is None or not switch.exporter_addresses:
            continue
        taps += [
            Tap(
                switch.name,
                switch.number,
                port.number,
                namespace_of(run, switch.name),
                port_device(port.number),
                switch.exporter_addresses[0],
                collector.address,
                switch.dialect,
                switch.port_field,
            )
            for port in switch.ports
        ]
    decapsulators = tuple(
        Decapsulator(switch.name, namespace_of(run, switch.name), switch.address)
        for switch in fabric.switches
        if switch.decapsulates
    )
    return ExporterTasks(fabric.dscp, tuple(taps), decapsulators)

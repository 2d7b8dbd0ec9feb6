"""What the inventory knows about mirrors, in the form that columns of packets are looked up in."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from fabric.model import Fabric, PortField
from producers.addresses import Addresses, AddressTable
from producers.mirror.erspan import MirrorHeaders
from producers.packets import I32

UNKNOWN = -1


@dataclass(frozen=True, slots=True)
class Exporter:
    """A source of mirror packets."""

    address: str
    switch: int  # number of the switch
    port_field: PortField  # where its mirror packets carry the number of the port


class ExporterMap:
    """From an exporter's address to its switch, and from a mirror header to the port. Immutable."""

    def __init__(self, exporters: Iterable[Exporter]) -> None:
        """Raises ValueError for an address that is none or is listed twice."""
        known = list(exporters)
        self._rows = AddressTable({exporter.address: row for row, exporter in enumerate(known)})
        if len(self._rows) != len(known):
            raise ValueError("an exporter address is listed twice")
        # One row more, reached by index -1: what holds for unknown exporters.
        self._switches = np.array([e.switch for e in known] + [UNKNOWN], dtype=np.int32)
        self._carries: dict[PortField, NDArray[np.bool_]] = {
            port_field: np.array([e.port_field == port_field for e in known] + [False])
            for port_field in {e.port_field for e in known} - {"none"}
        }

    @classmethod
    def of(cls, fabric: Fabric) -> Self:
        """All exporters of an inventory."""
        return cls(
            Exporter(address, switch.node, switch.port_field)
            for switch in fabric.switches
            for address in switch.exporter_addresses
        )

    def switches_and_ports(self, exporter: Addresses, mirror: MirrorHeaders) -> tuple[I32, I32]:
        """Switch and port number of each copy, i4[n] and i4[n], -1 where unknown. exporter: u64[n, 2]."""
        row = self._rows.lookup(exporter)
        port = np.full(len(row), UNKNOWN, dtype=np.int32)
        carriers: dict[PortField, NDArray[np.integer]] = {
            "session": mirror.session,
            "index": mirror.index,
            "key": mirror.key,
            "hardware_id": mirror.hardware_id,
        }
        for port_field, carries in self._carries.items():
            port = np.where(carries[row], carriers[port_field], port)
        # A port number is an i4 in digests; a GRE key may be larger and is then no port.
        return self._switches[row], np.where(port < 2**31, port, UNKNOWN).astype(np.int32)


@dataclass(frozen=True, slots=True)
class ProbeMap:
    """How to tell a probe from other packets: who sends them, and to which port."""

    probers: AddressTable  # address of a Prober -> its number
    probe_port: int

    @classmethod
    def of(cls, fabric: Fabric) -> Self:
        """The Probers and the probe port of an inventory."""
        return cls(AddressTable({p.address: p.number for p in fabric.probers}), fabric.probe_port)

"""What can be set for a collector process."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CollectorSettings:
    """One collector. Several on one machine share an interface by the same `fanout_group`."""

    #: Name of this source in the topics; also the collector's name in the inventory.
    name: str = "collector-1"
    #: Interface that mirrors arrive on.
    interface: str = ""
    #: Network namespace that the interface is in; empty: this process's own.
    namespace: str = ""
    #: Packets that the kernel's ring holds while the process is busy.
    ring_packets: int = 16_384
    #: Number (1..65535) shared by collectors that split one interface's packets; 0: no sharing.
    fanout_group: int = 0
    #: Longest time that a digest waits for others, us.
    linger_us: int = 50_000
    #: TCP port of the Prometheus endpoint; 0: none.
    metrics_port: int = 0

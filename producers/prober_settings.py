"""Settings of one Prober process."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from producers.plan import PlanSettings


class ProberRefused(ValueError):
    """The Prober will not start; the message says what to change."""


@dataclass(frozen=True, slots=True)
class ProberSettings:
    """Who probes, over which interface, and when to stop."""

    #: name of the Prober in the inventory
    prober: str
    #: network interface that replies come in by
    interface: str
    #: network namespace that the interface is in; None: this process's own
    namespace: str | None = None
    #: "ip": the kernel routes each probe; "ethernet": probes go to one next hop, past routing and
    #: queueing, which saves about a tenth of the CPU
    transport: Literal["ip", "ethernet"] = "ip"
    #: next hop of "ethernet": an IPv4 address on the interface, or a MAC address
    next_hop: str | None = None
    #: what to probe and how often
    plan: PlanSettings = field(default_factory=PlanSettings)
    #: us between two looks at the plan; all that became due goes out together
    tick_us: int = 2_000
    #: us after which a probe that could not be sent in time is skipped instead
    lateness_max_us: int = 50_000
    #: us after sending within which a reply counts
    timeout_us: int = 500_000
    #: us that a received reply may need from the kernel's time stamp to the ring
    grace_us: int = 30_000
    #: us between two batches of outcomes
    publish_every_us: int = 100_000
    #: share of the publisher's queue (0..1) above which no probes are sent
    queue_fill_max: float = 0.5
    #: replies that the receive ring holds
    ring_frames: int = 65_536
    #: s after which the plan is stale and probing stops, unless the inventory is read again
    plan_age_max_s: int = 86_400
    #: file that must exist for probes to be sent; None: no such switch
    controller_file: str | None = None
    #: s after which an untouched controller file counts as gone; 0: its age does not matter
    controller_age_max_s: int = 0
    #: user to become once the sockets are open; None: stay
    user: str | None = None
    #: TCP port of the Prometheus endpoint; 0: none
    metrics_port: int = 0

    def __post_init__(self) -> None:
        if not 100 <= self.tick_us <= self.lateness_max_us:
            raise ProberRefused("tick_us must be at least 100 and at most lateness_max_us")
        if self.lateness_max_us + self.grace_us >= self.timeout_us:
            raise ProberRefused("lateness_max_us and grace_us together must stay below timeout_us")
        if self.transport == "ethernet" and not self.next_hop:
            raise ProberRefused("transport ethernet needs next_hop: the gateway's IPv4 or MAC address")
        if not 0 < self.queue_fill_max <= 1:
            raise ProberRefused("queue_fill_max must be above 0 and at most 1")

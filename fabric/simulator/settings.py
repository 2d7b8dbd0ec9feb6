"""How a healthy network behaves."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SimulatorSettings:
    """Delays and noise; the defaults are those of a quiet data centre."""

    hop_base_ns: int = 2_000  # cable and switch, least
    hop_jitter_ns: int = 3_000  # mean of what queues add per hop
    host_base_ns: int = 15_000  # least time of a kernel to answer
    host_jitter_ns: int = 20_000  # mean of what it adds
    member_gap_ns: int = 1_000  # between the members of a burst
    mirror_base_us: int = 30  # from an exporter to its collector, least
    mirror_jitter_us: int = 60  # mean of what is added
    loss_rate: float = 0.0  # of packets, on every cable
    mirror_loss_rate: float = 0.0  # of copies, at exporters in the middle
    mirror_loss_spread: float = 1.0  # the best and the worst exporter: so many times less and more
    host_silent_rate: float = 0.0  # of probes that a server receives and does not answer
    host_slow_rate: float = 0.0  # of probes that it answers after the timeout
    clock_skew_us_max: int = 0  # of the clocks of Probers and collectors, either way
    timeout_ms: int = 500  # after which a Prober gives a probe up

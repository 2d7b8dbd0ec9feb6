"""Settings of a plan."""

from __future__ import annotations

from dataclasses import dataclass

from schemas.partition import MEMBER_BITS
from schemas.rows import Kind

MEMBERS_MAX = 1 << MEMBER_BITS
#: Probe IDs come round again after 2**ROUND_BITS intervals; no join looks back that far.
INTERVAL_US_MIN = 10_000


class PlanRefused(ValueError):
    """The plan would do what it must not; the message says what to change."""


@dataclass(frozen=True, slots=True)
class PlanSettings:
    """What to probe and how often."""

    #: us from one group to a target to the next
    interval_us: int = 1_000_000
    #: parallel probes to a target, over distinct flows
    group_size: int = 3
    #: source ports that a target is probed with
    flows_per_target: int = 8
    #: us after which a target's window of source ports moves by one
    rotation_us: int = 60_000_000
    #: lowest source port; below the ephemeral ports of Linux (32768 and up)
    source_port_first: int = 20_000
    #: rounds that an East-West pair keeps its ToR and server: long enough to meet each flow again
    east_west_dwell_rounds: int = 10
    #: number of source ports
    source_port_count: int = 8_192
    #: probes/s, a hard ceiling
    rate_max_pps: int = 150_000
    #: kinds of probes to send
    kinds: frozenset[Kind] = frozenset(Kind)
    #: prefixes that targets must be in; empty: those of the inventory
    target_prefixes: tuple[str, ...] = ()
    #: Probers that share in a target or pair of pods: so many of those that have a way to it probe it;
    #: 0: all of them
    probers_per_target: int = 0
    #: file that `bytetracker coverage --choose` wrote: source ports to probe with; read again when it
    #: changes. None: a window of source ports that moves
    flows: str | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.group_size <= MEMBERS_MAX:
            raise PlanRefused(f"group_size must be 1..{MEMBERS_MAX}, not {self.group_size}")
        if not self.group_size <= self.flows_per_target <= self.source_port_count:
            raise PlanRefused(
                f"flows_per_target must be at least group_size ({self.group_size}) and at most "
                f"source_port_count ({self.source_port_count}), not {self.flows_per_target}"
            )
        if not 1024 <= self.source_port_first <= 65_536 - self.source_port_count:
            raise PlanRefused("source ports must lie in 1024..65535; change source_port_first or _count")
        if self.east_west_dwell_rounds < 1:
            raise PlanRefused("east_west_dwell_rounds must be at least 1")
        if self.probers_per_target < 0:
            raise PlanRefused("probers_per_target must be 0 (all Probers) or more")
        if self.interval_us < INTERVAL_US_MIN or self.rotation_us < self.interval_us:
            raise PlanRefused(
                f"interval_us must be at least {INTERVAL_US_MIN}, and rotation_us at least interval_us"
            )

"""Numbers that decide what the join says. All of them are event time."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class JoinSettings:
    """Changing one of these changes results: a replay must use the same values as the live run."""

    #: A reply that takes longer is a timeout; the Prober uses the same value.
    timeout_us: int = 500_000
    #: How long mirrored copies may be under way after that.
    settle_us: int = 500_000
    #: Length of a slot of link evidence.
    slot_us: int = 250_000
    #: How far collectors' clocks may be off the Probers'.
    skew_max_us: int = 1_000_000
    #: How far back the way of a flow is looked up, for losses on the way up: each flow comes back sooner.
    memory_us: int = 4_000_000
    #: One in so many plain ok probes is kept in `probe-results`.
    sample_one_in: int = 1_000
    #: False: the network cannot mirror; timeouts are judged by their group alone.
    mirrors: bool = True

    def __post_init__(self) -> None:
        if (
            min(self.timeout_us, self.slot_us, self.sample_one_in) < 1
            or min(self.settle_us, self.skew_max_us, self.memory_us) < 0
        ):
            raise ValueError(
                "timeout_us, slot_us, sample_one_in must be positive; settle_us, skew_max_us, memory_us "
                "not negative"
            )

    @property
    def closing_us(self) -> int:
        """Rows of a probe are late once the watermark has passed its send time by this much; it closes
        with its slot, when that is true of every probe that the slot can hold."""
        return self.timeout_us + self.settle_us

    @property
    def outcome_kept_us(self) -> int:
        """An outcome is done with when slots so much later than it have been published: none of them looks
        back at its flow. And copies that joined it, and are read again after a restart, find it again;
        else they would count as late."""
        return max(self.memory_us, self.closing_us + 2 * self.skew_max_us)

    @property
    def digest_kept_us(self) -> int:
        """The same of a digest, whose probe may have been sent later by its clock."""
        return self.memory_us + self.skew_max_us

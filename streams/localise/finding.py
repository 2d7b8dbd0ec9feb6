"""What a detector says is wrong now, before it has a life of its own (see streams.localise.life)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal[
    "network_loss",
    "black_hole",
    "alteration",
    "loop",
    "wrong_route",
    "host_silent",
    "mirror_outage",
    "prober_outage",
    "source_silent",
    "coverage_gap",
]


@dataclass(frozen=True, slots=True)
class AlteredBit:
    """One bit that was found altered, and how often it became 1 and 0."""

    byte_offset: int  # byte of the IP packet
    bit: int  # of that byte, 0 the least
    to_one: int
    to_zero: int


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong now. A detector says it again at every slot for as long as it holds.

    `suspects`: names with confidence, most likely first. `where`: names of all elements that this cause
    touches (a chip's links and the chip); findings of later slots that share one of them are the same.
    `direction`: the directed link on which it shows, empty if that is not known. `bad` of `total` probes
    were hit since `first_seen_us` (total 0: not known). `last_seen_us`: end of the slot of the last sign.
    `flows`: of a black hole, about how many flows it takes.
    `note`: what a person should know besides, a clause without a full stop; may be empty.
    """

    kind: Kind
    suspects: tuple[tuple[str, float], ...]
    where: frozenset[str]
    direction: str
    bad: int
    total: int
    first_seen_us: int
    last_seen_us: int
    servers: tuple[str, ...] = ()
    examples: tuple[tuple[int, int], ...] = ()  # probe_id, sent_at_us
    legs: tuple[str, ...] = ()
    bits: tuple[AlteredBit, ...] = ()
    note: str = ""
    flows: int = 0

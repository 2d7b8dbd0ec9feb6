"""What each injected fault met and did: from this a scoreboard knows whether it could be seen at all."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

I8 = NDArray[np.int64]
Rows = NDArray[np.intp]

HARMED_MAX = 5

Harm = Literal["lost", "altered", "strayed", "silenced", "delayed"]


@dataclass(frozen=True, slots=True)
class FaultTally:
    """Of one fault, while it was on.

    A packet meets a fault when it is at its element (of a server: when a probe reaches it; of a Prober: when
    a probe is due), whether it comes to harm or not. For faults of mirrors read "copy" instead of "packet".
    A probe that is harmed in one way several times, there and back, counts once.
    """

    packets: int = 0  # meetings: a packet that comes by twice counts twice
    probes: int = 0  # that they belong to
    lost: int = 0  # probes
    altered: int = 0
    strayed: int = 0  # sent where they should not have gone
    silenced: int = 0  # reached the server and got no reply; of Probers: never sent; of mirrors: no copy
    delayed: int = 0  # answered, and later than the Prober waits
    harmed: int = 0  # probes that came to any of these, each once
    harmed_at_us: tuple[int, ...] = ()  # send times of the first HARMED_MAX probes harmed, us since 1970

    def __add__(self, other: FaultTally) -> FaultTally:
        """The tally of both stretches of time, or slices of probes."""
        return FaultTally(
            packets=self.packets + other.packets,
            probes=self.probes + other.probes,
            lost=self.lost + other.lost,
            altered=self.altered + other.altered,
            strayed=self.strayed + other.strayed,
            silenced=self.silenced + other.silenced,
            delayed=self.delayed + other.delayed,
            harmed=self.harmed + other.harmed,
            harmed_at_us=tuple(sorted(self.harmed_at_us + other.harmed_at_us)[:HARMED_MAX]),
        )

    @property
    def fifth_harmed_at_us(self) -> int | None:
        """Send time of the fifth probe harmed; None if there are fewer."""
        return self.harmed_at_us[-1] if len(self.harmed_at_us) == HARMED_MAX else None


@dataclass(slots=True)
class TallyBook:
    """Entries of one slice, by fault number. All probes are rows of the slice's."""

    sent_at_us: I8  # i8[n], of the slice's probes
    _met: defaultdict[int, list[Rows]] = field(default_factory=lambda: defaultdict(list))
    _harmed: defaultdict[int, list[tuple[Harm, Rows]]] = field(default_factory=lambda: defaultdict(list))
    _sums: dict[int, FaultTally] = field(default_factory=dict)

    def met(self, fault: int, probe: Rows) -> None:
        """Packets at the element of a fault that is on: intp[m], one entry per packet."""
        self._met[fault].append(probe)

    def harmed(self, fault: int, harm: Harm, probe: Rows) -> None:
        """What a fault did to packets: intp[m]."""
        self._harmed[fault].append((harm, probe))

    def add(self, fault: int, tally: FaultTally) -> None:
        """Enter what has been counted already."""
        self._sums[fault] = self._sums.get(fault, FaultTally()) + tally

    def tallies(self) -> dict[int, FaultTally]:
        """Tallies of the faults that met a packet, by their numbers."""
        found = dict(self._sums)
        for fault, met in self._met.items():
            found[fault] = found.get(fault, FaultTally()) + self._tally(met, self._harmed[fault])
        return found

    def _tally(self, met: list[Rows], harmed: list[tuple[Harm, Rows]]) -> FaultTally:
        counts = {
            harm: len(_distinct([probe for each, probe in harmed if each == harm]))
            for harm in {each for each, _ in harmed}
        }
        hurt = _distinct([probe for _, probe in harmed])
        times = np.sort(self.sent_at_us[hurt])[:HARMED_MAX]
        return FaultTally(
            packets=sum(len(probe) for probe in met),
            probes=len(_distinct(met)),
            harmed=len(hurt),
            harmed_at_us=tuple(times.tolist()),
            **counts,
        )


def _distinct(parts: list[Rows]) -> Rows:
    return np.unique(np.concatenate(parts)) if parts else np.empty(0, dtype=np.intp)

"""The group rule: what is silent as a whole.

A host that is dead or busy answers no member of a group; a network that drops some packets drops some
members. So a server that answered nothing at all, and lost whole groups only, is silent: that is its own
affair, unless its whole rack is so, which is their ToR's (some may still answer now and then, none well), or
all racks of a pod, or all that a Prober probes. Source of the rule: ByteTracker, SIGCOMM 2025; the look at
the neighbours is ours.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

I4 = NDArray[np.int32]
I8 = NDArray[np.int64]
Bools = NDArray[np.bool_]

#: Probes that a silent server has lost.
LOST_MIN = 5
#: Probes that a silent Prober has lost; all of its servers cannot have died by chance.
PROBER_LOST_MIN = 20


@dataclass(frozen=True, slots=True)
class Racks:
    """tor: i4[targets], row of the ToR (switch) of each target, -1: none; pod: i4[switches], -1: none."""

    tor: I4
    pod: I4


@dataclass(frozen=True, slots=True)
class Silence:
    """Who is silent over a span, as rows, each cause once: servers neither of a silent ToR nor of a silent
    pod. all: bool[targets], all that is silent, and what hangs on a silent ToR."""

    probers: tuple[int, ...]
    pods: tuple[int, ...]
    tors: tuple[int, ...]
    servers: tuple[int, ...]
    all: Bools


def silence(tallies: I8, answered: I8, by_prober: I8, racks: Racks) -> Silence:
    """The rule, on sums over a span.

    tallies: i8[4, n], (prober, target, lost, group_lost); answered: i8[targets]; by_prober: i8[probers],
    probes answered.
    """
    lost_by = np.bincount(tallies[0], tallies[2], len(by_prober))
    mute = (by_prober == 0) & (lost_by >= PROBER_LOST_MIN)
    heard = tallies[:, ~mute[tallies[0]]]
    lost = np.bincount(heard[1], heard[2], len(answered))
    whole = np.bincount(heard[1], heard[3], len(answered))
    silent = (answered == 0) & (lost >= LOST_MIN) & (whole == lost)

    switches = len(racks.pod)
    racked = racks.tor >= 0
    judged = racked & (lost + answered >= LOST_MIN)
    servers_of = np.bincount(racks.tor[judged], minlength=switches)
    silent_of = np.bincount(racks.tor[silent & racked], minlength=switches)
    hurt = judged & (silent | (2 * lost > lost + answered))
    hurt_of = np.bincount(racks.tor[hurt], minlength=switches)
    tor_silent = (servers_of >= 2) & (2 * silent_of >= servers_of) & (hurt_of == servers_of)

    pods = int(racks.pod.max(initial=-1)) + 1
    in_pod = racks.pod >= 0
    tors_of = np.bincount(racks.pod[in_pod & (servers_of > 0)], minlength=pods)
    silent_tors_of = np.bincount(racks.pod[in_pod & tor_silent], minlength=pods)
    pod_silent = (tors_of >= 2) & (silent_tors_of == tors_of)

    in_silent_pod = np.isin(racks.pod, np.flatnonzero(pod_silent))
    behind = racked & tor_silent[racks.tor]
    return Silence(
        probers=_rows(mute),
        pods=_rows(pod_silent),
        tors=_rows(tor_silent & ~in_silent_pod),
        servers=_rows(silent & racked & ~behind),
        all=silent | behind,
    )


def _rows(flags: Bools) -> tuple[int, ...]:
    return tuple(np.flatnonzero(flags).tolist())

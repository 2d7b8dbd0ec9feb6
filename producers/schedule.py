"""Which probe is due when: a pure function of inventory, settings and time.

A plan is a table of groups. Each group is due once per interval (a *round*), at its own phase; phases are
evenly spaced, so packets leave at a steady pace. Groups are numbered in the order of their phases; the 29
bits of a group's number in a round are its index, then the round modulo 2**ROUND_BITS. So all rounds of a
group meet in one partition of the topics (see schemas.partition). Rounds are counted from 1970: a restarted
Prober goes on where time is, never where it was, and does not reuse recent IDs.

The members of a group leave together, over distinct flows (source ports). A target has a window of
`flows_per_target` ports, through which successive rounds walk; the window moves by one port each
`rotation_us`. So a five-tuple, hence its path, is met again every few rounds. A target for which flows have
been chosen (producers.flow_choice) is probed with those instead, and now and then with its window's.

Kinds. North-South: every address of every server, also of servers known to be silent: their switch port is
covered by the mirrors, and their silence is no fault. East-West: one group per ordered pair of pods, by a
decapsulating ToR of the first to a server of the second; both turn every `east_west_dwell_rounds`; silent
servers and drained ToRs are left out. Inter-Prober: every other Prober.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fabric.model import Prober
from producers.east_west import EastWest
from producers.flow_table import FlowTable
from producers.plan_settings import PlanSettings
from producers.wire import PROBE_DTYPE
from schemas.partition import MEMBER_BITS, ROUND_BITS

GROUP_BITS = 29
GROUPS_MAX = 1 << (GROUP_BITS - ROUND_BITS)

PLANNED_DTYPE = np.dtype(
    [
        *[(name, PROBE_DTYPE[name]) for name in PROBE_DTYPE.names or ()],
        ("kind", np.int8),
        ("group_size", np.int8),
        ("target_node", np.int32),
        ("via_node", np.int32),  # -1: not encapsulated
    ]
)
"""One probe to send: PROBE_DTYPE, so `wire.build` reads it, and what outcomes and simulators need."""


@dataclass(frozen=True)
class Plan:
    """All groups of one Prober. `template`: PLANNED_DTYPE[groups], in the order of phases."""

    prober: Prober
    settings: PlanSettings
    template: NDArray[np.void]
    phase_us: NDArray[np.int64]
    flow_offset: NDArray[np.int64]  # where in the port range a group's window starts
    pair_of: NDArray[np.int32]  # row of `east_west` of each group, -1: none
    east_west: EastWest
    chosen: FlowTable
    chosen_of: NDArray[np.int32]  # row of `chosen` of each group, -1: none, or as `east_west` says
    uncovered: Mapping[str, int] = field(default_factory=dict)  # reason -> addresses or pod pairs

    @property
    def groups(self) -> int:
        return len(self.template)

    @property
    def rate_pps(self) -> float:
        """Probes per second."""
        return self.groups * self.settings.group_size * 1e6 / self.settings.interval_us

    def due(self, from_us: int, until_us: int) -> NDArray[np.void]:
        """Probes due at from_us <= t < until_us (us since 1970), in the order of sending.

        Returns PLANNED_DTYPE[n]; members of a group stand together and share `sent_at_us`. Splitting a
        stretch of time into calls in any way gives the same probes.
        """
        parts = [self._due_of(*piece) for piece in self._pieces(from_us, until_us)]
        if len(parts) == 1:
            return parts[0]
        return np.concatenate(parts) if parts else np.empty(0, PLANNED_DTYPE)

    def count(self, from_us: int, until_us: int) -> int:
        """How many probes `due` would give, at no cost however long the stretch is."""
        groups = self._groups_before(until_us) - self._groups_before(from_us) if until_us > from_us else 0
        return groups * self.settings.group_size

    def _groups_before(self, time_us: int) -> int:
        round_, into_us = divmod(time_us, self.settings.interval_us)
        return round_ * self.groups + int(np.searchsorted(self.phase_us, into_us))

    def _pieces(self, from_us: int, until_us: int) -> Iterator[tuple[int, int, int]]:
        """(round, first group, group after the last) of each round that the stretch touches."""
        interval_us = self.settings.interval_us
        for round_ in range(from_us // interval_us, -(-until_us // interval_us)):
            start_us = round_ * interval_us
            first, stop = np.searchsorted(self.phase_us, (from_us - start_us, until_us - start_us)).tolist()
            if first < stop:
                yield round_, first, stop

    def _due_of(self, round_: int, first: int, stop: int) -> NDArray[np.void]:
        size = self.settings.group_size
        probes = np.repeat(self.template[first:stop], size)
        index = np.arange(first, stop, dtype=np.int64)
        sent_at_us = round_ * self.settings.interval_us + self.phase_us[first:stop]
        number = index << ROUND_BITS | (round_ & ((1 << ROUND_BITS) - 1))
        base = self.prober.number << 32
        member = np.arange(size, dtype=np.int64)
        probes["probe_id"] = (base | (number << MEMBER_BITS)[:, None] | member).reshape(-1)
        probes["sent_at_us"] = np.repeat(sent_at_us, size)
        chosen_of = self.chosen_of[first:stop]
        if len(self.east_west):
            chosen_of = self._rotate_pairs(probes, round_, first, stop)
        probes["source_port"] = self._ports(round_, index, sent_at_us, chosen_of).reshape(-1)
        return probes

    def _ports(
        self,
        round_: int,
        index: NDArray[np.int64],
        sent_at_us: NDArray[np.int64],
        chosen_of: NDArray[np.int32],
    ) -> NDArray[np.int64]:
        """Source ports of groups: i8[n, group_size]."""
        settings = self.settings
        member = np.arange(settings.group_size, dtype=np.int64)
        step = sent_at_us // settings.rotation_us
        flow = (round_ * settings.group_size + member) % settings.flows_per_target
        has_chosen = len(self.chosen.groups) > 0
        if has_chosen:
            # Beside chosen flows there is room for a window of one group: all must come again in seconds.
            flow = np.where((chosen_of >= 0)[:, None], member, flow)
        window = (self.flow_offset[index] + step)[:, None]
        ports = settings.source_port_first + (window + flow) % settings.source_port_count
        if has_chosen:
            picked, chosen = self.chosen.pick(chosen_of, round_)
            ports = np.where(chosen[:, None], picked, ports)
        return ports

    def _rotate_pairs(
        self, probes: NDArray[np.void], round_: int, first: int, stop: int
    ) -> NDArray[np.int32]:
        """Fill in ToRs and servers of East-West probes; rows of chosen flows of all groups, i4[groups]."""
        chosen_of = self.chosen_of[first:stop]
        groups = np.flatnonzero(self.pair_of[first:stop] >= 0)
        if not len(groups):
            return chosen_of
        table, size = self.east_west, self.settings.group_size
        pair = self.pair_of[first:stop][groups]
        via, target, flows = table.at(pair, round_, self.settings.east_west_dwell_rounds)
        chosen_of = chosen_of.copy()
        chosen_of[groups] = flows
        rows = (groups[:, None] * size + np.arange(size)).reshape(-1)
        via, target = np.repeat(via, size), np.repeat(target, size)
        probes["via"][rows] = table.via[via]
        probes["via_node"][rows] = table.via_node[via]
        probes["target"][rows] = table.target[target]
        probes["target_node"][rows] = table.target_node[target]
        return chosen_of

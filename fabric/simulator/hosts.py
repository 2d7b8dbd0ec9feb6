"""What kernels of targets make of the probes that reach them: a RST at once, a late one, or nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fabric.index import FabricIndex
from fabric.simulator.active import ActiveFault
from fabric.simulator.content import alter
from fabric.simulator.draws import draw_exponential_pair, draw_pair, draw_uniform
from fabric.simulator.ledger import Ledger
from fabric.simulator.settings import SimulatorSettings
from fabric.simulator.truth import BACKGROUND
from fabric.simulator.walk import Packets
from schemas.nodes import PROBER_BASE

I4 = NDArray[np.int32]
I8 = NDArray[np.int64]
Bools = NDArray[np.bool_]

# What a draw decides; see fabric.simulator.draws.
_KERNEL, _NOISE, _SLOW, _LIMIT = 2_000_001, 2_000_003, 2_000_004, 2_000_005


@dataclass(frozen=True, slots=True)
class Answers:
    """Which of the probes that arrived are answered, and after how long."""

    answered: Bools  # bool[n]
    delay_ns: I8  # i8[n]: from the probe's arrival to the reply's departure


class Hosts:
    """All servers, and the Probers that are targets themselves."""

    def __init__(self, index: FabricIndex, seed: int, settings: SimulatorSettings) -> None:
        self._index, self._seed, self._settings = index, seed, settings

    def answer(
        self, received: Packets, probes: NDArray[np.void], faults: Sequence[ActiveFault], ledger: Ledger
    ) -> Answers:
        """received: probes at their targets. probes: all of the slice. faults: those that are on."""
        target = probes["target_node"][received.probe].astype(np.int32)
        is_server = target < PROBER_BASE
        known_silent = is_server & ~self._index.answers_of(target)
        silent = known_silent.copy()
        added_ms = np.zeros(len(received), dtype=np.float64)
        self._apply(faults, received, target, silent, added_ms, ledger)
        self._drop_altered(received, probes, silent, ledger)
        self._add_noise(received, is_server & ~silent, silent, added_ms, ledger)
        ledger.truth.host_silent[received.probe[silent]] = True
        jitter, _ = draw_exponential_pair(received.lot, self._seed, _KERNEL)
        kernel_ns = self._settings.host_base_ns + jitter * self._settings.host_jitter_ns
        return Answers(~silent, (kernel_ns + added_ms * 1e6).astype(np.int64))

    def _apply(
        self,
        faults: Sequence[ActiveFault],
        received: Packets,
        target: I4,
        silent: Bools,
        added_ms: NDArray[np.float64],
        ledger: Ledger,
    ) -> None:
        """Faults of servers: those that silence fill `silent`, those that delay add to `added_ms`."""
        mine = [fault for fault in faults if fault.acts_on_server]
        if not mine:
            return
        near = np.flatnonzero(np.isin(target, [fault.node for fault in mine]))
        for fault in mine:
            at = near[(target[near] == fault.node) & ~silent[near]]
            at = at[fault.is_on(ledger.book.sent_at_us[received.probe[at]])]
            if not len(at):
                continue
            ledger.book.met(fault.number, received.probe[at])
            if fault.kind == "host_slow":
                delay_ms = float(fault.spec.params["delay_ms"])
                added_ms[at] += delay_ms
                if delay_ms >= self._settings.timeout_ms:
                    ledger.delay(fault.number, received.probe[at])
                continue
            if fault.kind == "rst_limit":
                chance = draw_uniform(received.lot[at], self._seed, fault.number, _LIMIT)
                at = at[chance >= fault.rate]
            silent[at] = True
            ledger.silence(fault.number, received.probe[at])

    def _drop_altered(
        self, received: Packets, probes: NDArray[np.void], silent: Bools, ledger: Ledger
    ) -> None:
        """A kernel drops what has a bad checksum without a word."""
        altered = np.flatnonzero((received.version > 0) & ~silent)
        if len(altered):
            version = received.version[altered]
            content = alter(probes, received.probe[altered], version, False, ledger.alterations)
            silent[altered] = ~content.checksum_ok

    def _add_noise(
        self,
        received: Packets,
        healthy: Bools,
        silent: Bools,
        added_ms: NDArray[np.float64],
        ledger: Ledger,
    ) -> None:
        settings = self._settings
        if settings.host_silent_rate <= 0 and settings.host_slow_rate <= 0:
            return
        silence, slowness = draw_pair(received.lot, self._seed, _NOISE)
        quiet = np.flatnonzero(healthy & (silence < settings.host_silent_rate))
        silent[quiet] = True
        ledger.silence(BACKGROUND, received.probe[quiet])
        late = np.flatnonzero(healthy & ~silent & (slowness < settings.host_slow_rate))
        # Later than the Prober waits, but not by more than as long again.
        share = draw_uniform(received.lot[late], self._seed, _SLOW)
        added_ms[late] += settings.timeout_ms * (1 + share)
        ledger.delay(BACKGROUND, received.probe[late])

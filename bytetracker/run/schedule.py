"""When faults start and end in a run on real kernels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from fabric.faults import FaultSpec


class Faults(Protocol):
    """What switches faults on and off, e.g. fabric.lab.faults.LabFaults."""

    def start(self, spec: FaultSpec) -> None: ...

    def stop(self, spec: FaultSpec) -> None: ...


class FaultSchedule:
    """Starts and stops faults at their times; call `advance` often."""

    def __init__(
        self, specs: Sequence[FaultSpec], faults: Faults, on_started: Callable[[FaultSpec], None]
    ) -> None:
        self._waiting = sorted(specs, key=lambda spec: spec.after_s)
        self._running: list[tuple[float, FaultSpec]] = []
        self._faults = faults
        self._on_started = on_started

    def advance(self, elapsed_s: float) -> None:
        """Do what has become due `elapsed_s` after the start of the run."""
        while self._waiting and self._waiting[0].after_s <= elapsed_s:
            spec = self._waiting.pop(0)
            self._faults.start(spec)
            self._on_started(spec)
            if spec.for_s is not None:
                self._running.append((elapsed_s + spec.for_s, spec))
        for ends_s, spec in list(self._running):
            if ends_s <= elapsed_s:
                self._faults.stop(spec)
                self._running.remove((ends_s, spec))

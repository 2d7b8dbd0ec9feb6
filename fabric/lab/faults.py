"""Starts and stops faults in a running lab."""

from __future__ import annotations

from random import Random

from fabric.faults import FaultSpec
from fabric.lab.enter import open_in_namespace
from fabric.lab.fault_rules import FaultRules, fault_rules
from fabric.lab.namespaces import LabError, feed
from fabric.lab.topology import namespace_of
from fabric.model import Fabric


class LabFaults:
    """The faults that are on. Each has an nftables table of its own, so they are independent of each other.

    When a fault starts and ends (`after`, `for`) is the caller's business.
    """

    def __init__(self, fabric: Fabric, run: str, seed: int = 0) -> None:
        self._fabric = fabric
        self._run = run
        self._random = Random(seed)
        self._active: dict[str, tuple[FaultRules, ...]] = {}
        self._count = 0

    @property
    def active(self) -> tuple[str, ...]:
        """Specifications, as written, of the faults that are on."""
        return tuple(self._active)

    def start(self, spec: FaultSpec) -> None:
        """Let a fault happen from now on. In force when this returns.

        Raises FaultError for what a lab cannot do, LabError if it is on already or the kernel refuses.
        """
        if spec.text in self._active:
            raise LabError(f"fault {spec.text!r} is on already")
        self._count += 1
        rules = fault_rules(spec, self._fabric, f"fault_{self._count}", self._random)
        started: list[FaultRules] = []
        try:
            for rule in rules:
                self._nft(rule, rule.text)
                started.append(rule)
        except LabError:
            for rule in started:
                self._nft(rule, rule.removal)
            raise
        self._active[spec.text] = rules

    def stop(self, spec: FaultSpec) -> None:
        """End a fault. Raises LabError if it is not on."""
        rules = self._active.pop(spec.text, None)
        if rules is None:
            raise LabError(f"fault {spec.text!r} is not on")
        for rule in rules:
            self._nft(rule, rule.removal)

    def stop_all(self) -> None:
        for rules in self._active.values():
            for rule in rules:
                self._nft(rule, rule.removal)
        self._active.clear()

    def _nft(self, rule: FaultRules, text: str) -> None:
        open_in_namespace(namespace_of(self._run, rule.node), lambda: feed(["nft", "-f", "-"], text))

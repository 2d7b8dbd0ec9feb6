"""Executes a lab plan, and takes it down again whatever happens.

A run owns a lock file for as long as its process lives: the kernel frees the lock even after SIGKILL. Whoever
starts a lab first removes the namespaces of runs whose lock is free. Removing a namespace removes its
interfaces, and with them the other ends of its cables.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import shutil
import signal
import subprocess
from collections.abc import Iterable
from pathlib import Path

from fabric.lab.enter import NAMESPACE_DIRECTORY, enter_namespace, open_in_namespace
from fabric.lab.topology import RUN_PATTERN, LabPlan, NamespacePlan

LOCK_DIRECTORY = Path("/run/bytetracker-lab")
COMMAND_TIMEOUT_S = 30.0


class LabError(RuntimeError):
    """The lab cannot be built or changed; the message says what to do about it."""


class Run:
    """A name no other lab has, held by a lock that ends with this process."""

    def __init__(self) -> None:
        """Raises LabError without root or without the programs that a lab needs."""
        if os.geteuid() != 0:
            raise LabError("the lab needs root: it makes network namespaces and opens raw sockets")
        for program in ("ip", "nft"):
            if shutil.which(program) is None:
                raise LabError(f"the lab needs the program `{program}` (packages iproute2 and nftables)")
        LOCK_DIRECTORY.mkdir(parents=True, exist_ok=True)
        while True:
            self.name = f"btlab-{secrets.token_hex(4)}"
            self._path = LOCK_DIRECTORY / self.name
            self._descriptor = os.open(self._path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)
            # Between the two calls another lab may have taken the file for a leftover and removed it.
            if self._path.exists():
                return
            os.close(self._descriptor)

    def release(self) -> None:
        """Give the name up, after its namespaces are gone."""
        self._path.unlink(missing_ok=True)
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def build(plan: LabPlan) -> None:
    """Make the namespaces, cables, addresses and routes of a plan. Raises LabError."""
    _batch(f"netns add {name}" for name in plan.namespace_names)
    _batch(plan.cables)
    open_in_namespace(plan.namespace_names[0], lambda: _configure(plan.namespaces))


def remove(names: Iterable[str]) -> None:
    """Remove namespaces, those that are gone included, after ending what still runs inside them."""
    present = [name for name in names if (NAMESPACE_DIRECTORY / name).exists()]
    for name in present:
        for process in _output("ip", "netns", "pids", name).split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(process), signal.SIGKILL)
    if present:
        _batch((f"netns delete {name}" for name in present), force=True)


def remove_leftovers() -> list[str]:
    """Remove the namespaces of runs whose process is dead. Returns the names of those runs."""
    dead: list[str] = []
    for run, names in sorted(_runs().items()):
        path = LOCK_DIRECTORY / run
        descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            remove(names)
            path.unlink(missing_ok=True)
            dead.append(run)
        except BlockingIOError:
            pass  # alive
        finally:
            os.close(descriptor)
    return dead


def _runs() -> dict[str, list[str]]:
    """Namespaces by run; runs that have only a lock file left, too."""
    LOCK_DIRECTORY.mkdir(parents=True, exist_ok=True)
    runs: dict[str, list[str]] = {
        p.name: [] for p in LOCK_DIRECTORY.iterdir() if RUN_PATTERN.fullmatch(p.name)
    }
    if NAMESPACE_DIRECTORY.is_dir():
        for path in NAMESPACE_DIRECTORY.iterdir():
            matched = RUN_PATTERN.match(path.name)
            if matched:
                runs.setdefault(matched[0], []).append(path.name)
    return runs


def _configure(namespaces: Iterable[NamespacePlan]) -> None:
    """Runs in a thread of its own, which walks from namespace to namespace."""
    for namespace in namespaces:
        enter_namespace(namespace.name)
        _batch(namespace.ip_lines)
        for path, value in namespace.sysctls:
            # Older kernels lack some (the hash seed came with 6.11): the lab works without, less evenly.
            for file in Path("/proc/sys").glob(path):
                file.write_text(value)
        if namespace.nft:
            feed(["nft", "-f", "-"], namespace.nft)


def _batch(lines: Iterable[str], force: bool = False) -> None:
    feed(["ip", *(["-force"] if force else []), "-batch", "-"], "\n".join(lines) + "\n", check=not force)


def feed(command: list[str], text: str, check: bool = True) -> None:
    result = subprocess.run(
        command, input=text, text=True, capture_output=True, timeout=COMMAND_TIMEOUT_S, check=False
    )
    if check and result.returncode != 0:
        raise LabError(f"`{' '.join(command)}` failed: {result.stderr.strip() or result.stdout.strip()}")


def _output(*command: str) -> str:
    result = subprocess.run(command, text=True, capture_output=True, timeout=COMMAND_TIMEOUT_S, check=False)
    return result.stdout

"""Runs `bytetracker` as a user does, and finds whatever it leaves behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

from bytetracker.embedded import leash


class Command:
    """One `bytetracker` command in a session of its own, leashed to this process.

    `folder` holds everything it may leave: its runs, its temporary files, its output. The folder's name is
    in the environment of all its descendants, so that they can be found even when their parent is gone.
    """

    def __init__(
        self, arguments: Sequence[str], folder: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        self.folder = folder
        self.runs = folder / "runs"
        self.temporary = folder / "tmp"
        self.temporary.mkdir(parents=True, exist_ok=True)
        self.output_path = folder / "output.log"
        with self.output_path.open("wb") as output:
            self._process = subprocess.Popen(
                [
                    *[sys.executable, "-I", "-S", leash.__file__, str(os.getpid()), "0"],
                    *[sys.executable, "-m", "bytetracker", *arguments],
                ],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={
                    **os.environ,
                    **(environment or {}),
                    "BYTETRACKER_RUNS": str(self.runs),
                    "TMPDIR": str(self.temporary),
                },
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    @property
    def output(self) -> str:
        return self.output_path.read_text(errors="replace")

    def signal(self, number: signal.Signals) -> None:
        """To the command alone: its children have sessions of their own, as they have at a terminal."""
        os.kill(self.pid, number)

    def wait(self, timeout_s: float) -> int:
        """Exit code; fails with the command's output if it does not come."""
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {timeout_s} s:\n{self.output}") from None

    def wait_for(self, text: str, timeout_s: float) -> None:
        """Wait until `text` is in the output."""
        until(lambda: text in self.output or not self.running, timeout_s, f"no {text!r} in the output")
        assert text in self.output, self.output

    def run_folder(self) -> Path:
        """The folder of its one run, once its configuration is written."""
        until(lambda: any(self.runs.glob("*/bytetracker.yaml")), 30.0, "no run has begun")
        return next(self.runs.glob("*/bytetracker.yaml")).parent

    def descendants(self) -> list[psutil.Process]:
        """Every process that carries our folder in its environment, dead parents or not."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get("BYTETRACKER_RUNS") == str(self.runs):
                    found.append(process)
            except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
                continue
        return found

    def worker_pids(self) -> list[int]:
        """Its stream workers."""
        return [p.pid for p in self.descendants() if "worker" in _words(p)]

    def end(self) -> None:
        """Leave nothing behind, whatever happened."""
        for process in [*self.descendants()]:
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
        if self.running:
            self._process.kill()
        self._process.wait(10)


def _words(process: psutil.Process) -> list[str]:
    try:
        return list(process.cmdline())
    except psutil.Error:
        return []


def until(condition: Callable[[], bool], timeout_s: float, otherwise: str) -> None:
    """Wait for a condition; AssertionError `otherwise` if it does not come true."""
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s, f"{otherwise} after {timeout_s} s"
        time.sleep(0.05)


def call(
    *arguments: str, environment: dict[str, str] | None = None, timeout_s: float = 60.0
) -> subprocess.CompletedProcess[str]:
    """Run a command that ends by itself."""
    return subprocess.run(
        [sys.executable, "-m", "bytetracker", *arguments],
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
        env={**os.environ, **(environment or {})},
    )


def ask_store(store: Path, query: str) -> list[dict[str, Any]]:
    """`bytetracker sql` on the store of a run."""
    done = call("sql", "--store", str(store), "--format", "json", query)
    assert done.returncode == 0, done.stderr
    rows: list[dict[str, Any]] = json.loads(done.stdout)
    return rows

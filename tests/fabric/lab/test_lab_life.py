"""A lab leaves nothing behind, however it ends."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from lab_traffic import needs_root

from fabric.builtin import builtin_fabric
from fabric.lab.enter import NAMESPACE_DIRECTORY, open_in_namespace
from fabric.lab.namespaces import LOCK_DIRECTORY, LabError, Run, remove_leftovers
from fabric.lab.run import Lab

START_LIMIT_S = 6.0

# Who runs the tests under nohup ignores hangups, and so would the child.
CHILD = """
import signal, sys, time
signal.signal(signal.SIGHUP, signal.SIG_DFL)
from fabric.builtin import builtin_fabric
from fabric.lab.run import Lab
with Lab(builtin_fabric("lab")) as lab:
    print(lab.run_name, lab.exporter_process_id, flush=True)
    time.sleep(60)
"""


def namespaces_of(run: str) -> list[str]:
    return sorted(path.name for path in NAMESPACE_DIRECTORY.glob(f"{run}-*"))


def interfaces() -> set[str]:
    return {path.name for path in Path("/sys/class/net").iterdir()}


def wait_until_gone(process_id: int) -> None:
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            status = Path(f"/proc/{process_id}/stat").read_text().rsplit(")", 1)[1].split()[0]
        except FileNotFoundError:
            return
        if status == "Z":
            return
        time.sleep(0.02)
    pytest.fail(f"process {process_id} is still there")


@contextlib.contextmanager
def lab_in_a_child():
    """A process with a running lab, the lab's run name and its exporter's process number."""
    process = subprocess.Popen([sys.executable, "-c", CHILD], stdout=subprocess.PIPE, text=True)
    try:
        run, exporter = process.stdout.readline().split()
        yield process, run, int(exporter)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        remove_leftovers()


@pytest.mark.root
def test_starts_fast_and_leaves_nothing() -> None:
    needs_root()
    before = interfaces()
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt), Lab(builtin_fabric("lab")) as lab:
        assert time.monotonic() - started < START_LIMIT_S
        run, exporter = lab.run_name, lab.exporter_process_id
        assert len(namespaces_of(run)) == 22
        assert interfaces() == before
        lab.check()
        raise KeyboardInterrupt
    assert namespaces_of(run) == []
    assert not (LOCK_DIRECTORY / run).exists()
    assert interfaces() == before
    wait_until_gone(exporter)
    assert lab.mirrored is not None
    lab.close()  # once more does no harm
    with pytest.raises(LabError, match="not running"):
        _ = lab.run_name


@pytest.mark.root
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_termination_signal_takes_the_lab_down(number: signal.Signals) -> None:
    needs_root()
    with lab_in_a_child() as (process, run, exporter):
        assert namespaces_of(run)
        process.send_signal(number)
        assert process.wait(10) == 128 + number
        assert namespaces_of(run) == []
        wait_until_gone(exporter)


@pytest.mark.root
def test_what_a_killed_lab_leaves_is_removed_by_the_next() -> None:
    needs_root()
    with lab_in_a_child() as (process, run, exporter):
        # Something of the lab's user still runs inside.
        sleeper = open_in_namespace(f"{run}-prober-1", lambda: subprocess.Popen(["sleep", "60"]))
        process.kill()
        process.wait()
        wait_until_gone(exporter)  # on its own
        assert namespaces_of(run)
        with Lab(builtin_fabric("lab")) as lab:
            assert namespaces_of(run) == []
            assert namespaces_of(lab.run_name)
        assert sleeper.wait(5) == -signal.SIGKILL


@pytest.mark.root
def test_a_living_lab_is_no_leftover() -> None:
    needs_root()
    with Lab(builtin_fabric("lab")) as first, Lab(builtin_fabric("lab")) as second:
        assert first.run_name != second.run_name
        assert first.run_name not in remove_leftovers()
        for lab in (first, second):
            assert "1 received" in lab.run_in("prober-1", ["ping", "-c1", "-W2", "10.2.1.10"])
            lab.check()


@pytest.mark.root
def test_a_dead_exporter_is_noticed() -> None:
    needs_root()
    with Lab(builtin_fabric("lab")) as lab:
        os.kill(lab.exporter_process_id, signal.SIGKILL)
        wait_until_gone(lab.exporter_process_id)
        with pytest.raises(LabError, match="exporter"):
            lab.check()


@pytest.mark.root
def test_a_failed_start_cleans_up(monkeypatch: pytest.MonkeyPatch) -> None:
    needs_root()
    monkeypatch.setattr("fabric.lab.run.READY", "something else")
    monkeypatch.setattr("secrets.token_hex", lambda size: "feedbeef")
    with pytest.raises(LabError, match="did not start"):
        Lab(builtin_fabric("lab")).start()
    assert namespaces_of("btlab-feedbeef") == []
    assert not (LOCK_DIRECTORY / "btlab-feedbeef").exists()


def test_without_root_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(LabError, match="needs root"):
        Run()


def test_without_programs_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr("shutil.which", lambda program: None if program == "nft" else program)
    with pytest.raises(LabError, match="`nft`"):
        Run()

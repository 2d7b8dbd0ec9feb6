"""The page of a demo: there while it runs, beside its sink, and afterwards from its folder."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import pytest

from bytetracker.embedded.process import free_port
from bytetracker.run.pipeline import CONSOLE_PORT
from console.security import API

pytestmark = [pytest.mark.servers, pytest.mark.alone]

SQL = "SELECT suspects[1] AS suspect FROM fault_history WHERE kind = 'network_loss'"


class Run:
    """A command of ours whose stderr is read as it comes."""

    def __init__(self, arguments: list[str], runs: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "bytetracker", *arguments],
            stderr=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "BYTETRACKER_RUNS": str(runs)},
        )
        self.lines: list[str] = []
        self._reader = Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line)

    @property
    def url(self) -> str:
        found = re.search(r"http://127\.0\.0\.1:\d+/", "".join(self.lines))
        return found[0] if found else ""

    def get(self, path: str) -> Any:
        answer = httpx.get(f"{self.url}{API[1:]}/{path}", timeout=60)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def ask(self, sql: str) -> list[list[Any]]:
        answer = httpx.post(f"{self.url}{API[1:]}/sql", json={"sql": sql}, timeout=60)
        assert answer.status_code == 200, answer.text
        rows: list[list[Any]] = answer.json()["rows"]
        return rows


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Callable[..., Run]]:
    started: list[Run] = []

    def start(*arguments: str) -> Run:
        started.append(Run(list(arguments), tmp_path))
        return started[-1]

    yield start
    for each in started:
        if each.process.poll() is None:
            each.process.send_signal(signal.SIGINT)
            try:
                each.process.wait(30)
            except subprocess.TimeoutExpired:
                each.process.kill()


def eventually(true: Callable[[], Any], timeout_s: float = 120) -> None:
    until = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < until, "it did not come to that"
        time.sleep(0.3)


def up(page: Run) -> bool:
    try:
        return bool(page.url) and httpx.get(page.url, timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


def test_a_demo_has_a_page_and_its_run_can_be_looked_at_afterwards(
    run: Callable[..., Run], tmp_path: Path
) -> None:
    link = "spine-1~leaf-1-1"
    with socket.socket() as neighbour:
        with suppress(OSError):  # then somebody else listens there
            neighbour.bind(("127.0.0.1", CONSOLE_PORT))
            neighbour.listen()
        demo = run("demo", "--fabric", "lab", "--fault", f"loss:{link}:rate=0.5,after=3")
        eventually(lambda: up(demo))
    assert f":{CONSOLE_PORT}/" not in demo.url
    assert any("Open http://" in line and f"port {CONSOLE_PORT} is taken" in line for line in demo.lines)
    # From the topic, then from the store that the demo's sink has open, then typed.
    eventually(lambda: demo.get("faults?state=open")["faults"])
    fault = demo.get("faults?state=open")["faults"][0]
    assert fault["suspects"][0]["element"] == link
    eventually(lambda: demo.get(f"faults/{fault['fault_id']}")["examples"])
    eventually(lambda: [link] in demo.ask(SQL))
    eventually(lambda: any(bad[3] for bad in demo.get("links/now")["bad"]))
    eventually(lambda: {s["kind"] for s in demo.get("health")["sources"]} == {"prober", "collector"})
    folder = next(tmp_path.glob("demo-*"))
    beside = subprocess.run(
        [
            sys.executable,
            "-m",
            "bytetracker",
            "sql",
            "--store",
            str(folder / "store"),
            SQL,
            "--format",
            "csv",
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert link in beside.stdout
    demo.process.send_signal(signal.SIGINT)
    demo.process.wait(30)
    assert not up(demo)

    after = run("console", "--store", str(folder / "store"), "--port", str(free_port()))
    eventually(lambda: up(after))
    assert after.get("fabric")["name"] == "lab"  # of the run, not of the configuration
    known = {one["fault_id"]: one for one in after.get("faults")["faults"]}
    assert known[fault["fault_id"]]["suspects"][0]["element"] == link
    assert [link] in after.ask(SQL)
    overview = after.get("overview")
    assert (overview["broker"], overview["store"]) == (False, True)
    assert overview["now_us"] > 0


def test_without_a_page(run: Callable[..., Run]) -> None:
    demo = run("demo", "--fabric", "lab", "--seconds", "1", "--no-console")
    assert demo.process.wait(120) == 0
    assert demo.url == ""

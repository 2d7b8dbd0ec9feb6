"""How fast the console answers beside a running demo, and how soon a fault is on the page.

    python -m benchmarks.console --seconds 60 --pages 4

Starts `bytetracker demo` (or takes a console by --url), lets so many pages ask what the page asks, each the
next thing a moment after the last answer, and prints for each question how long answers took. A fault is
counted from the broker's time of its first event to its arrival at a page that listens.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Thread
from typing import Any

import httpx
import numpy as np

API = "api/v1"
#: What pages ask, the frequent things more often: (name, path), `{...}` filled with what was found.
MIX = (
    ("overview", "overview"),
    ("links/now", "links/now"),
    ("overview", "overview"),
    ("faults open", "faults?state=open&limit=500"),
    ("overview", "overview"),
    ("faults", "faults?limit=100"),
    ("fault", "faults/{fault}"),
    ("evidence", "faults/{fault}/evidence"),
    ("probes", "probes?limit=100"),
    ("probes of a server", "probes?server={server}&limit=100"),
    ("probe", "probes/{probe}"),
    ("matrix", "matrix"),
    ("matrix of ToRs", "matrix?level=tor"),
    ("span", "matrix/span"),
    ("coverage", "coverage"),
    ("health", "health"),
    ("search", "search?q=server-1"),
    ("switch", "fabric/switches/{switch}"),
    ("fabric", "fabric"),
    ("silences", "silences"),
)
SQL = "SELECT from_node, to_node, sum(lost) FROM link_minutes GROUP BY 1, 2 ORDER BY 3 DESC LIMIT 20"
#: From the start of the run until workers share the partitions and something is stored.
READY_S = 40.0


@contextmanager
def running_demo(fabric: str, seconds: float) -> Iterator[str]:
    """A demo of its own; gives the address of its page."""
    command = [sys.executable, "-m", "bytetracker", "demo", "--fabric", fabric, "--seconds", str(seconds)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as demo:
        try:
            assert demo.stderr is not None
            for line in demo.stderr:
                found = re.search(r"http://\S+", line)
                if found:
                    # What it says later must not fill the pipe.
                    Thread(target=demo.stderr.read, daemon=True).start()
                    yield found[0]
                    return
            raise SystemExit("the demo says no address")
        finally:
            demo.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                demo.wait(60)
            if demo.poll() is None:
                demo.kill()


def ask_in_turn(url: str, stop: Event, pause_s: float, taken: dict[str, list[float]], first: int) -> None:
    """One page."""
    known: dict[str, str] = {"switch": "tor-1-1", "server": "server-1-1-1"}
    at = first
    with httpx.Client(base_url=url, timeout=30) as client:
        while not stop.wait(pause_s):
            at += 1
            if at % 10 == 0:
                _timed(taken, "typed SQL", lambda: client.post(f"{API}/sql", json={"sql": SQL}))
                continue
            name, path = MIX[at % len(MIX)]
            wanted = re.findall(r"{(\w+)}", path)
            if not all(each in known for each in wanted):
                continue
            answer = _timed(taken, name, lambda path=path: client.get(f"{API}/{path.format(**known)}"))  # type: ignore[misc]
            if answer is None:
                continue
            if name == "faults" and answer["faults"]:
                known["fault"] = answer["faults"][0]["fault_id"]
            if name == "probes" and answer["probes"]:
                known["probe"] = answer["probes"][0]["probe_id"]


def _timed(taken: dict[str, list[float]], name: str, ask: Any) -> Any:
    began = time.perf_counter()
    answer: httpx.Response = ask()
    spent_s = time.perf_counter() - began
    if answer.status_code == 429:
        return None  # typed queries are limited on purpose
    if answer.status_code != 200:
        taken[f"{name}: {answer.status_code}"].append(spent_s)
        return None
    taken[name].append(spent_s)
    return answer.json()


def listen(url: str, stop: Event, told: dict[str, float]) -> None:
    """A page that listens: when the first event of each fault came, unix time."""
    with (
        suppress(httpx.HTTPError),
        httpx.stream("GET", f"{url}{API}/events", timeout=httpx.Timeout(30)) as answer,
    ):
        name = ""
        for line in answer.iter_lines():
            if stop.is_set():
                return
            if line.startswith("event: "):
                name = line[7:]
            elif line.startswith("data: ") and name == "fault":
                told.setdefault(json.loads(line[6:])["fault_id"], time.time())


def table(taken: dict[str, list[float]]) -> str:
    lines = [f"{'question':24} {'answers':>8} {'p50 ms':>8} {'p99 ms':>8} {'max ms':>8}"]
    everything = [each for name, values in taken.items() if ":" not in name for each in values]
    for name, values in [*sorted(taken.items()), ("all", everything)]:
        if not values:
            continue
        p50, p99 = (float(np.percentile(values, q)) * 1e3 for q in (50, 99))
        lines.append(f"{name:24} {len(values):8} {p50:8.0f} {p99:8.0f} {max(values) * 1e3:8.0f}")
    return "\n".join(lines)


def measure(url: str, seconds: float, pages: int, pause_s: float) -> str:
    """Ask for so long; returns the report."""
    stop, taken, told = Event(), defaultdict(list), {}  # type: ignore[var-annotated]
    threads = [
        Thread(target=ask_in_turn, args=(url, stop, pause_s, taken, 5 * page)) for page in range(pages)
    ]
    threads.append(Thread(target=listen, args=(url, stop, told), daemon=True))
    for thread in threads:
        thread.start()
    time.sleep(seconds)
    stop.set()
    for thread in threads[:-1]:
        thread.join(60)
    load = os.getloadavg()
    lines = [
        f"{pages} pages, {seconds:.0f} s, {os.cpu_count()} cores, load average {load[0]:.1f}",
        table(taken),
        f"faults told by events: {len(told)}",
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", help="of a console that runs; else a demo is started")
    parser.add_argument("--fabric", default="demo")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--pages", type=int, default=4)
    parser.add_argument("--pause-s", type=float, default=0.2, help="between an answer and the next question")
    parser.add_argument("--out", type=Path, help="write the report here too")
    given = parser.parse_args()
    if given.url:
        report = measure(given.url.rstrip("/") + "/", given.seconds, given.pages, given.pause_s)
    else:
        with running_demo(given.fabric, given.seconds + 4 * READY_S) as url:
            time.sleep(READY_S)
            report = measure(url, given.seconds, given.pages, given.pause_s)
    sys.stdout.write(report + "\n")
    if given.out:
        given.out.write_text(report + "\n")


if __name__ == "__main__":
    main()

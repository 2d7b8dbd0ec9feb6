"""The largest fabric that is built in, with something wrong.

`python -m tests.console.browser.big_fabric` measures how the page draws and moves it.
"""

from __future__ import annotations

import json
import shutil
import sys
from typing import Any

from playwright.sync_api import sync_playwright

from fabric.builtin import builtin_fabric
from tests.console.browser.fake_api import FakeConsole
from tests.console.browser.fake_world import FakeWorld
from tests.console.browser.views import SIZES
from tests.console.browser.visitor import Visitor

RUNS = 3
#: Handlers and the frames that they cause, timed where they happen; `wheel` and keys as a user makes them.
WATCH = """() => {
    window.slow = [];
    new PerformanceObserver((list) => window.slow.push(...list.getEntries()))
        .observe({entryTypes: ['longtask']});
    window.events = [];
    new PerformanceObserver((list) => {
        for (const e of list.getEntries()) window.events.push([e.name, e.processingEnd - e.processingStart]);
    }).observe({type: 'event', durationThreshold: 16});
}"""


def big_world() -> FakeWorld:
    """3,340 switches, 102,400 servers; a fault on a link, one on a pod, some links that lose."""
    world = FakeWorld(builtin_fabric("large"))
    world.lose("leaf-1-1~spine-1")
    world.fault("leaf-1-1~spine-1")
    world.fault("pod-9", severity="warning", story="All leaves of pod-9 lose a few packets.")
    for pod in range(2, 64, 5):
        world.lose(f"leaf-{pod}-2~tor-{pod}-7", lost=pod, passed=1_000)
    return world


def measure() -> dict[str, Any]:
    """Of RUNS page loads, in ms: from navigation to the first drawing, what the page's own thread works until
    then (which other load on the machine does not change), and the slowest handler while moving."""
    found = shutil.which("chromium")
    if found is None:
        raise SystemExit("chromium is missing; run deploy/test-servers.sh")
    with FakeConsole(big_world()) as served, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        runs = [
            _run(Visitor(browser, served.url, "light", SIZES["laptop"], complains=True)) for _ in range(RUNS)
        ]
        browser.close()
    return {name: sorted(run[name] for run in runs) for name in runs[0]}


def _run(visitor: Visitor) -> dict[str, Any]:
    session = visitor.page.context.new_cdp_session(visitor.page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})
    visitor.page.goto(visitor.url)
    visitor.drawn()
    told = {one["name"]: one["value"] for one in session.send("Performance.getMetrics")["metrics"]}
    first = visitor.ask("() => performance.getEntriesByName('fabric-first-draw')[0].duration")
    visitor.ask(WATCH)
    box = visitor.find(".map").bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    visitor.page.mouse.move(x, y)
    for turn in (-300, -300, -300, 200, 200):
        visitor.page.mouse.wheel(0, turn)
        visitor.page.wait_for_timeout(60)
    visitor.page.mouse.down()
    for step in range(20):
        visitor.page.mouse.move(x - 8 * step, y - 4 * step)
    visitor.page.mouse.up()
    visitor.find(".map").focus()
    for key in ("ArrowLeft", "+", "+", "-", "0", "n"):
        visitor.page.keyboard.press(key)
        visitor.page.wait_for_timeout(60)
    handlers = visitor.ask("() => window.events.map(([, ms]) => ms)")
    result = {
        "first_draw_ms": round(first),
        "cpu_until_then_ms": round(1e3 * told["TaskDuration"]),
        "script_until_then_ms": round(1e3 * told["ScriptDuration"]),
        "slowest_handler_ms": round(max(handlers, default=0), 1),
        "long_tasks_while_moving": len(visitor.ask("() => window.slow")),
    }
    visitor.close()
    return result


if __name__ == "__main__":
    sys.stdout.write(json.dumps(measure(), indent=2) + "\n")

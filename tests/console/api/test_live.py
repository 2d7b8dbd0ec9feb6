"""What is so now: the window over links, faults, and pages that listen."""

from __future__ import annotations

import asyncio
import base64
import json
from collections import Counter
from random import Random

import numpy as np
import pytest

from console.layout import Layout
from console.live.faults import FaultsNow, concerns
from console.live.hub import Hub, Listener
from console.live.sources import Batch, SourcesNow
from console.live.state import LiveState
from console.live.stream import event
from console.live.window import LinksWindow
from console.models import LinksNow
from fabric.builtin import builtin_fabric
from schemas import topics
from tests.console.api.live_rows import SLOT_US, decoded, evidence, fault_event

LAB = builtin_fabric("lab")
START_US = 1_760_000_000_000_000


@pytest.fixture(scope="module")
def layout() -> Layout:
    return Layout(LAB)


def test_cables_are_numbered(layout: Layout) -> None:
    whole = layout.whole
    names = [switch.name for switch in whole.switches]
    for link in LAB.switch_links:
        nodes = np.array([LAB.node(link.from_name)], np.int32), np.array([LAB.node(link.to_name)], np.int32)
        (direction,) = layout.direction_of(*nodes).tolist()
        a, b = whole.cables[direction >> 1]
        assert a < b
        ends = (names[a], names[b]) if direction & 1 == 0 else (names[b], names[a])
        assert ends == (link.from_name, link.to_name)
    assert 2 * len(whole.cables) == len(LAB.switch_links)
    assert sum(whole.servers_by_switch) == len(LAB.servers)
    server = LAB.servers[0]
    (none,) = layout.direction_of(
        np.array([LAB.node(server.tor)], np.int32), np.array([server.node], np.int32)
    ).tolist()
    assert none == -1


@pytest.mark.parametrize("seed", range(5))
def test_the_window_is_the_sum_of_its_slots(layout: Layout, seed: int) -> None:
    """Against sums made afresh, with slots out of order, twice, and with holes."""
    random = Random(seed)
    window = LinksWindow(layout, 10 * SLOT_US)
    links = [link.name for link in LAB.switch_links]
    said: dict[tuple[int, int], dict[str, tuple[int, int, int, int]]] = {}
    newest = 0
    for _ in range(200):
        slot = random.randrange(40) if random.random() < 0.1 else min(39, newest + random.randrange(3))
        partition = random.randrange(3)
        newest = max(newest, slot)
        key = (START_US + slot * SLOT_US, partition)
        if key not in said:
            said[key] = {
                name: (random.randrange(9), random.randrange(2), random.randrange(2), random.randrange(2))
                for name in random.sample(links, 5)
            }
        window.take(*decoded(evidence(LAB, key[0], said[key], partition)))
    now = window.now()
    assert now.at_us == START_US + (newest + 1) * SLOT_US
    wanted: dict[str, np.ndarray] = {}
    for (slot_us, _), counts in said.items():
        if slot_us >= now.at_us - now.window_us:
            for name, each in counts.items():
                wanted[name] = wanted.get(name, np.zeros(4, int)) + np.array(each)
    shown = _by_name(layout, now)
    for name, counts in wanted.items():
        wrong = counts[1] or counts[2]
        assert shown.bad.get(name) == (tuple(counts.tolist()) if wrong else None), name
        assert (name in shown.crossed) == bool(counts[:3].sum()), name
    assert set(shown.bad) <= set(wanted)


class _Shown:
    def __init__(self) -> None:
        self.bad: dict[str, tuple[int, ...]] = {}
        self.crossed: set[str] = set()


def _by_name(layout: Layout, now: LinksNow) -> _Shown:
    shown = _Shown()
    names = [switch.name for switch in layout.whole.switches]
    bits = base64.b64decode(now.crossed)
    for cable, (a, b) in enumerate(layout.whole.cables):
        for reverse, name in ((0, f"{names[a]}~{names[b]}"), (1, f"{names[b]}~{names[a]}")):
            at = 2 * cable + reverse
            if bits[at >> 3] >> (at & 7) & 1:
                shown.crossed.add(name)
            for one in now.bad:
                if one[:2] == (cable, reverse):
                    shown.bad[name] = one[2:]
    return shown


def test_slots_of_a_new_run_replace_those_of_the_old_one(layout: Layout) -> None:
    window = LinksWindow(layout, 10 * SLOT_US)
    link = LAB.switch_links[0].name
    window.take(*decoded(evidence(LAB, START_US, {link: (5, 5, 0, 0)})))
    later = START_US + 3_600_000_000
    window.take(*decoded(evidence(LAB, later, {link: (7, 0, 0, 0)})))
    assert (window.now().bad, window.probes) == ([], 7)
    assert not window.take(*decoded(evidence(LAB, START_US, {link: (5, 5, 0, 0)}, partition=1)))


def test_commands_and_unknown_nodes_are_no_links(layout: Layout) -> None:
    window = LinksWindow(layout, 10 * SLOT_US)
    head, rows = decoded(evidence(LAB, START_US, {LAB.switch_links[0].name: (5, 5, 0, 0)}))
    assert not window.take({**head, "partition": -1}, rows)
    lost = rows.copy()
    lost["to_node"] = -1
    assert window.take(head, lost)
    assert window.now().bad == []


def test_faults_are_known_by_their_newest_event() -> None:
    faults = FaultsNow()
    opened = faults.take(fault_event(version=1, detected_at_us=50))
    assert opened is not None
    assert (opened.opened_at_us, opened.resolved_at_us) == (50, None)
    assert faults.take(fault_event(version=1)) is None
    resolved = faults.take(fault_event(version=3, state="resolved", detected_at_us=90))
    assert resolved is not None
    assert (resolved.opened_at_us, resolved.resolved_at_us) == (50, 90)
    assert faults.take(fault_event(version=2)) is None
    assert faults.open() == []
    # Only the newest event is left in a compacted topic.
    late = faults.take(fault_event("f2", version=7, first_seen_us=40, detected_at_us=99))
    assert late is not None
    assert late.opened_at_us == 40
    assert [fault.fault_id for fault in faults.open()] == ["f2"]
    assert late.example_probes[0].probe_id.isdecimal()


def test_what_a_fault_is_at() -> None:
    faults = FaultsNow()
    fault = faults.take(
        fault_event(
            suspects=[{"element": "a~b", "confidence": 1.0}, {"element": "s/lc-1", "confidence": 0.1}]
        )
    )
    assert fault is not None
    assert all(concerns(fault, element) for element in ("a~b", "b~a", "a", "b", "s/lc-1", "s"))
    assert not any(concerns(fault, element) for element in ("a~c", "c", "s/lc-2", "lc-1", "~", ""))


# --- pages that listen ----------------------------------------------------------------------------------


def test_a_page_that_sleeps_is_told_less_and_slows_nobody() -> None:
    async def run() -> None:
        hub = Hub(listeners_max=3)
        hub.open(asyncio.get_running_loop())
        faults = FaultsNow()
        quick, slow = _listen(hub), _listen(hub)
        told: list[int] = []
        for version in range(1, 1001):
            fault = faults.take(fault_event(f"f{version % 3}", version))
            assert fault is not None
            hub.fault(fault)
            hub.links(LinksNow(at_us=version, window_us=1, crossed="", bad=[]))
            hub.clock(version, 0)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            told += [json.loads(data)["version"] for name, _, data in quick.take() if name == "fault"]
        assert told == list(range(1, 1001))
        late = slow.take()
        # The newest of each, once.
        assert Counter(name for name, _, _ in late) == {"fault": 3, "links": 1, "clock": 1}
        assert {json.loads(data)["version"] for name, _, data in late if name == "fault"} == {998, 999, 1000}
        assert slow.take() == []

    asyncio.run(run())


def test_a_page_that_comes_back_is_told_what_it_missed() -> None:
    async def run() -> None:
        hub = Hub(listeners_max=3)
        hub.open(asyncio.get_running_loop())
        faults = FaultsNow()
        for version in range(1, 6):
            fault = faults.take(fault_event(f"f{version}", version))
            assert fault is not None
            hub.fault(fault)
        await asyncio.sleep(0.01)
        listener = hub.listen(last_id=3)
        assert listener is not None
        assert [number for _, number, _ in listener.take()] == [4, 5]
        assert _listen(hub).take() == []

    asyncio.run(run())


def test_there_are_not_more_listeners_than_allowed() -> None:
    async def run() -> None:
        hub = Hub(listeners_max=2)
        hub.open(asyncio.get_running_loop())
        first = _listen(hub)
        _listen(hub)
        assert hub.listen(None) is None
        hub.leave(first)
        assert hub.listen(None) is not None
        hub.close()
        await asyncio.sleep(0.01)
        assert hub.listen(None) is None

    asyncio.run(run())


def _listen(hub: Hub) -> Listener:
    listener = hub.listen(None)
    assert listener is not None
    return listener


def test_events_cannot_be_forged_by_what_is_in_them() -> None:
    fault = FaultsNow().take(fault_event(story="a\n\nevent: clock\ndata: {}\r\n\r\n\u2028 </script>"))
    assert fault is not None
    text = event("fault", 7, fault.model_dump_json())
    assert text.count("\n") == 4
    assert text.endswith("\n\n")
    assert json.loads(text.split("\ndata: ", 1)[1])["story"] == fault.story


def test_what_was_before_is_no_news(layout: Layout) -> None:
    async def run() -> None:
        hub = Hub(3)
        hub.open(asyncio.get_running_loop())
        state = LiveState(layout, hub, 10 * SLOT_US, lambda: START_US + 2_000_000)
        listener = _listen(hub)
        state.take(topics.FAULTS, fault_event("old"), None)
        state.complete = True
        state.take(topics.FAULTS, fault_event("new"), None)
        link = LAB.switch_links[0].name
        state.take(topics.EVIDENCE, *decoded(evidence(LAB, START_US, {link: (75, 25, 0, 0)})))
        state.tell(100.0)
        state.tell(100.5)  # not within a second
        await asyncio.sleep(0.01)
        events = [(name, json.loads(data)) for name, _, data in listener.take()]
        assert [name for name, _ in events] == ["fault", "links", "clock"]
        assert events[0][1]["fault_id"] == "new"
        assert events[2][1] == {"now_us": START_US + SLOT_US, "lag_us": 2_000_000 - SLOT_US}
        assert {fault.fault_id for fault in state.open_faults()} == {"old", "new"}
        assert (state.pace().probes_per_s, state.pace().loss_rate) == (400.0, 0.25)

    asyncio.run(run())


def test_rates_of_sources() -> None:
    sources = SourcesNow()
    batches = [
        Batch("prober", "prober-1", partition, 10 + n, 100, 5_000_000 + n * 500_000, 6_000_000 + n * 500_000)
        for partition in (0, 1)
        for n in range(5)
    ]
    sources.take(batches)
    (found,) = sources.now(clock_us=8_000_000)
    assert (found.source, found.kind, found.rows_per_s) == ("prober-1", "prober", 400.0)
    assert (found.lag_us, found.last_us) == (1_000_000, 8_000_000)
    assert sources.now(clock_us=2 * 3_600_000_000 + 8_000_000) == []

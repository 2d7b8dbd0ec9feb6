"""The pure modules of the page, each function asked in the browser that it is made for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import combinations
from typing import Any

import pytest
from playwright.sync_api import Browser

from fabric.builtin import builtin_fabric
from tests.console.browser.fake_api import FakeConsole
from tests.console.browser.fake_world import NOW_US, FakeWorld

pytestmark = pytest.mark.servers

Ask = Callable[..., Any]
THIN = "\u202f"


@pytest.fixture(scope="module")
def js(chromium: Browser) -> Iterator[Ask]:
    """`js("core/format.js", "(m, x) => m.share(x)", 0.3)`: what a function says of a module of the page."""
    with FakeConsole(FakeWorld(builtin_fabric("tiny"))) as served:
        page = chromium.new_page()
        page.goto(served.url + "#/none")  # the frame alone

        def ask(module: str, function: str, *arguments: Any) -> Any:
            called = f"async ([path, ...given]) => ({function})(await import(path), ...given)"
            return page.evaluate(called, [f"/static/{module}", *arguments])

        yield ask
        page.close()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0 %"),
        (0.3, "30 %"),
        (0.00012, "0.012 %"),
        (0.0021, "0.21 %"),
        (0.9999, "> 99.9 %"),
        (1, "100 %"),
        (None, "–"),
    ],
)
def test_a_share_reads_as_per_cent(js: Ask, value: float | None, text: str) -> None:
    assert js("core/format.js", "(m, x) => m.share(x)", value) == text.replace(" ", THIN)


@pytest.mark.parametrize(
    ("us", "text"),
    [
        (0.5, "0.5 µs"),
        (181.25, "181 µs"),
        (1_250, "1.25 ms"),
        (3_400_000, "3.4 s"),
        (185_000_000, "3 min 5 s"),
    ],
)
def test_a_duration_has_the_unit_that_fits(js: Ask, us: float, text: str) -> None:
    assert js("core/format.js", "(m, x) => m.duration(x)", us).replace(THIN, " ") == text


def test_a_span_has_its_two_greatest_units(js: Ask) -> None:
    spans = [js("core/format.js", "(m, x) => m.span(x)", s * 1_000_000) for s in (0, 59, 3600, 90061)]
    assert [s.replace(THIN, " ") for s in spans] == ["0 s", "59 s", "1 h", "1 d 1 h"]


def test_times_are_utc_to_the_microsecond(js: Ask) -> None:
    assert js("core/format.js", "(m, x) => m.moment(x, 6)", NOW_US + 1_234) == "2026-03-01 10:42:07.001234"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-03-01 10:42:07", NOW_US),
        ("10:42:07", NOW_US),
        ("2026-03-01T10:42", NOW_US - 7_000_000),
        ("10:42:07.5", NOW_US + 500_000),
        ("yesterday", None),
        ("", None),
    ],
)
def test_times_are_read_as_they_are_written(js: Ask, text: str, expected: int | None) -> None:
    assert js("core/format.js", "(m, t, now) => m.readMoment(t, now)", text, NOW_US) == expected


def test_relative_times(js: Ask) -> None:
    agos = [
        js("core/format.js", "(m, s) => m.ago(0, s * 1e6)", s) for s in (0, 12, 119, 300, 7300, 200_000, -30)
    ]
    assert [a.replace(THIN, " ") for a in agos] == [
        *("now", "12 s ago", "119 s ago", "5 min ago", "2 h ago", "2 d ago", "in 30 s")
    ]


@pytest.mark.parametrize("name", ["leaf-1-1~spine-1", "a/b:c?d#e%f&g=h", "<img src=x>", "über 100%"])
def test_any_name_survives_an_address(js: Ask, name: str) -> None:
    call = "(m, name) => m.parse(m.href(['fabric', 'link', name], {element: name}))"
    assert js("core/router.js", call, name) == {"path": ["fabric", "link", name], "query": {"element": name}}


def test_a_stray_per_cent_sign_in_an_address_is_no_error(js: Ask) -> None:
    assert js("core/router.js", "(m) => m.parse('#/probes/50%?a=1')") == {
        "path": ["probes", "50%"],
        "query": {"a": "1"},
    }


def test_loss_classes(js: Ask) -> None:
    losses = [0, 1e-6, 9.9e-4, 1e-3, 0.0099, 0.01, 0.0999, 0.1, 1]
    assert js("core/scale.js", "(m, xs) => xs.map(m.lossClass)", losses) == [0, 1, 1, 2, 2, 3, 3, 4, 4]


def test_axes_have_round_numbers(js: Ask) -> None:
    assert js("core/scale.js", "(m) => m.ticks(0, 1, 4)") == [0, 0.5, 1]
    assert js("core/scale.js", "(m) => m.ticks(0, 0.33, 4)") == [0, 0.1, 0.2, 0.3]
    assert js("core/scale.js", "(m, t) => m.timeTicks(t, t + 60e6, 6)", NOW_US) == [
        NOW_US - 7_000_000 + 10_000_000 * n for n in range(1, 7)
    ]


def test_only_text_gets_into_a_page(js: Ask) -> None:
    call = """(m) => {
        const given = {title: '"><b>', onclick: () => {}};
        const made = m.h('div.a', given, '<img src=x>', [null, false, 0], m.h('i', '&'));
        return [made.title, made.textContent, made.querySelectorAll('*').length, made.getAttributeNames()];
    }"""
    assert js("core/dom.js", call) == ['"><b>', "<img src=x>0&", 1, ["class", "title"]]


@pytest.mark.parametrize(
    "address", ["javascript:alert(1)", "https://elsewhere.example", "//elsewhere.example", " #"]
)
def test_no_link_leads_out_of_the_console(js: Ask, address: str) -> None:
    call = "(m, href) => { try { m.h('a', {href}); return 'made'; } catch (e) { return e.name; } }"
    assert js("core/dom.js", call, address) == "TypeError"


def test_handlers_are_functions(js: Ask) -> None:
    call = "(m) => { try { m.h('a', {onclick: 'alert(1)'}); return 'made'; } catch (e) { return e.name; } }"
    assert js("core/dom.js", call) == "TypeError"


def test_places_of_elements(js: Ask) -> None:
    world = FakeWorld(builtin_fabric("demo"))
    call = """(m, told, names) => {
        const model = new m.FabricModel(told);
        return names.map((name) => [m.kindOf(model, name), m.locate(model, name)]);
    }"""
    names = ["spine-3", "spine-3/lc-1", "spine-3/lc-1>lc-2", "tor-1-1:Ethernet1", "pod-2", "leaf-1-1~spine-1"]
    found = js(
        "fabric/model.js", call, world.whole(), [*names, "prober-1", "server-1-1-1", "tor-1-1~server-1-1-1"]
    )
    kinds = [kind for kind, _ in found]
    assert kinds == ["switch", "part", "part", "part", "pod", "link", "prober", "server", "link"]
    spine, tor = world.row["spine-3"], world.row["tor-1-1"]
    assert [place["switches"] for _, place in found[:4]] == [[spine], [spine], [spine], [tor]]
    assert found[4][1]["switches"] == [world.row[s.name] for s in world.fabric.switches if s.pod == "pod-2"]
    cable, reverse = world.cable("leaf-1-1~spine-1")
    assert (found[5][1]["cable"], found[5][1]["reverse"]) == (cable, reverse)
    assert found[6][1]["switches"] == [world.row["border-1"]]
    assert found[7][1] == {"switches": [], "server": "server-1-1-1"}
    assert found[8][1] == {"switches": [tor], "server": "server-1-1-1"}


def test_state_of_the_fabric_from_faults_and_links(js: Ask) -> None:
    world = FakeWorld(builtin_fabric("demo"))
    world.lose("leaf-1-1~spine-1", lost=30, passed=70)
    world.lose("spine-2~leaf-3-1", lost=0, passed=10, altered=1)
    world.bad.append([0, 0, 10, 0, 0, 4])  # only copies are missing: nothing is wrong with the link
    world.fault("leaf-1-1~spine-1", severity="critical")
    world.fault(
        "tor-2-1",
        severity="warning",
        suspects=[{"element": "tor-2-1", "confidence": 0.6}, {"element": "leaf-2-1", "confidence": 0.3}],
    )
    world.fault("tor-4-1", severity="critical", silenced="planned")
    call = """async (m, told, faults, links) => {
        const { FabricModel } = await import('/static/fabric/model.js');
        const s = m.fabricState(new FabricModel(told), faults, links);
        return {level: [...s.level], suspect: [...s.suspect], podLevel: [...s.podLevel],
                podBad: [...s.podBad], faulty: [...s.faultyLinks],
                bad: s.bad.map((l) => [l.id, l.loss, l.alteration])};
    }"""
    state = js("fabric/state.js", call, world.whole(), world.faults, world.links_now())
    levels = {world.fabric.switches[i].name: level for i, level in enumerate(state["level"]) if level}
    assert levels == {"tor-2-1": 3, "tor-4-1": 1}  # fine, silenced, info, warning, critical
    assert [world.fabric.switches[i].name for i, on in enumerate(state["suspect"]) if on] == ["leaf-2-1"]
    cable, reverse = world.cable("leaf-1-1~spine-1")
    assert state["faulty"] == [[2 * cable + reverse, 4]]
    other, backwards = world.cable("spine-2~leaf-3-1")
    assert state["bad"] == [[2 * other + backwards, 0, 0.1], [2 * cable + reverse, 0.3, 0]]
    assert state["podLevel"] == [4, 3, 0, 1]
    assert state["podBad"] == [1, 0, 1, 0]


def test_bits_of_crossed_links(js: Ask) -> None:
    call = """(m) => {
        const bits = m.crossedBits('BYA=');
        return [0, 1, 2, 3, 15, 16].map((i) => m.isCrossed(bits, i));
    }"""
    assert js("fabric/state.js", call) == [1, 0, 1, 0, 1, 0]  # bytes 0x05 0x80; beyond them nothing is known


LAYOUT = """async (m, told, aspect) => {
    const { FabricModel } = await import('/static/fabric/model.js');
    const model = new FabricModel(told);
    const l = m.layout(model, aspect);
    return {...l, x: [...l.x], y: [...l.y], tiers: model.switches.map((s) => s.tier)};
}"""


@pytest.mark.parametrize("name", ["tiny", "small", "demo", "dci", "medium", "fat-tree-8", "fat-tree-16"])
@pytest.mark.parametrize("aspect", [1.2, 2.4])
def test_every_switch_has_a_place_of_its_own_in_its_block(js: Ask, name: str, aspect: float) -> None:
    world = FakeWorld(builtin_fabric(name))
    made = js("fabric/layout.js", LAYOUT, world.whole(), aspect)
    w, h = made["cell"]["w"], made["cell"]["h"]
    placed = sorted(i for block in made["blocks"] for i in block["switches"])
    assert placed == list(range(len(world.fabric.switches)))
    for block in made["blocks"]:
        assert block["x"] >= -0.01 and block["x"] + block["w"] <= made["width"] + 0.01
        assert block["y"] >= 0 and block["y"] + block["h"] <= made["height"] + 0.01
        for i in block["switches"]:
            assert block["x"] <= made["x"][i] and made["x"][i] + w <= block["x"] + block["w"]
            assert block["y"] <= made["y"][i] and made["y"][i] + h <= block["y"] + block["h"]
    for (x, y), (other_x, other_y) in combinations(zip(made["x"], made["y"], strict=True), 2):
        assert abs(other_x - x) >= w or abs(other_y - y) >= h


def test_higher_tiers_stand_higher(js: Ask) -> None:
    world = FakeWorld(builtin_fabric("dci"))
    made = js("fabric/layout.js", LAYOUT, world.whole(), 1.6)
    height = {s.name: made["y"][i] for i, s in enumerate(world.fabric.switches)}
    assert height["dci-1"] < height["spine-1"] < height["leaf-1-1"] < height["tor-1-1"]


def test_ports_lie_in_their_chip_and_do_not_overlap(js: Ask) -> None:
    world = FakeWorld(builtin_fabric("medium"))
    rect = {"x": 10, "y": 20, "w": 800, "h": 300}
    plate = js(
        "fabric/faceplate.js", "(m, detail, rect) => m.faceplate(detail, rect)", world.switch("spine-1"), rect
    )
    chips = {one["chip"]: one for one in plate["chips"]}
    switch = world.fabric.switch_by_name["spine-1"]
    assert set(chips) == {chip.label for chip in switch.chips}
    assert sorted(one["port"]["number"] for one in plate["ports"]) == [port.number for port in switch.ports]
    for one in plate["ports"]:
        chip = chips[one["port"]["chip"]]
        assert chip["x"] <= one["x"] and one["x"] + one["w"] <= chip["x"] + chip["w"]
        assert chip["y"] <= one["y"] and one["y"] + one["h"] <= chip["y"] + chip["h"]
        for other in plate["ports"]:
            apart = (
                abs(one["x"] - other["x"]) >= one["w"] * 0.99 or abs(one["y"] - other["y"]) >= one["h"] * 0.99
            )
            assert one is other or apart


def test_a_camera_keeps_the_point_that_is_zoomed_at(js: Ask) -> None:
    call = """(m) => {
        const at = {x: 300, y: 200};
        const before = {k: 0.5, x: 40, y: -20};
        const after = m.zoomed(before, 3, at, 0.1);
        const world = (c) => [(at.x - c.x) / c.k, (at.y - c.y) / c.k];
        return [world(before), world(after), after.k];
    }"""
    before, after, k = js("fabric/camera.js", call)
    assert before == pytest.approx(after)
    assert k == 1.5


def test_columns_of_a_chart_are_chosen_by_type(js: Ask) -> None:
    def chosen(*types: str) -> Any:
        return js("views/sql_result.js", "(m, types) => m.chosenColumns(types)", list(types))

    assert chosen("String", "UInt64", "DateTime64(6, 'UTC')") == {"x": 2, "values": [1], "time": True}
    assert chosen("LowCardinality(String)", "Nullable(Float64)") == {"x": 0, "values": [1], "time": False}
    assert chosen("UInt8", "Int64") == {"x": -1, "values": [0, 1], "time": False}


def test_fields_of_a_packet(js: Ask) -> None:
    offsets = [0, 8, 19, 20, 24, 36, 40, 551]
    assert js("parts/bitmap.js", "(m, xs) => xs.map(m.fieldOf)", offsets) == [
        *("IP: version, service", "IP: TTL", "IP: destination", "TCP: source port", "TCP: sequence"),
        *("TCP: checksum", "payload", "payload"),
    ]


def test_evidence_is_put_together_without_losing_any(js: Ask) -> None:
    slots = [NOW_US + 250_000 * i for i in range(1000)]
    lost = [i % 3 for i in range(1000)]
    series = [{"link": "a~b", "leg": "probe", "passed": [4] * 1000, "lost": lost, "altered": [0] * 1000}]
    told = {"slot_us": slots, "slot_length_us": 250_000}
    made = js("views/fault_evidence.js", "(m, told, series) => m.binned(told, series)", told, series)
    assert len(made["x"]) <= 91
    assert made["x"] == sorted(made["x"])
    assert sum(made["series"][0]["lost"]) == sum(lost)
    assert sum(made["series"][0]["passed"]) == 4000

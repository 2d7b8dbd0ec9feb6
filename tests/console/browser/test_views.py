"""Every view, in both themes and at both sizes: it is there, fits, is accessible, and complains of nothing.

Screenshots of them all are written to build/screenshots.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from tests.console.browser.fake_api import FakeConsole
from tests.console.browser.fake_world import FakeWorld
from tests.console.browser.views import SCHEMES, SIZES, VIEWS
from tests.console.browser.visitor import Visitor

pytestmark = [pytest.mark.servers, pytest.mark.timeout(240)]

Visit = Callable[..., Visitor]
Serve = Callable[[FakeWorld], FakeConsole]
#: Findings of axe that fail a test.
SERIOUS = ("serious", "critical")


@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_view_is_accessible(visit: Visit, serve: Serve, world: FakeWorld, scheme: str) -> None:
    visitor = visit(serve(world).url, scheme)
    found = []
    for name, address in VIEWS.items():
        visitor.go(address)
        for finding in Axe().run(visitor.page).response["violations"]:
            if finding["impact"] in SERIOUS:
                places = [node["html"][:160] for node in finding["nodes"][:3]]
                found.append(f"{name}: {finding['id']}: {finding['help']}: {places}")
    assert not found, "\n".join(found)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_dialogs_are_accessible(visit: Visit, serve: Serve, world: FakeWorld, scheme: str) -> None:
    visitor = visit(serve(world).url, scheme).go("#/faults/0000000000000002")
    for opens in ("Silence …", "?"):
        visitor.page.get_by_role("button", name="Silence …" if opens != "?" else "Help and keys").click()
        expect(visitor.find("dialog[open]")).to_be_visible()
        findings = Axe().run(visitor.page).response["violations"]
        assert not [f["id"] for f in findings if f["impact"] in SERIOUS]
        visitor.page.keyboard.press("Escape")
        expect(visitor.find("dialog[open]")).to_have_count(0)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_view_fits_its_window(
    visit: Visit, serve: Serve, world: FakeWorld, screenshots: Path, scheme: str, size: str
) -> None:
    visitor = visit(serve(world).url, scheme, SIZES[size])
    for name, address in VIEWS.items():
        visitor.go(address)
        if name.startswith("fabric"):
            visitor.drawn()
        visitor.shoot(screenshots / f"made-up-{name}-{scheme}-{size}.png")
        wide = visitor.ask("() => [document.documentElement.scrollWidth, innerWidth]")
        assert wide[0] <= wide[1], f"{name} is wider than its window"


def test_the_fabric_page_tells_what_is_wrong(visit: Visit, serve: Serve, world: FakeWorld) -> None:
    visitor = visit(serve(world).url).go()
    cards = visitor.find(".wrong .faultcards > li")
    expect(cards.first).to_contain_text("About 30 % of the probes at leaf-1-1~spine-1 were lost")
    expect(visitor.find(".wrong > .faultcards > li")).to_have_count(2)  # the third is silenced
    expect(visitor.find(".wrong details")).to_contain_text("1 silenced")
    expect(visitor.find(".losing tbody tr").first).to_contain_text("leaf-1-1 → spine-1")


def test_news_are_shown_without_reloading(visit: Visit, serve: Serve, world: FakeWorld) -> None:
    served = serve(world)
    visitor = visit(served.url).go().drawn()
    fault = world.fault("spine-2~leaf-3-1", story="Replies from spine-2 to leaf-3-1 are lost.")
    served.tell("fault", fault)
    visitor.sees("Replies from spine-2 to leaf-3-1 are lost.", ".wrong")
    world.lose("spine-2~leaf-3-1", lost=50, passed=50)
    served.tell("links", world.links_now())
    visitor.sees("spine-2 → leaf-3-1", ".losing")
    served.tell("fault", {**fault, "version": 2, "state": "resolved", "resolved_at_us": world.now_us})
    expect(visitor.find(".wrong")).not_to_contain_text("spine-2")


def test_an_older_event_does_not_bring_a_fault_back(visit: Visit, serve: Serve, world: FakeWorld) -> None:
    served = serve(world)
    visitor = visit(served.url).go()
    visitor.sees("leaf-1-1~spine-1", ".wrong")
    first = dict(world.faults[0])
    served.tell("fault", {**first, "version": 3, "state": "resolved", "resolved_at_us": world.now_us})
    served.tell("fault", {**first, "version": 2, "state": "updated"})
    expect(visitor.find(".wrong")).not_to_contain_text("leaf-1-1~spine-1")


def test_a_click_on_the_map_chooses_what_is_there(visit: Visit, serve: Serve, world: FakeWorld) -> None:
    visitor = visit(serve(world).url).go().drawn()
    where = visitor.ask(
        """async (name) => {
            const { world } = await import('/static/core/world.js');
            const { layout } = await import('/static/fabric/layout.js');
            const { fitted, freeAspect } = await import('/static/fabric/camera.js');
            const box = document.querySelector('.map').getBoundingClientRect();
            const window = {w: box.width, h: box.height};
            const l = layout(world.model, freeAspect(window));
            const c = fitted({x: 0, y: 0, w: l.width, h: l.height}, window);
            const i = world.model.byName.get(name);
            const middle = (at, size, off) => (at + size / 2) * c.k + off;
            return [box.left + middle(l.x[i], l.cell.w, c.x), box.top + middle(l.y[i], l.cell.h, c.y)];
        }""",
        "tor-3-2",
    )
    visitor.page.mouse.click(*where)
    expect(visitor.find(".chosen h2")).to_contain_text("tor-3-2")
    assert "#/fabric/switch/tor-3-2" in visitor.page.url
    expect(visitor.find(".port")).to_have_count(len(world.fabric.switch_by_name["tor-3-2"].ports))
    visitor.page.go_back()
    expect(visitor.find(".chosen")).to_be_hidden()


def test_chips_and_ports_show_what_is_lost_behind_them(visit: Visit, serve: Serve, world: FakeWorld) -> None:
    visitor = visit(serve(world).url).go("#/fabric/switch/spine-1")
    expect(visitor.find(".chip h3").first).to_contain_text("lc-1")
    port = visitor.page.get_by_role("link", name="leaf-1-1")
    expect(port.first).to_be_visible()
    expect(visitor.find(".port.loss-4")).to_contain_text("in 30 % lost".replace(" %", "\u202f%"))


def test_a_deep_link_opens_what_it_names(visit: Visit, serve: Serve, world: FakeWorld) -> None:
    visitor = visit(serve(world).url).go("#/faults/0000000000000001")
    visitor.sees("About 30 % of the probes at leaf-1-1~spine-1", "h1")
    visitor.page.get_by_role("link", name="Matrix").click()
    visitor.settled().sees("Matrix", "h1")
    visitor.page.go_back()
    visitor.sees("About 30 % of the probes", "h1")


def test_addresses_that_lead_nowhere_say_so(visit: Visit, serve: Serve, world: FakeWorld) -> None:
    visitor = visit(serve(world).url, complains=True)
    visitor.go("#/nonsense").sees("There is no page", "main")
    visitor.go("#/faults/unknown").sees("no fault unknown", "main")
    visitor.go("#/fabric/switch/spine-99").sees("No switch of this fabric is called spine-99", ".chosen")


def test_filters_are_part_of_the_address(visit: Visit, serve: Serve, world: FakeWorld) -> None:
    visitor = visit(serve(world).url).go("#/faults")
    expect(visitor.find("main tbody tr")).to_have_count(3)
    visitor.page.get_by_role("button", name="Past").click()
    expect(visitor.find("main tbody tr")).to_have_count(1)
    assert "state=resolved" in visitor.page.url
    visitor.go("#/faults?kind=alteration")
    expect(visitor.find("main tbody tr")).to_have_count(1)
    visitor.sees("spine-3", "main tbody")


def test_a_fault_is_silenced_and_the_silence_ended(visit: Visit, serve: Serve, world: FakeWorld) -> None:
    visitor = visit(serve(world).url).go("#/faults/0000000000000001")
    visitor.page.get_by_role("button", name="Silence …").click()
    visitor.page.get_by_label("Why").fill("new optics")
    visitor.page.get_by_label("Who asks").fill("ann")
    visitor.page.get_by_label("For").select_option("8 hours")
    visitor.page.get_by_role("button", name="Silence", exact=True).click()
    visitor.sees("new optics (ann)", ".silences")
    assert [one["element"] for one in world.silences] == ["leaf-1-1~spine-1"]
    visitor.page.get_by_role("button", name="End silence").click()
    expect(visitor.find(".silences")).to_have_count(0)
    assert not world.silences


def test_the_way_of_a_probe_shows_what_is_missing_and_where_it_stopped(
    visit: Visit, serve: Serve, world: FakeWorld
) -> None:
    visitor = visit(serve(world).url).go("#/probe/4294967304")
    hops = visitor.find(".lane .hop")
    expect(hops).to_have_count(6)
    expect(hops.nth(2)).to_contain_text("no mirror copy")
    expect(hops.nth(3)).to_contain_text("content altered from here on")
    expect(hops.nth(4)).to_contain_text("never seen here")
    expect(visitor.page.get_by_label("stopped here")).to_have_count(1)
    visitor.sees("00001000 (0x08)", "main")


def test_a_pair_of_pods_opens_into_their_tors(visit: Visit, serve: Serve, world: FakeWorld) -> None:
    visitor = visit(serve(world).url).go("#/matrix")
    expect(visitor.find("td[role=gridcell]")).to_have_count(16)
    visitor.find("td[data-at='0,2']").click()
    visitor.sees("pod-1 → pod-3, ToR by ToR", ".crumbs")
    expect(visitor.find(".heat thead th").first).to_contain_text("tor-3-1")
    visitor.page.go_back()
    expect(visitor.find(".heat thead th").first).to_contain_text("pod-1")


def test_time_in_the_matrix_is_chosen_and_followed(visit: Visit, serve: Serve, world: FakeWorld) -> None:
    visitor = visit(serve(world).url).go("#/matrix")
    slider = visitor.page.get_by_role("slider")
    visitor.sees("following", ".timeslider output")
    slider.focus()
    visitor.page.keyboard.press("ArrowLeft")
    visitor.page.keyboard.press("ArrowLeft")
    expect(visitor.find(".timeslider output")).not_to_contain_text("following")
    assert "until_us=" in visitor.page.url
    visitor.page.get_by_role("button", name="Now").click()
    visitor.sees("following", ".timeslider output")


def test_a_query_is_run_drawn_downloaded_and_refused(visit: Visit, serve: Serve, world: FakeWorld) -> None:
    visitor = visit(serve(world).url, complains=True).go("#/sql")
    editor = visitor.page.get_by_role("textbox", name="SQL query")
    editor.fill("SELECT minute, target, probes, loss FROM x")
    visitor.page.keyboard.press("Control+Enter")
    expect(visitor.find(".result tbody tr")).to_have_count(40)
    visitor.page.get_by_role("button", name="Lines").click()
    expect(visitor.find(".result svg path.line.series-0").first).to_be_visible()
    with visitor.page.expect_download() as downloading:
        visitor.page.get_by_role("button", name="Download CSV").click()
    assert Path(downloading.value.path()).read_text() == "a,b\n1,2\n"
    editor.fill("DROP TABLE fault_events")
    visitor.page.get_by_role("button", name="Run").click()
    visitor.sees("Cannot execute query in readonly mode. (READONLY)", ".storeerror")


def test_the_theme_is_kept(visit: Visit, serve: Serve, world: FakeWorld) -> None:
    visitor = visit(serve(world).url, "light").go("#/coverage")
    root = visitor.find("html")
    expect(root).to_have_attribute("data-theme", "light")
    for _ in range(2):  # as the system, light, dark
        visitor.find("#theme").click()
    expect(root).to_have_attribute("data-theme", "dark")
    visitor.page.reload()
    expect(root).to_have_attribute("data-theme", "dark")

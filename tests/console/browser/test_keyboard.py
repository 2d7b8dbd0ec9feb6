"""The console by keyboard alone."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.console.browser.fake_api import FakeConsole
from tests.console.browser.fake_world import FakeWorld
from tests.console.browser.views import VIEWS
from tests.console.browser.visitor import Visitor, until

pytestmark = [pytest.mark.servers, pytest.mark.timeout(240)]

Visit = Callable[..., Visitor]
Serve = Callable[[FakeWorld], FakeConsole]
TABS_MOST = 400

#: Elements that a mouse can use, and that are to be seen.
USABLE = """() => [...document.querySelectorAll('a[href], button, input, select, textarea, summary')]
    .filter((e) => e.checkVisibility() && !e.disabled && e.tabIndex >= 0).length"""
WHERE = """() => {
    const e = document.activeElement;
    if (!e || e === document.body) return null;
    const all = [...document.querySelectorAll('*')];
    const style = getComputedStyle(e);
    return [all.indexOf(e), e.matches('a[href], button, input, select, textarea, summary'),
            style.outlineStyle !== 'none' || e.matches('.skip')];
}"""


@pytest.mark.parametrize(
    "name", ["fabric", "fabric-list", "faults", "fault", "probes", "probe", "coverage", "sql"]
)
def test_tab_reaches_everything_and_is_seen(visit: Visit, serve: Serve, world: FakeWorld, name: str) -> None:
    visitor = visit(serve(world).url).go(VIEWS[name])
    usable = visitor.ask(USABLE)
    reached: set[int] = set()
    unseen = 0
    for _ in range(TABS_MOST):
        visitor.page.keyboard.press("Tab")
        where = visitor.ask(WHERE)
        if where is None or (where[0] in reached and len(reached) >= usable):
            break
        if where[1]:
            reached.add(where[0])
        unseen += not where[2]
    assert len(reached) >= usable
    assert unseen == 0


def test_from_the_start_page_to_an_example_probe(visit: Visit, serve: Serve, world: FakeWorld) -> None:
    visitor = visit(serve(world).url).go().drawn()
    keys = visitor.page.keyboard
    visitor.find(".wrong .story a").first.focus()
    keys.press("Enter")
    visitor.settled().sees("About 30 % of the probes at leaf-1-1~spine-1", "h1")
    expect(visitor.find("main")).to_be_focused()
    link = visitor.find("main a[href^='#/probe/']").first
    for _ in range(TABS_MOST):
        keys.press("Tab")
        if link.evaluate("(e) => e === document.activeElement"):
            break
    keys.press("Enter")
    visitor.settled().sees("Probe", "h1")
    assert "#/probe/" in visitor.page.url


def test_keys_lead_to_every_page(visit: Visit, serve: Serve, world: FakeWorld) -> None:
    visitor = visit(serve(world).url).go()
    pages = {
        "a": "faults",
        "o": "probes",
        "m": "matrix",
        "c": "coverage",
        "h": "health",
        "s": "sql",
        "f": "fabric",
    }
    for key, page in pages.items():
        visitor.page.keyboard.press("g")
        visitor.page.keyboard.press(key)
        expect(visitor.find(f"nav a[data-page={page}]")).to_have_attribute("aria-current", "page")
        visitor.settled()
        visitor.ask("() => document.activeElement.blur()")


def test_the_map_moves_zooms_and_steps_through_what_is_wrong(
    visit: Visit, serve: Serve, world: FakeWorld
) -> None:
    visitor = visit(serve(world).url).go().drawn()
    visitor.find(".map").focus()
    pixels = "() => document.querySelector('canvas').toDataURL()"
    for key in ("+", "ArrowLeft", "-", "ArrowUp"):
        before = visitor.ask(pixels)
        visitor.page.keyboard.press(key)
        until(lambda: visitor.ask(pixels) != before, f"{key} changes nothing")  # noqa: B023 - called at once
    visitor.page.keyboard.press("n")
    expect(visitor.find(".chosen")).to_be_visible()
    first = visitor.page.url
    visitor.page.keyboard.press("n")
    expect(visitor.page).not_to_have_url(first)
    visitor.page.keyboard.press("p")
    expect(visitor.page).to_have_url(first)


def test_search_by_keyboard(visit: Visit, serve: Serve, world: FakeWorld) -> None:
    visitor = visit(serve(world).url).go("#/faults")
    visitor.page.keyboard.press("/")
    expect(visitor.find("#search")).to_be_focused()
    visitor.page.keyboard.type("spine-")
    options = visitor.find("#search-found").get_by_role("option")
    expect(options).to_have_count(8)
    visitor.page.keyboard.press("ArrowDown")
    expect(options.nth(1)).to_have_attribute("aria-selected", "true")
    visitor.page.keyboard.press("Enter")
    expect(visitor.find(".chosen h2")).to_contain_text("spine-2")


def test_search_takes_the_number_of_a_probe(visit: Visit, serve: Serve, world: FakeWorld) -> None:
    visitor = visit(serve(world).url).go("#/faults")
    visitor.page.keyboard.press("/")
    visitor.page.keyboard.type("4294967304")
    expect(visitor.find("#search-found").get_by_role("option").first).to_contain_text("probe")
    visitor.page.keyboard.press("Enter")
    visitor.sees("4294967304", "h1")


def test_help_opens_and_closes(visit: Visit, serve: Serve, world: FakeWorld) -> None:
    visitor = visit(serve(world).url).go("#/faults")
    visitor.page.keyboard.press("?")
    expect(visitor.page.get_by_role("dialog", name="Help")).to_be_visible()
    visitor.page.keyboard.press("Escape")
    expect(visitor.page.get_by_role("dialog")).to_have_count(0)


def test_keys_do_not_act_while_one_writes(visit: Visit, serve: Serve, world: FakeWorld) -> None:
    visitor = visit(serve(world).url).go("#/sql")
    editor = visitor.page.get_by_role("textbox", name="SQL query")
    editor.fill("")
    editor.press_sequentially("g?/gm")
    expect(editor).to_have_value("g?/gm")
    expect(visitor.page.get_by_role("dialog")).to_have_count(0)
    assert "#/sql" in visitor.page.url


def test_cells_of_the_matrix(visit: Visit, serve: Serve, world: FakeWorld) -> None:
    visitor = visit(serve(world).url).go("#/matrix")
    visitor.find("td[data-at='0,0']").focus()
    for key in ("ArrowRight", "ArrowDown", "ArrowDown"):
        visitor.page.keyboard.press(key)
    expect(visitor.find("td[data-at='2,1']")).to_be_focused()
    visitor.sees("pod-3 → pod-2:", ".told")
    visitor.page.keyboard.press("Enter")
    visitor.sees("pod-3 → pod-2, ToR by ToR", ".crumbs")


def test_charts_tell_their_values(visit: Visit, serve: Serve, world: FakeWorld) -> None:
    visitor = visit(serve(world).url).go("#/faults/0000000000000001")
    visitor.find(".chart").first.focus()
    visitor.page.keyboard.press("ArrowLeft")
    expect(visitor.find(".chart .told").first).to_contain_text("tor-1-1 → leaf-1-1 (probe)")


def test_the_keyboard_stays_where_it_was_when_news_come(visit: Visit, serve: Serve, world: FakeWorld) -> None:
    served = serve(world)
    visitor = visit(served.url).go()
    story = visitor.find(".wrong .story a").first
    story.focus()
    served.tell("fault", world.fault("spine-8", story="Something new."))
    visitor.sees("Something new.", ".wrong")
    assert "leaf-1-1" in visitor.ask("() => document.activeElement.textContent")

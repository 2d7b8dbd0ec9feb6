"""What the page says when something behind it is away, and that it goes on by itself."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from fabric.builtin import builtin_fabric
from tests.console.browser.fake_api import FakeConsole
from tests.console.browser.fake_world import FakeWorld
from tests.console.browser.visitor import Visitor

pytestmark = [pytest.mark.servers, pytest.mark.timeout(240)]

Visit = Callable[..., Visitor]
Serve = Callable[[FakeWorld], FakeConsole]


def test_store_away(visit: Visit, serve: Serve, world: FakeWorld) -> None:
    world.away.add("store")
    visitor = visit(serve(world).url, complains=True).go().drawn()
    visitor.sees("History, probes, matrix and SQL are not to be had", ".banner")
    visitor.sees("leaf-1-1~spine-1", ".wrong")  # what is wrong now is still shown
    for page in ("probes", "matrix", "coverage", "health", "faults?state=resolved"):
        visitor.go(f"#/{page}").sees("the store does not answer; start ClickHouse", "main")
    world.away.clear()
    visitor.go("#/coverage").sees("share crossed", "main")
    expect(visitor.find(".banner")).to_have_count(0)


def test_broker_away(visit: Visit, serve: Serve, world: FakeWorld) -> None:
    world.away.add("broker")
    visitor = visit(serve(world).url).go()
    visitor.sees("Nothing here is live", ".banner")


def test_console_away_and_back(visit: Visit, world: FakeWorld) -> None:
    with FakeConsole(world) as served:
        visitor = visit(served.url, complains=True).go().drawn()
        expect(visitor.find(".live")).to_contain_text("live")
        port = served.port
    expect(visitor.find(".live")).to_contain_text("reconnecting")
    expect(visitor.find(".banner")).to_be_visible()
    visitor.sees("leaf-1-1~spine-1", ".wrong")  # the last that was known
    world.faults[0]["state"] = "resolved"  # while nobody looked
    world.fault("spine-7", story="Found while the page was away.")
    with FakeConsole(world, port):
        expect(visitor.find(".live")).to_have_text("live")
        visitor.sees("Found while the page was away.", ".wrong")
        expect(visitor.find(".wrong")).not_to_contain_text("leaf-1-1~spine-1")
        expect(visitor.find(".banner")).to_have_count(0)


def test_a_token_is_asked_for_once(visit: Visit, serve: Serve, world: FakeWorld) -> None:
    world.token = "correct horse"
    visitor = visit(serve(world).url, complains=True)
    visitor.page.goto(visitor.url + "#/coverage")
    dialog = visitor.page.get_by_role("dialog", name="Sign in")
    expect(dialog).to_be_visible()
    visitor.page.get_by_label("Token").fill("wrong")
    visitor.page.keyboard.press("Enter")
    expect(dialog).to_contain_text("That is not the token.")
    visitor.page.keyboard.press("Escape")
    expect(dialog).to_be_visible()
    visitor.page.get_by_label("Token").fill("correct horse")
    visitor.page.keyboard.press("Enter")
    visitor.settled().sees("share crossed", "main")
    expect(visitor.find(".live")).to_contain_text("live")
    visitor.page.reload()
    visitor.settled().sees("share crossed", "main")
    expect(dialog).to_have_count(0)


def test_an_empty_network_says_what_is_missing(visit: Visit, serve: Serve) -> None:
    visitor = visit(serve(FakeWorld(builtin_fabric("tiny"))).url).go()
    visitor.sees("Nothing is wrong", ".wrong")
    visitor.go("#/faults").sees("No fault is open.", "main")

"""A fabric of 3,340 switches and 102,400 servers: drawn, aggregated, and used."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.console.browser.big_fabric import big_world
from tests.console.browser.fake_api import FakeConsole
from tests.console.browser.views import SIZES
from tests.console.browser.visitor import Visitor

pytestmark = [pytest.mark.servers, pytest.mark.alone, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with FakeConsole(big_world()) as served:
        yield served.url


@pytest.fixture
def visitor(chromium: Browser, url: str) -> Iterator[Visitor]:
    made = Visitor(chromium, url, "light", SIZES["laptop"], complains=False)
    yield made
    made.close()
    assert not made.complaints, made.complaints


def test_it_is_drawn_and_says_what_is_wrong(visitor: Visitor) -> None:
    visitor.go().drawn()
    visitor.sees("leaf-1-1~spine-1", ".wrong")
    visitor.sees("3.34\u202fk switches, 102\u202fk servers", ".summary")
    colours = "() => { const c = document.querySelector('canvas'), x = c.getContext('2d');"
    colours += " return new Set(new Uint32Array(x.getImageData(0, 0, c.width, c.height).data.buffer)).size; }"
    assert visitor.ask(colours) > 20  # blocks, cells, links, marks and labels


def test_a_pod_and_a_switch_of_it_are_opened(visitor: Visitor) -> None:
    visitor.go("#/fabric/pod/pod-33").drawn()
    expect(visitor.find(".chosen")).to_contain_text("48")
    expect(visitor.find(".chosen")).to_contain_text("1\u202f600")
    visitor.go("#/fabric/switch/spine-256")
    expect(visitor.find(".chip")).to_have_count(12)
    expect(visitor.find(".port")).to_have_count(34)


def test_the_list_opens_one_pod_at_a_time(visitor: Visitor) -> None:
    visitor.go("#/fabric?as=list")
    groups = visitor.find(".list details")
    expect(groups).to_have_count(64 + 3)
    expect(visitor.find(".list tbody tr")).to_have_count(0)
    groups.filter(has_text="pod-64").locator("summary").click()
    expect(visitor.find(".list tbody tr")).to_have_count(48)


def test_the_matrix_of_all_pods_is_drawn_and_that_of_all_tors_is_not(visitor: Visitor) -> None:
    visitor.go("#/matrix")
    expect(visitor.find("td[role=gridcell]")).to_have_count(64 * 64)
    visitor.find("td[data-at='63,62']").click()
    expect(visitor.find("td[role=gridcell]")).to_have_count(40 * 40)
    visitor.go("#/matrix?level=tor").sees("more than can be looked at", "main")
    # The browser itself notes that the API refused; the page has no complaint of its own.
    assert all("400 (Bad Request)" in complaint for complaint in visitor.complaints)
    visitor.complaints.clear()
    visitor.go("#/matrix?level=tor&pod_from=pod-64&pod_to=pod-63")
    expect(visitor.find("td[role=gridcell]")).to_have_count(40 * 40)

"""The page of a running demo: the injected fault is seen everywhere that it should be, without reloading.

Screenshots are written to build/screenshots, `demo-*`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Locator, expect

from tests.console.browser.running_demo import FAULT, LINK, running_demo
from tests.console.browser.views import SCHEMES, SIZES
from tests.console.browser.visitor import Visitor, until

pytestmark = [pytest.mark.servers, pytest.mark.alone, pytest.mark.timeout(600)]

#: A fault is found within seconds; on a machine that is busy with other tests it may take longer.
FOUND_MS = 240_000
SHOWN = LINK.replace("~", " → ")


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_demo(tmp_path_factory.mktemp("demo"), FAULT) as url:
        yield url


@pytest.fixture(scope="module")
def open_since_before(chromium: Browser, demo: str) -> Iterator[Visitor]:
    """A page that was opened before anything was wrong, and now shows the fault."""
    visitor = Visitor(chromium, demo, "light", SIZES["laptop"], complains=False)
    visitor.go("#/fabric").drawn()
    visitor.ask("() => { window.openedOnce = true; }")
    expect(visitor.find(".wrong .faultcard")).to_have_count(0)
    expect(visitor.find(".wrong .faultcard").first).to_contain_text(SHOWN, timeout=FOUND_MS)
    yield visitor
    assert not visitor.complaints, visitor.complaints
    visitor.close()


@pytest.fixture(scope="module")
def fault_id(open_since_before: Visitor) -> str:
    open_since_before.go("#/fabric")
    return _card(open_since_before).get_attribute("data-fault") or ""


def _card(visitor: Visitor) -> Locator:
    return visitor.find(".wrong .faultcard").filter(has_text=SHOWN)


def test_the_fabric_view_shows_it_without_reloading(open_since_before: Visitor) -> None:
    visitor = open_since_before
    visitor.go("#/fabric")
    expect(_card(visitor)).to_contain_text("network loss")
    expect(_card(visitor)).to_contain_text("of the packets from leaf-1-1 to spine-1 were lost")
    expect(visitor.find(".losing tbody tr").first).to_contain_text(SHOWN)

    def marked() -> list[float]:
        """Severity and loss of the link, as the map has them."""
        found: list[float] = visitor.ask(
            """async (link) => {
                const { live } = await import('/static/core/live.js');
                const { world } = await import('/static/core/world.js');
                const { fabricState } = await import('/static/fabric/state.js');
                const { cable, reverse } = world.model.link(link);
                const state = fabricState(world.model, live.open(), live.links);
                const at = 2 * cable + reverse;
                return [state.faultyLinks.get(at), state.byLink.get(at).loss];
            }""",
            LINK,
        )
        return found

    # Its window reaches back to before the fault at first.
    until(lambda: marked()[1] > 0.1, "the map does not show the loss")
    severity, loss = marked()
    assert severity == 4  # critical
    assert 0.1 < loss < 0.5
    assert visitor.ask("() => window.openedOnce") is True


def test_its_page_shows_suspects_evidence_and_probes(open_since_before: Visitor, fault_id: str) -> None:
    visitor = open_since_before
    visitor.go(f"#/faults/{fault_id}")
    visitor.sees("of the packets from leaf-1-1 to spine-1 were lost", "h1")
    expect(visitor.find(".suspects li").first).to_contain_text(SHOWN)
    expect(visitor.find(".chart svg path.line").first).to_be_visible()
    visitor.find(
        ".card",
    ).filter(has_text="As a table").locator("summary").click()
    rows = (
        visitor.find(
            "table",
        )
        .filter(has_text="copies missing")
        .locator("tbody tr")
    )
    expect(rows.filter(has_text=SHOWN).first).to_be_visible()
    expect(visitor.find("a[href^='#/probe/']").first).to_be_visible()
    assert visitor.ask("() => window.openedOnce") is True


def test_an_example_probe_is_followed_to_where_it_stopped(open_since_before: Visitor, fault_id: str) -> None:
    visitor = open_since_before
    visitor.go(f"#/faults/{fault_id}")
    visitor.find("a[href^='#/probe/']").first.click()
    visitor.settled().sees("network loss", ".head")
    expect(visitor.page.get_by_label("stopped here")).to_have_count(1)
    stopped = visitor.find(".gap.stopped")
    expect(stopped.locator("xpath=preceding-sibling::li[1]")).to_contain_text("leaf-1-1")
    assert visitor.ask("() => window.openedOnce") is True


def test_the_matrix_shows_where_from_and_where_to(open_since_before: Visitor) -> None:
    visitor = open_since_before
    visitor.go("#/matrix")
    expect(visitor.find(".heat")).to_be_visible(timeout=FOUND_MS)
    grid = """() => {
        const names = [...document.querySelectorAll('.heat thead th')].map((e) => e.title);
        return [...document.querySelectorAll('.heat td[data-at]')].map((e) => {
            const [r, c] = e.dataset.at.split(',').map(Number);
            return [names[r], names[c], Number(/loss-(\\d)/.exec(e.className)?.[1] ?? 0)];
        });
    }"""
    expect(visitor.find("td.loss-3, td.loss-4").first).to_be_visible(timeout=FOUND_MS)
    lossy = {(near, far) for near, far, loss in visitor.ask(grid) if loss}
    # Probes into the pod answer by way of the link that loses, probes from it cross it.
    assert lossy
    assert all("pod-1" in pair for pair in lossy), lossy
    assert visitor.ask("() => window.openedOnce") is True


def test_past_and_open_faults_are_listed(open_since_before: Visitor, fault_id: str) -> None:
    visitor = open_since_before
    visitor.go("#/faults")
    expect(visitor.find(f"a[href='#/faults/{fault_id}']")).to_be_visible()
    visitor.go("#/faults?state=resolved")
    expect(visitor.find(f"a[href='#/faults/{fault_id}']")).to_have_count(0)


def test_the_store_refuses_to_change_anything(
    visit: Callable[..., Visitor], demo: str, open_since_before: Visitor
) -> None:
    visitor = visit(demo, complains=True).go("#/sql")
    editor = visitor.page.get_by_role("textbox", name="SQL query")
    editor.fill("DROP TABLE fault_events")
    visitor.page.keyboard.press("Control+Enter")
    expect(visitor.find(".storeerror")).to_be_visible()
    editor.fill("SELECT kind, suspects.element FROM fault_events LIMIT 5")
    visitor.page.keyboard.press("Control+Enter")
    expect(visitor.find(".result tbody tr").first).to_contain_text("network_loss")


def test_it_is_silenced_and_no_longer_counted(open_since_before: Visitor, fault_id: str) -> None:
    visitor = open_since_before
    visitor.go(f"#/faults/{fault_id}")
    visitor.page.get_by_role("button", name="Silence …").click()
    visitor.page.get_by_label("Why").fill("a test")
    visitor.page.get_by_label("Who asks").fill("ann")
    visitor.page.get_by_role("button", name="Silence", exact=True).click()
    expect(visitor.find(".silences")).to_contain_text("a test")
    visitor.go("#/fabric")
    expect(visitor.find(".wrong details").filter(has_text="silenced")).to_be_visible(timeout=FOUND_MS)
    visitor.go(f"#/faults/{fault_id}")
    visitor.page.get_by_role("button", name="End silence").click()
    expect(visitor.find(".silences")).to_have_count(0)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_view_of_the_demo(
    visit: Callable[..., Visitor],
    demo: str,
    fault_id: str,
    open_since_before: Visitor,
    screenshots: Path,
    scheme: str,
    size: str,
) -> None:
    open_since_before.go(f"#/faults/{fault_id}")
    probe = open_since_before.find("a[href^='#/probe/']").first.get_attribute("href") or ""
    visitor = visit(demo, scheme, SIZES[size])
    views = {
        "fabric": "#/fabric",
        "fabric-link": f"#/fabric/link/{LINK}",
        "faults": "#/faults",
        "fault": f"#/faults/{fault_id}",
        "probes": "#/probes",
        "probe": probe,
        "matrix": "#/matrix",
        "coverage": "#/coverage",
        "health": "#/health",
        "sql": "#/sql?q=SELECT+*+FROM+worst_links",
    }
    for name, address in views.items():
        visitor.go(address)
        visitor.shoot(screenshots / f"demo-{name}-{scheme}-{size}.png")
        if size == "laptop":
            findings = Axe().run(visitor.page).response["violations"]
            assert not [f["id"] for f in findings if f["impact"] in ("serious", "critical")], name

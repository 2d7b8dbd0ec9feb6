"""Names, stories and cells full of markup and SQL are text, wherever they are shown."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from fabric.builtin import builtin_fabric
from tests.console.browser.fake_api import FakeConsole
from tests.console.browser.fake_world import FakeWorld
from tests.console.browser.visitor import Visitor

pytestmark = [pytest.mark.servers, pytest.mark.timeout(240)]

#: The first runs something if it becomes markup, the second if it becomes a link, the third is SQL.
EVIL = (
    "<img src=x onerror=\"window.owned='img'\"><script>window.owned='script'</script>",
    "javascript:window.owned='link'//",
    "'; DROP TABLE fault_events; --",
    "\"><svg onload=window.owned='svg'>",
    "</textarea></title><iframe srcdoc='<script>parent.owned=1</script>'>",
    "../../api/v1/silences?x=#%00%0d%0aSet-Cookie: a=b",
    "\u202egnp.tiaf\u0000",
)


@pytest.mark.parametrize("evil", EVIL)
def test_evil_names_stay_names(
    visit: Callable[..., Visitor], serve: Callable[[FakeWorld], FakeConsole], evil: str
) -> None:
    world = FakeWorld(builtin_fabric("small"), rename=lambda name: f"{name} {evil}")
    world.lose("leaf-1-1~spine-1")
    fault = world.fault("leaf-1-1~spine-1", story=f"All probes {evil} were lost.", direction=evil)
    world.fault("spine-1", kind=evil, silenced=evil, severity="warning", legs=[evil], part_of=evil)
    world.silences.append(
        {"what": "silence", "element": evil, "until_us": world.now_us, "from_us": 0, "why": evil, "by": evil}
    )
    visitor = visit(serve(world).url, complains=True)
    switch = world.element("spine-1")
    quoted = visitor.ask("(names) => names.map(encodeURIComponent)", [switch, world.element("pod-1")])
    addresses = [
        *("#/fabric", "#/fabric?as=list", f"#/fabric/switch/{quoted[0]}", f"#/fabric/pod/{quoted[1]}"),
        *("#/faults?state=all", f"#/faults/{fault['fault_id']}", "#/probes", "#/probe/1", "#/matrix"),
        *("#/matrix?level=tor", "#/coverage", "#/health", "#/sql?q=SELECT+1"),
    ]
    for address in addresses:
        visitor.go(address)
        assert visitor.ask("() => window.owned ?? null") is None, address
        assert visitor.find("iframe, main script, main img").count() == 0, address
        elsewhere = "() => [...document.links].filter((a) => !a.getAttribute('href').startsWith('#')).length"
        assert visitor.ask(elsewhere) == 0, address
    visitor.go(f"#/fabric/switch/{quoted[0]}")
    expect(visitor.find(".chosen h2")).to_contain_text("spine-1")
    assert not [said for said in visitor.complaints if "Content Security Policy" in said]

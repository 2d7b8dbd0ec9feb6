"""Flow charts of pages, as the site draws them."""

import re
from itertools import combinations
from xml.etree import ElementTree

import pytest

from docs.generate.diagram import svg_of
from tests.docs.pages import Page, pages

CHARTS = [(each, block) for each in pages() for block in each.code("mermaid")]
_SVG = "{http://www.w3.org/2000/svg}"


def texts(svg: str) -> str:
    root = ElementTree.fromstring(svg)
    return " ".join(element.text or "" for element in root.iter(f"{_SVG}text"))


def boxes(svg: str) -> list[tuple[float, float, float, float]]:
    """x, y, right and bottom of each node."""
    found = []
    for element in ElementTree.fromstring(svg).iter():
        if element.tag == f"{_SVG}rect":
            x, y, width, height = (float(element.get(key, "")) for key in ("x", "y", "width", "height"))
            found.append((x, y, x + width, y + height))
        elif element.tag == f"{_SVG}polygon":
            points = [tuple(map(float, point.split(","))) for point in element.get("points", "").split()]
            xs, ys = [x for x, _ in points], [y for _, y in points]
            found.append((min(xs), min(ys), max(xs), max(ys)))
    return found


@pytest.mark.parametrize(
    ("where", "chart"), CHARTS, ids=lambda each: each.name if isinstance(each, Page) else ""
)
def test_everything_of_a_chart_is_drawn_and_nothing_on_top_of_another(where: Page, chart: str) -> None:
    svg = svg_of(chart, "chart")
    shown = texts(svg)
    words = re.findall(r"\[[/(]?\"?([^\"\]/)]+)", chart) + re.findall(r"--\s+(\w+)\s+-->", chart)
    assert words
    for word in words:
        if "subgraph" not in chart.partition(word)[0].splitlines()[-1]:
            for part in word.split("<br>"):
                assert part.strip() in shown, part
    arrows = len(re.findall(r"-->|<-->", chart))
    assert svg.count("<path d=") == arrows + 1  # and the tip of all arrows
    drawn = boxes(svg)
    for (ax, ay, aright, abottom), (bx, by, bright, bbottom) in combinations(drawn, 2):
        assert aright <= bx or bright <= ax or abottom <= by or bbottom <= ay


def test_a_circle_is_drawn_with_one_arrow_upwards() -> None:
    svg = svg_of("flowchart LR\n a --> b\n b --> c\n c -- again --> a\n", "circle")
    levels = sorted(y for _, y, _, _ in boxes(svg))
    assert len(set(levels)) == 3
    assert "again" in texts(svg)


def test_labels_are_text() -> None:
    svg = svg_of('flowchart LR\n a["<script>x</script>"] --> b\n', "<b>")
    assert "<script>" not in svg
    assert "<script>x</script>" in texts(svg)


@pytest.mark.parametrize(
    "text", ["", "sequenceDiagram\n a->>b: x", "flowchart LR\n a{x} --> b", "flowchart LR\n *"]
)
def test_what_is_not_understood_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"flowchart|shape|node"):
        svg_of(text, "x")

"""The flow charts of pages, drawn for the site without fetching a renderer.

Only what our pages use of Mermaid's `flowchart` is understood: nodes in four shapes, subgraphs, arrows one
way or both, and labels on them. In the repository the same text is drawn by whatever shows Markdown there.

Layers from top to bottom: a node is below all that lead to it. An arrow over several layers goes by an empty
place in each of them, so that it does not cross what stands there.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from itertools import pairwise

_WIDTH, _HEIGHT, _GAP, _LAYER, _MARGIN = 128, 38, 22, 74, 10
_WAY_WIDTH = 26  # of the empty place that an arrow goes by
_SWEEPS = 12
_SHAPES = (("([", "])", "pill"), ("[/", "/]", "topic"), ("[(", ")]", "store"), ("[", "]", "box"))
_NODE = re.compile(r"^(\w+)(.*)$", re.DOTALL)
_ARROW = re.compile(r"\s+(<-->|-->|--\s+[^>]+?\s+-->)\s+")


@dataclass(slots=True)
class _Node:
    label: str
    shape: str = "box"
    layer: int = 0
    place: float = 0.0  # in its layer; later: x of its middle


@dataclass(slots=True)
class _Edge:
    near: str
    far: str
    label: str
    both_ways: bool
    upwards: bool = False
    by: list[str] = field(default_factory=list)  # empty places on its way


@dataclass(slots=True)
class _Chart:
    nodes: dict[str, _Node] = field(default_factory=dict)
    edges: list[_Edge] = field(default_factory=list)


def svg_of(text: str, title: str) -> str:
    """An SVG element in the colours of the text around it. Raises ValueError for what is not understood."""
    chart = _read(text)
    _layer(chart)
    _add_ways(chart)
    width = _stack(chart)
    height = (
        (max(node.layer for node in chart.nodes.values()) + 1) * _LAYER - (_LAYER - _HEIGHT) + 2 * _MARGIN
    )
    drawn = "".join(_edge(chart, edge) for edge in chart.edges)
    drawn += "".join(_box(node) for node in chart.nodes.values() if node.shape != "way")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}" role="img" fill="none" '
        f'stroke="currentColor" font-size="12" style="width: 100%; max-width: {width:.0f}px; height: auto">'
        f"<title>{escape(title)}</title>"
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7" '
        'orient="auto-start-reverse"><path d="M0 0L8 4L0 8z" fill="currentColor" stroke="none"/>'
        f"</marker></defs>{drawn}</svg>"
    )


def _read(text: str) -> _Chart:
    lines = [line.strip() for line in text.strip().splitlines()]
    if not lines or not lines[0].startswith("flowchart "):
        raise ValueError("only a `flowchart` can be drawn")
    chart = _Chart()
    for line in lines[1:]:
        if line.startswith("subgraph ") or line in ("end", ""):
            continue
        parts = _ARROW.split(line)
        names = [_node(chart, part) for part in parts[::2]]
        for near, arrow, far in zip(names, parts[1::2], names[1:], strict=False):
            label = arrow[2:-3].strip() if arrow.startswith("-- ") else ""
            chart.edges.append(_Edge(near, far, label, arrow.startswith("<")))
    return chart


def _node(chart: _Chart, text: str) -> str:
    matched = _NODE.match(text.strip())
    if matched is None:
        raise ValueError(f"not a node: {text!r}")
    name, shape = matched[1], matched[2]
    for opening, closing, kind in _SHAPES:
        if shape.startswith(opening) and shape.endswith(closing):
            chart.nodes[name] = _Node(shape[len(opening) : -len(closing)].strip('"'), kind)
            return name
    if shape:
        raise ValueError(f"not a shape: {shape!r}")
    chart.nodes.setdefault(name, _Node(name))
    return name


def _layer(chart: _Chart) -> None:
    """A layer for each node, and which arrows go upwards, because they would close a circle."""
    below: defaultdict[str, list[_Edge]] = defaultdict(list)
    for edge in chart.edges:
        below[edge.near].append(edge)
    done: list[str] = []

    def visit(name: str, above: tuple[str, ...]) -> None:
        for edge in below[name]:
            if edge.far in (*above, name):
                edge.upwards = True
            elif edge.far not in done:
                visit(edge.far, (*above, name))
        done.append(name)

    # Whoever has an arrow to others, and begins: where the text first names arrows.
    for edge in chart.edges:
        if edge.near not in done:
            visit(edge.near, ())
    for name in reversed(done):
        for edge in below[name]:
            if not edge.upwards:
                far = chart.nodes[edge.far]
                far.layer = max(far.layer, chart.nodes[name].layer + 1)
    # A node that nothing leads to stands right above the first that it leads to.
    for name, node in chart.nodes.items():
        if below[name] and not any(edge.far == name and not edge.upwards for edge in chart.edges):
            node.layer = min(chart.nodes[edge.far].layer for edge in below[name]) - 1


def _add_ways(chart: _Chart) -> None:
    for number, edge in enumerate(chart.edges):
        top, bottom = sorted((chart.nodes[edge.near].layer, chart.nodes[edge.far].layer))
        for layer in range(top + 1, bottom):
            name = f"{number}@{layer}"
            chart.nodes[name] = _Node("", "way", layer)
            edge.by.append(name)


def _stack(chart: _Chart) -> float:
    """Where in its layer everything is: near what it is joined to. Returns the width of the whole."""
    layers: defaultdict[int, list[str]] = defaultdict(list)
    for name, node in chart.nodes.items():
        layers[node.layer].append(name)
    joined: defaultdict[str, list[str]] = defaultdict(list)
    for edge in chart.edges:
        for a, b in pairwise([edge.near, *edge.by, edge.far]):
            joined[a].append(b)
            joined[b].append(a)

    def spread(names: Sequence[str]) -> None:
        x = 0.0
        for name in names:
            width = _WAY_WIDTH if chart.nodes[name].shape == "way" else _WIDTH
            chart.nodes[name].place = x + width / 2
            x += width + _GAP
        for name in names:
            chart.nodes[name].place -= (x - _GAP) / 2

    for names in layers.values():
        spread(names)
    for sweep in range(_SWEEPS):
        for layer in sorted(layers, reverse=bool(sweep % 2)):
            names = layers[layer]
            wanted = {
                name: sum(chart.nodes[other].place for other in joined[name]) / len(joined[name])
                for name in names
            }
            names.sort(key=wanted.__getitem__)
            spread(names)
    left = min(node.place for node in chart.nodes.values()) - _WIDTH / 2 - _MARGIN
    for node in chart.nodes.values():
        node.place -= left
    return max(node.place for node in chart.nodes.values()) + _WIDTH / 2 + _MARGIN


def _y(node: _Node) -> float:
    """Of its middle."""
    return _MARGIN + node.layer * _LAYER + _HEIGHT / 2


def _edge(chart: _Chart, edge: _Edge) -> str:
    near, far = chart.nodes[edge.near], chart.nodes[edge.far]
    down = 1 if far.layer > near.layer else -1
    # What comes back goes beside what went there.
    aside = 14 if edge.upwards else 0
    points = [(near.place + aside, _y(near) + down * _HEIGHT / 2)]
    points += [(chart.nodes[name].place, _y(chart.nodes[name])) for name in edge.by]
    points += [(far.place + aside, _y(far) - down * _HEIGHT / 2)]
    path = f"M{points[0][0]:.0f} {points[0][1]:.0f}"
    for (x1, y1), (x2, y2) in pairwise(points):
        middle = (y1 + y2) / 2
        path += f"C{x1:.0f} {middle:.0f} {x2:.0f} {middle:.0f} {x2:.0f} {y2:.0f}"
    start = ' marker-start="url(#tip)"' if edge.both_ways else ""
    drawn = f'<path d="{path}" stroke-opacity=".6" marker-end="url(#tip)"{start}/>'
    if not edge.label:
        return drawn
    (x1, y1), (x2, y2) = points[0], points[1]
    return drawn + _text((x1 + x2) / 2 + (22 if edge.upwards else -22), (y1 + y2) / 2, [edge.label])


def _box(node: _Node) -> str:
    x, y = node.place - _WIDTH / 2, _y(node) - _HEIGHT / 2
    if node.shape == "topic":
        right, bottom = x + _WIDTH, y + _HEIGHT
        points = f"{x + 10:.0f},{y} {right:.0f},{y} {right - 10:.0f},{bottom} {x:.0f},{bottom}"
        drawn = f'<polygon points="{points}"/>'
    else:
        corner = {"pill": _HEIGHT / 2, "store": 12}.get(node.shape, 3)
        line = 2 if node.shape == "store" else 1
        size = f'width="{_WIDTH}" height="{_HEIGHT}" rx="{corner}" stroke-width="{line}"'
        drawn = f'<rect x="{x:.0f}" y="{y}" {size}/>'
    return drawn + _text(node.place, _y(node), node.label.split("<br>"))


def _text(x: float, y: float, lines: list[str]) -> str:
    first = y + 4 - 7 * (len(lines) - 1)
    return "".join(
        f'<text x="{x:.0f}" y="{first + 14 * row:.0f}" text-anchor="middle" fill="currentColor" '
        f'stroke="none">{escape(line)}</text>'
        for row, line in enumerate(lines)
    )

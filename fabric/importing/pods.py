"""Which pod a ToR or leaf is in: what the source says, else what the cables say.

ToRs and leaves that are joined without a spine between them are one pod.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from fabric.importing.draft import DraftCable
from fabric.importing.report import ImportReport
from fabric.importing.roles import Named

_IN_PODS = ("tor", "leaf")


def pods_of(named: Sequence[Named], cables: Sequence[DraftCable], report: ImportReport) -> dict[str, str]:
    """Pod of each ToR and leaf, by name of the node. Where it cannot be told, there is no entry."""
    members = {each.node.name: each.node.pod for each in named if each.role in _IN_PODS}
    taken = {pod for pod in members.values() if pod}
    pods = {name: pod for name, pod in members.items() if pod}
    fresh = (f"pod-{n}" for n in range(1, len(members) + len(taken) + 1) if f"pod-{n}" not in taken)
    for group in _joined(list(members), cables):
        known = sorted({pods[name] for name in group if name in pods})
        lacking = [name for name in group if name not in pods]
        if len(known) > 1:
            report.add(
                "check",
                "pods-joined",
                f"of the pods {', '.join(known)}, and yet joined without a spine",
                *group,
            )
        elif lacking:
            pod = known[0] if known else next(fresh)
            pods |= dict.fromkeys(lacking, pod)
            report.add(
                "assumed",
                "pod-by-cables",
                "put into pods by the cables: what is joined without a spine between is one pod",
                *(f"{name} -> {pod}" for name in lacking),
            )
    return pods


def _joined(names: Sequence[str], cables: Sequence[DraftCable]) -> Iterator[list[str]]:
    """Groups of names that cables between them join, each in the order of the names."""
    neighbours: defaultdict[str, list[str]] = defaultdict(list)
    inside = set(names)
    for cable in cables:
        if cable.a in inside and cable.b in inside:
            neighbours[cable.a].append(cable.b)
            neighbours[cable.b].append(cable.a)
    order = {name: row for row, name in enumerate(names)}
    seen: set[str] = set()
    for first in names:
        if first in seen:
            continue
        seen.add(first)
        group, open_ends = [first], [first]
        while open_ends:
            for name in neighbours[open_ends.pop()]:
                if name not in seen:
                    seen.add(name)
                    group.append(name)
                    open_ends.append(name)
        yield sorted(group, key=order.__getitem__)

"""What each node is: by the operator's word, by the source's words, by its name, or by its kind."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast, get_args

from fabric.importing.draft import Draft, DraftCable, DraftNode, Meaning, Role, Word
from fabric.importing.report import ImportRefused, ImportReport, shown

#: Words that tell a role. Where several are in a text ("border-leaf"), the first row here wins.
WORDS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("prober", ("prober",)),
    ("collector", ("collector",)),
    ("border", ("border", "borderleaf", "exit")),
    ("dci", ("dci",)),
    ("superspine", ("superspine",)),
    ("tor", ("tor", "t0", "access", "rack")),
    ("leaf", ("leaf", "t1", "aggregation", "agg", "distribution")),
    ("spine", ("spine", "t2", "core")),
    ("server", ("server", "host", "client", "compute", "hypervisor")),
)
#: Words that say nothing: "leaf-switch" is a leaf, "access-point" is not a ToR.
_EMPTY_WORDS = frozenset(
    ("switch", "switches", "sw", "router", "dc", "datacenter", "data", "center", "network", "net", "layer")
)
_ROLE_OF_WORD = {word: role for role, words in WORDS for word in words}
_RANK = {role: rank for rank, (role, _) in enumerate(WORDS)}


@dataclass(frozen=True, slots=True)
class Named:
    """A node and what it is. role None: a switch whose tier is not known."""

    node: DraftNode
    role: Role | None


@dataclass(frozen=True, slots=True)
class _Decision:
    role: str | None  # also "superspine", "skip", "switch"
    by: Word | None
    fixed: bool  # not to be moved to another tier


def parse_role(spec: str) -> tuple[str, Meaning]:
    """`WORD=ROLE` of a command line. Raises ImportRefused."""
    word, equals, role = spec.rpartition("=")
    if not equals or not word.strip() or role not in get_args(Meaning):
        known = ", ".join(get_args(Meaning))
        raise ImportRefused(f"{spec!r} is no WORD=ROLE; ROLE is one of {known}")
    return word.strip().lower(), cast(Meaning, role)


def name_roles(
    draft: Draft, meanings: Iterable[tuple[str, Meaning]], report: ImportReport
) -> tuple[Named, ...]:
    """What the nodes of a draft are, those left out that do not belong into an inventory."""
    said = dict(meanings)
    decisions = {node.name: _decide(node, said) for node in draft.nodes}
    used = {word for node in draft.nodes for word in _matched(node, said)}
    for word in said.keys() - used:
        report.add("check", "role-unused", "--role was given for a word that nothing has", word)
    decisions = _moved(decisions, draft.cables, report)
    named: list[Named] = []
    for node in draft.nodes:
        decision = decisions[node.name]
        _explain(node, decision, report)
        if decision.role == "switch":
            named.append(Named(node, None))
        elif decision.role in get_args(Role):
            named.append(Named(node, cast(Role, decision.role)))
    return tuple(named)


def _decide(node: DraftNode, said: Mapping[str, Meaning]) -> _Decision:
    for word in node.words:
        for text in (word.text.lower(), *(_tokens(word.text) if word.free else ())):
            if text in said:
                return _Decision(said[text], word, True)
    for word in node.words:
        role = _role_of(word)
        if role is not None:
            return _Decision(role, word, word.fixed)
    return _Decision(node.otherwise, None, True)


def _matched(node: DraftNode, said: Mapping[str, Meaning]) -> set[str]:
    texts = {text for word in node.words for text in (word.text.lower(), *_tokens(word.text))}
    return texts & said.keys()


def _role_of(word: Word) -> str | None:
    tokens = [t for t in _tokens(word.text) if t not in _EMPTY_WORDS]
    roles = [_ROLE_OF_WORD[token] for token in tokens if token in _ROLE_OF_WORD]
    # "super-spine" is one word written as two.
    if "super" in tokens and "spine" in tokens:
        tokens = [token for token in tokens if token != "super"]
        roles.append("superspine")
    if not roles or (not word.free and any(token not in _ROLE_OF_WORD for token in tokens)):
        return None
    return min(roles, key=_RANK.__getitem__)


def _tokens(text: str) -> list[str]:
    """The words in a text, without the numbers: "fra1-leaf-01a" has fra, leaf and a."""
    lowered = text.lower()
    whole = [lowered] if lowered in _ROLE_OF_WORD else []
    return whole or re.findall(r"[^\W\d_]+", lowered)


def _moved(
    decisions: dict[str, _Decision], cables: Sequence[DraftCable], report: ImportReport
) -> dict[str, _Decision]:
    """The same words mean other tiers in other networks: with super-spines the spines are our leaves, and
    without any ToR the leaves that servers hang on are our ToRs."""
    roles = {decision.role for decision in decisions.values()}
    moves: dict[str, str] = {}
    if "superspine" in roles:
        moves |= {"superspine": "spine", "spine": "leaf"}
    if "tor" not in roles and _servers_hang_on_leaves(decisions, cables):
        moves |= {"leaf": "tor"}
    moved = dict(decisions)
    for name, decision in decisions.items():
        if decision.role in moves and not decision.fixed:
            moved[name] = replace(decision, role=moves[decision.role])
            report.add(
                "assumed",
                "tier-moved",
                f"what is called {decision.role} is written as {moves[decision.role]}, "
                "as servers or super-spines show",
                name,
            )
    return moved


def _servers_hang_on_leaves(decisions: Mapping[str, _Decision], cables: Sequence[DraftCable]) -> bool:
    def role(name: str) -> str | None:
        decision = decisions.get(name)
        return None if decision is None else decision.role

    return any({role(cable.a), role(cable.b)} == {"server", "leaf"} for cable in cables)


def _explain(node: DraftNode, decision: _Decision, report: ImportReport) -> None:
    if decision.role == "skip":
        why = node.otherwise_because if decision.by is None else f"{decision.by.where} {decision.by.text}"
        report.add("left_out", "skipped", f"not part of an inventory ({shown(why)})", node.name)
    elif decision.role is None:
        why = next((f"{word.where} {word.text}" for word in node.words if not word.free), "nothing")
        report.add(
            "left_out",
            "role-unknown",
            f"what this is, is not known from {shown(why)}; say so with --role WORD=ROLE",
            node.name,
        )
    elif decision.by is None and decision.role != "switch":
        report.add(
            "assumed", "role-by-kind", f"taken for a {decision.role} ({node.otherwise_because})", node.name
        )
    elif decision.by is not None and decision.by.free and decision.role != "skip":
        report.add("assumed", "role-by-name", f"taken for a {decision.role} by its name", node.name)

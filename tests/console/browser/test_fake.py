"""The made-up API answers in the shapes of the real one."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel

from console import models
from fabric.builtin import builtin_fabric
from tests.console.browser.fake_world import FakeWorld


def _answers(world: FakeWorld) -> dict[str, tuple[type[BaseModel], list[Any]]]:
    fault = world.fault("leaf-1-1~spine-1", kind="alteration")
    world.lose("leaf-1-1~spine-1")
    return {
        "overview": (models.Overview, [world.overview()]),
        "fabric": (models.WholeFabric, [world.whole()]),
        "switch": (models.SwitchDetail, [world.switch("spine-1")]),
        "links": (models.LinksNow, [world.links_now()]),
        "fault": (models.FaultPage, [world.fault_page(fault)]),
        "evidence": (models.Evidence, [world.evidence()]),
        "probes": (models.ProbeSummary, world.probes()),
        "probe": (models.Probe, [world.probe("7")]),
        "matrix": (models.Matrix, [world.matrix("pod", "", ""), world.matrix("tor", "", "")]),
        "span": (models.MatrixSpan, [world.span()]),
        "coverage": (models.Coverage, [world.coverage()]),
        "health": (models.Health, [world.health()]),
        "search": (models.Found, [*world.search("tor"), *world.search("123456")]),
        "question": (models.Example, [world.question()]),
        "table": (models.Table, [world.table()]),
        "answer": (models.Answer, [world.answer()]),
    }


NAMES = tuple(_answers(FakeWorld(builtin_fabric("small"))))


@pytest.mark.parametrize("name", NAMES)
def test_an_answer_is_what_the_api_would_answer(name: str) -> None:
    model, answers = _answers(FakeWorld(builtin_fabric("small")))[name]
    assert answers
    for answer in answers:
        told = model.model_validate(answer).model_dump(mode="json")
        assert _lists(answer) == _lists(told)


def _lists(value: Any) -> Any:
    """Tuples and lists are the same in JSON."""
    if isinstance(value, dict):
        return {key: _lists(one) for key, one in value.items()}
    return [_lists(one) for one in value] if isinstance(value, list | tuple) else value

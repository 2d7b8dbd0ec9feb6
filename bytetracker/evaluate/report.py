"""The report: plain values, as other programs read them. Keys are explained in docs/evaluation.md."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bytetracker.evaluate.events import Found
from bytetracker.evaluate.methods import OURS
from bytetracker.evaluate.run import Outcome
from bytetracker.evaluate.score import CauseScore, Score
from bytetracker.evaluate.summary import summarise
from bytetracker.evaluate.tally import FaultTally


def scenario_document(outcome: Outcome) -> dict[str, Any]:
    """One entry of `scenarios`."""
    scenario, ours = outcome.scenario, outcome.scores[OURS]
    return {
        "name": scenario.name,
        "seed": scenario.seed,
        "fabric": scenario.fabric,
        "duration_s": scenario.duration_s,
        "interval_us": scenario.interval_us,
        "probes": outcome.probes,
        "digests": outcome.digests,
        "late_rows": outcome.late_rows,
        "dead_letters": outcome.dead_letters,
        "injected": [
            _injected(each, tally, outcome.start_us)
            for each, tally in zip(ours.causes, outcome.tallies, strict=True)
        ],
        **_said(ours, outcome.start_us),
        "suspects": [[confidence, right] for confidence, right in ours.suspects],
        "methods": {
            name: _said(each, outcome.start_us) for name, each in outcome.scores.items() if name != OURS
        },
    }


def report_document(scenarios: Sequence[dict[str, Any]], suite: str, seed: int | None) -> dict[str, Any]:
    """The whole report; scenarios as `scenario_document` gives them."""
    return {"suite": suite, "seed": seed, "scenarios": list(scenarios), "summary": summarise(scenarios)}


def _injected(each: CauseScore, tally: FaultTally, start_us: int) -> dict[str, Any]:
    cause = each.cause
    return {
        "spec": cause.spec.text,
        "kind": cause.spec.kind,
        "element": cause.spec.element,
        "tier": cause.tier,
        "rate": cause.spec.params.get("rate"),
        "start_s": (cause.start_us - start_us) / 1e6,
        "end_s": (cause.end_us - start_us) / 1e6,
        "expected": cause.rule.expected,
        "observable": each.observable,
        "crossed": tally.probes,
        "lost": tally.lost,
        "altered": tally.altered,
        "strayed": tally.strayed,
        "silenced": tally.silenced,
        "delayed": tally.delayed,
    }


def _said(said: Score, start_us: int) -> dict[str, Any]:
    """What a method made of a scenario. The three single values are of the scenario as a whole: right if
    all observable causes are, as late as the latest; `causes` has them one by one."""
    seen = [each for each in said.causes if each.observable]
    return {
        "found": [_found(each, start_us) for each in _all_found(said)],
        "correct_link": all(each.correct_link for each in seen) if seen else None,
        "correct_switch": all(each.correct_switch for each in seen) if seen else None,
        "onset_to_fault_ms": _latest([each.onset_to_fault_ms for each in seen]),
        "fifth_loss_to_fault_ms": _latest([each.fifth_loss_to_fault_ms for each in seen]),
        "false_faults": [_found(each, start_us) for each in said.false],
        "extra_faults": [_found(each, start_us) for each in said.extra],
        "causes": [
            {
                "fault_id": each.found.fault_id if each.found else None,
                "correct_link": each.correct_link,
                "correct_switch": each.correct_switch,
                "first_correct_link": each.first_correct_link,
                "correct_bits": each.correct_bits,
                "onset_to_fault_ms": each.onset_to_fault_ms,
                "first_hit_to_fault_ms": each.first_hit_to_fault_ms,
                "fifth_loss_to_fault_ms": each.fifth_loss_to_fault_ms,
            }
            for each in said.causes
        ],
    }


def _all_found(said: Score) -> list[Found]:
    matched = [each.found for each in said.causes if each.found is not None]
    return [*matched, *said.extra, *said.false]


def _found(found: Found, start_us: int) -> dict[str, Any]:
    first, last = found.live[0], found.live[-1].event
    return {
        "fault_id": found.fault_id,
        "kind": last["kind"],
        "suspects": last["suspects"],
        "opened_s": (first.log_us - start_us) / 1e6,
        "detected_s": (first.event["detected_at_us"] - start_us) / 1e6,
        "events": len(found.events),
        "part_of": found.part_of,
    }


def _latest(times: list[float | None]) -> float | None:
    known = [time for time in times if time is not None]
    return max(known) if known else None

"""Digests simulated per CPU second: probes in, outcomes and digests out, and the truth besides.

The fabric is a fat-tree-32, probed at 130,000 probes/s in slices of 100 ms, with a lossy link, background
loss and mirror loss. `published` also plans, cuts batches, encodes them and keeps the messages, as the demo
and the evaluation do. `rates` are those of other fabrics, to show that they do not depend on size.

The plain simulation takes one packet after another. On a smaller fabric, with nothing left to chance, both
must give the same outcomes and the same digests.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.plain_simulator import PlainSimulator
from benchmarks.traffic import START_US, simulate
from fabric.builtin import builtin_fabric
from fabric.faults import parse_spec
from fabric.model import Fabric
from fabric.simulator import Simulator, SimulatorSettings
from producers.plan import PlanSettings, build_plan

FABRIC = "fat-tree-32"
OTHER_FABRICS = ("medium", "fat-tree-48", "large")
PROBES_PER_S = 130_000
NOISE = SimulatorSettings(loss_rate=1e-6, mirror_loss_rate=1e-3)
#: Nothing is left to chance: a test of both against each other.
EXACT = SimulatorSettings(hop_jitter_ns=0, host_jitter_ns=0, mirror_jitter_us=0)

_SLICE_US = 100_000
_SLICES = 10
_ROUNDS = 3
_PUBLISHED_S = 3.0
_PLAIN_PROBES = 5_000
_SEED = 1
_LONG_US = 60_000_000

Probes = NDArray[np.void]


def run() -> dict[str, object]:
    """Measure; takes about half a minute and 1 GB."""
    assert_equal("dci", seconds=1.0)
    fabric = builtin_fabric(FABRIC)
    probes = _slices(fabric)
    rate, plain = _rate(fabric, probes), _plain_rate(fabric, probes)
    return {
        "name": "simulator",
        "unit": "digests/s",
        "rate_per_core": round(rate),
        "baseline": round(plain),
        "ratio": round(rate / plain, 1),
        "published_per_core": round(_published_rate(fabric)),
        "rates": {name: round(_other_rate(name)) for name in OTHER_FABRICS},
    }


def assert_equal(name: str, seconds: float) -> None:
    """Raises AssertionError if the plain simulation and the real one disagree."""
    fabric = builtin_fabric(name)
    settings = PlanSettings()
    until_us = START_US + round(seconds * 1e6)
    probes = np.concatenate([build_plan(fabric, p, settings).due(START_US, until_us) for p in fabric.probers])
    link = _link(fabric)
    simulator = Simulator(fabric, _SEED, EXACT)
    simulator.inject(parse_spec(f"loss:{link}:rate=1", fabric), START_US)
    real = simulator.run(probes)
    plain = PlainSimulator(fabric, _SEED, EXACT, lossy=link, rate=1)
    outcomes, digests = plain.run(_plain_values(probes))
    if [row.tobytes() for row in real.outcomes] != outcomes:
        raise AssertionError("the simulations disagree on outcomes")
    if sorted(row.tobytes() for row in real.digests) != sorted(digests):
        raise AssertionError("the simulations disagree on digests")
    if not (real.outcomes["rtt_ns"] < 0).any():
        raise AssertionError("nothing was lost: the comparison says little")


def _rate(fabric: Fabric, slices: list[Probes]) -> float:
    simulator = Simulator(fabric, _SEED, NOISE)
    simulator.inject(parse_spec(f"loss:{_link(fabric)}:rate=0.3", fabric), START_US)
    best = float("inf")
    digests = 0
    # In the first round next hops are still worked out; it is not the best one.
    for _ in range(_ROUNDS):
        before = time.process_time()
        digests = sum(len(simulator.run(probes).digests) for probes in slices)
        best = min(best, time.process_time() - before)
    return digests / best


def _other_rate(name: str) -> float:
    fabric = builtin_fabric(name)
    return _rate(fabric, _slices(fabric))


def _plain_rate(fabric: Fabric, slices: list[Probes]) -> float:
    plain = PlainSimulator(fabric, _SEED, NOISE, lossy=_link(fabric), rate=0.3)
    probes = list(_plain_values(np.concatenate(slices)[:_PLAIN_PROBES]))
    plain.run(iter(probes))  # finds the ways
    before = time.process_time()
    _, digests = plain.run(iter(probes))
    return len(digests) / (time.process_time() - before)


def _published_rate(fabric: Fabric) -> float:
    interval_us = _interval_us(fabric)
    best = 0.0
    for _ in range(_ROUNDS):
        before = time.process_time()
        traffic = simulate(
            fabric,
            _PUBLISHED_S,
            partitions=8,
            interval_us=interval_us,
            faults=[f"loss:{_link(fabric)}:rate=0.3"],
            tick_s=_SLICE_US / 1e6,
            noise=NOISE,
        )
        best = max(best, traffic.digests / (time.process_time() - before))
    return best


def _slices(fabric: Fabric) -> list[Probes]:
    settings = PlanSettings(interval_us=_interval_us(fabric))
    plans = [build_plan(fabric, prober, settings) for prober in fabric.probers]
    starts = [START_US + number * _SLICE_US for number in range(_SLICES)]
    return [np.concatenate([plan.due(at, at + _SLICE_US) for plan in plans]) for at in starts]


def _interval_us(fabric: Fabric) -> int:
    """Time between probes of a target at which all Probers together send PROBES_PER_S."""
    slow = PlanSettings(interval_us=_LONG_US)
    rate_pps = sum(build_plan(fabric, prober, slow).rate_pps for prober in fabric.probers)
    return round(_LONG_US * rate_pps / PROBES_PER_S)


def _link(fabric: Fabric) -> str:
    """One that probes cross on their way down."""
    return next(link.name for link in fabric.switch_links if link.name.startswith("spine-1~leaf"))


def _plain_values(probes: Probes) -> Iterator[Mapping[str, Any]]:
    names = probes.dtype.names or ()
    for row in probes.tolist():
        yield dict(zip(names, row, strict=True))


if __name__ == "__main__":
    print(run())  # noqa: T201 - a command

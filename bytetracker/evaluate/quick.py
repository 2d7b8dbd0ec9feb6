"""Suite `quick`: a dozen scenarios for every day."""

from __future__ import annotations

from bytetracker.evaluate.recipe import Recipe

_FAST = 250_000


def quick() -> list[Recipe]:
    return [
        Recipe("healthy", active_s=20),
        Recipe("link-down-leaf-spine", ["link_down:<leaf~spine>"]),
        Recipe("loss-leaf-spine-up-0.3", ["loss:<leaf~spine>:rate=0.3"]),
        Recipe("loss-spine-leaf-down-0.1", ["loss:<spine~leaf>:rate=0.1"]),
        Recipe("loss-tor-leaf-up-0.03", ["loss:<tor~leaf>:rate=0.03"], 20, _FAST),
        Recipe("loss-leaf-tor-down-0.03", ["loss:<leaf~tor>:rate=0.03"], 20, _FAST),
        Recipe("loss-border-spine-0.01", ["loss:<border~spine>:rate=0.01"], 20, _FAST),
        Recipe("loss-line-card-0.05", ["loss:<line-card>:rate=0.05"], 20, _FAST),
        Recipe("dead-tor", ["switch_down:<tor>"]),
        Recipe("flip-spine-leaf-0.1", ["flip:<spine~leaf>:rate=0.1"]),
        Recipe("host-down", ["host_down:<server>"]),
        Recipe(
            "three-at-once",
            ["loss:<leaf~spine>:rate=0.2", "flip:<spine~leaf>:rate=0.1", "loss:<leaf>:rate=0.1"],
            15,
            500_000,
        ),
    ]

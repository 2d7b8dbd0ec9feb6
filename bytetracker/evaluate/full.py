"""Suite `full`: every kind of fault, on every tier, from 1e-4 to 1, alone and up to five at once."""

from __future__ import annotations

from bytetracker.evaluate import full_forwarding, full_others
from bytetracker.evaluate.recipe import Recipe


def full() -> list[Recipe]:
    return [*full_forwarding.recipes(), *full_others.recipes()]

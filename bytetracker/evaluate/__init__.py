"""The scoreboard: injected faults on one side, fault events on the other, and what they have in common."""

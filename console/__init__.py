"""The console: the page of operators, and the JSON API under it (docs/decisions/0028)."""

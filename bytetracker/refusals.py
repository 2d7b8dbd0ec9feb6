"""Errors that commands tell of without loading what raises them: that would bring its metrics along."""

from __future__ import annotations


class SilenceRefused(ValueError):
    """A silence cannot be set or ended as asked; the message says what to change."""

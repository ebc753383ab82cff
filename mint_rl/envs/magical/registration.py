"""gymnasium's entry point: makes `gym.make("magical/…")` work after installation, with no import."""

from __future__ import annotations


def register() -> None:
    """Register every task and variant of MAGICAL."""

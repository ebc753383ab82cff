"""Mistakes in what the user gave, told in one sentence: what was wrong, where, and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(ValueError):
    """Bad input. The command line prints the message alone, without a traceback, and exits with status 2."""


def unknown_name(kind: str, name: str, known: Iterable[str]) -> UserError:
    """A `UserError` for a name that is not among the known ones; it lists them and suggests the nearest.

    >>> str(unknown_name("task", "MoveToCornr", ["MoveToCorner", "MakeLine"]))
    "unknown task 'MoveToCornr' (did you mean 'MoveToCorner'?); known: MoveToCorner, MakeLine"
    """
    names = list(known)
    folded = {candidate.lower(): candidate for candidate in names}
    near = difflib.get_close_matches(name.lower(), list(folded), n=1)
    hint = f" (did you mean '{folded[near[0]]}'?)" if near else ""
    return UserError(f"unknown {kind} '{name}'{hint}; known: {', '.join(names)}")
